"""Durable events per second over HTTP and WebSocket, while dashboards receive all of them.

    python -m tests.benchmarks.ingest [--clients 100] [--rate 10000] [--batch 100] [--seconds 5]
        [--json] [--quick]

Eight connections send requests (or frames to /ws/events) of ``--batch`` events; each is answered
after its commit to a new SQLite file. One run of each route sends at ``--rate``, one (``most``)
sends the next request as soon as it has the response. ``answer`` is the time from sending a request
to its response; ``frame`` the time from when an event was due until a dashboard has read it. The
server has the first core. There is no peer: compare ``us_per_event`` between versions.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass

from tests.benchmarks.load import Load
from tests.benchmarks.machine import allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Poster, htmlgraph, preload
from tests.benchmarks.table import print_figures

WARM_UP_S = 1.0
DRAIN_S = 30.0
AGENTS = 200


@dataclass(frozen=True)
class Figures:
    """Results of one run.

    Attributes:
        route: route of the events.
        rate: requested events a second; 0 for as many as the server accepts.
        frames: updates that dashboards received.
        expected: updates that dashboards should have received.
        core, load_core: cores that the server and the dashboards used.
        others: cores that other processes used, see ``fanout``.
    """

    route: str
    rate: float
    clients: int
    accepted: int
    events_per_s: float
    answer_p50_ms: float
    answer_p99_ms: float
    frames: int
    expected: int
    frame_p50_ms: float | None
    frame_p99_ms: float | None
    core: float
    us_per_event: float
    rss_mb: float
    load_core: float
    others: float


def measure(
    route: str, clients: int, rate: float, batch: int, seconds: float, *flags: str
) -> Figures:
    """Run one server and return its figures.

    Args:
        flags: further flags of the poster.
    """
    serving, loading = shared_out()
    alone = serving != loading
    pin(*loading)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(htmlgraph(serving))
        preload(server, loading, AGENTS)
        load = Load(server.address, "/ws/broadcasts", has_state=True)
        stack.callback(load.close)
        load.connect(clients)
        arguments = ["--rate", str(rate), "--batch", str(batch), "--agents", str(AGENTS)]
        arguments += ["--seconds", str(WARM_UP_S + seconds), *flags]
        poster = stack.enter_context(contextlib.closing(Poster(server, loading, *arguments)))
        started = time.monotonic()
        load.run(started + WARM_UP_S)
        pid, own_pid = server.process.pid, os.getpid()
        first, first_load = usage(pid, serving if alone else ()), usage(own_pid, ())
        wall, n_first = time.time(), len(load.stream.seqs)
        load.run(started + WARM_UP_S + seconds)
        last, last_load = usage(pid, serving if alone else ()), usage(own_pid, ())
        wall_end, n_last = time.time(), len(load.stream.seqs)

        def all_received() -> bool:
            done = poster.figures()
            return done is not None and load.n_frames >= done["accepted"] * clients

        load.run(time.monotonic() + DRAIN_S, all_received)
        posted = poster.figures()
        if posted is None:
            raise TimeoutError(f"the poster did not finish within {DRAIN_S:g} s")
        core, load_core = last.cores_since(first), last_load.cores_since(first_load)
        p50, p99 = load.latencies_ms(wall, wall_end)
        return Figures(
            route=route,
            rate=rate,
            clients=clients,
            accepted=posted["accepted"],
            events_per_s=posted["events_per_s"],
            answer_p50_ms=posted["answer_p50_ms"],
            answer_p99_ms=posted["answer_p99_ms"],
            frames=load.n_frames,
            expected=posted["accepted"] * clients,
            frame_p50_ms=p50,
            frame_p99_ms=p99,
            core=core,
            us_per_event=1e6 * (last.cpu_s - first.cpu_s) / max(1, n_last - n_first),
            rss_mb=usage(pid, ()).rss_mb,
            load_core=load_core,
            others=last.others_since(first, core + load_core),
        )


HEADS = (
    "route",
    "dashboards",
    "asked for",
    "events/s",
    "answer p50",
    "p99 ms",
    "frames",
    "delivered",
    "frame p50",
    "p99 ms",
    "core",
    "µs/event",
    "RSS MB",
    "load core",
    "others",
)


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    return [
        figures.route,
        figures.clients,
        f"{figures.rate:,.0f}/s" if figures.rate else "most",
        int(figures.events_per_s),
        figures.answer_p50_ms,
        figures.answer_p99_ms,
        figures.frames,
        f"{100 * figures.frames / figures.expected:.2f} %",
        figures.frame_p50_ms,
        figures.frame_p99_ms,
        figures.core,
        figures.us_per_event,
        figures.rss_mb,
        figures.load_core,
        figures.others,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=100, help="dashboards")
    parser.add_argument("--rate", type=float, default=10_000, help="events a second")
    parser.add_argument("--batch", type=int, default=100, help="events in a request")
    parser.add_argument("--seconds", type=float, default=5, help="measured, after a warm-up of 1")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="5 dashboards, 1,000 events/s, 1 s")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.rate, options.seconds = 5, 1_000.0, 1.0
    allow_open_files(2 * options.clients + 4_096)
    cases: list[tuple[str, float, tuple[str, ...]]] = [
        ("POST /api/events", options.rate, ()),
        ("WS /ws/events", options.rate, ("--websocket",)),
    ]
    if not options.quick:
        cases += [(route, 0.0, flags) for route, _, flags in cases]
    results = []
    for route, rate, flags in cases:
        results.append(
            measure(route, options.clients, rate, options.batch, options.seconds, *flags)
        )
        print(f"{route} done", file=sys.stderr)
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
