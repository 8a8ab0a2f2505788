"""Sealed segments equal the rows of SQL, whatever happens to rows and files."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.columnar.reader import read_batches
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import list_segments, needs_sealing, segment_folder
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.query import HistoryQuery
from tests.integration.history.test_load import START
from tests.integration.storage.columnar.test_reader import rows_of_batches, sql_rows

SEGMENT_ROWS = 20


def event(number: int, jitter: int = 0) -> Event:
    """Return an event; timestamps follow the numbers roughly."""
    return Event(
        agent_id=f"agent-{number % 3}",
        event_type=("prompt", "tool_execute")[number % 2],
        timestamp=START + timedelta(seconds=number + jitter),
        tool_name=("Bash", "Edit", None)[number % 3],
        session_id=f"s-{number // 30}",
        event_id=f"e-{number}",
        input_tokens=number if number % 4 else None,
        cost_usd=number / 8 if number % 5 else None,
        status=(None, "ok", "error")[number % 3],
        extra={"n": number} if number % 7 == 0 else None,
    )


def fill(path: str, n_rows: int, first: int = 0) -> None:
    """Append events."""
    with PresenceManager(path) as manager:
        manager.ingest([event(number) for number in range(first, first + n_rows)])


def execute(path: str, *statements: str) -> None:
    """Run statements as another program does."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def sealed_files(path: str) -> list[Path]:
    """Return the files in the folder of segments, sorted."""
    folder = Path(segment_folder(path))
    return sorted(folder.iterdir()) if folder.exists() else []


def n_segments(path: str) -> int:
    """Return the number of finished segments in the index."""
    with closing(open_reader(path)) as db:
        return len(list_segments(db))


def check(path: str, query: HistoryQuery | None = None, batch_rows: int = 7) -> None:
    """Assert that read_batches and SQL return the same rows."""
    query = query or HistoryQuery()
    batches = list(read_batches(path, query, batch_rows=batch_rows))
    assert rows_of_batches(batches, tuple(query.columns)) == sql_rows(path, query)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A database of 105 events, sealed in segments of 20 rows."""
    name = str(tmp_path / "h.db")
    fill(name, 105)
    seal(name, segment_rows=SEGMENT_ROWS)
    return name


def test_seal_writes_full_ranges_only(path: str) -> None:
    """Five segments are written and the short tail waits; a second run has nothing to do."""
    assert n_segments(path) == 5
    check(path)
    again = seal(path, segment_rows=SEGMENT_ROWS)
    assert (again.n_segments, again.n_unusable, again.n_removed) == (0, 0, 0)
    fill(path, 20, 105)
    assert seal(path, segment_rows=SEGMENT_ROWS).n_rows == 20
    check(path)


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


def test_read_batches_uses_segments(path: str) -> None:
    """A change that the triggers miss is not visible, so the segments are used."""
    execute(path, "DROP TRIGGER events_updated", "UPDATE events SET input_tokens = 7777")
    batches = list(read_batches(path, HistoryQuery(columns=("input_tokens",))))
    values = [value for batch in batches for value in batch.column(0).to_pylist()]
    assert values.count(7777) == 5


def test_read_batches_skips_segments_outside_query(path: str) -> None:
    """Segments outside the time range or before ``after_seq`` are not opened."""
    for file in sealed_files(path)[:4]:
        file.unlink()
    recent = HistoryQuery(since=START + timedelta(seconds=90))
    rows = list(read_batches(path, recent))
    assert sum(map(len, rows)) == 15
    assert sum(map(len, read_batches(path, HistoryQuery(after_seq=85)))) == 20


def _shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _flip(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 0xFF
    file.write_bytes(body)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [_shorten, _flip, _empty, Path.unlink, _folder])
def test_read_batches_falls_back_on_damaged_segment(
    path: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The damage is logged, rows come from SQLite, and the next sealing replaces the file."""
    good = sealed_files(path)
    damage(good[2])
    check(path)
    assert good[2].name in caplog.text
    if good[2].is_dir():
        good[2].rmdir()
    done = seal(path, segment_rows=SEGMENT_ROWS)
    assert (done.n_segments, done.n_unusable) == (1, 1)
    assert sealed_files(path) == good
    caplog.clear()
    check(path)
    assert caplog.text == ""


