"""Ways to load history, for ``history`` and ``year``: runs one in this process.

    python -m tests.benchmarks.history_ways WAY SOURCE PART

Prints JSON: seconds, rows, and peak memory in MB of 1,000,000 bytes, excluding what the libraries
take after import; the peak of the largest child process is a separate figure.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Any

from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

FOUR = ("timestamp", "agent_id", "tool_name", "cost_tokens")


def columns_of(part: str) -> tuple[str, ...]:
    """Return the columns of a part: the four of ``four``, else all."""
    return FOUR if part == "four" else HISTORY_COLUMNS


def since_of(part: str) -> str | None:
    """Return the start of a part that is a time (RFC 3339); None for all rows."""
    return None if part in ("all", "four") else part


def _sql(part: str) -> str:
    since = since_of(part)
    where = ""
    if since is not None:
        where = f"WHERE timestamp >= {int(datetime.fromisoformat(since).timestamp())}000000"
    return f"SELECT {', '.join(columns_of(part))} FROM history {where} ORDER BY seq"


def load_history(source: str, part: str) -> int:
    """Load with this project."""
    from htmlgraph_nb import load_history as load

    frame = load(source, columns=columns_of(part), since=since_of(part), progress=False)
    return len(frame)


def iter_history(source: str, part: str) -> int:
    """Iterate over the history in chunks and sum a column of each."""
    from htmlgraph_nb import iter_history as iterate

    n_rows = tokens = 0
    for chunk in iterate(source, columns=columns_of(part), since=since_of(part), progress=False):
        n_rows += len(chunk)
        tokens += int(chunk["cost_tokens"].sum())
    return n_rows


def seal(source: str, part: str) -> int:
    """Seal all rows into segments."""
    from htmlgraph_nb.storage.columnar.sealing import seal as run

    return run(source).n_rows


def export(source: str, part: str) -> int:
    """Export to Parquet files by day, in a folder beside the database."""
    from htmlgraph_nb import export_history

    return export_history(f"{source}-export", source).n_rows


def export_file(source: str, part: str) -> int:
    """Export to one Parquet file beside the database."""
    from htmlgraph_nb import export_history

    return export_history(f"{source}.parquet", source).n_rows


def read_parquet(source: str, part: str) -> int:
    """Load the Parquet file with pandas; it has the same dtypes but for nullable integers."""
    import pandas as pd

    since = since_of(part)
    filters = [("timestamp", ">=", datetime.fromisoformat(since))] if since else None
    return len(pd.read_parquet(source, columns=list(columns_of(part)), filters=filters))


def polars_parquet(source: str, part: str) -> int:
    """Load the Parquet file with polars."""
    import polars as pl

    frame, since = pl.scan_parquet(source), since_of(part)
    if since:
        frame = frame.filter(pl.col("timestamp") >= datetime.fromisoformat(since))
    return frame.select(columns_of(part)).collect().height


def duckdb_parquet(source: str, part: str) -> int:
    """Load the Parquet file with DuckDB into a pandas DataFrame."""
    import duckdb

    since = since_of(part)
    where = f"WHERE timestamp >= TIMESTAMPTZ '{since}'" if since else ""
    columns = ", ".join(f'"{name}"' for name in columns_of(part))
    return len(duckdb.sql(f"SELECT {columns} FROM read_parquet('{source}') {where}").df())


def read_sql_query(source: str, part: str) -> int:
    """Load with pandas and convert to the same dtypes."""
    import pandas as pd

    with closing(sqlite3.connect(source)) as db:
        frame = pd.read_sql_query(_sql(part), db)
    return len(_typed(frame, "us"))


def _typed(frame: Any, unit: str | None) -> Any:
    import pandas as pd

    from htmlgraph_nb.history.load import HISTORY_DTYPES

    times = frame["timestamp"]
    parsed = pd.to_datetime(times, unit=unit, utc=True) if unit else pd.to_datetime(times, utc=True)
    frame["timestamp"] = parsed
    return frame.astype({name: HISTORY_DTYPES[name] for name in frame.columns})


def read_json(source: str, part: str) -> int:
    """Load the server's JSON lines with pandas and convert to the same dtypes."""
    from urllib.parse import urlencode

    import pandas as pd

    parameters = {"format": "ndjson", "columns": ",".join(columns_of(part))}
    if since_of(part):
        parameters["since"] = str(since_of(part))
    url = f"{source}/api/history?{urlencode(parameters)}"
    return len(_typed(pd.read_json(url, lines=True, convert_dates=False), None))


