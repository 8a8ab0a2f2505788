"""The interface between a grid and the origin of its agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..client.connection_state import ConnectionState
from .sync import View

if TYPE_CHECKING:
    from pandas import DataFrame


class DataSource(Protocol):
    """A server (ServerSource) or stored history (ReplaySource), until ``close``."""

    @property
    def connection(self) -> ConnectionState:
        """The state of the connection; "connected" for history."""

    def settle(self) -> None:
        """Wait briefly until there is something to show."""

    def view(self) -> View:
        """Return the current data."""

    def on_change(self, callback: Callable[[set[str], Any], object]) -> Callable[[], None]:
        """Call ``callback(changed_ids, agents)`` after each change; return the unsubscriber."""

    def on_connection(self, callback: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Call ``callback(connection)`` when the connection changes; return the unsubscriber."""

    def on_reset(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` when the page needs a full snapshot."""

    def recent(self, agent_id: str, limit: int) -> list[dict[str, Any]]:
        """Return an agent's last events, newest first; may block."""

    def mark_viewed(self, agent_id: str) -> None:
        """Note that a person looked at an agent; may block. History stays as it is."""

    def history(self, **filters: Any) -> DataFrame:
        """Return stored events, filtered as by ``load_history``."""

    def close(self) -> None:
        """Release the connection or end the playback. Idempotent."""
