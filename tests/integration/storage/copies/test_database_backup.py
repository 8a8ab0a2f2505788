"""Backups as files: what is left of one that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers.environ import clean_environ
from tests.helpers.sealed_history import fill
from tests.integration.server.cli.test_backup import names_in


def test_backup_database_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while it copies."""
    db, folder = tmp_path / "test.db", tmp_path / "copies"
    folder.mkdir()
    fill(str(db), 8_000)
    code = (
        "import sys\n"
        "from htmlgraph_nb.storage.copies.database_backup import backup_database\n"
        "def stop(n, total):\n"
        "    raise KeyboardInterrupt\n"
        "backup_database(sys.argv[1], sys.argv[2], on_pages=stop)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(db), str(folder / "b.db")],
        env=clean_environ(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"KeyboardInterrupt" in done.stderr
    assert names_in(folder) == set()
