"""Compares the run times of processes that take turns, so that a busy machine slows all of them."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

Case = Callable[[int], float]
"""Runs a process and returns its seconds; the argument is the number of the run, 0 for warm-up."""


def parse_options(description: str | None) -> argparse.Namespace:
    """Return the options on the command line: ``runs`` and ``json``.

    Args:
        description: docstring of the benchmark; its first line is the help.
    """
    parser = argparse.ArgumentParser(
        description=description.splitlines()[0] if description else None
    )
    parser.add_argument("--runs", type=int, default=40, help="processes per case (default 40)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def time_process(
    arguments: Sequence[str], stdin: bytes, environ: Mapping[str, str], stdout: int | None = None
) -> float:
    """Return the seconds that a process takes.

    Args:
        environ: variables besides those of this process.
        stdout: as for ``subprocess.run``.
    """
    variables = {**os.environ, **environ}
    start = time.perf_counter()
    subprocess.run(arguments, input=stdin, env=variables, stdout=stdout, check=True)
    return time.perf_counter() - start


def print_ratios(cases: Mapping[str, Case], base: str, options: argparse.Namespace) -> None:
    """Run the cases in turns; print the median milliseconds of each and its ratio to ``base``."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for run in range(options.runs + 1):
        for name, case in cases.items():
            seconds = case(run)
            if run:
                times[name].append(seconds * 1000)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: value / medians[base] for name, value in medians.items()}
    if options.json:
        print(json.dumps({"runs": options.runs, "median_ms": medians, "ratio": ratios}))
        return
    for name, value in medians.items():
        print(f"{name:18} {value:7.1f} ms  {ratios[name]:5.2f} × {base}")
