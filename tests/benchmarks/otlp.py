"""OTLP log records while dashboards receive updates: does receiving telemetry delay the fan-out?

    python -m tests.benchmarks.otlp [--clients 100] [--updates 200] [--rate 5000] [--batch 100]
        [--seconds 5] [--only none,protobuf,json,events,peer] [--json] [--quick]

Each row is one server with ``--clients`` dashboards that receive every update: ``--updates`` a
second from hooks, and ``--rate`` records a second in exports of ``--batch``, each answered after
its commit. ``protobuf``, ``json`` and ``protobuf+gzip`` are exports to /v1/logs as Claude Code
sends them (each record is a completion or a tool call, so each causes an update); ``events`` sends
the same number of events to /api/events; ``none`` sends nothing else. ``peer`` is another receiver
of the protobuf exports (otlp_peer.py), which stores nothing and has no dashboards. Compare the
frame latencies with ``none``, and ``us_per_record`` with ``events`` and ``peer``.

``frame`` is the time from an event until a dashboard has read its update, over all updates;
``answer`` the time from sending an export to its response. The server has the first core.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass

from tests.benchmarks.load import Load
from tests.benchmarks.machine import Usage, allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Poster, Running, htmlgraph, preload, running
from tests.benchmarks.table import print_figures

WARM_UP_S = 1.0
DRAIN_S = 30.0
AGENTS = 200
CASES = ("none", "protobuf", "protobuf+gzip", "json", "events", "peer")


@dataclass(frozen=True)
class Figures:
    """Results of one run.

    Attributes:
        sent_as: the case.
        rate: requested records a second.
        records_per_s: records whose export was answered, per second.
        frames: updates that dashboards received.
        expected: updates that dashboards should have received.
        core: cores that the server used.
        us_per_record: CPU time of the server per record, fan-out included.
        load_core: cores that the dashboards used.
        others: cores that other processes used, see ``fanout``.
    """

    sent_as: str
    rate: float
    clients: int
    records: int
    records_per_s: float
    answer_p50_ms: float | None
    answer_p99_ms: float | None
    frames: int
    expected: int
    frame_p50_ms: float | None
    frame_p99_ms: float | None
    core: float
    us_per_record: float | None
    rss_mb: float
    load_core: float
    others: float


def _exporter(case: str, server: Running, cores: list[int], options: argparse.Namespace) -> Poster:
    flags = ["--rate", str(options.rate), "--batch", str(options.batch)]
    flags += ["--seconds", str(WARM_UP_S + options.seconds), "--agents", "100"]
    if case == "events":
        return Poster(server, cores, *flags)
    encoding, _, compressed = case.replace("peer", "protobuf").partition("+")
    flags += ["--encoding", encoding, *(["--gzip"] if compressed else [])]
    return Poster(server, cores, *flags, module="otlp_poster")


def measure(case: str, options: argparse.Namespace) -> Figures:
    """Run one server and return its figures."""
    serving, loading = shared_out()
    pin(*loading)
    with contextlib.ExitStack() as stack:
        if case == "peer":
            server = stack.enter_context(running(["tests.benchmarks.otlp_peer"], serving))
            load, n_clients, posters = Load(server.address, "", has_state=False), 0, []
        else:
            server = stack.enter_context(htmlgraph(serving))
            preload(server, loading, AGENTS)
            load = Load(server.address, "/ws/broadcasts", has_state=True)
            stack.callback(load.close)
            n_clients = options.clients
            load.connect(n_clients)
            load.run(time.monotonic() + 0.5)
            flags = ["--rate", str(options.updates), "--batch", "2", "--agents", str(AGENTS)]
            flags += ["--seconds", str(WARM_UP_S + options.seconds)]
            posters = [Poster(server, loading, *flags)]
        exporter = None if case == "none" else _exporter(case, server, loading, options)
        posters += [exporter] if exporter else []
        for poster in posters:
            stack.enter_context(contextlib.closing(poster))
        return _run(case, server, load, posters, exporter, options)


def _run(
    case: str,
    server: Running,
    load: Load,
    posters: list[Poster],
    exporter: Poster | None,
    options: argparse.Namespace,
) -> Figures:
    serving, loading = shared_out()
    alone = serving != loading

    def used() -> tuple[Usage, Usage, float]:
        of_server = usage(server.process.pid, serving if alone else ())
        return of_server, usage(os.getpid(), ()), time.time()

    started = time.monotonic()
    load.run(started + WARM_UP_S)
    first, first_load, wall = used()
    load.run(started + WARM_UP_S + options.seconds)
    last, last_load, wall_end = used()
    n_clients = len(load.dashboards)

    def all_received() -> bool:
        done = [poster.figures() for poster in posters]
        total = sum(int(posted["accepted"]) for posted in done if posted is not None)
        return None not in done and load.n_frames >= total * n_clients

    load.run(time.monotonic() + DRAIN_S, all_received)
    figures = [poster.figures() for poster in posters]
    exported = exporter.figures() if exporter else None
    if None in figures:
        raise TimeoutError(f"the posters did not finish within {DRAIN_S:g} s")
    p50, p99 = load.latencies_ms(wall, wall_end)
    core, load_core = last.cores_since(first), last_load.cores_since(first_load)
    per_s = float(exported["events_per_s"]) if exported else 0.0
    return Figures(
        sent_as=case,
        rate=0.0 if exporter is None else options.rate,
        clients=n_clients,
        records=int(exported["accepted"]) if exported else 0,
        records_per_s=per_s,
        answer_p50_ms=exported["answer_p50_ms"] if exported else None,
        answer_p99_ms=exported["answer_p99_ms"] if exported else None,
        frames=load.n_frames,
        expected=sum(int(posted["accepted"]) for posted in figures if posted) * n_clients,
        frame_p50_ms=p50,
        frame_p99_ms=p99,
        core=core,
        us_per_record=1e6 * core / per_s if per_s else None,
        rss_mb=usage(server.process.pid, ()).rss_mb,
        load_core=load_core,
        others=last.others_since(first, core + load_core),
    )


HEADS = (
    "sent as",
    "dashboards",
    "asked for",
    "records/s",
    "answer p50",
    "p99 ms",
    "delivered",
    "frame p50",
    "p99 ms",
    "core",
    "µs/record",
    "RSS MB",
    "load core",
    "others",
)


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    expected = figures.expected
    return [
        figures.sent_as,
        figures.clients,
        f"{figures.rate:,.0f}/s",
        int(figures.records_per_s),
        figures.answer_p50_ms,
        figures.answer_p99_ms,
        f"{100 * figures.frames / expected:.2f} %" if expected else None,
        figures.frame_p50_ms,
        figures.frame_p99_ms,
        figures.core,
        figures.us_per_record,
        figures.rss_mb,
        figures.load_core,
        figures.others,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=100, help="dashboards")
    parser.add_argument("--updates", type=float, default=200, help="further updates a second")
    parser.add_argument("--rate", type=float, default=5_000, help="log records a second")
    parser.add_argument("--batch", type=int, default=100, help="records in an export")
    parser.add_argument("--seconds", type=float, default=5, help="measured, after a warm-up of 1")
    parser.add_argument("--only", default=",".join(CASES), help="cases, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="5 dashboards, 500 records/s, 1 s")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.rate, options.seconds = 5, 500.0, 1.0
    allow_open_files(2 * options.clients + 4_096)
    results = []
    for case in options.only.split(","):
        results.append(measure(case, options))
        print(f"{case} done", file=sys.stderr)
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