def polars(source: str, part: str) -> int:
    """Load with polars through Python's sqlite3 and convert to its categories and times."""
    import polars as pl

    numbers = {
        "seq": pl.Int64,
        "timestamp": pl.Int64,
        "cost_usd": pl.Float64,
        "duration_ms": pl.Int64,
        **{name: pl.Int64 for name in HISTORY_COLUMNS if name.endswith("_tokens")},
        **dict.fromkeys(("context_window", "web_searches", "input_hash"), pl.Int64),
    }
    types = {name: numbers.get(name, pl.String) for name in columns_of(part)}
    with closing(sqlite3.connect(source)) as db:
        frame = pl.read_database(_sql(part), db, schema_overrides=types, infer_schema_length=None)
    plain = ("event_id", "tool_use_id", "extra", *numbers)
    return len(
        frame.with_columns(
            pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC"),
            *(pl.col(name).cast(pl.Categorical) for name in frame.columns if name not in plain),
        )
    )


def sqlite_shell(source: str, part: str) -> Callable[[], int]:
    """Read with the sqlite3 program and discard the rows; count them after the measurement."""
    with subprocess.Popen(
        ["sqlite3", "-readonly", source, _sql(part)], stdout=subprocess.DEVNULL
    ) as process:
        process.wait()

    def count() -> int:
        with closing(sqlite3.connect(source)) as db:
            return int(db.execute(f"SELECT count(*) FROM ({_sql(part)})").fetchone()[0])

    return count


WAYS: dict[str, Callable[[str, str], int | Callable[[], int]]] = {
    way.__name__: way
    for way in (
        *(load_history, iter_history, seal, export, export_file),
        *(read_sql_query, read_json, polars, sqlite_shell),
        *(read_parquet, polars_parquet, duckdb_parquet),
    )
}
_RELOADS = 5
"""Loads of the last hour, of which the fastest counts."""
_LIBRARIES = {
    "load_history": ("htmlgraph_nb.history.load", "pyarrow.dataset"),
    "iter_history": ("htmlgraph_nb.history.load",),
    "seal": ("htmlgraph_nb.storage.columnar.sealing",),
    "export": ("htmlgraph_nb.history.export",),
    "export_file": ("htmlgraph_nb.history.export",),
    "read_sql_query": ("pandas", "pyarrow", "htmlgraph_nb.history.load"),
    "read_json": ("pandas", "pyarrow", "htmlgraph_nb.history.load"),
    "polars": ("polars",),
    "read_parquet": ("pandas", "pyarrow.parquet", "pyarrow.dataset"),
    "polars_parquet": ("polars",),
    "duckdb_parquet": ("duckdb", "pandas"),
    "sqlite_shell": (),
}


def peak_mb() -> float:
    """Return the peak resident memory of this process."""
    try:
        # Only this program's; the peak of getrusage includes the parent that forked it.
        with open("/proc/self/status", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["VmHWM"].split()[0]) * 1_024 / 1e6
    except (OSError, KeyError):
        unit = 1 if sys.platform == "darwin" else 1_024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Run one way and print its figures."""
    way, source, part = sys.argv[1:]
    for name in _LIBRARIES[way]:
        __import__(name)
    base = peak_mb()
    seconds = float("inf")
    for _ in range(_RELOADS if since_of(part) else 1):
        start = time.perf_counter()
        result = WAYS[way](source, part)
        seconds = min(seconds, time.perf_counter() - start)
    peak = peak_mb() - base
    n_rows = result if isinstance(result, int) else result()
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1_024 / 1e6
    figures = {"seconds": seconds, "rows": n_rows, "peak_mb": peak}
    print(json.dumps({**figures, "child_mb": children}))


if __name__ == "__main__":
    main()
