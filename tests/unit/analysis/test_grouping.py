"""Grouping preserves totals, and frames of any dtypes give the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb import analysis
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.reducer import KNOWN_TYPES, counts_as_tool, is_error
from htmlgraph_nb.errors import InvalidEvent
from tests.benchmarks.analysis import history
from tests.unit.analysis.test_examples import example

NAMES = ["agent_id", "session_id", "tool_name", "feature_id", "model", "status", "event_type"]
WHOLE = ["input_tokens", "output_tokens", "cache_read_tokens", "cost_tokens", "duration_ms"]
START = pd.Timestamp("2026-03-28T20:00Z")
"""Before a night in which clocks change."""


def _names(*texts: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *texts])


rows = st.fixed_dictionaries(
    {
        "timestamp": st.integers(0, 90 * 86_400).map(lambda s: START + pd.Timedelta(seconds=s)),
        "agent_id": st.sampled_from(["b", "a", "c"]),
        "session_id": _names("s-2", "s-1"),
        "tool_name": _names("Read", "Bash"),
        "feature_id": _names("f"),
        "model": _names("claude-opus-4-5", "home-made"),
        "status": _names("ok", "error"),
        "event_type": st.sampled_from([*sorted(KNOWN_TYPES - {"forget"}), "lint"]),
        "input_tokens": st.none() | st.integers(0, 2**40),
        "output_tokens": st.none() | st.integers(0, 2**40),
        "cache_read_tokens": st.none() | st.integers(0, 2**40),
        "cost_tokens": st.none() | st.integers(0, 2**40),
        "duration_ms": st.none() | st.integers(0, 10**6),
    }
)
groupings = st.lists(st.sampled_from(NAMES), unique=True, max_size=3)
freqs = st.sampled_from([None, "1s", "7min", "1h", "1d", "2D", "W-MON", "MS"])
zones = st.sampled_from(["UTC", "Europe/Zurich", "Asia/Kathmandu", "Asia/Beirut"])


def frame_of(event_rows: list[dict[str, Any]], zone: str = "UTC") -> pd.DataFrame:
    """Return rows as a typed frame."""
    columns = {name: [row[name] for row in event_rows] for name in (*NAMES, *WHOLE)}
    times = pd.DatetimeIndex([row["timestamp"] for row in event_rows], tz="UTC").as_unit("us")
    df = pd.DataFrame({"timestamp": times.tz_convert(zone), **columns})
    return df.astype({**dict.fromkeys(NAMES, "category"), **dict.fromkeys(WHOLE, "Int64")})


def totals(event_rows: list[dict[str, Any]]) -> dict[str, int]:
    """Count and sum the rows in a loop, by the definitions of the server."""
    events = [
        Event(
            agent_id=row["agent_id"],
            event_type=row["event_type"],
            tool_name=row["tool_name"],
            status=row["status"],
            **{name: row[name] for name in WHOLE},
        )
        for row in event_rows
    ]
    tools = [event for event in events if counts_as_tool(event)]
    return {
        "tools": len(tools),
        "failed": sum(map(is_error, tools)),
        "errors": sum(map(is_error, events)),
        "timed": sum(event.duration_ms is not None for event in tools),
        "took": sum(event.duration_ms or 0 for event in tools),
        "tokens": sum(event.total_tokens for event in events),
        "output": sum(event.output_tokens or 0 for event in events),
    }


@settings(max_examples=40)
@given(st.lists(rows, max_size=40), groupings, freqs, zones)
def test_group_rows_preserves_totals(
    event_rows: list[dict[str, Any]], by: list[str], freq: str | None, zone: str
) -> None:
    """For any columns, periods and time zones, no row is lost or counted twice."""
    df, expected = frame_of(event_rows, zone), totals(event_rows)
    counts = analysis.tool_counts(df, by, freq)
    assert counts["count"].sum() == expected["tools"]
    keys = [name for name in counts.columns if name != "count"]
    assert not counts.duplicated(keys).any() if keys else len(counts) <= 1
    errors = analysis.tool_errors(df, by, freq)
    assert (errors["count"].sum(), errors["errors"].sum()) == (
        expected["tools"],
        expected["failed"],
    )
    took = analysis.tool_durations(df, by)
    assert (took["timed"].sum(), took["total_ms"].sum()) == (expected["timed"], expected["took"])
    costs = analysis.token_costs(df, by, freq)
    assert (costs["total"].sum(), costs["output"].sum()) == (
        expected["tokens"],
        expected["output"],
    )
    shares = analysis.tool_counts(df, by, normalize=True)["share"]
    assert shares.sum() == pytest.approx(1 if expected["tools"] else 0)


@settings(max_examples=30)
@given(st.lists(rows, max_size=40), zones)
def test_sessions_features_and_agents_preserve_totals(
    event_rows: list[dict[str, Any]], zone: str
) -> None:
    """Tools, errors, tokens and time by session, feature and agent add up to the totals."""
    df, expected = frame_of(event_rows, zone), totals(event_rows)
    whole = analysis.summary(df)
    lived = analysis.timeline(df).groupby("status", observed=False)["duration"].sum()
    assert (whole["events"][0], whole["tools"][0]) == (len(df), expected["tools"])
    for table in (analysis.sessions(df), analysis.features(df), analysis.agents(df), whole):
        sums = [int(table[name].sum()) for name in ("tools", "errors", "tokens")]
        assert sums == [expected["tools"], expected["errors"], expected["tokens"]]
        assert table["active"].sum() == lived["active"]
        assert table["waiting"].sum() == lived["waiting"]


@settings(max_examples=30)
@given(st.lists(rows, min_size=1, max_size=40), st.sampled_from(["1h", "D", "W-MON"]), zones)
def test_concurrency_preserves_time(event_rows: list[dict[str, Any]], freq: str, zone: str) -> None:
    """The average number of agents times the period lengths equals the time of the timeline."""
    df = frame_of(event_rows, zone)
    level, intervals = analysis.concurrency(df, freq), analysis.timeline(df)
    edges = pd.DatetimeIndex(level["timestamp"])
    # The last period counts up to the newest event.
    last = pd.DatetimeIndex([df["timestamp"].max()])
    lengths = np.diff(edges.append(last).as_unit("us").asi8)
    for status in ("active", "waiting", "idle"):
        own = intervals[intervals["status"] == status]["duration"].sum()
        assert (level[status] * lengths).sum() == pytest.approx(own / pd.Timedelta("1us"), abs=1e3)
    assert (level["active"] + level["waiting"] <= level["peak"] + 1e-9).all()


def test_concurrency_of_many_short_periods() -> None:
    """Each second of two days has its row, with two events only."""
    df = history(2).assign(timestamp=pd.DatetimeIndex([START, START + pd.Timedelta("2D")]))
    level = analysis.concurrency(df, "1s")
    assert len(level) > 2 * 86_400
    assert (level["timestamp"].diff().dropna() == pd.Timedelta("1s")).all()


LOOSE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "object": lambda df: df.astype(object),
    "str": lambda df: df.astype(dict.fromkeys(NAMES, "str")),
    "arrow": lambda df: df.astype({**dict.fromkeys(NAMES, "string"), "timestamp": _ARROW}),
    "float": lambda df: df.astype(dict.fromkeys(WHOLE, "float64")),
    "index": lambda df: df.set_axis(df.index[::-1] * 3),
    "nanoseconds": lambda df: df.assign(timestamp=df["timestamp"].dt.as_unit("ns")),
    "dictionary": lambda df: df.astype(dict.fromkeys(NAMES, _DICTIONARY)),
    "pyarrow": lambda df: pa.Table.from_pandas(df).to_pandas(types_mapper=pd.ArrowDtype),
    "text": lambda df: df.assign(timestamp=[one.isoformat() for one in df["timestamp"]]),
}
_ARROW = "timestamp[us, tz=UTC][pyarrow]"
_DICTIONARY = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))


@pytest.mark.parametrize("kind", LOOSE)
@pytest.mark.parametrize("name", sorted(set(analysis.__all__)))
def test_analysis_accepts_other_dtypes(name: str, kind: str) -> None:
    """Objects, strings, Arrow, floats, any index and other units give the same results."""
    more: dict[str, tuple[Any, ...]] = {
        "concurrency": ("5min",),
        "burn_rate": ("1h",),
        "blocks": ("5h", ()),
        "forecast_budget": (1, "2027-01-01"),
    }
    typed, loose = example(), LOOSE[kind](example())
    function = getattr(analysis, name)
    if name == "compare":
        expected, event_rows = (
            function(typed, typed, "agent_id"),
            function(loose, loose, "agent_id"),
        )
    else:
        expected = function(typed, *more.get(name, ()))
        event_rows = function(loose, *more.get(name, ()))
    pd.testing.assert_frame_equal(
        expected.astype(object), event_rows.astype(object), check_column_type=False
    )


@pytest.mark.parametrize("column", ["event_type", "agent_id", "timestamp", "model"])
def test_require_columns_names_missing_column(column: str) -> None:
    """Each function names the missing column and how to get it."""
    df = example().drop(columns=column)
    needs = {
        "event_type": [analysis.tool_counts, analysis.tool_errors, analysis.timeline],
        "agent_id": [analysis.tool_counts, analysis.sessions, analysis.summary],
        "timestamp": [analysis.token_costs, analysis.agents, analysis.waiting_time],
        "model": [analysis.token_costs],
    }
    for function in needs[column]:
        message = f"{function.__name__}: the frame has no column '{column}'"
        with pytest.raises(InvalidEvent, match=message):
            function(df)  # type: ignore[operator]


def test_analysis_refuses_invalid_arguments() -> None:
    """Each error shows the expected form."""
    df = example()
    with pytest.raises(InvalidEvent, match=r"expected a DataFrame from load_history\(\), got list"):
        analysis.summary([])  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="currency: expected 'USD', got 'EUR'"):
        analysis.token_costs(df, currency="EUR")
    with pytest.raises(InvalidEvent, match=r"window: expected a length of time .*, got 'never'"):
        analysis.burn_rate(df, "never")
    with pytest.raises(InvalidEvent, match=r"until: expected an ISO time .*, got 'never'"):
        analysis.forecast_budget(df, 1, "never")
    with pytest.raises(InvalidEvent, match="budget: expected US dollars >= 0, got '-1'"):
        analysis.forecast_budget(df, -1, "2027-01-01")
    with pytest.raises(InvalidEvent, match="quantiles: expected numbers from 0 to 1, got 90"):
        analysis.tool_durations(df, quantiles=[90])
    with pytest.raises(InvalidEvent, match="timestamp: expected a time in each row, missing in 1"):
        analysis.summary(df.assign(timestamp=[pd.NaT, *df["timestamp"][1:]]))


def test_group_rows_with_many_possible_groups() -> None:
    """With too many possible groups for a table the result equals that of pandas."""
    df = history(3_000)
    event_rows = analysis.tool_counts(df, ["agent_id", "session_id", "tool_name"], "1s")
    tools = df[df["event_type"].isin(["tool_execute", "tool_error", "tool_call", "tool_result"])]
    keys = [tools["timestamp"].dt.floor("s"), "agent_id", "session_id", "tool_name"]
    expected = tools.groupby(keys, observed=True).size().rename("count").reset_index()
    pd.testing.assert_frame_equal(event_rows.astype(object), expected.astype(object))
