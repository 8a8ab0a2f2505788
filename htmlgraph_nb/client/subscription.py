"""The thread behind PresenceClient: it finds a server, follows it, and keeps the copy.

It owns the thread, the copy and the state of the connection; what messages mean is the Mirror's
knowledge, and when to come back is decided in connection.py.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ..core.mirror import Mirror
from ..core.model import AgentPresence
from ..core.protocol import MATCH_ALL, Cursor, Filter, encode_json
from ..errors import ConnectError, ServerRefused
from ..paths import servers_dir
from .connection_state import ConnectionState, Disconnect, reconnect_delay
from .discovery import Candidate, candidates, explain
from .websocket import WebSocketSession

log = logging.getLogger("htmlgraph.client")

Agents = dict[str, AgentPresence]
ChangeCallback = Callable[[set[str], Agents], object]
ConnectionCallback = Callable[[ConnectionState], object]
_LOOK_AGAIN_S = 0.5
_JOIN_S = 1.0


class PresenceSubscription:
    """Follows one server at a time in a daemon thread, from :meth:`start` to :meth:`stop`.

    Args:
        url, token, session, wanted: as PresenceClient has them.

    Attributes:
        connection: how it stands with the server.
        failure: why the server refused; None where it did not.
    """

    def __init__(
        self, url: str | None, token: str | None, session: str | None, wanted: Filter
    ) -> None:
        candidates(url, token)
        self._url, self._token, self._session = url, token, session
        self._wanted = wanted
        self._mirror = Mirror()
        self._resume = True
        self._at: Candidate | None = None
        self.connection = ConnectionState()
        self.failure: ConnectError | None = None
        # Guards the copy and wakes those who wait for a change of it.
        self._changed = threading.Condition()
        self._version = 0
        self._stop = threading.Event()
        self._link = WebSocketSession(self._receive)
        self._thread: threading.Thread | None = None
        self.on_change: list[ChangeCallback] = []
        self.on_connection: list[ConnectionCallback] = []

    def start(self) -> None:
        """Start the thread, if it does not run yet; ConnectError after :meth:`stop`."""
        with self._changed:
            if self._stop.is_set():
                raise ConnectError("this client was closed; make a new PresenceClient")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="htmlgraph-client", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the thread. Idempotent."""
        self._stop.set()
        self._link.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        if self.connection.state != "closed":
            self._show("closed", "closed by its user")

    def snapshot(self) -> tuple[Agents, Cursor | None, ConnectionState]:
        """Return a copy of the agents, the cursor and the connection, all of one moment."""
        with self._changed:
            agents = dict(self._mirror.agents)
            cursor = self._mirror.cursor
            connection = self.connection
        if self._wanted.narrows_agents:
            agents = {key: one for key, one in agents.items() if self._wanted.matches(one)}
        return agents, cursor, connection

    def places(self) -> list[Candidate]:
        """Return where to look now: where the server last was, then what can be found."""
        found = candidates(self._url, self._token)
        if self._at is not None:
            found.sort(key=lambda one: one != self._at)
        return found

    def wait(self, holds: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``holds()``, judged anew after each change; False if not within ``timeout`` s.

        Raises:
            ConnectError: the client is closed, or was refused for good.
        """
        self.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # It is judged outside of the lock: it may be slow, or ask the client.
            version = self._version
            if holds():
                return True
            if self.connection.state == "closed":
                raise self.failure or ConnectError("this client was closed")
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            with self._changed:
                if self._version == version:
                    self._changed.wait(left)

    # What follows runs in the thread.

    def _run(self) -> None:
        attempt = 0
        try:
            while not self._stop.is_set():
                ending = self._round()
                attempt = 0 if ending.established else attempt
                pause = reconnect_delay(ending, attempt, random.random())  # noqa: S311
                if pause is None:
                    self._show("closed", f"{self.connection.detail}\nNot tried again.")
                    return
                self._pause(pause)
                attempt += 1
        except Exception as error:
            # A thread that dies silently looks like a server at rest.
            log.exception("the client's thread ended")
            self.failure = ConnectError(f"internal error: {type(error).__name__}: {error}")
            self._show("closed", str(self.failure))

    def _round(self) -> Disconnect:
        """Try each place once; return how the connection ended, or why there was none."""
        tried: list[tuple[Candidate, str]] = []
        ending = Disconnect("nothing tried")
        refusal: Disconnect | None = None
        for candidate in self.places():
            if self._stop.is_set():
                return ending
            self._at, before = candidate, self._at
            first = None if self._wanted == MATCH_ALL else _subscription(self._wanted)
            ending = self._link.follow(candidate, self._parameters(), first)
            tried.append((candidate, ending.reason))
            if ending.established or ending.final or (ending.refused and not ending.status):
                break
            if ending.refused and refusal is None:
                # Another place may let us in; where none does, this is what a person can mend.
                refusal = ending
            self._at = before
        else:
            ending = refusal or ending
        if not self._stop.is_set():
            self._ended(ending, tried)
        return ending

    def _parameters(self) -> dict[str, str | None]:
        cursor = self._mirror.cursor if self._resume else None
        return {"since": None if cursor is None else str(cursor), "session": self._session}

    def _ended(self, ending: Disconnect, tried: list[tuple[Candidate, str]]) -> None:
        if ending.unreadable:
            self._resume = False
        url = tried[-1][0].address.url
        if ending.refused or ending.final:
            detail = (
                f"{url}: {ending.reason}" if len(tried) == 1 or ending.final else explain(tried)
            )
            self.failure = ServerRefused(detail, ending.code or ending.status or 0)
        elif ending.established:
            detail = f"{url}: {ending.reason}; reconnecting"
            self.failure = None
        else:
            detail = explain(tried)
            self.failure = None
        log.info("%s", detail)
        known = self._mirror.epoch is not None
        self._show("reconnecting" if known else "connecting", detail)

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until a server on this machine announces itself."""
        end = time.monotonic() + seconds
        announced = _announcement()
        while not self._stop.wait(min(_LOOK_AGAIN_S, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end or _announcement() != announced:
                return

    def _receive(self, messages: list[dict[str, Any]]) -> bool:
        complete = False
        changed: set[str] = set()
        try:
            with self._changed:
                for message in messages:
                    changed |= self._mirror.apply(message)
                    complete |= _completes(message)
        finally:
            # Also when one message could not be read: those before it have been folded in.
            self._tell(changed)
        if complete and self.connection.state != "connected":
            self._connected()
        return complete

    def _tell(self, changed: set[str]) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()
        if changed and self.on_change:
            self._call(self.on_change, changed, self.snapshot()[0])

    def _connected(self) -> None:
        self._resume = True
        self.failure = None
        if self._at is not None:
            url = self._at.address.url
            self._show("connected", f"connected to {url}", url)

    def _show(self, state: str, detail: str, url: str | None = None) -> None:
        with self._changed:
            before = self.connection
            if before.state == "closed":
                return
            stale = before.stale_since
            if state == "connected":
                stale = None
            elif before.state == "connected":
                stale = datetime.now(UTC)
            self.connection = ConnectionState(
                state, stale, detail, before.url if url is None else url
            )
            self._version += 1
            self._changed.notify_all()
        if self.connection != before:
            self._call(self.on_connection, self.connection)

    def _call(self, callbacks: list[Any], *arguments: Any) -> None:
        for callback in list(callbacks):
            try:
                callback(*arguments)
            except Exception:
                log.exception("a callback of PresenceClient failed: %r", callback)


def _completes(message: dict[str, Any]) -> bool:
    if message["type"] == "error":
        log.warning("the server says: %s", message.get("error"))
    last = bool(message.get("part", 1) == message.get("parts", 1))
    return last and message["type"] == "presence_state"


def _subscription(wanted: Filter) -> str:
    fields = {name: sorted(getattr(wanted, name)) for name in Filter.__slots__}
    return encode_json(
        {"type": "subscribe", **{name: some for name, some in fields.items() if some}}
    )


def _announcement() -> int:
    try:
        return os.stat(servers_dir()).st_mtime_ns
    except OSError:
        return 0