def test_seal_verify_finds_changed_bytes(path: str) -> None:
    """Only ``verify`` finds bytes that changed in place."""
    _flip(sealed_files(path)[1])
    assert seal(path, segment_rows=SEGMENT_ROWS).n_unusable == 0
    assert seal(path, segment_rows=SEGMENT_ROWS, verify=True).n_unusable == 1
    assert seal(path, segment_rows=SEGMENT_ROWS, verify=True).n_unusable == 0


def test_read_batches_rejects_segment_of_another_database(path: str, tmp_path: Path) -> None:
    """Name, size and checksum match, but the epoch does not."""
    other = str(tmp_path / "other.db")
    fill(other, 105)
    execute(other, "UPDATE events SET input_tokens = 1 WHERE id = 5")
    seal(other, segment_rows=SEGMENT_ROWS)
    with closing(open_reader(other)) as db:
        foreign = list_segments(db)[0]
    (Path(segment_folder(path)) / foreign.file).write_bytes(sealed_files(other)[0].read_bytes())
    execute(
        path,
        f"UPDATE segments SET n_bytes = {foreign.n_bytes}, crc32 = {foreign.crc32}, "
        f"file = '{foreign.file}' WHERE first_id = 1",
    )
    check(path)


def test_seal_of_copied_database_writes_all_segments(path: str, tmp_path: Path) -> None:
    """The index of the copy lists files that its folder does not have."""
    copy = str(tmp_path / "copy.db")
    shutil.copy(path, copy)
    check(copy)
    assert seal(copy, segment_rows=SEGMENT_ROWS).n_segments == 5
    check(copy)


@pytest.mark.parametrize("name", ["../h.db", "/etc/passwd", "x", "", None])
def test_read_batches_ignores_paths_in_index(path: str, name: str | None) -> None:
    """The index may only name files in its folder."""
    execute(path, "UPDATE segments SET file = " + (f"'{name}'" if name is not None else "x'00'"))
    check(path)


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
    check(path)
    before = len(sealed_files(path))
    seal(path, segment_rows=SEGMENT_ROWS)
    check(path)
    assert len(sealed_files(path)) == n_segments(path) <= before + 1


def test_retention_removes_segments(path: str) -> None:
    """Deleted rows are in no file after the next sealing; the rest of a range waits."""
    with PresenceManager(path, clock=lambda: START + timedelta(seconds=1000)) as manager:
        while manager.delete_history(timedelta(seconds=950), step_rows=9):
            pass
    check(path)
    with closing(open_reader(path)) as db:
        assert db.execute("SELECT min(id) FROM events").fetchone() == (51,)
        assert [one.first_id for one in list_segments(db)] == [61, 81]
    done = seal(path, segment_rows=SEGMENT_ROWS)
    assert (done.n_removed, done.n_segments) == (3, 0)
    assert len(sealed_files(path)) == 2
    check(path)


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
    check(path)
    monkeypatch.undo()
    assert seal(path, segment_rows=SEGMENT_ROWS).n_segments == 1
    check(path)


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
    check(path)
    seal(path, segment_rows=SEGMENT_ROWS)
    seal(path, segment_rows=SEGMENT_ROWS)
    assert n_segments(path) == len(sealed_files(path)) == 7
    check(path)


moments = st.none() | st.integers(-5, 130).map(lambda s: START + timedelta(seconds=s))
queries = st.builds(
    HistoryQuery,
    since=moments,
    until=moments,
    agents=st.none() | st.lists(st.sampled_from(["agent-0", "agent-2", "nobody"]), max_size=2),
    tools=st.none() | st.just(["Bash"]),
    sessions=st.none() | st.just(["s-1", "s-2"]),
    columns=st.lists(
        st.sampled_from(["seq", "timestamp", "agent_id", "tool_name", "cost_usd", "extra"]),
        min_size=1,
        unique=True,
    ).map(tuple),
    after_seq=st.just(0) | st.integers(0, 130),
    limit=st.none() | st.integers(0, 130),
    newest_first=st.booleans(),
    seq_range=st.none() | st.tuples(st.integers(0, 60), st.integers(50, 130)),
)


