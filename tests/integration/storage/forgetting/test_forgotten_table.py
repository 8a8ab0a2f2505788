"""What the table of forgotten names holds: keyed hashes, no texts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.erasing.erasure import open_erasure
from htmlgraph_nb.storage.forgetting.forgotten_names import ForgottenNames
from htmlgraph_nb.storage.forgetting.forgotten_table import (
    add_forgotten,
    clear_forgotten,
    count_forget,
    forget_count,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_add_forgotten_stores_no_names(tmp_path: Path) -> None:
    """And the latest time of a name that is forgotten twice."""
    path = str(tmp_path / "test.db")
    PresenceManager(path).close()
    names = ForgottenNames()
    with open_erasure(path) as db:
        assert forget_count(db) == 0
        assert not names.load(db)
        add_forgotten(db, [("session", "secretsession")], NOW)
        add_forgotten(db, [("session", "secretsession")], NOW.replace(year=2025))
        count_forget(db)
        assert names.load(db)
        assert not names.load(db)
        rows = db.execute("SELECT * FROM forgotten").fetchall()
        assert len(rows) == 1
        clear_forgotten(db)
        assert names.load(db)
        assert db.execute("SELECT count(*) FROM forgotten").fetchone() == (0,)
    assert all(b"secretsession" not in file.read_bytes() for file in tmp_path.iterdir())
