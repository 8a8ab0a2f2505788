"""Features, tracks and spikes in the database: their number and age are bounded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import CapacityError
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage import transaction


def put(manager: PresenceManager, name: str, status: str | None = None) -> None:
    """Store a change of a feature."""
    extra = {"resource_type": "feature", "resource_id": name}
    event = Event(agent_id="a", event_type="feature_updated", extra=extra)
    manager.submit_resource(event, 0.0, status, {"name": name}).result()


def names_in(path: str) -> list[str]:
    """Return the ids of the stored features."""
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT resource_id FROM features ORDER BY seq")]


def test_resources_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest that is done leaves for a new one; without one that is done, it is refused."""
    monkeypatch.setattr(transaction, "MAX_RESOURCES", 3)
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        for name in ("one", "two", "three"):
            put(manager, name, "in_progress")
        with pytest.raises(CapacityError, match="none is done") as caught:
            put(manager, "four")
        assert caught.value.code == "too_many_resources"
        put(manager, "one", "blocked")
        put(manager, "two", "done")
        put(manager, "three", "done")
        put(manager, "four", "done")
        put(manager, "five")
        assert names_in(manager.db_path) == ["one", "four", "five"]


def test_resources_leave_with_the_history(tmp_path: Path) -> None:
    """``--retain`` deletes what was last changed by a deleted event."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with PresenceManager(str(tmp_path / "h.db"), clock=lambda: now) as manager:
        put(manager, "old")
        put(manager, "changed")
        now += timedelta(days=40)
        put(manager, "changed")
        put(manager, "new")
        while manager.delete_history(timedelta(days=30)):
            pass
        assert names_in(manager.db_path) == ["changed", "new"]