class SealedHistory(RuleBasedStateMachine):
    """Append, change and delete rows, damage files and seal: reads always equal SQL."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(os.environ["HTMLGRAPH_HOME"]) / f"{random.getrandbits(64):x}"
        self.folder.mkdir()
        self.path = str(self.folder / "h.db")
        self.manager = PresenceManager(self.path)
        self.n_sent = 0
        self.append(25, [0])

    @rule(n_rows=st.integers(1, 45), jitter=st.lists(st.integers(-60, 60), min_size=1, max_size=4))
    def append(self, n_rows: int, jitter: list[int]) -> None:
        """Append events, some of them out of order."""
        numbers = range(self.n_sent, self.n_sent + n_rows)
        self.manager.ingest([event(n, jitter[n % len(jitter)]) for n in numbers])
        self.n_sent += n_rows

    @rule(segment_rows=st.sampled_from([7, SEGMENT_ROWS]), verify=st.booleans())
    def seal(self, segment_rows: int, verify: bool) -> None:
        """Seal; afterwards the index lists every file."""
        seal(self.path, segment_rows=segment_rows, verify=verify)
        assert len(sealed_files(self.path)) == n_segments(self.path)

    @rule(first=st.integers(1, 150), n_rows=st.integers(1, 30))
    def delete(self, first: int, n_rows: int) -> None:
        """Delete rows through another connection, except the newest row."""
        execute(
            self.path,
            f"DELETE FROM events WHERE id BETWEEN {first} AND {first + n_rows} "
            "AND id < (SELECT max(id) FROM events)",
        )

    @rule(first=st.integers(1, 150), tokens=st.integers(0, 9))
    def update(self, first: int, tokens: int) -> None:
        """Change rows through another connection."""
        execute(
            self.path,
            f"UPDATE events SET input_tokens = {tokens}, ts = ts + 1 WHERE id >= {first} "
            f"AND id < {first + 2}",
        )

    @rule(seconds=st.integers(0, 100))
    def retain(self, seconds: int) -> None:
        """Delete old rows, as retention does."""
        before = f"{int(START.timestamp()) + seconds}000000"
        execute(
            self.path,
            f"DELETE FROM events WHERE ts < {before} AND id < (SELECT max(id) FROM events)",
        )

    @rule(data=st.data(), damage=st.sampled_from([_shorten, _flip, _empty, Path.unlink]))
    def damage(self, data: st.DataObject, damage: Callable[[Path], None]) -> None:
        """Damage a file."""
        if files := [file for file in sealed_files(self.path) if file.stat().st_size > 10]:
            damage(data.draw(st.sampled_from(files)))

    @rule(query=queries, batch_rows=st.sampled_from([3, 10, 1000]))
    def run_query(self, query: HistoryQuery, batch_rows: int) -> None:
        """Compare a query with SQL."""
        check(self.path, query, batch_rows)

    @invariant()
    def whole_history_equals_sql(self) -> None:
        """Compare the whole history with SQL."""
        check(self.path, batch_rows=50)

    def teardown(self) -> None:
        self.manager.close()
        shutil.rmtree(self.folder)


TestSealedHistory = pytest.mark.timeout(600)(pytest.mark.state_machine(SealedHistory.TestCase))
TestSealedHistory.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)


def test_segment_is_arrow_file_of_one_batch(path: str) -> None:
    """Other programs can read it; the dictionaries are in the file."""
    with pa.ipc.open_file(str(sealed_files(path)[0])) as reader:
        assert reader.num_record_batches == 1
        assert reader.get_batch(0).column("seq").to_pylist() == list(range(1, 21))
