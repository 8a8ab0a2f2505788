"""The index lists exactly the segments that equal their rows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import needs_sealing, segment_folder
from htmlgraph_nb.storage.database import open_reader
from tests.helpers.sealed_history import (
    SEGMENT_ROWS,
    check_history,
    execute,
    n_segments,
    sealed_files,
)


@pytest.mark.parametrize("name", ["../h.db", "/etc/passwd", "x", "", None])
def test_read_batches_ignores_paths_in_index(path: str, name: str | None) -> None:
    """The index may only name files in its folder."""
    execute(path, "UPDATE segments SET file = " + (f"'{name}'" if name is not None else "x'00'"))
    check_history(path)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM events WHERE id = 50",
        "DELETE FROM events WHERE id BETWEEN 30 AND 70",
        "UPDATE events SET tool = NULL WHERE id = 41",
        "UPDATE events SET id = 1000 WHERE id = 60",
        "UPDATE names SET name = 'renamed' WHERE name = 'agent-1'",
        "DELETE FROM names WHERE name = 'Bash'",
        "INSERT OR REPLACE INTO events (id, ts, agent, type) VALUES (50, 1736866230000000, 1, 2)",
    ],
)
def test_triggers_remove_segment_of_changed_row(path: str, change: str) -> None:
    """The segment is removed in the same transaction, and its file by the next sealing."""
    execute(path, change)
    assert n_segments(path) < 5
    check_history(path)
    before = len(sealed_files(path))
    seal(path, segment_rows=SEGMENT_ROWS)
    check_history(path)
    assert len(sealed_files(path)) == n_segments(path) <= before + 1


def test_needs_sealing(path: str) -> None:
    """Leftover and missing files need sealing; a sealed database does not."""
    with closing(open_reader(path)) as db:
        assert not needs_sealing(path, db)
        (Path(segment_folder(path)) / "left.part").write_bytes(b"half")
        assert needs_sealing(path, db)
        seal(path)
        assert not needs_sealing(path, db)
        sealed_files(path)[0].unlink()
        assert needs_sealing(path, db)
