"""Sends the stored events to another server over its WebSocket ``/ws/events``.

A thread reads the database, which is the queue, and sends one message at a time; the next one
follows the acknowledgement. It opens a connection only, nothing listens. Without a connection the
events wait in the database.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from htmlgraph_nb import __version__
from htmlgraph_nb.client.connection_state import connect_error_text, parse_error_body
from htmlgraph_nb.client.discovery import Address
from htmlgraph_nb.client.websocket import open_socket
from htmlgraph_nb.core.protocol import decode_json, encode_json
from htmlgraph_nb.core.timestamps import to_rfc3339, utc_now
from htmlgraph_nb.errors import HtmlgraphError, ServerRefused, StoreError, WireError
from htmlgraph_nb.forwarding.forward_plan import BATCH_EVENTS, ForwardOffsets, ForwardStep
from htmlgraph_nb.forwarding.host_board import HostReport
from htmlgraph_nb.presence import PresenceManager

from .host_identity import this_host
from .host_table import put_offsets, read_offsets
from .pending_events import ForwardBatch, PendingEvents

logger = logging.getLogger(__name__)
# At level DEBUG, websockets logs the handshake's headers, which contain the token.
logger.setLevel(logging.INFO)

CONNECTION_TIMEOUT_S = 10.0
ACKNOWLEDGED_WITHIN_S = 15.0
"""Seconds without an acknowledgement after which a connection is given up."""
_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 30.0
REFUSED_DELAY_S = 30.0
_STORE_OFFSETS_S = 0.25
_LEADER_CHECK_S = 0.2
_FRESH = timedelta(seconds=60)
"""Age of the events that are sent at once where too many wait."""
_SEARCHED_ROWS = 20_000
"""Newest rows among which events of that age are searched."""
_DEFAULT_HEARTBEAT_S = 10.0
_INVALID_CODES = frozenset({"invalid", "invalid_message", "unknown_field"})


@dataclass(frozen=True, slots=True)
class ForwarderStatus:
    """The state of the forwarding, for people.

    Attributes:
        state: "waiting" (another server of this database forwards), "connecting", "connected",
            "refused" (a token or a message is not accepted) or "reconnecting".
        detail: what happened last; "" if nothing did.
        since: since when, UTC.
        sent: events that were acknowledged since the start.
        deleted: numbers of events that were deleted here before they were sent.
        skipped: events that the other server does not accept.
    """

    state: str = "connecting"
    detail: str = ""
    since: datetime | None = None
    sent: int = 0
    deleted: int = 0
    skipped: int = 0


class Forwarder:
    """The thread that forwards the events of one database to one server.

    Args:
        manager: the open database.
        url: address of the other server.
        token: its token; "" for none.
        is_leader: whether this one of the servers that share the database forwards.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        manager: PresenceManager,
        url: str,
        token: str,
        is_leader: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manager = manager
        self._address = Address.parse(url)
        self._token = token
        self._is_leader = is_leader
        self._clock = clock
        self._pending = PendingEvents(manager.db_path, manager.cursor.epoch)
        self._offsets = ForwardOffsets("")
        self._stored_at = 0.0
        self._stored: ForwardOffsets | None = None
        self._status = ForwarderStatus()
        self._logged = ""
        self._wake, self._stop = threading.Event(), threading.Event()
        self._sent_all_at = clock()
        self._thread = threading.Thread(target=self._run, name="htmlgraph-forward", daemon=True)
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start the thread."""
        self._unsubscribe = self._manager.subscribe(lambda _: self._wake.set())
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it; what is not sent waits for the next start."""
        self._stop.set()
        self._wake.set()
        self._unsubscribe()
        if self._thread.is_alive():
            self._thread.join(ACKNOWLEDGED_WITHIN_S)

    def report(self) -> dict[str, Any]:
        """Return the ``forwarding`` section of ``/api/status``."""
        status = self._status
        return {
            "url": self._address.url,
            "state": status.state,
            "detail": status.detail,
            "since": None if status.since is None else to_rfc3339(status.since),
            "pending": self._n_pending(),
            "sent": status.sent,
            "deleted": status.deleted,
            "skipped": status.skipped,
        }

    @property
    def holds_since(self) -> int:
        """The oldest seq that is not sent."""
        return self._offsets.first_pending

    @property
    def has_pending(self) -> bool:
        """Whether events wait."""
        return self._n_pending() > 0

    def _n_pending(self) -> int:
        return self._offsets.n_pending(self._manager.cursor.seq)

    # The following methods run in the thread.

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                if not self._is_leader():
                    self._set("waiting", "another server on this database forwards")
                    self._stop.wait(_LEADER_CHECK_S)
                    continue
                established, delay_s = self._connect_once()
            except StoreError as error:
                established, delay_s = False, None
                self._set("reconnecting", f"the database cannot be read: {error}")
            except Exception as error:
                # The thread must survive: a thread that ends silently forwards nothing.
                logger.exception("forwarding failed")
                established, delay_s = False, None
                self._set("reconnecting", f"internal error: {type(error).__name__}")
            attempt = 0 if established else attempt + 1
            longest = min(_MAX_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(attempt, 10))
            self._stop.wait(delay_s or longest * (0.5 + random.random() / 2))  # noqa: S311
        self._pending.close()

    def _set(self, state: str, detail: str) -> None:
        if (self._status.state, self._status.detail) != (state, detail):
            self._status = replace(self._status, state=state, detail=detail, since=utc_now())
        # Once for each cause, however long it lasts.
        if state in ("refused", "reconnecting") and detail != self._logged:
            self._logged = detail
            logger.warning("forwarding to %s: %s", self._address.url, detail)
        elif state == "connected" and self._logged:
            self._logged = ""
            logger.info("forwarding to %s: connected", self._address.url)

    def _connect_once(self) -> tuple[bool, float | None]:
        """Forward over one connection until it ends.

        Returns:
            Whether the other server accepted the host, and seconds to wait; None: the usual delay.
        """
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        established = False
        try:
            sock = open_socket(self._address, CONNECTION_TIMEOUT_S)
        except OSError as error:
            self._set("reconnecting", connect_error_text(error, CONNECTION_TIMEOUT_S))
            return False, None
        try:
            with connect(
                _events_url(self._address),
                sock=sock,
                additional_headers=headers,
                compression=None,
                open_timeout=CONNECTION_TIMEOUT_S,
                close_timeout=1,
                logger=logger,
            ) as connection:
                heartbeat_s = self._greet(connection)
                established = True
                self._set("connected", "")
                self._forward(connection, heartbeat_s)
        except InvalidStatus as error:
            status = error.response.status_code
            _, message = parse_error_body(error.response.body or b"")
            refused = status in (401, 403)
            text = f"HTTP {status} {message}".strip()
            self._set("refused" if refused else "reconnecting", text)
            return False, REFUSED_DELAY_S if refused else None
        except ServerRefused as error:
            self._set("refused", str(error))
            return established, REFUSED_DELAY_S
        except TimeoutError:
            self._set("reconnecting", f"no response within {ACKNOWLEDGED_WITHIN_S:g} s")
        except (InvalidHandshake, ValueError) as error:
            self._set("reconnecting", f"not an htmlgraph-nb server ({error})")
        except (OSError, WebSocketException, EOFError) as error:
            self._set("reconnecting", connect_error_text(error, CONNECTION_TIMEOUT_S))
        except WireError as error:
            self._set("reconnecting", f"unreadable response: {error}")
        finally:
            sock.close()
            self._store_offsets(force=True)
        return established, None

    def _greet(self, connection: Connection) -> float:
        """Name this host, and return the seconds between two heartbeats."""
        response = self._exchange(connection, self._host_text())
        if response.get("type") != "host_ack":
            raise ServerRefused("the other server is older and cannot be forwarded to", 0)
        receiver, _, received = str(response.get("cursor", ":")).rpartition(":")
        epoch = self._manager.cursor.epoch
        if receiver == epoch:
            raise ServerRefused(
                "the other server has this database or a copy of it; give it a new file with --db",
                0,
            )
        stored = read_offsets(self._pending.connection(), self._address.url)
        newest = self._manager.cursor.seq
        offsets = stored.connected(epoch, newest, receiver, int(received))
        if stored.epoch and offsets.live < stored.live:
            logger.info("forwarding to %s: starts again at the first event", self._address.url)
        self._offsets = offsets
        heartbeat = response.get("heartbeat_s")
        return float(heartbeat) if isinstance(heartbeat, int | float) else _DEFAULT_HEARTBEAT_S

    def _host_text(self) -> str:
        cursor, pending = self._manager.cursor, self._n_pending()
        if not pending:
            self._sent_all_at = self._clock()
        host, label, user = this_host()
        lag_ms = round(1_000 * (self._clock() - self._sent_all_at))
        report = HostReport(
            host, label, user, __version__, cursor.epoch, cursor.seq, pending, lag_ms, utc_now()
        )
        return encode_json({"type": "host", **report.to_dict()})

    def _exchange(self, connection: Connection, text: str) -> dict[str, Any]:
        connection.send(text)
        response = decode_json(connection.recv(ACKNOWLEDGED_WITHIN_S), "response")
        if not isinstance(response, dict):
            raise WireError("expected an object")
        return response

    def _forward(self, connection: Connection, heartbeat_s: float) -> None:
        """Send events and heartbeats until the connection ends."""
        beat_at, gap_at = self._clock() + heartbeat_s, 0.0
        had_pending = self._n_pending() > 0
        while not self._stop.is_set() and self._is_leader():
            now = self._clock()
            self._wake.clear()
            newest = self._manager.cursor.seq
            self._jump(connection, newest)
            step = self._offsets.next_step(newest, live_only=now < gap_at)
            if step is not None:
                self._send(connection, step)
                if not step.is_live:
                    # Half of the time is left for others.
                    gap_at = self._clock() + (self._clock() - now)
            is_pending = self._n_pending() > 0
            if self._clock() >= beat_at or (had_pending and not is_pending):
                self._check(self._exchange(connection, self._host_text()))
                beat_at = self._clock() + heartbeat_s
            had_pending = is_pending
            self._store_offsets()
            if step is None:
                due = min(beat_at, gap_at) if self._offsets.gaps else beat_at
                if self._offsets != self._stored:
                    due = min(due, self._clock() + _STORE_OFFSETS_S)
                self._wake.wait(max(0.0, due - self._clock()))

    def _check(self, response: dict[str, Any]) -> None:
        if response.get("type") == "error":
            error = response.get("error")
            message = error.get("message") if isinstance(error, dict) else None
            raise ServerRefused(str(message), 0)

    def _jump(self, connection: Connection, newest: int) -> None:
        """Where too many events wait, send those that just happened before the others."""
        split = self._offsets.split(newest)
        if split is self._offsets:
            return
        first = max(self._offsets.live + 1, newest - _SEARCHED_ROWS)
        batch = self._pending.read((first, newest), datetime.now(UTC) - _FRESH)
        if batch.texts:
            self._deliver(connection, batch.texts)
        self._offsets = split

    def _send(self, connection: Connection, step: ForwardStep) -> None:
        """Send the first part of a step."""
        batch = self._pending.read((step.first, step.last), limit=BATCH_EVENTS)
        if batch.n_missing > 0:
            self._note_deleted(batch, step)
        if batch.texts:
            received = self._deliver(connection, batch.texts)
        else:
            received = self._offsets.received_seq
        self._offsets = self._offsets.sent(step, batch.last, received)

    def _note_deleted(self, batch: ForwardBatch, step: ForwardStep) -> None:
        if step.first == 1:
            # The history of a server that did not forward before.
            return
        n = self._status.deleted + batch.n_missing
        self._status = replace(self._status, deleted=n)
        logger.warning(
            "forwarding to %s: history from event %d on was deleted before it was sent (%d rows)",
            self._address.url,
            step.first,
            batch.n_missing,
        )

    def _deliver(self, connection: Connection, texts: list[str]) -> int:
        """Send events, and return the seq of the other server after them.

        Raises:
            ServerRefused: it has no room for them now.
        """
        response = self._exchange(connection, f"[{','.join(texts)}]")
        if response.get("type") == "ack":
            self._status = replace(self._status, sent=self._status.sent + len(texts))
            return int(str(response.get("cursor", ":0")).rpartition(":")[2] or 0)
        error = response.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if code not in _INVALID_CODES:
            self._check(response)
            raise WireError(f"unexpected message {str(response.get('type'))[:40]!r}")
        if len(texts) > 1:
            middle = len(texts) // 2
            self._deliver(connection, texts[:middle])
            return self._deliver(connection, texts[middle:])
        # Both ends check events alike, so this is an older server.
        self._status = replace(self._status, skipped=self._status.skipped + 1)
        logger.warning(
            "forwarding to %s: it does not accept an event: %s", self._address.url, error
        )
        return self._offsets.received_seq

    def _store_offsets(self, *, force: bool = False) -> None:
        """Store the offsets, but only a few times a second: what is sent again counts once."""
        offsets, now = self._offsets, self._clock()
        if not offsets.epoch or offsets == self._stored:
            return
        if now - self._stored_at < _STORE_OFFSETS_S and not force:
            return
        try:
            url = self._address.url
            self._manager.submit_job(lambda tx: put_offsets(tx.db, url, offsets)).result()
        except HtmlgraphError as error:
            logger.debug("offsets not stored: %s", error)
            return
        self._stored, self._stored_at = offsets, now


def _events_url(address: Address) -> str:
    scheme = "wss" if address.secure else "ws"
    return f"{scheme}://{address.netloc}{address.base}/ws/events"
