"""A year of history: generate, seal, export and iterate over it in bounded memory.

    python -m tests.benchmarks.year [--rows 20000000] [--folder DIR] [--json] [--quick]

Measures seconds, memory and disk space of each step; each is a process. Peak memory excludes the
loaded libraries; ``child`` is the peak of the largest child process. Needs about 300 bytes of disk
space per row; the database is deleted at the end. There is no peer (see ``history``): compare
versions.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.history import measured
from tests.benchmarks.simulated import fill, last_hour
from tests.benchmarks.table import print_figures


@dataclass
class Step:
    """Results of one step; ``disk_mb`` is the size of the files that it wrote."""

    step: str
    rows: int
    seconds: float
    peak_mb: float | None
    child_mb: float | None
    disk_mb: float


def size_mb(path: Path) -> float:
    """Return the size in MB of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def measure(folder: Path, n_rows: int, report: Callable[[str], object]) -> Iterator[Step]:
    """Yield each step's figures."""
    path = folder / "year.db"
    start = time.perf_counter()
    fill(str(path), n_rows, lambda done: report(f"made {done:,} rows"))
    yield Step("make", n_rows, time.perf_counter() - start, None, None, size_mb(path))
    since = last_hour(str(path)).isoformat()
    export, segments = Path(f"{path}-export"), Path(f"{path}.segments")
    for step, way, source, part, output in (
        ("load the last hour, SQLite only", "load_history", path, since, None),
        ("seal", "seal", path, "all", segments),
        ("load the last hour, sealed", "load_history", path, since, None),
        ("iter_history, all columns", "iter_history", path, "all", None),
        ("iter_history, 4 columns", "iter_history", path, "four", None),
        ("export to Parquet by day", "export", path, "all", export),
        ("export again: nothing new", "export", path, "all", None),
        ("iter_history of the export", "iter_history", export, "all", None),
    ):
        report(step)
        figures = measured(way, str(source), part)
        disk_mb = 0.0 if output is None else size_mb(output)
        yield Step(step, **figures, disk_mb=disk_mb)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000_000, help="default 20000000")
    parser.add_argument("--folder", help="folder for the database (default: temporary)")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.add_argument("--quick", action="store_true", help="250,000 rows")
    options = parser.parse_args()
    n_rows = 250_000 if options.quick else options.rows

    def report(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-", dir=options.folder) as folder:
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < 350 * n_rows:
            parser.error(f"{folder}: not enough disk space for {n_rows:,} rows; set --folder")
        steps = list(measure(Path(folder), n_rows, report))
    report("")
    print_figures(
        steps,
        ["step", "rows", "s", "peak MB", "child MB", "disk MB"],
        lambda s: [s.step, s.rows, s.seconds, s.peak_mb, s.child_mb, s.disk_mb],
        as_json=options.json,
    )


if __name__ == "__main__":
    main()
