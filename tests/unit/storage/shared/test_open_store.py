"""Which store and which clock a location gets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.shared.database_clock import DatabaseClock
from htmlgraph_nb.storage.shared.open_store import clock_for
from htmlgraph_nb.storage.store import Store


def test_clock_for_a_shared_database_is_its_own() -> None:
    """A file has the clock of the machine; a clock of the caller stays."""

    def own() -> datetime:
        return datetime(2025, 1, 14, tzinfo=UTC)

    assert clock_for("h.db", utc_now) is utc_now
    assert isinstance(clock_for("postgresql://host/db", utc_now), DatabaseClock)
    assert clock_for("postgresql://host/db", own) is own


def test_open_store_of_a_path_is_a_file(tmp_path: Path) -> None:
    """It has no notifications: asking the file is as cheap."""
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        assert type(manager.store) is Store
        assert manager.store.problem is None
        assert manager.store.sync_notified() is False
