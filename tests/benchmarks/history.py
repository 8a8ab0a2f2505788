"""Loading history into a typed DataFrame, compared with pandas, polars, DuckDB and sqlite3.

    python -m tests.benchmarks.history [--rows 1000000] [--rounds 3] [--json] [--quick]

Measures seconds and memory of each way; each run is a process, and figures are those of the fastest
round. The parts are all columns of all rows, four columns of all rows (timestamp, agent_id,
tool_name, cost_tokens), and all columns of the last hour. ``sealed`` reads segments, ``SQLite
only`` reads the same rows without segments, ``Parquet`` an export to one file. The peer of the
ways that read Parquet is ``pandas.read_parquet``, of the others ``pandas.read_sql_query``: the last
column is the ratio to it. The last hour is loaded several times in each process, as a notebook
reloads it, and the fastest counts. The lower bound of everything that reads SQLite is the
``sqlite3`` program, which must be installed and discards the rows.

Peak memory excludes the loaded libraries; ``child`` is the peak of the largest child process.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import cores
from tests.benchmarks.servers import ROOT, running
from tests.benchmarks.simulated import fill, last_hour
from tests.benchmarks.table import print_figures

PEER = "pandas.read_sql_query"
PARQUET_PEER = "pandas.read_parquet"


@dataclass
class Figures:
    """Results of one way and part.

    Attributes:
        of: the part.
        times_faster: ratio of the seconds of its peer, on the same part, to its own.
    """

    way: str
    of: str
    rows: int
    seconds: float
    peak_mb: float
    child_mb: float
    times_faster: float = 0.0


def measured(way: str, source: str, part: str) -> dict[str, Any]:
    """Run one way in a new process and return its figures.

    Raises:
        RuntimeError: it failed; the message is its standard error.
    """
    run = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.history_ways", way, source, part],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"{way}: {run.stderr[-2_000:]}")
    figures: dict[str, Any] = json.loads(run.stdout)
    return figures


def ways(plain: str, sealed: str, url: str, parquet: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each way, its function in history_ways and its source."""
    yield "load_history, sealed", "load_history", sealed
    yield "load_history, SQLite only", "load_history", plain
    yield "load_history, URL", "load_history", url
    yield PEER, "read_sql_query", plain
    yield "pandas.read_json of the URL", "read_json", url
    yield "polars.read_database", "polars", plain
    yield "load_history, Parquet", "load_history", parquet
    yield PARQUET_PEER, "read_parquet", parquet
    yield "polars.scan_parquet", "polars_parquet", parquet
    yield "DuckDB, Parquet", "duckdb_parquet", parquet
    if shutil.which("sqlite3"):
        yield "sqlite3 program, to nowhere", "sqlite_shell", plain


def measure(
    folder: Path, n_rows: int, rounds: int, report: Callable[[str], object]
) -> Iterator[Figures]:
    """Yield the figures of each way and part."""
    plain, sealed = str(folder / "plain.db"), str(folder / "sealed.db")
    report(f"making {n_rows:,} rows")
    fill(plain, n_rows)
    shutil.copy(plain, sealed)
    measured("seal", sealed, "all")
    parquet = f"{sealed}.parquet"
    measured("export_file", sealed, "all")
    since = last_hour(plain).isoformat()
    flags = [
        "htmlgraph_server.cli",
        "serve",
        "--port",
        "0",
        "--db",
        sealed,
        "--seal",
        "off",
        "--no-watch",
    ]
    flags += ["--forget-after", "0", "--offline-timeout", "0", "--idle-timeout", "0"]
    best: dict[tuple[str, str], Figures] = {}
    with running(flags, cores(), HTMLGRAPH_HOME=str(folder)) as server:
        for _ in range(rounds):
            for name, way, source in ways(plain, sealed, server.url, parquet):
                for of, part in (("all", "all"), ("4 columns", "four"), ("last hour", since)):
                    report(f"{name}, {of}")
                    figures = Figures(name, of, **measured(way, source, part))
                    fastest = best.setdefault((name, of), figures)
                    if figures.seconds < fastest.seconds:
                        best[name, of] = figures
    rows = {
        of: {figures.rows for (_, part), figures in best.items() if part == of} for _, of in best
    }
    if any(len(counts) != 1 for counts in rows.values()):
        raise RuntimeError(f"the ways loaded different numbers of rows: {rows}")
    for figures in best.values():
        reads_parquet = "arquet" in figures.way
        peer = PARQUET_PEER if reads_parquet else PEER
        figures.times_faster = best[peer, figures.of].seconds / figures.seconds
        yield figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default 1000000")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the fastest counts")
    parser.add_argument("--folder", help="folder for the databases (default: temporary)")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 1 round")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.rounds = 20_000, 1

    def report(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-", dir=options.folder) as folder:
        figures = list(measure(Path(folder), options.rows, options.rounds, report))
    report("")
    if not options.json and not shutil.which("sqlite3"):
        print("no lower bound: the sqlite3 program is not installed\n")
    print_figures(
        sorted(figures, key=lambda row: ("all", "4 columns", "last hour").index(row.of)),
        ["way", "of", "rows", "s", "peak MB", "child MB", "× pandas"],
        lambda f: [f.way, f.of, f.rows, f.seconds, f.peak_mb, f.child_mb, f.times_faster],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
