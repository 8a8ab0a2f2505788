"""The index lists exactly the segments that equal their rows."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import (
    needs_sealing,
    searched_range,
    segment_folder,
)
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.query import HistoryQuery
from tests.helpers.sealed_history import (
    SEGMENT_ROWS,
    check_history,
    event,
    execute,
    fill,
    n_segments,
    sealed_files,
)
from tests.integration.history.test_load import START


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
        "INSERT OR REPLACE INTO names VALUES (1, 'other')",
        "UPDATE decisions SET detail = 'other'",
        "DELETE FROM decisions",
        "INSERT OR REPLACE INTO decisions VALUES (1, 'idle', 'other', '', 0)",
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


@pytest.mark.parametrize(
    ("since_s", "until_s", "options", "expected"),
    [
        (None, None, {}, (1, 105)),
        (50, None, {}, (41, 105)),
        (50, 70, {}, (41, 105)),
        (None, 19, {}, (1, 105)),
        (50, None, {"after_seq": 90}, (91, 105)),
        (50, None, {"after_seq": 90, "newest_first": True}, (41, 89)),
        (None, 19, {"seq_range": (10, 30)}, (10, 20)),
        (1_000, None, {"seq_range": (10, 30)}, (31, 30)),
    ],
)
def test_searched_range_has_all_rows_of_the_time(
    path: str,
    since_s: int | None,
    until_s: int | None,
    options: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    """Segments outside the time are skipped at both ends; rows without a segment are not."""
    query = HistoryQuery(
        since=None if since_s is None else START + timedelta(seconds=since_s),
        until=None if until_s is None else START + timedelta(seconds=until_s),
        **options,
    )
    with closing(open_reader(path)) as db:
        assert searched_range(db, query) == expected
        rows = db.execute(*query.to_sql()).fetchall()
        assert all(expected[0] <= row[0] <= expected[1] for row in rows)


def test_searched_range_of_late_and_missing_rows(tmp_path: Path) -> None:
    """Late rows widen the range; an empty file has none."""
    name = str(tmp_path / "late.db")
    fill(name, 40)
    with PresenceManager(name) as manager:
        manager.ingest([event(number, -10_000) for number in range(40, 60)])
    fill(name, 40, 60)
    seal(name, segment_rows=SEGMENT_ROWS)
    before = START - timedelta(seconds=5_000)
    with closing(open_reader(name)) as db:
        assert searched_range(db, HistoryQuery(until=before)) == (41, 60)
        assert searched_range(db, HistoryQuery(since=before)) == (1, 100)
    execute(name, "DELETE FROM events")
    with closing(open_reader(name)) as db:
        assert searched_range(db, HistoryQuery(since=before)) == (1, 0)
