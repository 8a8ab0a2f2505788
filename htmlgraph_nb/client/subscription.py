"""PresenceSubscription: a background thread that finds a server, follows it and keeps a copy.

:class:`Mirror` applies the messages; ``connection_state.py`` decides when to reconnect.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from ..core.mirror import Mirror
from ..core.model import AgentPresence
from ..core.protocol import MATCH_ALL, Cursor, Filter, encode_json
from ..errors import ConnectError, ServerNotFound, ServerRefused
from ..paths import servers_dir
from .connection_state import ConnectionState, Disconnect, reconnect_delay
from .discovery import Candidate, candidates, not_found_text
from .websocket import WebSocketSession

logger = logging.getLogger(__name__)

Agents = dict[str, AgentPresence]
ChangeCallback = Callable[[set[str], Agents], object]
ConnectionCallback = Callable[[ConnectionState], object]
_T = TypeVar("_T")
_CHECK_SERVER_FILES_S = 0.5
_JOIN_TIMEOUT_S = 1.0


class PresenceSubscription:
    """Follows one server at a time in a daemon thread, from :meth:`start` to :meth:`close`.

    Args:
        url, token, session: as for PresenceClient.
        agent_filter: which agents to follow.
    """

    def __init__(
        self, url: str | None, token: str | None, session: str | None, agent_filter: Filter
    ) -> None:
        candidates(url, token)
        self._url, self._token, self._session = url, token, session
        self._filter = agent_filter
        self._mirror = Mirror()
        self._resume = True
        self._server: Candidate | None = None
        self._connection = ConnectionState()
        self._failure: ConnectError | None = None
        # Guards the copy, and wakes threads that wait for a change of it.
        self._changed = threading.Condition()
        self._version = 0
        self._server_info: dict[str, Any] | None = None
        self._stop = threading.Event()
        self._websocket = WebSocketSession(self._receive)
        self._thread: threading.Thread | None = None
        self._change_callbacks: list[ChangeCallback] = []
        self._connection_callbacks: list[ConnectionCallback] = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Self:
        """Start the thread, unless it is running, and return this client.

        Raises:
            ConnectError: the client was closed.
        """
        with self._changed:
            if self._stop.is_set():
                raise ConnectError("this client was closed; create a new PresenceClient")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="htmlgraph-client", daemon=True
                )
                self._thread.start()
        return self

    def close(self) -> None:
        """Close the connection and end the thread. The agents stay as last known. Idempotent."""
        self._stop.set()
        self._websocket.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_TIMEOUT_S)
        if self._connection.state != "closed":
            self._set_connection("closed", "closed by its user")

    @property
    def agents(self) -> Agents:
        """A copy of the current agents by id."""
        return self.snapshot()[0]

    @property
    def cursor(self) -> Cursor | None:
        """The position of the copy in the server's changes; None before the first state."""
        return self.snapshot()[1]

    @property
    def connection(self) -> ConnectionState:
        """State, address and details of the connection, as one consistent value."""
        return self._connection

    @property
    def status(self) -> str:
        """One of "connecting", "connected", "reconnecting" and "closed"."""
        return self._connection.state

    @property
    def stale_since(self) -> datetime | None:
        """Time since which the agents may be out of date (UTC); None while they are current."""
        return self._connection.stale_since

    @property
    def server_info(self) -> dict[str, Any] | None:
        """The server's last report about itself (PROTOCOL.md: server_info); None before it."""
        return self._server_info

    def snapshot(self) -> tuple[Agents, Cursor | None, ConnectionState]:
        """Return a consistent copy of agents, cursor and connection."""
        with self._changed:
            agents = dict(self._mirror.agents)
            cursor = self._mirror.cursor
            connection = self._connection
        if self._filter.narrows_agents:
            agents = {
                agent_id: presence
                for agent_id, presence in agents.items()
                if self._filter.matches(presence)
            }
        return agents, cursor, connection

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call ``callback(changed_ids, agents)`` after each change; return a function to stop it.

        It runs in the client's thread and should be quick. Its exceptions are logged.
        ``changed_ids`` includes removed agents, which are not in ``agents``.
        """
        return _subscribe(self._change_callbacks, callback)

    def on_connection(self, callback: ConnectionCallback) -> Callable[[], None]:
        """Call ``callback(connection)`` when the connection changes; as :meth:`on_change`."""
        return _subscribe(self._connection_callbacks, callback)

    def wait_connected(self, timeout: float | None = 10.0) -> Self:
        """Wait until the first complete state has arrived, and return this client.

        Args:
            timeout: seconds; None: no limit.

        Raises:
            ServerNotFound: no server responded in time; the message lists the addresses tried.
            ServerRefused: a server rejected the client.
            ConnectError: the client was closed.
        """
        if not self._wait(lambda: self.status == "connected", timeout):
            raise self._failure or ServerNotFound(self.connection.detail or not_found_text([]))
        return self

    def wait_settled(self, timeout: float) -> bool:
        """Wait until connected or until the first attempt failed; False on timeout.

        Args:
            timeout: seconds.

        Raises:
            ConnectError: the client was closed.
        """
        return self._wait(lambda: bool(self.connection.detail), timeout)

    def wait_for(self, predicate: Callable[[Agents], _T], timeout: float | None = None) -> _T:
        """Wait until ``predicate(agents)`` is true, and return its value.

        Args:
            predicate: called in the caller's thread with a copy of the agents, after each change.
            timeout: seconds; None: no limit.

        Raises:
            TimeoutError: the message contains the last state.
            ConnectError: the client was closed, or gave up because it was rejected for good.
        """
        result: list[_T] = []

        def is_true() -> bool:
            result[:] = [predicate(self.agents)]
            return bool(result[0])

        if not self._wait(is_true, timeout):
            raise TimeoutError(f"timed out after {timeout:g} s; last state: {self._describe()}")
        return result[0]

    def _describe(self) -> str:
        agents, _, connection = self.snapshot()
        first = list(agents.values())[:10]
        listed = ", ".join(f"{presence.agent_id} {presence.status}" for presence in first)
        more = ", …" if len(agents) > 10 else ""
        return f"{connection.state} ({connection.detail}); {len(agents)} agents: {listed}{more}"

    def _wait(self, is_true: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``is_true()``, evaluated after each change; False on timeout."""
        self.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # Evaluated without the lock: it may be slow or use the client.
            version = self._version
            if is_true():
                return True
            if self._connection.state == "closed":
                raise self._failure or ConnectError("this client was closed")
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return False
            with self._changed:
                if self._version == version:
                    self._changed.wait(remaining)

    def _candidates(self) -> list[Candidate]:
        """Return the candidates to try, beginning with the server of the last connection."""
        servers = candidates(self._url, self._token)
        if self._server is not None:
            servers.sort(key=lambda candidate: candidate != self._server)
        return servers

    # The following methods run in the thread.

    def _run(self) -> None:
        attempt = 0
        try:
            while not self._stop.is_set():
                ended = self._try_candidates()
                attempt = 0 if ended.established else attempt
                delay = reconnect_delay(ended, attempt, random.random())  # noqa: S311
                if delay is None:
                    self._set_connection("closed", f"{self._connection.detail}\nNot retried.")
                    return
                self._pause(delay)
                attempt += 1
        except Exception as error:
            # A thread that ends silently would look like an idle server.
            logger.exception("the client's thread failed")
            self._failure = ConnectError(f"internal error: {type(error).__name__}: {error}")
            self._set_connection("closed", str(self._failure))

    def _try_candidates(self) -> Disconnect:
        """Try each candidate once; return the end of the connection, or of the last attempt."""
        tried: list[tuple[Candidate, str]] = []
        ended = Disconnect("nothing tried")
        refusal: Disconnect | None = None
        for candidate in self._candidates():
            if self._stop.is_set():
                return ended
            self._server, previous = candidate, self._server
            first = None if self._filter == MATCH_ALL else _subscribe_message(self._filter)
            ended = self._websocket.follow(candidate, self._parameters(), first)
            tried.append((candidate, ended.reason))
            if ended.established or ended.final or (ended.refused and not ended.status):
                break
            if ended.refused and refusal is None:
                # Another server may accept the client. If none does, report this refusal, because
                # the user can fix it.
                refusal = ended
            self._server = previous
        else:
            ended = refusal or ended
        if not self._stop.is_set():
            self._on_disconnect(ended, tried)
        return ended

    def _parameters(self) -> dict[str, str | None]:
        cursor = self._mirror.cursor if self._resume else None
        return {"since": None if cursor is None else str(cursor), "session": self._session}

    def _on_disconnect(self, ended: Disconnect, tried: list[tuple[Candidate, str]]) -> None:
        if ended.unreadable:
            self._resume = False
        url = tried[-1][0].address.url
        self._failure = None
        if ended.refused or ended.final:
            single = len(tried) == 1 or ended.final
            detail = f"{url}: {ended.reason}" if single else not_found_text(tried)
            self._failure = ServerRefused(detail, ended.code or ended.status or 0)
        elif ended.established:
            detail = f"{url}: {ended.reason}; reconnecting"
        else:
            detail = not_found_text(tried)
        logger.info("%s", detail)
        was_connected = self._mirror.epoch is not None
        self._set_connection("reconnecting" if was_connected else "connecting", detail)

    def _pause(self, seconds: float) -> None:
        """Wait, but only until a server on this machine writes its server file."""
        end = time.monotonic() + seconds
        version = _server_files_version()
        while not self._stop.wait(min(_CHECK_SERVER_FILES_S, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end or _server_files_version() != version:
                return

    def _receive(self, messages: list[dict[str, Any]]) -> bool:
        complete = False
        changed: set[str] = set()
        try:
            with self._changed:
                for message in messages:
                    if message["type"] == "server_info":
                        self._server_info = message
                    changed |= self._mirror.apply(message)
                    complete |= _completes_state(message)
        finally:
            # Notify even if a message was unreadable: the messages before it have been applied.
            self._notify(changed)
        if complete and self._connection.state != "connected":
            self._on_connected()
        return complete

    def _notify(self, changed: set[str]) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()
        if changed and self._change_callbacks:
            _call_all(self._change_callbacks, changed, self.agents)

    def _on_connected(self) -> None:
        self._resume = True
        self._failure = None
        if self._server is not None:
            url = self._server.address.url
            self._set_connection("connected", f"connected to {url}", url)

    def _set_connection(self, state: str, detail: str, url: str | None = None) -> None:
        with self._changed:
            before = self._connection
            if before.state == "closed":
                return
            stale_since = before.stale_since
            if state == "connected":
                stale_since = None
            elif before.state == "connected":
                stale_since = datetime.now(UTC)
            self._connection = ConnectionState(
                state, stale_since, detail, before.url if url is None else url
            )
            self._version += 1
            self._changed.notify_all()
        if self._connection != before:
            _call_all(self._connection_callbacks, self._connection)


def _subscribe(callbacks: list[_T], callback: _T) -> Callable[[], None]:
    callbacks.append(callback)

    def unsubscribe() -> None:
        if callback in callbacks:
            callbacks.remove(callback)

    return unsubscribe


def _call_all(callbacks: list[Any], *arguments: Any) -> None:
    for callback in list(callbacks):
        try:
            callback(*arguments)
        except Exception:
            logger.exception("a callback of PresenceClient failed: %r", callback)


def _completes_state(message: dict[str, Any]) -> bool:
    if message["type"] == "error":
        logger.warning("error message of the server: %s", message.get("error"))
    is_last_part = bool(message.get("part", 1) == message.get("parts", 1))
    return is_last_part and message["type"] == "presence_state"


def _subscribe_message(agent_filter: Filter) -> str:
    fields = {name: sorted(getattr(agent_filter, name)) for name in Filter.__slots__}
    return encode_json(
        {"type": "subscribe", **{name: values for name, values in fields.items() if values}}
    )


def _server_files_version() -> int:
    try:
        return os.stat(servers_dir()).st_mtime_ns
    except OSError:
        return 0
