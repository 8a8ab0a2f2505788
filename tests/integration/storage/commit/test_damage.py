"""The monitor of damaged files: it checks what a reader could not read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import StoreDamaged
from htmlgraph_nb.history.load import load_history
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.commit.damage import DamageMonitor, damage_monitor, find_damage
from tests.helpers.database_files import damage_pages
from tests.helpers.wait import wait_until


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a closed database of some pages."""
    path = str(tmp_path / "h.db")
    with PresenceManager(path) as manager:
        for n in range(0, 3_000, 1_000):
            manager.ingest([_event(k) for k in range(n, n + 1_000)])
    return path


def _event(n: int) -> Event:
    return Event(agent_id=f"a{n % 7}", event_type="prompt", event_id=f"event-{n}")


def test_find_damage_of_sound_missing_and_damaged_files(path: str, tmp_path: Path) -> None:
    """A file that cannot be checked is not damaged for sure."""
    assert find_damage(path) is None
    assert find_damage(str(tmp_path / "missing" / "h.db")) is None
    damage_pages(path)
    assert find_damage(path)
    (tmp_path / "text.db").write_text("no database" * 100)
    assert find_damage(str(tmp_path / "text.db")) == "file is not a database"


def test_monitor_ignores_files_without_store_and_sound_files(path: str) -> None:
    """An error of a read alone stops nobody."""
    monitor = DamageMonitor()
    monitor.suspect(path)
    monitor.opened(path, lambda: None)
    monitor.suspect(path)
    wait_until(lambda: "htmlgraph-damage" not in {t.name for t in threading.enumerate()})
    assert monitor.problem(path) is None


def test_writer_stops_when_a_reader_finds_damage(path: str) -> None:
    """Until the file is opened again."""
    with PresenceManager(path) as manager:
        damage_pages(path)
        manager.update_presence("b", "prompt")
        with pytest.raises(StoreDamaged):
            load_history(path)
        wait_until(lambda: manager.store.problem)
        with pytest.raises(StoreDamaged, match="no more events are stored: stop this program"):
            manager.update_presence("b", "prompt")
        assert manager.sync_external() is False
    assert damage_monitor.problem(path) is None
