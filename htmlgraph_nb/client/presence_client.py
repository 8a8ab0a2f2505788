"""PresenceClient: a live copy of a server's presence, and the server's HTTP calls."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ..core.model import AgentPresence, Event
from ..core.protocol import MATCH_ALL, Filter
from .rest import Rest
from .subscription import Agents, ChangeCallback, PresenceSubscription


class PresenceClient(PresenceSubscription):
    """Follows a server's presence over its WebSocket and keeps a copy of the agents.

    ``with PresenceClient() as client:`` starts and closes it; without ``with``, call
    :meth:`start` and :meth:`close`. Methods that wait start it themselves. It reconnects and
    resumes automatically.

    Args:
        url: ``http(s)://host:port[/base]`` or ``ws(s)://…``; None looks for a server:
            ``HTMLGRAPH_URL``, the Jupyter Server of this kernel, the server on this machine that
            started last, http://127.0.0.1:8000.
        token: the server's token; None: ``HTMLGRAPH_TOKEN``, or the token from the server file on
            this machine. It is sent in a header, and only to the server that it belongs to.
        session: name of the group that the server's ``max_clients_per_session`` counts; None:
            this client is its own group.
        filter: which agents to follow, a ``protocol.Filter`` or a dict of its fields; None: all.
        on_change: a first callback, as for :meth:`on_change`.

    Raises:
        ConfigError: the URL (or ``HTMLGRAPH_URL``) is malformed or contains a secret.
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
        super().__init__(url, token, session, _filter_of(filter))
        self._rest = Rest(self._candidates)
        if on_change is not None:
            self.on_change(on_change)

    def __repr__(self) -> str:
        agents, _, connection = self.snapshot()
        return f"PresenceClient({connection.state}, {len(agents)} agents, {connection.url!r})"

    def presence(self) -> Agents:
        """Return all agents from the server, over HTTP; errors as for :meth:`rest.Rest.call`."""
        return self._rest.presence()

    def agent(self, agent_id: str) -> AgentPresence:
        """Return one agent from the server; raise ServerRefused (status 404) if it is unknown."""
        return self._rest.agent(agent_id)

    def send_events(self, events: Iterable[Event | Mapping[str, Any]]) -> Any:
        """Send events and return the server's response; see :meth:`rest.Rest.send_events`."""
        return self._rest.send_events(events)

    def activity(self) -> Any:
        """Return each agent's events and errors of the last 15 minutes (``GET /api/activity``)."""
        return self._rest.call("GET", "/api/activity?minutes=15")

    def recent_events(self, agent_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Return an agent's last stored events, newest first; errors as for Rest.call.

        Args:
            limit: maximum number of events, up to 10,000.
        """
        parameters = urlencode({"agent": agent_id, "limit": limit, "order": "desc"})
        events: list[dict[str, Any]] = self._rest.call("GET", f"/api/history?{parameters}")[
            "events"
        ]
        return events

    def status_report(self) -> Any:
        """Return the server's own status (``GET /api/status``)."""
        return self._rest.status_report()

    def mark_offline(self, agent_id: str) -> Any:
        """Mark an agent as offline and return the server's response."""
        return self._rest.mark_offline(agent_id)

    def mark_viewed(self, agent_id: str) -> Any:
        """Report that a person looked at an agent and return the server's response."""
        return self._rest.mark_viewed(agent_id)


def _filter_of(value: Filter | Mapping[str, Any] | None) -> Filter:
    if value is None:
        return MATCH_ALL
    if isinstance(value, Filter):
        return value
    return Filter.from_dict(
        {
            name: list(values) if isinstance(values, set | frozenset | tuple) else values
            for name, values in value.items()
        }
    )


@dataclass
class _SharedClient:
    client: PresenceClient
    n_leases: int = 0


_shared: dict[tuple[str | None, str | None], _SharedClient] = {}
_shared_lock = threading.Lock()


class Lease:
    """The right to use a shared client until :meth:`release`.

    Attributes:
        client: the client; its users do not close it.
    """

    def __init__(self, key: tuple[str | None, str | None], entry: _SharedClient) -> None:
        self.client = entry.client
        self._key = key
        self._entry: _SharedClient | None = entry

    def release(self) -> None:
        """Return the client; the last release closes it. Idempotent."""
        with _shared_lock:
            entry, self._entry = self._entry, None
            if entry is None:
                return
            entry.n_leases -= 1
            if entry.n_leases:
                return
            if _shared.get(self._key) is entry:
                del _shared[self._key]
        entry.client.close()


def shared_client(url: str | None = None, token: str | None = None) -> Lease:
    """Return a lease of the shared client for this address and token; start it if necessary.

    Raises:
        ConfigError: as for PresenceClient.
    """
    key = (url, token)
    with _shared_lock:
        entry = _shared.get(key)
        if entry is None or entry.client.status == "closed":
            entry = _shared[key] = _SharedClient(PresenceClient(url, token=token).start())
        entry.n_leases += 1
        return Lease(key, entry)


@atexit.register
def _close_shared() -> None:
    with _shared_lock:
        clients = [entry.client for entry in _shared.values()]
        _shared.clear()
    for client in clients:
        client.close()
