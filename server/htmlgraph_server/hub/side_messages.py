"""Messages to dashboards beside those of agents: facts about the server, and alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .alert_feed import AlertFeed
from .clients import Client, Scheduler
from .server_info import INTERVAL_S, ServerInfo
from .stats import HubStats


class SideMessages:
    """Sends the facts and the alerts to all clients that keep up; the others get them later.

    Args:
        clients: all clients.
        write: sends bytes to one client.
        stats: counts what is sent.
        scheduler: the event loop.
        monotonic: returns monotonic seconds.

    Attributes:
        info: the facts about the server.
        alerts: the alerts.
    """

    def __init__(
        self,
        clients: Iterable[Client],
        write: Callable[[Client, bytes], None],
        stats: HubStats,
        scheduler: Scheduler,
        monotonic: Callable[[], float],
    ) -> None:
        self.info = ServerInfo()
        self.info.on_change = self._schedule_info
        self.alerts = AlertFeed()
        self._clients = clients
        self._write = write
        self._stats = stats
        self._scheduler = scheduler
        self._monotonic = monotonic
        self._scheduled = False
        self._next_info = 0.0
        self._closed = False

    def greet(self, client: Client) -> None:
        """Send everything to a client that just got its state."""
        if client.group is None or client.legacy_state:
            return
        self._send_info(client)
        if client.alerts and self.alerts.is_used:
            self._send(client, self.alerts.state_frame, 1)

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True

    def _schedule_info(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            delay = max(0.0, self._next_info - self._monotonic())
            self._scheduler.call_later(delay, self.send_info)

    def send_info(self) -> None:
        """Send the server_info message, if it has changed."""
        self._scheduled = False
        self._next_info = self._monotonic() + INTERVAL_S
        if not self._closed and self.info.update():
            for client in self._current_clients():
                self._send_info(client)

    def send_alerts(self, frames: Sequence[bytes]) -> None:
        """Send messages of ``alerts``."""
        if not frames or self._closed:
            return
        data = b"".join(frames)
        for client in self._current_clients():
            if client.alerts:
                self._send(client, data, len(frames))

    def _current_clients(self) -> list[Client]:
        clients = [c for c in self._clients if c.group is not None and c in c.group.clients]
        return [client for client in clients if not client.legacy_state]

    def _send_info(self, client: Client) -> None:
        version = self.info.version
        if client.info_version != version:
            client.info_version = version
            self._send(client, self.info.frame, 1)

    def _send(self, client: Client, data: bytes, n_frames: int) -> None:
        self._write(client, data)
        self._stats.count_frames(n_frames, len(data))
