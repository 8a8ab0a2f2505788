"""Sealed segments equal the rows of SQL, whatever happens to rows and files."""

from __future__ import annotations

import os
import random
import shutil
import zlib
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
from htmlgraph_nb.storage.columnar.reader import max_row_count, read_batches
from htmlgraph_nb.storage.columnar.sealing import seal
from htmlgraph_nb.storage.columnar.segment_index import list_segments, segment_folder
from htmlgraph_nb.storage.database import open_reader
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import DECISION, HISTORY_COLUMNS, columns_of_version
from tests.helpers.sealed_history import (
    SEGMENT_ROWS,
    check_history,
    event,
    execute,
    fill,
    flip_byte,
    n_segments,
    sealed_files,
)
from tests.integration.history.test_load import START


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


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _link(file: Path) -> None:
    copy = file.rename(file.parent.parent / "copy")
    file.symlink_to(copy)


def _endless_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _huge(file: Path) -> None:
    os.truncate(file, 1 << 40)


DAMAGES = [_shorten, flip_byte, _empty, Path.unlink, _folder, _huge]
if hasattr(os, "mkfifo"):
    DAMAGES += [_pipe, _link, _endless_link]


@pytest.mark.parametrize("damage", DAMAGES)
def test_read_batches_falls_back_on_damaged_segment(
    path: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The damage is logged, rows come from SQLite, and the next sealing replaces the file."""
    good = sealed_files(path)
    damage(good[2])
    check_history(path)
    assert good[2].name in caplog.text
    if good[2].is_dir():
        good[2].rmdir()
    done = seal(path, segment_rows=SEGMENT_ROWS)
    assert (done.n_segments, done.n_unusable) == (1, 1)
    assert sealed_files(path) == good
    caplog.clear()
    check_history(path)
    assert caplog.text == ""


def test_read_batches_rejects_segment_of_another_database(path: str, tmp_path: Path) -> None:
    """Name, size and checksum match, but the epoch does not."""
    other = str(tmp_path / "other.db")
    fill(other, 105)
    execute(other, "UPDATE events SET input_tokens = 1 WHERE id = 5")
    seal(other, segment_rows=SEGMENT_ROWS)
    with closing(open_reader(other)) as db:
        other_segment = list_segments(db)[0]
    (Path(segment_folder(path)) / other_segment.file).write_bytes(
        sealed_files(other)[0].read_bytes()
    )
    execute(
        path,
        f"UPDATE segments SET n_bytes = {other_segment.n_bytes}, crc32 = {other_segment.crc32}, "
        f"file = '{other_segment.file}' WHERE first_id = 1",
    )
    check_history(path)


LIES = {
    "9 TB": "n_bytes = 9000000000000",
    "negative size": "n_bytes = -5",
    "negative rows": "n_rows = -1",
    "too many rows": "n_rows = 9000000000000",
    "other rows": "n_rows = n_rows - 1",
    "text for numbers": "n_bytes = 'many', n_rows = 'some', crc32 = 'x', first_ts = 'y'",
    "bytes for numbers": "n_bytes = x'00ff', last_ts = x'00'",
    "fractions": "n_rows = 1.5, crc32 = 0.5",
    "range of everything": "last_id = 9223372036854775807, n_rows = 9223372036854775806",
    "range of text": "last_id = 'z'",
    "times in reverse": "first_ts = 5, last_ts = 4",
}


@pytest.mark.parametrize("lie", LIES)
def test_read_batches_believes_no_number_of_the_index(path: str, lie: str) -> None:
    """Sizes, counts and ranges are checked against the file: rows come from SQLite if in doubt."""
    execute(path, f"UPDATE segments SET {LIES[lie]} WHERE first_id = 41")
    check_history(path)
    check_history(path, HistoryQuery(since=START + timedelta(seconds=30), newest_first=True))
    assert max_row_count(path, HistoryQuery()) < 20_000_000
    seal(path, segment_rows=SEGMENT_ROWS, verify=True)
    check_history(path)
    assert n_segments(path) == 5


def _replace_segment(path: str, body: bytes) -> None:
    """Put another file in the place of the first segment, as a program can that may write both."""
    file = sealed_files(path)[0]
    file.write_bytes(body)
    changes = f"n_bytes = {len(body)}, crc32 = {zlib.crc32(body)}"
    execute(path, f"UPDATE segments SET {changes} WHERE file = '{file.name}'")


def _with_column(path: str, name: str, column: pa.Array) -> bytes:
    with pa.ipc.open_file(sealed_files(path)[0].read_bytes()) as reader:
        batch, schema = reader.get_batch(0), reader.schema
    arrays = [column if field.name == name else batch.column(field.name) for field in schema]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return sink.getvalue().to_pybytes()


def test_read_batches_rejects_numbers_beyond_the_buffers(path: str) -> None:
    """Indices outside of the dictionary, and offsets outside of the text."""
    indices = pa.array([10**9] * 20, pa.int32())
    agents = pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)
    offsets = pa.array([0, *[10**9] * 19, 1], pa.int32()).buffers()[1]
    ids = pa.Array.from_buffers(pa.string(), 20, [None, offsets, pa.py_buffer(b"x")])
    for name, column in (("agent_id", agents), ("event_id", ids)):
        _replace_segment(path, _with_column(path, name, column))
        check_history(path)
        seal(path, segment_rows=SEGMENT_ROWS)


def test_read_batches_rejects_lengths_of_terabytes(path: str) -> None:
    """A compressed buffer that claims to hold 2**50 bytes, and any other broken number."""
    body = sealed_files(path)[0].read_bytes()
    dice = random.Random(3)
    for _ in range(30):
        changed = bytearray(body)
        at = dice.randrange(8, len(body) - 8) & ~7
        changed[at : at + 8] = (1 << 50).to_bytes(8, "little")
        _replace_segment(path, bytes(changed))
        # The number may be a value of a column, which only the checksum guards.
        assert sum(map(len, read_batches(path, HistoryQuery()))) == 105
        _replace_segment(path, b"")
        seal(path, segment_rows=SEGMENT_ROWS)
    check_history(path)


timestamps = st.none() | st.integers(-5, 130).map(lambda s: START + timedelta(seconds=s))
queries = st.builds(
    HistoryQuery,
    since=timestamps,
    until=timestamps,
    agents=st.none() | st.lists(st.sampled_from(["agent-0", "agent-2", "unknown"]), max_size=2),
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

    @rule(
        first=st.integers(1, 150), kind=st.sampled_from(["INSERT OR REPLACE", "INSERT OR IGNORE"])
    )
    def insert_late(self, first: int, kind: str) -> None:
        """Insert a row into the past through another connection."""
        execute(
            self.path,
            f"{kind} INTO events (id, ts, agent, type) VALUES ({first}, {first}000000, 1, 2)",
        )

    @rule(
        statement=st.sampled_from(
            [
                "UPDATE names SET name = name || '-' WHERE id = {}",
                "DELETE FROM names WHERE id = {}",
                "INSERT OR REPLACE INTO names VALUES ({}, 'name-' || {})",
                "UPDATE decisions SET detail = detail || '+' WHERE id = {}",
                "DELETE FROM decisions WHERE id = {}",
                "INSERT OR REPLACE INTO decisions VALUES ({}, 'idle', 'detail-' || {}, '', 0)",
            ]
        ),
        number=st.integers(1, 12),
    )
    def change_texts(self, statement: str, number: int) -> None:
        """Change the texts that rows refer to through another connection."""
        execute(self.path, statement.format(number, number))

    @rule(seconds=st.integers(0, 100))
    def retain(self, seconds: int) -> None:
        """Delete old rows, as retention does."""
        before = f"{int(START.timestamp()) + seconds}000000"
        execute(
            self.path,
            f"DELETE FROM events WHERE ts < {before} AND id < (SELECT max(id) FROM events)",
        )

    @rule(data=st.data(), damage=st.sampled_from([_shorten, flip_byte, _empty, Path.unlink]))
    def damage(self, data: st.DataObject, damage: Callable[[Path], None]) -> None:
        """Damage a file."""
        if files := [file for file in sealed_files(self.path) if file.stat().st_size > 10]:
            damage(data.draw(st.sampled_from(files)))

    @rule(query=queries, batch_rows=st.sampled_from([3, 10, 1000]))
    def run_query(self, query: HistoryQuery, batch_rows: int) -> None:
        """Compare a query with SQL."""
        check_history(self.path, query, batch_rows)

    @invariant()
    def whole_history_equals_sql(self) -> None:
        """Compare the whole history with SQL."""
        check_history(self.path, batch_rows=50)

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


@pytest.mark.parametrize(("version", "undecided"), [(5, 0), (4, 0), (3, 20)])
def test_read_batches_reads_segment_of_older_version(
    path: str, version: int, undecided: int
) -> None:
    """A segment of a version that stored fewer columns is read, with nulls in their place."""
    file = sealed_files(path)[0]
    with pa.ipc.open_file(file.read_bytes()) as reader:
        batch, metadata = reader.get_batch(0), reader.schema.metadata
    older = batch.select([*columns_of_version(version)]).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, older.schema) as writer:
        writer.write_batch(older)
    body = sink.getvalue().to_pybytes()
    file.write_bytes(body)
    changes = f"n_bytes = {len(body)}, crc32 = {zlib.crc32(body)}"
    execute(path, f"UPDATE segments SET {changes} WHERE file = '{file.name}'")
    for columns in (HISTORY_COLUMNS, ("agent_attention",), ("agent_id", "agent_status")):
        batches = read_batches(path, HistoryQuery(columns=columns))
        rows = [row for batch in batches for row in batch.to_pylist()]
        assert len(rows) == 105
        decided = next(name for name in reversed(columns) if name in DECISION)
        known = [row[decided] is not None for row in rows]
        assert known == [False] * undecided + [True] * (105 - undecided)
    batches = read_batches(path, HistoryQuery(columns=("seq", "root_agent_id", "input_hash")))
    rows = [row for batch in batches for row in batch.to_pylist()]
    with closing(open_reader(path)) as db:
        text = "SELECT seq, root_agent_id, input_hash FROM history ORDER BY seq"
        assert [tuple(row.values()) for row in rows] == db.execute(text).fetchall()
    assert file.exists()
