"""What a grid shows of a running server: the shared client, and each agent's last minutes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..client.connection_state import ConnectionState
from ..client.presence_client import shared_client
from ..core.activity import Activity
from ..core.model import AgentPresence
from ..core.timestamps import utc_now
from ..errors import ConnectError, InvalidEvent, ServerNotFound
from .errands import errands
from .sync import View

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger("htmlgraph.live")
log.addHandler(logging.NullHandler())

SETTLE_S = 1.0


class ServerSource:
    """A server as the source of a grid, until ``close``.

    Args:
        url, token: as PresenceClient has them.

    Attributes:
        client: shared by all sources of the same address and token.

    Raises:
        ConfigError: as for PresenceClient.
    """

    def __init__(self, url: str | None, token: str | None) -> None:
        self._token = token
        self._lease = shared_client(url, token)
        self.client = self._lease.client
        self._activity = Activity()
        # Guards the counts, which three threads use.
        self._lock = threading.Lock()
        self._known: Mapping[str, AgentPresence] = self.client.agents
        self._on_whole: list[Callable[[], None]] = []
        self._closed = False
        self._ends = [
            self.client.on_change(self._count),
            self.client.on_connection(self._ask_when_connected),
        ]

    @property
    def connection(self) -> ConnectionState:
        """How it stands with the server."""
        return self.client.connection

    def settle(self) -> None:
        """Wait until the first attempt has succeeded or failed, but not longer than a second."""
        self.client.wait_settled(SETTLE_S)
        self._ask_when_connected(self.connection)

    def view(self) -> View:
        """Return what there is to show now."""
        agents, cursor, connection = self.client.snapshot()
        return View(agents, cursor, connection, utc_now(), self._activity_now)

    def on_change(self, callback: Callable[[set[str], Any], object]) -> Callable[[], None]:
        """Call back after each change of agents, as PresenceClient does."""
        return self.client.on_change(callback)

    def on_connection(self, callback: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Call back after each change of the connection, as PresenceClient does."""
        return self.client.on_connection(callback)

    def on_whole(self, callback: Callable[[], None]) -> None:
        """Call back when everything should be shown anew."""
        self._on_whole.append(callback)

    def recent(self, agent_id: str, limit: int) -> list[dict[str, Any]]:
        """Ask the server for an agent's last events, the newest first; it waits for the answer."""
        return self.client.recent_events(agent_id, limit)

    def history(self, **filters: Any) -> DataFrame:
        """Return stored events of the server, as ``load_history``.

        Raises:
            ServerNotFound: no server has been found so far.
        """
        from ..history.load import load_history

        connection = self.connection
        if not connection.url:
            raise ServerNotFound(connection.detail or "no server has been found yet")
        return load_history(connection.url, token=self._token, **filters)

    def close(self) -> None:
        """Let the client go. Idempotent."""
        self._closed = True
        for end in self._ends:
            end()
        self._lease.release()

    def _activity_now(self) -> dict[str, Any]:
        with self._lock:
            return self._activity.to_dict(utc_now())

    def _count(self, changed: set[str], agents: Mapping[str, AgentPresence]) -> None:
        now = utc_now()
        with self._lock:
            for agent_id in changed:
                after = agents.get(agent_id)
                if after is None:
                    self._activity.forget(agent_id)
                else:
                    self._activity.fold(self._known.get(agent_id), after, now)
            self._known = agents

    def _ask_when_connected(self, connection: ConnectionState) -> None:
        if connection.state == "connected":
            errands.run(self._ask_activity)

    def _ask_activity(self) -> None:
        if self._closed:
            return
        try:
            answer = self.client.activity()
            with self._lock:
                self._activity.replace(answer)
        except (ConnectError, InvalidEvent) as error:
            # An older server has no such route: what is counted from now on has to do.
            log.info("no activity from the server: %s", error)
            return
        for callback in self._on_whole:
            callback()
