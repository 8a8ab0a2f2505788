"""What a grid asks of the place where its agents come from; LiveSource and ReplaySource have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ..client.connection_state import ConnectionState
from .sync import View

if TYPE_CHECKING:
    from pandas import DataFrame


class DataSource(Protocol):
    """A server or a stored history, until ``close``."""

    @property
    def connection(self) -> ConnectionState:
        """How it stands with the server; "connected" for a history."""

    def settle(self) -> None:
        """Wait a moment, so that there is something to show at first."""

    def view(self) -> View:
        """Return what there is to show now."""

    def on_change(self, callback: Callable[[set[str], Any], object]) -> Callable[[], None]:
        """Call ``callback(changed_ids, agents)`` after each change; return what ends that."""

    def on_connection(self, callback: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Call back after each change of the connection; return what ends that."""

    def on_whole(self, callback: Callable[[], None]) -> None:
        """Call back when everything should be shown anew."""

    def recent(self, agent_id: str, limit: int) -> list[dict[str, Any]]:
        """Return an agent's last events, the newest first; it may wait."""

    def history(self, **filters: Any) -> DataFrame:
        """Return stored events, narrowed as ``load_history`` does."""

    def close(self) -> None:
        """End what follows or plays. Idempotent."""
