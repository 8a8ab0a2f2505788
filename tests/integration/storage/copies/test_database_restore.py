"""Restored databases as files."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.integration.server.cli.test_backup import add_events, event_ids, names_in
from tests.integration.server.cli.test_cli import run


def test_restore_into_a_new_place(tmp_path: Path) -> None:
    """As on a new machine."""
    db, backup = tmp_path / "test.db", tmp_path / "backup.db"
    add_events(db, 0, 3)
    assert run(tmp_path, "backup", str(backup), "--db", str(db)).returncode == 0
    target = tmp_path / "new" / "test.db"
    done = run(tmp_path, "restore", str(backup), "--db", str(target))
    assert done.returncode == 0, done.stderr
    assert event_ids(target) == {"e0", "e1", "e2"}
    assert "replaced" not in done.stdout
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_restore_over_a_damaged_database(tmp_path: Path) -> None:
    """That is what backups are for; the damaged file is kept."""
    db, backup = tmp_path / "test.db", tmp_path / "backup.db"
    add_events(db, 0, 3)
    assert run(tmp_path, "backup", str(backup), "--db", str(db)).returncode == 0
    db.write_text("no database" * 1_000)
    done = run(tmp_path, "restore", str(backup), "--db", str(db))
    assert done.returncode == 0, done.stderr
    assert event_ids(db) == {"e0", "e1", "e2"}
    (replaced,) = [name for name in names_in(tmp_path) if "replaced" in name]
    assert (tmp_path / replaced).read_text().startswith("no database")
