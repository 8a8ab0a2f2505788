"""ServerSource: a running server as the source of a grid."""

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
from .requests import background_worker
from .sync import View

if TYPE_CHECKING:
    from pandas import DataFrame

logger = logging.getLogger(__name__)
# Without a handler, Python prints warnings of this thread into the output of a running cell.
logger.addHandler(logging.NullHandler())

_SETTLE_TIMEOUT_S = 1.0


class ServerSource:
    """A server as the source of a grid, until ``close``.

    It counts each agent's activity of the last minutes itself, so that a snapshot, a reloaded page
    and a saved notebook hold current counts without a further request to the server.

    Args:
        url, token: as for PresenceClient.

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
        self._on_reset: list[Callable[[], None]] = []
        self._closed = False
        self._unsubscribe = [
            self.client.on_change(self._count),
            self.client.on_connection(self._request_activity),
        ]

    @property
    def connection(self) -> ConnectionState:
        """The state of the connection to the server."""
        return self.client.connection

    def settle(self) -> None:
        """Wait until the first attempt has succeeded or failed, at most one second."""
        self.client.wait_settled(_SETTLE_TIMEOUT_S)
        self._request_activity(self.connection)

    def view(self) -> View:
        """Return the current data."""
        agents, cursor, connection = self.client.snapshot()
        return View(
            agents,
            cursor,
            connection,
            utc_now(),
            self._current_activity,
            server_info=self.client.server_info,
        )

    def on_change(self, callback: Callable[[set[str], Any], object]) -> Callable[[], None]:
        """Call back after each change of agents, as PresenceClient does."""
        return self.client.on_change(callback)

    def on_connection(self, callback: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Call back after each change of the connection, as PresenceClient does."""
        return self.client.on_connection(callback)

    def on_reset(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` when the server's activity counts have arrived."""
        self._on_reset.append(callback)

    def recent(self, agent_id: str, limit: int) -> list[dict[str, Any]]:
        """Return an agent's last events from the server, newest first. Blocks."""
        return self.client.recent_events(agent_id, limit)

    def mark_viewed(self, agent_id: str) -> None:
        """Report to the server that a person looked at an agent. Blocks."""
        self.client.mark_viewed(agent_id)

    def history(self, **filters: Any) -> DataFrame:
        """Return stored events of the server, as ``load_history``.

        Raises:
            ServerNotFound: no server has been found so far.
        """
        from ..history.load import load_history

        connection = self.connection
        if not connection.url:
            raise ServerNotFound(connection.detail or "no server has been found yet")
        frame: DataFrame = load_history(connection.url, token=self._token, **filters)
        return frame

    def close(self) -> None:
        """Release the client. Idempotent."""
        self._closed = True
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._lease.release()

    def _current_activity(self) -> dict[str, Any]:
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
                    self._activity.record_change(self._known.get(agent_id), after, now)
            self._known = agents

    def _request_activity(self, connection: ConnectionState) -> None:
        if connection.state == "connected":
            background_worker.submit(self._load_activity)

    def _load_activity(self) -> None:
        if self._closed:
            return
        try:
            activity = self.client.activity()
            with self._lock:
                self._activity.replace(activity)
        except (ConnectError, InvalidEvent) as error:
            # An older server has no such route. The counts then start with this connection.
            logger.info("the server returned no activity counts: %s", error)
            return
        for callback in self._on_reset:
            callback()
