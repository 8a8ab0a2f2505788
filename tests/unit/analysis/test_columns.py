"""Columns of any dtype: keys keep their names, and what cannot be read is refused by name."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from htmlgraph_nb import analysis
from htmlgraph_nb.errors import HistoryWarning, InvalidEvent
from htmlgraph_nb.widget.replay_source import presence_at
from tests.unit.analysis.test_examples import example

DAY = datetime.date(2026, 1, 14)
KEYS: dict[str, pd.Series] = {
    "category": pd.Series(["x", "y", None], dtype="category"),
    "object": pd.Series(["x", "y", None], dtype=object),
    "str": pd.Series(["x", "y", None], dtype="str"),
    "string": pd.Series(["x", "y", None], dtype="string"),
    "float64": pd.Series([1.5, 2.5, np.nan]),
    "Int64": pd.Series([1, 2, None], dtype="Int64"),
    "boolean": pd.Series([False, True, None], dtype="boolean"),
    "date": pd.Series([DAY, DAY + datetime.timedelta(1), None], dtype=object),
    "datetime": pd.Series(pd.to_datetime(["2026-01-14", "2026-01-15", None])),
    "datetime with zone": pd.Series(pd.to_datetime(["2026-01-14", "2026-01-15", None], utc=True)),
    "timedelta": pd.Series(pd.to_timedelta([1, 2, None], unit="h")),
    "period": pd.Series(pd.PeriodIndex(["2026-01", "2026-02", None], freq="M")),
    "interval": pd.Series(pd.cut([0.5, 1.5, np.nan], [0, 1, 2])),
    "mixed": pd.Series([True, "y", None], dtype=object),
    "string[pyarrow]": pd.Series(["x", "y", None], dtype=pd.ArrowDtype(pa.string())),
    "int64[pyarrow]": pd.Series([1, 2, None], dtype=pd.ArrowDtype(pa.int64())),
    "bool[pyarrow]": pd.Series([False, True, None], dtype=pd.ArrowDtype(pa.bool_())),
    "date32[pyarrow]": pd.Series(
        [DAY, DAY + datetime.timedelta(1), None], dtype=pd.ArrowDtype(pa.date32())
    ),
    "timestamp[pyarrow]": pd.Series(
        [pd.Timestamp("2026-01-14"), pd.Timestamp("2026-01-15"), None],
        dtype=pd.ArrowDtype(pa.timestamp("us")),
    ),
    "dictionary[pyarrow]": pd.Series(
        pd.array(
            pa.array(["x", "y", None]).dictionary_encode(),
            dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())),
        )
    ),
}


def keyed(kind: str, rows: list[int]) -> pd.DataFrame:
    """Return answers of 1,000, 2,000 … tokens with a key of some dtype in the column ``key``."""
    key = KEYS[kind].take(rows).reset_index(drop=True)
    tokens = [1_000 * (row + 1) for row in rows]
    times = pd.date_range("2026-01-14T10:00Z", periods=len(rows), freq="min", unit="us")
    frame = pd.DataFrame({"timestamp": times, "agent_id": "a", "event_type": "completion"})
    counts = pd.array(tokens, "Int64")
    missing: Any = dict.fromkeys(("model", "tool_name", "status"))
    return frame.assign(input_tokens=counts, output_tokens=0, key=key, **missing)


@pytest.mark.parametrize("kind", KEYS)
def test_by_keeps_the_keys_of_any_dtype(kind: str) -> None:
    """Each group has its own name, the group without a name has none, and the dtype stays."""
    df = keyed(kind, [2, 1, 0, 1, 2])
    costs = analysis.token_costs(df, "key")
    assert costs["total"].tolist() == [1_000, 4_000, 6_000]
    assert costs["key"].isna().tolist() == [False, False, True]
    assert costs["key"].tolist()[:2] == KEYS[kind].tolist()[:2]
    if kind not in ("dictionary[pyarrow]", "interval"):
        assert costs["key"].dtype == df["key"].dtype
    tools = df.assign(event_type="tool_execute", tool_name="Bash", duration_ms=5)
    assert analysis.tool_counts(tools, ["key"])["count"].tolist() == [1, 2, 2]
    assert analysis.tool_errors(tools, "key")["count"].tolist() == [1, 2, 2]
    assert analysis.tool_durations(tools, "key")["timed"].tolist() == [1, 2, 2]
    compared = analysis.compare(df, df.head(2), "key")
    tokens = compared[compared["measure"] == "tokens"]
    assert tokens["a"].tolist() == [1_000, 4_000, 6_000]
    assert tokens["b"].tolist() == [0, 2_000, 3_000]
    assert tokens["key"].isna().tolist() == [False, False, True]
    waits = df.assign(event_type="permission_request")
    assert len(analysis.waiting_time(waits, "key")) > 0


def test_by_of_concatenated_frames() -> None:
    """Frames with different categories become objects, with the missing ones apart."""
    a, b = keyed("category", [0, 2]), keyed("category", [1, 2])
    for frame in (a, b):
        frame["key"] = frame["key"].cat.remove_unused_categories()
    costs = analysis.token_costs(pd.concat([a, b]), "key")
    assert costs["total"].tolist() == [1_000, 2_000, 6_000]
    assert costs["key"].isna().tolist() == [False, False, True]


def test_by_has_only_categories_that_occur() -> None:
    """The categories of a filtered frame stay out of results, but an order is kept."""
    df = example()
    few = df[df["tool_name"].isin(["Bash", "Read"])]
    counts = analysis.tool_counts(few, "tool_name")
    assert counts["tool_name"].cat.categories.tolist() == ["Bash", "Read"]
    one = df[df["agent_id"] == "codex-1"]
    assert analysis.timeline(one)["agent_id"].cat.categories.tolist() == ["codex-1"]
    order = pd.CategoricalDtype(["Read", "Edit", "Write", "Bash"], ordered=True)
    ordered = analysis.tool_counts(df.assign(tool_name=df["tool_name"].astype(order)), "tool_name")
    assert ordered["tool_name"].tolist() == ["Read", "Edit", "Bash"]
    assert ordered["tool_name"].dtype == order


@pytest.mark.parametrize("dtype", ["category", "object", "str", "string"])
def test_results_are_sorted_by_name(dtype: Any) -> None:
    """Also for text, and for categories in another order."""
    df = example()
    names = df["agent_id"].astype(str).replace({"claude-1": "z-1", "codex-1": "b-1"})
    if dtype == "category":
        dtype = pd.CategoricalDtype(["z-1", "b-1"])
    df = df.assign(agent_id=names.astype(dtype))
    for table in (analysis.timeline(df), analysis.agents(df), analysis.compare(df, df, "agent_id")):
        found = table["agent_id"].astype(str).drop_duplicates().tolist()
        assert found == ["b-1", "z-1"]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (len, "by: expected the name of a column or a list of names, got builtin_function"),
        (pd.Grouper(key="timestamp", freq="D"), r"got .*Grouper; to group by something else, add"),
        ([["agent_id"]], "got list; to group by something else"),
        (7, "got int"),
        (example()["timestamp"], "got Series"),
        (["agent_id", "agent_id"], "by: expected different columns, got agent_id, agent_id"),
        ("tool", "tool_counts: the frame has no column 'tool'; did you mean 'tool_name'"),
        ("agent", "no column 'agent'; did you mean 'agent_id'"),
        ("sesion_id", "did you mean 'session_id'"),
        ("branch", r"no column 'branch'; load_history\(\) without columns= returns all"),
        ("xyz", r"no column 'xyz'; add it with df.assign\(\)"),
        ("lists", "lists: expected values such as names and numbers in the column"),
    ],
)
def test_by_refuses_what_is_no_column(by: Any, message: str) -> None:
    """The error says what to type."""
    df = example()
    df["lists"] = pd.Series([[1]] * len(df), dtype=object)
    with pytest.raises(InvalidEvent, match=message):
        analysis.tool_counts(df, by)


def test_by_none_is_one_group() -> None:
    """As an empty list; a tuple, an Index and an array are lists."""
    df = example()
    for by in (None, (), []):
        assert analysis.tool_counts(df, by)["count"].tolist() == [5]  # type: ignore[arg-type]
    expected = analysis.tool_counts(df, "tool_name")
    for by in (["tool_name"], pd.Index(["tool_name"]), np.array(["tool_name"])):
        pd.testing.assert_frame_equal(analysis.tool_counts(df, by), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "column"),
    [
        *(("tool_counts", name) for name in ("count",)),
        *(("tool_errors", name) for name in ("count", "errors", "error_rate")),
        *(("tool_durations", name) for name in ("timed", "total_ms", "p50_ms")),
        *(("token_costs", name) for name in ("usd", "total", "input", "answers")),
        *(("waiting_time", name) for name in ("waits", "total", "waiting_now")),
        *(("compare", name) for name in ("measure", "a", "b", "change", "ratio")),
    ],
)
def test_by_refuses_names_of_result_columns(function: str, column: str) -> None:
    """The keys would be lost."""
    df = example()
    df[column] = "key"
    call: Any = getattr(analysis, function)
    frames = (df, df) if function == "compare" else (df,)
    with pytest.raises(
        InvalidEvent, match=rf"by: '{column}' is also a column of the result; rename"
    ):
        call(*frames, by=column)


def test_by_refuses_timestamp_with_periods() -> None:
    """The start of the period has this name; without periods it is a column as any other."""
    df = example()
    with pytest.raises(InvalidEvent, match="by: with freq= the result has a column timestamp"):
        analysis.tool_counts(df, "timestamp", freq="D")
    assert len(analysis.tool_counts(df, "timestamp")) == 5


def test_require_columns_refuses_a_column_twice() -> None:
    """As pd.concat(axis=1) creates it."""
    df = example()
    twice = pd.concat([df, df[["tool_name"]]], axis=1)
    with pytest.raises(InvalidEvent, match="the frame has the column 'tool_name' more than once"):
        analysis.tool_counts(twice, "tool_name")


UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "object", "int64[pyarrow]"])
@pytest.mark.parametrize("unit", UNITS)
def test_timestamp_refuses_numbers(unit: str, dtype: str) -> None:
    """pandas would take them as nanoseconds; the error has the line that converts them."""
    df = example()
    seconds = [int(time.timestamp()) for time in df["timestamp"]]
    numbers = pd.Series([second * UNITS[unit] for second in seconds]).astype(dtype)
    for call in (analysis.summary, analysis.token_costs, lambda d: presence_at(d, "2026-01-14")):
        with pytest.raises(InvalidEvent, match=r"^timestamp: expected times, got numbers") as found:
            call(df.assign(timestamp=numbers))  # type: ignore[operator]
    code = str(found.value).partition("convert them: ")[2]
    converted = eval(code, {"df": df.assign(timestamp=numbers), "pd": pd})
    assert analysis.summary(converted)["start"][0] == df["timestamp"].min()


def test_timestamp_refuses_other_numbers() -> None:
    """No unit fits them."""
    with pytest.raises(InvalidEvent, match=r"timestamp: expected times, got numbers$"):
        analysis.summary(example().assign(timestamp=7))


TIMES: dict[str, Any] = {
    "naive": lambda times: times.dt.tz_localize(None),
    "text": lambda times: times.astype(str),
    "objects": lambda times: times.astype(object),
    "nanoseconds": lambda times: times.dt.as_unit("ns"),
    "arrow": lambda times: times.astype(pd.ArrowDtype(pa.timestamp("us", "UTC"))),
    "naive arrow": lambda times: times.dt.tz_localize(None).astype(
        pd.ArrowDtype(pa.timestamp("us"))
    ),
    "local": lambda times: times.dt.tz_convert("America/New_York"),
}


@pytest.mark.parametrize("kind", TIMES)
def test_presence_at_accepts_all_forms_of_times(kind: str) -> None:
    """As the analysis functions do; naive times are UTC."""
    df = example()
    when = pd.Timestamp("2026-01-14T14:53Z")
    expected = presence_at(df, when)
    pd.testing.assert_frame_equal(
        presence_at(df.assign(timestamp=TIMES[kind](df["timestamp"])), when), expected
    )


@pytest.mark.parametrize("dtype", ["object", "string", "str", "dictionary"])
def test_presence_at_accepts_all_forms_of_names_and_counts(dtype: str) -> None:
    """A missing status in a text column is no error, and counts may be objects."""
    df = example()
    names = list(df.select_dtypes("category"))
    dtypes: Any = dtype
    if dtype == "dictionary":
        dtypes = pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    loose = df.astype({**dict.fromkeys(names, dtypes), "input_tokens": object})
    when = pd.Timestamp("2026-01-14T14:53Z")
    pd.testing.assert_frame_equal(presence_at(loose, when), presence_at(df, when))


def test_quantiles_accept_one_number() -> None:
    """And arrays, but no text."""
    df = example()
    expected = analysis.tool_durations(df, quantiles=[0.5])
    for quantiles in (0.5, np.float64(0.5), np.array([0.5]), pd.Series([0.5])):
        found = analysis.tool_durations(df, quantiles=quantiles)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(found, expected)
    for quantiles in ("0.5", [None], 50, [True]):
        with pytest.raises(InvalidEvent, match="quantiles: expected numbers from 0 to 1, got"):
            analysis.tool_durations(df, quantiles=quantiles)  # type: ignore[arg-type]


def test_forecast_budget_accepts_all_numbers() -> None:
    """Those of numpy and decimals, but no text."""
    df = example()
    for budget in (100, 100.0, np.int64(100), np.float32(100), Decimal(100)):
        forecast = analysis.forecast_budget(df, budget, "2027-01-01")  # type: ignore[arg-type]
        assert forecast["budget"].tolist() == [100.0]
    for budget in ("100", True, float("nan"), None):
        with pytest.raises(InvalidEvent, match="budget: expected US dollars >= 0"):
            analysis.forecast_budget(df, budget, "2027-01-01")  # type: ignore[arg-type]


def test_forecast_budget_accepts_all_times() -> None:
    """Dates and times without a zone are local."""
    df = example()
    expected = analysis.forecast_budget(df, 100, "2026-02-01T00:00Z")
    times: list[Any] = [datetime.date(2026, 2, 1), np.datetime64("2026-02-01"), "2026-02-01"]
    for until in (*times, pd.Timestamp("2026-02-01", tz="UTC"), datetime.datetime(2026, 2, 1)):
        pd.testing.assert_frame_equal(analysis.forecast_budget(df, 100, until), expected)
    for until in (pd.NaT, np.datetime64("NaT"), 7, None, "soon"):
        with pytest.raises(InvalidEvent, match="until: expected an ISO time"):
            analysis.forecast_budget(df, 100, until)  # type: ignore[arg-type]


def test_waiting_time_is_over_when_the_newest_event_ends_it() -> None:
    """The answer is the newest event: nobody waits now."""
    df = example().iloc[:6]
    assert analysis.waiting_time(df)["waiting_now"].tolist() == [False]
    assert analysis.waiting_time(df.iloc[:5])["waiting_now"].tolist() == [True]


def test_summary_counts_no_events_of_the_server() -> None:
    """Timers and implied ends are not what agents did."""
    df = example()
    df["source"] = "claude-hook"
    own = df.iloc[[-1, -1, -1]].assign(
        event_type=["idle", "offline", "session_end"], source=["timer", "timer", "family"]
    )
    both = pd.concat([df, own], ignore_index=True)
    assert analysis.summary(both)["events"].tolist() == [len(df)]
    compared = analysis.compare(df, both)
    assert compared["a"][0] == compared["b"][0] == len(df)


def test_timeline_warns_of_parts_of_a_history() -> None:
    """Frames of load_history without the columns or events that decide statuses."""
    df = example().assign(source=None, extra=None, tool_use_id=None, parent_agent_id=None)
    df.attrs["source"] = "/tmp/h.db"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analysis.timeline(df)
        analysis.timeline(example().drop(columns="session_id"))
    with pytest.warns(
        HistoryWarning, match="lacks the columns session_id, extra; load it"
    ) as found:
        analysis.timeline(df.drop(columns=["extra", "session_id"]))
    assert found[0].filename == __file__
    working = df[~df["event_type"].isin(["stop", "session_end"])]
    late = working.tail(1).assign(timestamp=df["timestamp"].max() + pd.Timedelta("2h"))
    part = pd.concat([working, late])
    for function in (analysis.sessions, analysis.summary, analysis.waiting_time):
        with pytest.warns(HistoryWarning, match="has no event that ends a turn; load it without"):
            function(part)
