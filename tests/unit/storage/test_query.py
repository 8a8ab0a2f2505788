"""Compare history queries with a filter of the same rows in Python."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.status_rules import FORGOTTEN
from htmlgraph_nb.core.timestamps import from_micros
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.storage.dedup_table import TokenSourceCache
from htmlgraph_nb.storage.migrations import migrate
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS
from htmlgraph_nb.storage.transaction import StringIds, Transaction
from tests.helpers.strategies import T0

N_ROWS = 60


def make_event(n: int) -> Event:
    """Return one of the rows; timestamps are not in order of seq, as for late events."""
    return Event(
        agent_id=f"agent-{n % 3}",
        event_type=("prompt", "tool_execute", "stop")[n % 3],
        session_id=None if n % 5 == 0 else f"s{n % 4}",
        tool_name=None if n % 2 else ("Bash", "Edit")[n % 4 // 2],
        feature_id=f"f{n % 7}" if n % 3 else None,
        timestamp=T0 + timedelta(seconds=n ^ 5),
        event_id=f"e{n}" if n % 2 else None,
        status=(None, "ok", "error")[n % 3],
        input_tokens=n,
        cost_usd=n / 8,
        model=f"m{n % 2}" if n % 3 else None,
        project=f"p{n % 4}",
        host="h0" if n % 2 else "h1",
        branch=f"b{n % 3}" if n % 5 else None,
        extra={"n": n} if n % 6 == 0 else None,
    )


EVENTS = [make_event(n) for n in range(N_ROWS)]


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    """An in-memory database with these rows."""
    opened = sqlite3.connect(":memory:", isolation_level=None)
    migrate(opened, "in memory")
    opened.execute("BEGIN")
    tx = Transaction(opened, StringIds(), TokenSourceCache(), 0, 0)
    for event in EVENTS:
        tx.add_event(event, datetime.now(UTC), FORGOTTEN)
    tx.flush()
    opened.execute("COMMIT")
    yield opened
    opened.close()


def rows(db: sqlite3.Connection, query: HistoryQuery) -> list[tuple[object, ...]]:
    """Return all rows of a query."""
    return db.execute(*query.to_sql()).fetchall()


def _some(values: list[str]) -> st.SearchStrategy[list[str] | None]:
    return st.none() | st.lists(st.sampled_from([*values, "unknown"]), max_size=3)


timestamps = st.none() | st.integers(-2, N_ROWS + 8).map(lambda s: T0 + timedelta(seconds=s))
queries = st.builds(
    HistoryQuery,
    since=timestamps,
    until=timestamps,
    agents=_some(["agent-0", "agent-1", "agent-2"]),
    sessions=_some(["s0", "s1", "s2", "s3"]),
    tools=_some(["Bash", "Edit"]),
    features=_some(["f1", "f2"]),
    event_types=_some(["prompt", "stop"]),
    models=_some(["m0", "m1"]),
    projects=_some(["p0", "p1"]),
    hosts=_some(["h0"]),
    branches=_some(["b0", "b1"]),
    columns=st.just(("seq", "agent_id")),
    after_seq=st.integers(0, N_ROWS + 1),
    limit=st.none() | st.integers(0, N_ROWS),
    newest_first=st.booleans(),
    seq_range=st.none() | st.tuples(st.integers(0, N_ROWS), st.integers(0, N_ROWS + 5)),
)


def matches(query: HistoryQuery, seq: int, event: Event) -> bool:
    """Return whether a query selects a row."""
    assert event.timestamp is not None
    filters = (
        (query.agents, event.agent_id),
        (query.sessions, event.session_id),
        (query.tools, event.tool_name),
        (query.features, event.feature_id),
        (query.event_types, event.event_type),
        (query.models, event.model),
        (query.projects, event.project),
        (query.hosts, event.host),
        (query.branches, event.branch),
    )
    beyond = seq < (query.after_seq or seq + 1) if query.newest_first else seq > query.after_seq
    return (
        beyond
        and (query.seq_range is None or query.seq_range[0] <= seq <= query.seq_range[1])
        and (query.since is None or event.timestamp >= query.since)
        and (query.until is None or event.timestamp < query.until)
        and all(selected is None or value in selected for selected, value in filters)
    )


@given(query=queries)
def test_to_sql_equals_filter_in_python(db: sqlite3.Connection, query: HistoryQuery) -> None:
    """In order of seq or newest first, up to the limit."""
    expected = [
        (seq, event.agent_id) for seq, event in enumerate(EVENTS, 1) if matches(query, seq, event)
    ]
    if query.newest_first:
        expected.reverse()
    assert rows(db, query) == expected[: query.limit]


@given(query=queries, page=st.integers(1, 20))
def test_after_seq_pages_through_query(
    db: sqlite3.Connection, query: HistoryQuery, page: int
) -> None:
    """Each page starts after the last seq of the previous page."""
    whole = rows(db, replace(query, limit=None))
    paged: list[tuple[object, ...]] = []
    after = query.after_seq
    while part := rows(db, replace(query, after_seq=after, limit=page)):
        assert len(part) <= page
        paged += part
        after = int(str(part[-1][0]))
    assert paged == whole


@given(columns=st.lists(st.sampled_from(HISTORY_COLUMNS), unique=True))
def test_to_sql_returns_seq_then_columns(db: sqlite3.Connection, columns: list[str]) -> None:
    """Any selection of columns in any order has the same values."""
    selected = ["seq", *(name for name in columns if name != "seq")]
    everything = rows(db, HistoryQuery())
    indices = [HISTORY_COLUMNS.index(name) for name in selected]
    expected = [tuple(row[index] for index in indices) for row in everything]
    assert rows(db, HistoryQuery(columns=columns)) == expected


def test_to_sql_returns_stored_values(db: sqlite3.Connection) -> None:
    """Names as strings, times as microseconds, and the sum of the tokens."""
    row = dict(zip(HISTORY_COLUMNS, rows(db, HistoryQuery())[8], strict=True))
    event = EVENTS[8]
    assert from_micros(row["timestamp"]) == event.timestamp  # type: ignore[arg-type]
    for name in ("agent_id", "event_type", "session_id", "tool_name", "feature_id", "event_id"):
        assert row[name] == getattr(event, name)
    assert (row["status"], row["input_tokens"], row["cost_tokens"]) == ("error", 8, 8)
    assert (row["cost_usd"], row["extra"], row["duration_ms"]) == (1.0, None, None)
    assert rows(db, HistoryQuery(columns=["extra"], limit=1)) == [(1, '{"n":0}')]


def test_query_after_the_last_seq_is_empty(db: sqlite3.Connection) -> None:
    """No row follows the newest one."""
    assert rows(db, HistoryQuery(after_seq=N_ROWS)) == []


def test_history_view_equals_to_sql(db: sqlite3.Connection) -> None:
    """The view ``history`` has the same rows."""
    assert db.execute("SELECT * FROM history ORDER BY seq").fetchall() == rows(db, HistoryQuery())


def test_query_refuses_unknown_column() -> None:
    """The error lists the existing columns; nothing reaches the SQL."""
    with pytest.raises(InvalidEvent, match=r"unknown column 'seq; DROP.*expected some of seq, "):
        HistoryQuery(columns=["seq; DROP TABLE events"])


def test_to_sql_joins_selected_columns_only(db: sqlite3.Connection) -> None:
    """Only selected columns are joined."""
    text, parameters = HistoryQuery(agents=["a"], columns=["tool_name"], limit=3).to_sql()
    assert text.count("JOIN") == 1
    assert parameters == [1, "a", 3]
