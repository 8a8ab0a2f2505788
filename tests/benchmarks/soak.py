"""Hours of mixed load with faults: does memory grow, does a dashboard differ, is an event lost?

    python -m tests.benchmarks.soak [--minutes 30] [--seed 1] [--rate 300] [--scale 1]
        [--json] [--quick]

A real server process gets events by HTTP, WebSocket, hooks and OTLP, changes of features, and pulls
of history in each format. Dashboards stay, come and go, read slowly, filter and resume; half of
those that leave reset the connection. At random there are faults: half-open requests, hostile JSON,
broken and oversized frames, aborted uploads, unread responses and guessed tokens.

A short warm-up with all of it comes first; descriptors and threads at rest after it are compared
with those at rest at the end; pools may start a few late. Memory is sampled each second. ``growth``
is that from minute 2 of the load (a fifth of a shorter run) to its end, of the least values in a
fifth of that time each, because buffers of slow clients come and go; less than 1 % is wanted.
Medians are printed, too. At the end each dashboard that stayed or resumed must equal the server,
every acknowledged event must be in the file once, and seqs must have no gap. The exit status is 1
if one of these fails or descriptors or threads grow, else 0. The same seed makes the same choices.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.machine import allow_open_files
from tests.benchmarks.soaking.soak_faults import SoakFaults
from tests.benchmarks.soaking.soak_load import SoakLoad
from tests.benchmarks.soaking.soak_samples import Sample, Samples, ends
from tests.helpers.server_process import Server

TOKEN = "soak-0123456789abcdef"
_WARM_UP_S = 15.0
_SETTLE_S = 30.0
_LATE = 8
"""Threads of pools, and files of theirs, that may start late: asyncio's pool has up to 6 threads on
2 cores. A leak grows beyond this within minutes."""


@dataclass
class SoakFigures:
    """The result of a run.

    Attributes:
        seconds: duration of the load.
        rss_mb, uss_mb: least memory at the start and the end of the time in which growth counts.
        rss_growth, uss_growth: growth of them in percent.
        rss_medians_mb: medians of RSS in the same parts.
        rest_before, rest_after: the server at rest, after the warm-up and at the end.
        series: RSS in MB over the time of the load.
        n_events: stored events.
        n_acknowledged: acknowledged events whose ids are known.
        problems: what is wrong; empty if nothing is.
        counts: how often each thing was done.
        faults: how often each fault was done.
    """

    seconds: float = 0.0
    rss_mb: tuple[float, float] = (0.0, 0.0)
    uss_mb: tuple[float, float] = (0.0, 0.0)
    rss_growth: float = 0.0
    uss_growth: float = 0.0
    rss_medians_mb: tuple[float, float] = (0.0, 0.0)
    rest_before: dict[str, float] = field(default_factory=dict)
    rest_after: dict[str, float] = field(default_factory=dict)
    series: list[float] = field(default_factory=list)
    n_events: int = 0
    n_acknowledged: int = 0
    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


async def soak(server: Server, options: argparse.Namespace) -> tuple[SoakFigures, list[str]]:
    """Load a server; return the figures, except those of its file, and the acknowledged ids."""
    figures, samples = SoakFigures(), Samples(server.pid)
    warm_up = SoakLoad(server.port, TOKEN, options.seed, options.rate, "warm-up")
    await _run(warm_up, SoakFaults(server.port, TOKEN, options.seed), options, options.warm_up_s)
    await warm_up.pull_everything()
    figures.problems += await _differences(warm_up, server)
    await warm_up.stop_watching()
    before = await samples.at_rest()
    sampling = asyncio.ensure_future(samples.run())
    start = samples.take().at_s
    load = SoakLoad(server.port, TOKEN, options.seed, options.rate, "load")
    faults = SoakFaults(server.port, TOKEN, options.seed)
    await _run(load, faults, options, 60 * options.minutes)
    end = samples.take().at_s
    figures.problems += await _differences(load, server)
    await load.stop_watching()
    sampling.cancel()
    after = await samples.at_rest()
    _add_samples(figures, samples, (start, end), before, after)
    figures.counts, figures.faults = _sorted(load.counts), _sorted(faults.counts)
    errors = [name for name in (*load.counts, *warm_up.counts) if name.startswith("error of")]
    figures.problems += errors
    figures.problems += [
        f"a response with status 500: {name}"
        for name in (*load.counts, *faults.counts)
        if name.rpartition(" ")[2] == "500"
    ]
    return figures, [*warm_up.acknowledged, *load.acknowledged]


async def _run(
    load: SoakLoad, faults: SoakFaults, options: argparse.Namespace, seconds: float
) -> None:
    load.start(options.scale)
    failing = asyncio.ensure_future(faults.run())
    await asyncio.sleep(seconds)
    failing.cancel()
    await load.stop_sending()


async def _differences(load: SoakLoad, server: Server) -> list[str]:
    """Return the dashboards that do not become equal to the server."""
    end = time.monotonic() + _SETTLE_S
    wrong = [*load.mirrors]
    while wrong and time.monotonic() < end:
        await asyncio.sleep(0.5)
        expected = await asyncio.to_thread(server.presence)
        wrong = [
            name
            for name, mirror in load.mirrors.items()
            if {key: agent.to_dict() for key, agent in mirror.agents.items()} != expected
        ]
    return [f"the dashboard {name!r} differs from the server" for name in wrong]


def _add_samples(
    figures: SoakFigures, samples: Samples, span: tuple[float, float], before: Sample, after: Sample
) -> None:
    start, end = span
    figures.seconds = end - start
    first = start + min(120.0, figures.seconds / 5)
    figures.rss_mb = ends(samples, "rss_mb", first, end, min)
    figures.uss_mb = ends(samples, "uss_mb", first, end, min)
    figures.rss_medians_mb = ends(samples, "rss_mb", first, end, statistics.median)
    figures.rss_growth = 100 * (figures.rss_mb[1] / figures.rss_mb[0] - 1)
    figures.uss_growth = 100 * (figures.uss_mb[1] / figures.uss_mb[0] - 1)
    figures.rest_before, figures.rest_after = before._asdict(), after._asdict()
    during = samples.between(start, end)
    step = max(1, len(during) // 30)
    figures.series = [round(sample.rss_mb, 1) for sample in during[::step]]
    for name, what in (("n_fds", "descriptors"), ("n_threads", "threads")):
        least, now = getattr(before, name), getattr(after, name)
        if now > least + _LATE:
            figures.problems.append(f"{what} at rest grew from {least} to {now}")


def _add_file(figures: SoakFigures, path: Path, acknowledged: list[str]) -> None:
    """Compare the file with what was acknowledged."""
    with closing(sqlite3.connect(path)) as db:
        stored = Counter(name for (name,) in db.execute("SELECT event_id FROM events"))
        n_rows, first, last = db.execute("SELECT count(*), min(id), max(id) FROM events").fetchone()
        (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
    stored.pop(None, None)
    missing = {*acknowledged} - {*stored}
    figures.n_events, figures.n_acknowledged = n_rows, len(acknowledged)
    if missing:
        figures.problems.append(f"{len(missing)} acknowledged events are missing")
    if twice := [name for name, count in stored.items() if count > 1]:
        figures.problems.append(f"{len(twice)} events are stored twice")
    if (first, last) != (1, n_rows):
        figures.problems.append(f"{n_rows} rows have seqs from {first} to {last}")
    if state != "ok":
        figures.problems.append(f"the file is damaged: {state}")


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def measure(options: argparse.Namespace) -> SoakFigures:
    """Start a server, load it and stop it."""
    with tempfile.TemporaryDirectory(prefix="htmlgraph-soak-") as folder:
        server = Server(Path(folder), "--no-watch", "--token", TOKEN, *options.flag)
        try:
            figures, acknowledged = asyncio.run(soak(server.start(), options))
        finally:
            status = server.stop(signal.SIGTERM)
        if status:
            figures.problems.append(f"the server ended with status {status}")
        if server.faults.search(server.log()):
            figures.problems.append(f"the log has an error: {server.log()[-2_000:]}")
        _add_file(figures, server.db, acknowledged)
    return figures


def _print(figures: SoakFigures) -> None:
    print(
        f"{figures.seconds:.0f} s of load, {figures.n_events:,} events stored, "
        f"{figures.n_acknowledged:,} of them acknowledged by id"
    )
    for name in ("rss", "uss"):
        before, after = getattr(figures, f"{name}_mb")
        change = getattr(figures, f"{name}_growth")
        print(f"{name.upper()} {before:.1f} -> {after:.1f} MB: {change:+.2f} % (wanted: < 1 %)")
    print("medians of RSS: {:.1f} -> {:.1f} MB".format(*figures.rss_medians_mb))
    print("RSS over time:", *figures.series)
    for name in ("n_fds", "n_threads", "rss_mb", "uss_mb"):
        print(f"{name} at rest: {figures.rest_before[name]:.6g} -> {figures.rest_after[name]:.6g}")
    for title, counts in (("done", figures.counts), ("faults", figures.faults)):
        print(f"{title}:", "; ".join(f"{name} {count:,}" for name, count in counts.items()))
    for problem in figures.problems:
        print(f"PROBLEM: {problem}")


def main() -> int:
    """Measure, print, and return whether something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0, help="duration of the load")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices")
    parser.add_argument("--rate", type=float, default=300, help="events a second")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the number of clients")
    parser.add_argument("--flag", action="append", default=[], help="a flag of the server")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a fifth of the clients, 8 s")
    options = parser.parse_args()
    options.warm_up_s = _WARM_UP_S
    if options.quick:
        options.minutes, options.scale, options.warm_up_s = 8 / 60, 0.2, 4.0
    allow_open_files(4_096)
    figures = measure(options)
    if options.json:
        print(json.dumps(asdict(figures), indent=2))
    else:
        _print(figures)
    return int(bool(figures.problems))


if __name__ == "__main__":
    sys.exit(main())
