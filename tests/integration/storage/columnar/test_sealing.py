"""seal() keeps the sealed segments of a database up to date."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import list_segments
from htmlgraph_nb.storage.database import open_reader
from tests.helpers.sealed_history import (
    SEGMENT_ROWS,
    check_history,
    execute,
    fill,
    flip_byte,
    n_segments,
    sealed_files,
)
from tests.integration.history.test_load import START


def test_seal_writes_full_ranges_only(path: str) -> None:
    """Five segments are written and the short tail waits; a second run has nothing to do."""
    assert n_segments(path) == 5
    check_history(path)
    again = seal(path, segment_rows=SEGMENT_ROWS)
    assert (again.n_segments, again.n_unusable, again.n_removed) == (0, 0, 0)
    fill(path, 20, 105)
    assert seal(path, segment_rows=SEGMENT_ROWS).n_rows == 20
    check_history(path)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
@pytest.mark.parametrize(("mode", "folder"), [(0o600, 0o700), (0o640, 0o750)])
def test_seal_copies_permissions_of_database(tmp_path: Path, mode: int, folder: int) -> None:
    """File and folder have the permissions of the database."""
    path = str(tmp_path / "h.db")
    fill(path, SEGMENT_ROWS)
    os.chmod(path, mode)
    seal(path, segment_rows=SEGMENT_ROWS)
    (file,) = sealed_files(path)
    assert file.stat().st_mode & 0o777 == mode
    assert file.parent.stat().st_mode & 0o777 == folder


def test_seal_verify_finds_changed_bytes(path: str) -> None:
    """Only ``verify`` finds bytes that changed in place."""
    flip_byte(sealed_files(path)[1])
    assert seal(path, segment_rows=SEGMENT_ROWS).n_unusable == 0
    assert seal(path, segment_rows=SEGMENT_ROWS, verify=True).n_unusable == 1
    assert seal(path, segment_rows=SEGMENT_ROWS, verify=True).n_unusable == 0


def test_seal_of_copied_database_writes_all_segments(path: str, tmp_path: Path) -> None:
    """The index of the copy lists files that its folder does not have."""
    copy = str(tmp_path / "copy.db")
    shutil.copy(path, copy)
    check_history(copy)
    assert seal(copy, segment_rows=SEGMENT_ROWS).n_segments == 5
    check_history(copy)


def test_retention_removes_segments(path: str) -> None:
    """Deleted rows are in no file after the next sealing; the rest of a range waits."""
    with PresenceManager(path, clock=lambda: START + timedelta(seconds=1000)) as manager:
        while manager.delete_history(timedelta(seconds=950), step_rows=9):
            pass
    check_history(path)
    with closing(open_reader(path)) as db:
        assert db.execute("SELECT min(id) FROM events").fetchone() == (51,)
        assert [segment.first_id for segment in list_segments(db)] == [61, 81]
    done = seal(path, segment_rows=SEGMENT_ROWS)
    assert (done.n_removed, done.n_segments) == (3, 0)
    assert len(sealed_files(path)) == 2
    check_history(path)


def test_seal_drops_reservation_of_changed_row(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that changes while it is sealed removes the reservation, and the file is dropped."""
    from htmlgraph_nb.storage.columnar import sealing

    written = sealing.write_part

    def changed_meanwhile(*arguments: object) -> object:
        segment = written(*arguments)  # type: ignore[arg-type]
        execute(path, "UPDATE events SET tool = NULL WHERE id = 110")
        return segment

    fill(path, 30, 105)
    monkeypatch.setattr(sealing, "write_part", changed_meanwhile)
    assert seal(path, segment_rows=SEGMENT_ROWS).n_segments == 0
    assert len(sealed_files(path)) == 5
    check_history(path)
    monkeypatch.undo()
    assert seal(path, segment_rows=SEGMENT_ROWS).n_segments == 1
    check_history(path)


def test_seal_replaces_reservations_of_crashed_run(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reservations and part files of a crashed run are replaced."""
    from htmlgraph_nb.storage.columnar import sealing

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    fill(path, 40, 105)
    with monkeypatch.context() as patched:
        patched.setattr(sealing, "finish_part", dies)
        with pytest.raises(KeyboardInterrupt):
            seal(path, segment_rows=SEGMENT_ROWS)
    check_history(path)
    seal(path, segment_rows=SEGMENT_ROWS)
    seal(path, segment_rows=SEGMENT_ROWS)
    assert n_segments(path) == len(sealed_files(path)) == 7
    check_history(path)
