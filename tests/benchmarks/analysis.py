"""The analysis functions on a large history, compared with a pandas groupby.

    python -m tests.benchmarks.analysis [--rows 1000000] [--rounds 3] [--json] [--quick]

Measures the seconds of each function (median of the rounds) on a frame with the dtypes of
``load_history``: 200 agents, 2,000 sessions, 30 tools and 10 models; a third of the rows has
tokens, a third is an executed tool. The peers compute ``tool_counts by agent and tool``: pandas on
categoricals, polars and DuckDB on their own copies of the columns; compare these four rows. ``MB``
is the highest memory of the process above that before the query (10^6 bytes; Linux only).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from htmlgraph_nb import analysis
from htmlgraph_nb.core.reducer import TOOL_END_TYPES
from tests.benchmarks.decided import with_decisions
from tests.benchmarks.table import print_figures

START = np.datetime64("2026-01-05T00:00:00", "us")
_TYPES = ("prompt", "completion", "tool_start", "tool_execute", "tool_error", "stop")
_CHANCES = (0.03, 0.32, 0.31, 0.29, 0.02, 0.03)
_MODELS = ("claude-opus-4-5", "claude-sonnet-4-5", "gpt-5.2", "claude-haiku-4-5", "gpt-5")


@dataclass(frozen=True)
class Figure:
    """Seconds and memory of one query on a frame with ``rows`` rows."""

    question: str
    rows: int
    seconds: float
    mb: float | None


def history(n: int, seed: int = 1) -> pd.DataFrame:
    """Return a frame of ``n`` events over thirty days."""
    rng = np.random.default_rng(seed)
    types = rng.choice(len(_TYPES), n, p=_CHANCES).astype(np.int8)
    agents = rng.integers(0, 200, n, dtype=np.int16)
    has_tokens = types == 1
    tools = np.where(np.isin(types, (2, 3, 4)), rng.integers(0, 30, n), -1)
    ran = np.isin(types, (3, 4))
    days_us = 30 * 86_400_000_000
    columns: dict[str, Any] = {
        "seq": np.arange(1, n + 1),
        "timestamp": pd.Series(START + np.sort(rng.integers(0, days_us, n))).dt.tz_localize("UTC"),
        "agent_id": _category(agents, [f"agent-{number}" for number in range(200)]),
        "event_type": _category(types, _TYPES),
        "session_id": _category(agents * 10 + np.arange(n) * 10 // n, range(2_000), "session-"),
        "tool_name": _category(tools, range(30), "Tool"),
        "tool_use_id": pd.array([None] * n, dtype="string"),
        "feature_id": _category(agents % 40, range(40), "feat-"),
        "model": _category(agents % len(_MODELS), _MODELS),
        "status": _category(np.where(ran, types == 4, -1), ("ok", "error")),
        "duration_ms": _nullable(rng.integers(1, 60_000, n), ran),
        "cost_usd": np.full(n, np.nan),
        "source": _category(np.zeros(n, np.int8), ("demo",)),
        "extra": pd.array([None] * n, dtype="string"),
    }
    counts = {name: rng.integers(0, 20_000, n) for name in ("input", "cache_read", "output")}
    counts["cache_write_5m"] = counts["cache_write_1h"] = np.zeros(n, np.int64)
    columns.update(
        {f"{name}_tokens": _nullable(count, has_tokens) for name, count in counts.items()}
    )
    columns["cost_tokens"] = _nullable(sum(counts.values()), has_tokens)
    return with_decisions(pd.DataFrame(columns))


def _category(codes: Any, names: Any, prefix: str = "") -> pd.Categorical:
    return pd.Categorical.from_codes(codes, [f"{prefix}{name}" for name in names])


def _nullable(values: Any, valid: Any) -> Any:
    return pd.arrays.IntegerArray(np.asarray(values, np.int64), ~valid)


def by_pandas(df: pd.DataFrame) -> pd.Series:
    """Count tool calls by agent and tool with plain pandas."""
    types, has_tool = df["event_type"], df["tool_name"].notna()
    other = has_tool & ~types.isin(["prompt", "completion", "tool_start", "stop"])
    return (
        df[types.isin(TOOL_END_TYPES) | other]
        .groupby(["agent_id", "tool_name"], observed=True)
        .size()
    )


_CALLS = """
    SELECT agent_id, tool_name, count(*) FROM calls
    WHERE event_type IN ('tool_execute', 'tool_error') GROUP BY ALL
