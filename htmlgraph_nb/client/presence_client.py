"""PresenceClient: a live copy of a server's presence, and the server's HTTP calls beside it."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

from ..core.model import AgentPresence, Event
from ..core.protocol import MATCH_ALL, Cursor, Filter
from ..errors import ServerNotFound
from .connection_state import ConnectionState
from .discovery import explain
from .rest import Rest
from .subscription import Agents, ChangeCallback, ConnectionCallback, PresenceSubscription

T = TypeVar("T")


class PresenceClient:
    """Follows a server's presence over its WebSocket and keeps the agents at hand.

    ``with PresenceClient() as client:`` starts it and closes it; without ``with``, call
    :meth:`start` and :meth:`close`. The methods that wait start it by themselves. It reconnects
    by itself and resumes where it was.

    Args:
        url: ``http(s)://host:port[/base]`` or ``ws(s)://…``; None looks for a server:
            ``HTMLGRAPH_URL``, the Jupyter Server of this kernel, the last server started on this
            machine, http://127.0.0.1:8000.
        token: the server's token; None: ``HTMLGRAPH_TOKEN`` or what the server of this machine
            left for its user. It is sent in a header, and only to the server that it belongs to.
        session: name of the group that the server's ``max_clients_per_session`` counts; None:
            this client is its own group.
        filter: which agents to follow, a ``wire.Filter`` or a dict of its fields; None: all.
        on_change: a first callback, as for :meth:`on_change`.

    Raises:
        ConfigError: the URL (or ``HTMLGRAPH_URL``) has another form, or carries a secret.
        InvalidEvent: the filter has an unknown field or a value of a wrong type.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        session: str | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
        on_change: ChangeCallback | None = None,
    ) -> None:
        self._follower = PresenceSubscription(url, token, session, _filter_of(filter))
        self._rest = Rest(self._follower.places)
        if on_change is not None:
            self.on_change(on_change)

    def __enter__(self) -> PresenceClient:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        agents, _, connection = self.snapshot()
        return f"PresenceClient({connection.state}, {len(agents)} agents, {connection.url!r})"

    def start(self) -> PresenceClient:
        """Start the thread, if it does not run yet, and return this client.

        Raises:
            ConnectError: the client was closed.
        """
        self._follower.start()
        return self

    def close(self) -> None:
        """Close the connection and end the thread; the agents stay as last known. Idempotent."""
        self._follower.stop()

    @property
    def agents(self) -> Agents:
        """A copy of what is known now: agent_id → AgentPresence."""
        return self.snapshot()[0]

    @property
    def cursor(self) -> Cursor | None:
        """The position up to which the server's changes are in the copy; None before any."""
        return self.snapshot()[1]

    @property
    def connection(self) -> ConnectionState:
        """State, address and explanation of the connection, all of one moment."""
        return self._follower.connection

    @property
    def status(self) -> str:
        """One of "connecting", "connected", "reconnecting" and "closed"."""
        return self._follower.connection.state

    @property
    def stale_since(self) -> datetime | None:
        """Since when the agents may be out of date (UTC); None while they are not."""
        return self._follower.connection.stale_since

    def snapshot(self) -> tuple[Agents, Cursor | None, ConnectionState]:
        """Return agents, cursor and connection, all of one moment."""
        return self._follower.snapshot()

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call ``callback(changed_ids, agents)`` after each change; return what ends that.

        It runs in the client's thread, so it should be quick; what it raises is logged.
        ``changed_ids`` also holds agents that are gone, and with them are not in ``agents``.
        """
        return _added(self._follower.on_change, callback)

    def on_connection(self, callback: ConnectionCallback) -> Callable[[], None]:
        """Call ``callback(connection)`` when the connection changes; else as :meth:`on_change`."""
        return _added(self._follower.on_connection, callback)

    def wait_connected(self, timeout: float | None = 10.0) -> PresenceClient:
        """Wait until the first complete state is here, and return this client.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            ServerNotFound: nobody answered in time; the text names each address tried.
            ServerRefused: a server answered and said no.
            ConnectError: the client was closed.
        """
        if not self._follower.wait(lambda: self.status == "connected", timeout):
            raise self._follower.failure or ServerNotFound(self.connection.detail or explain([]))
        return self

    def wait_settled(self, timeout: float) -> bool:
        """Wait until connected or until the first attempt has failed; False if neither in time.

        Args:
            timeout: seconds.

        Raises:
            ConnectError: the client was closed.
        """
        return self._follower.wait(lambda: bool(self.connection.detail), timeout)

    def wait_for(self, predicate: Callable[[Agents], T], timeout: float | None = None) -> T:
        """Wait until ``predicate(agents)`` is true of the agents, and return its value.

        Args:
            predicate: called in the caller's thread with a copy of the agents, after each change.
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: not in time; the text names the last state.
            ConnectError: the client was closed, or gave up because it was refused for good.
        """
        found: list[T] = []

        def holds() -> bool:
            found[:] = [predicate(self.agents)]
            return bool(found[0])

        if not self._follower.wait(holds, timeout):
            raise TimeoutError(f"not within {timeout:g} s; last state: {self._describe()}")
        return found[0]

    def _describe(self) -> str:
        agents, _, connection = self.snapshot()
        some = ", ".join(f"{one.agent_id} {one.status}" for one in list(agents.values())[:10])
        more = ", …" if len(agents) > 10 else ""
        return f"{connection.state} ({connection.detail}); {len(agents)} agents: {some}{more}"

    def presence(self) -> Agents:
        """Ask the server for all agents over HTTP; errors as in :meth:`rest.Rest.call`."""
        return self._rest.presence()

    def agent(self, agent_id: str) -> AgentPresence:
        """Ask the server for one agent; ServerRefused with status 404 if it knows none such."""
        return self._rest.agent(agent_id)

    def send_events(self, events: Iterable[Event | Mapping[str, Any]]) -> Any:
        """Send events and return the server's answer; see :meth:`rest.Rest.send_events`."""
        return self._rest.send_events(events)

    def activity(self) -> Any:
        """Return each agent's events and errors of the last 15 minutes (``GET /api/activity``)."""
        return self._rest.call("GET", "/api/activity?minutes=15")

    def recent_events(self, agent_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Return an agent's last stored events, the newest first; errors as in Rest.call.

        Args:
            limit: most events, up to 10,000.
        """
        asked = {"agent": agent_id, "limit": limit, "order": "desc"}
        events: list[dict[str, Any]] = self._rest.call("GET", f"/api/history?{urlencode(asked)}")[
            "events"
        ]
        return events

    def status_report(self) -> Any:
        """Return what the server says of itself (``GET /api/status``)."""
        return self._rest.status_report()

    def mark_offline(self, agent_id: str) -> Any:
        """Declare an agent gone and return the server's answer."""
        return self._rest.mark_offline(agent_id)


def _filter_of(given: Filter | Mapping[str, Any] | None) -> Filter:
    if given is None:
        return MATCH_ALL
    if isinstance(given, Filter):
        return given
    return Filter.from_dict(
        {
            name: list(value) if isinstance(value, set | frozenset | tuple) else value
            for name, value in given.items()
        }
    )


def _added(callbacks: list[T], callback: T) -> Callable[[], None]:
    callbacks.append(callback)

    def remove() -> None:
        if callback in callbacks:
            callbacks.remove(callback)

    return remove


@dataclass
class _Shared:
    client: PresenceClient
    users: int = 0


_shared: dict[tuple[str | None, str | None], _Shared] = {}
_shared_lock = threading.Lock()


class Lease:
    """The right to use a shared client until :meth:`release`.

    Attributes:
        client: the client; it is not closed by its users.
    """

    def __init__(self, key: tuple[str | None, str | None], entry: _Shared) -> None:
        self.client = entry.client
        self._key = key
        self._entry: _Shared | None = entry

    def release(self) -> None:
        """Give the client back; the last one to do so closes it. Idempotent."""
        with _shared_lock:
            entry, self._entry = self._entry, None
            if entry is None:
                return
            entry.users -= 1
            if entry.users:
                return
            if _shared.get(self._key) is entry:
                del _shared[self._key]
        entry.client.close()


def shared_client(url: str | None = None, token: str | None = None) -> Lease:
    """Return a lease of the one running client for this address and token.

    Raises:
        ConfigError: as for PresenceClient.
    """
    key = (url, token)
    with _shared_lock:
        entry = _shared.get(key)
        if entry is None or entry.client.status == "closed":
            entry = _shared[key] = _Shared(PresenceClient(url, token=token).start())
        entry.users += 1
        return Lease(key, entry)


@atexit.register
def _close_shared() -> None:
    with _shared_lock:
        clients = [entry.client for entry in _shared.values()]
        _shared.clear()
    for client in clients:
        client.close()