"""


def peers(df: pd.DataFrame) -> dict[str, Callable[[pd.DataFrame], object]]:
    """Return the same question to polars and DuckDB, on columns that they hold already."""
    # Not at the top: tests of grouping use ``history`` where neither is installed.
    import duckdb
    import polars

    columns = df[["agent_id", "tool_name", "event_type"]]
    frame = polars.from_pandas(columns)
    called = polars.col("event_type").is_in(["tool_execute", "tool_error"])
    database = duckdb.connect()
    database.register("columns", columns)
    database.execute("CREATE TABLE calls AS SELECT * FROM columns")
    return {
        "pandas groupby of the same": by_pandas,
        "polars group_by of the same": lambda _: (
            frame.lazy().filter(called).group_by("agent_id", "tool_name").len().collect()
        ),
        "DuckDB GROUP BY of the same": lambda _: database.sql(_CALLS).to_arrow_table(),
    }


GROUPINGS: dict[str, Callable[[pd.DataFrame], object]] = {
    "tool_counts by agent and tool": lambda df: analysis.tool_counts(df, ("agent_id", "tool_name")),
    "tool_counts by agent, an hour": lambda df: analysis.tool_counts(df, "agent_id", "1h"),
    "tool_errors by tool": lambda df: analysis.tool_errors(df),
    "tool_durations by tool": lambda df: analysis.tool_durations(df),
    "token_costs by model": lambda df: analysis.token_costs(df),
    "token_costs by agent, a day": lambda df: analysis.token_costs(df, "agent_id", "D"),
}
OTHERS: dict[str, Callable[[pd.DataFrame], object]] = {
    "tool_transitions": analysis.tool_transitions,
    "burn_rate": lambda df: analysis.burn_rate(df, "1h"),
    "timeline": analysis.timeline,
    "concurrency": lambda df: analysis.concurrency(df, "1h"),
    "waiting_time": analysis.waiting_time,
    "sessions": analysis.sessions,
    "features": analysis.features,
    "agents": analysis.agents,
    "compare by model": lambda df: analysis.compare(df, df, by="model"),
    "summary": analysis.summary,
}


def measure(n: int, rounds: int, *, groupings_only: bool) -> list[Figure]:
    """Return the median seconds and the memory of each query."""
    df = history(n)
    queries = {**GROUPINGS, **peers(df)}
    figures = []
    for name, query in (queries if groupings_only else {**queries, **OTHERS}).items():
        times = []
        before = reset_peak()
        for _ in range(rounds):
            start = time.perf_counter()
            query(df)
            times.append(time.perf_counter() - start)
        peak = None if before is None else (memory("VmHWM") - before) / 1e6
        figures.append(Figure(name, n, statistics.median(times), peak))
    return figures


def reset_peak() -> float | None:
    """Forget the highest memory of this process and return its present one; None: not on Linux."""
    try:
        # proc(5): writing 5 resets VmHWM.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return memory("VmRSS")


def memory(name: str) -> float:
    """Return a figure of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values[name].split()[0]) * 1_024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows of the frame (default 1000000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds; the median is printed (default 3)"
    )
    parser.add_argument(
        "--groupings", action="store_true", help="only the functions that group rows"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="10,000 rows, 1 round")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.rounds = 10_000, 1
    figures = measure(options.rows, options.rounds, groupings_only=options.groupings)
    heads = ["question", "rows", "s", "MB"]
    print_figures(
        figures,
        heads,
        lambda row: [row.question, row.rows, row.seconds, row.mb],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
