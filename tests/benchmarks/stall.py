"""A dashboard that never reads, among dashboards that do: latency, memory and recovery.

    python -m tests.benchmarks.stall [--clients 200] [--updates 500] [--seconds 10] [--rounds 2]
        [--json] [--quick]

One server runs all phases; phases without and with the stalled dashboard take turns: compare their
latencies and memory. The stalled dashboard has a receive buffer of 64 KiB, so that the server soon
notices it. After its phase it reads again and must then hold exactly the state of the server.
``queue`` is the size of the server's queues for all dashboards (``/api/status``) at the end of the
phase, at most 1 MiB for each. ``lagged`` says whether the stalled dashboard passed that limit, so
that it gets a state instead of frames.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from dataclasses import dataclass

from htmlgraph_nb.core.mirror import Mirror
from tests.benchmarks.load import Dashboard, Load
from tests.benchmarks.machine import allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Poster, Running, htmlgraph, preload
from tests.benchmarks.table import print_figures

AGENTS = 200
RECEIVE_BYTES = 65_536
DRAIN_S = 10.0


@dataclass(frozen=True)
class Figures:
    """Results of one phase.

    Attributes:
        delivered: share of all updates that the reading dashboards received.
        rss_mb: resident memory of the server at the end of the phase.
        converged_s: seconds from the first read of the stalled dashboard until it held the state
            of the server; None for a phase without one.
        states: messages other than updates that it received then.
    """

    stalled: bool
    p50_ms: float | None
    p99_ms: float | None
    delivered: float
    core: float
    rss_mb: float
    queue_bytes: int
    lagged: bool
    converged_s: float | None
    states: int
    others: float


class NotConverged(Exception):
    """The stalled dashboard holds a different state than the server."""


def phase(
    server: Running, load: Load, stalled: bool, options: argparse.Namespace, cores: list[int]
) -> Figures:
    """Run one phase and return its figures."""
    mirror = Mirror()
    stalled_dashboard = load.connect_apart(mirror.apply, RECEIVE_BYTES) if stalled else None
    n_before = load.n_frames
    first, wall = usage(server.process.pid, ()), time.time()
    flags = ["--rate", str(options.updates), "--agents", str(AGENTS)]
    flags += ["--batch", "10", "--seconds", str(options.seconds)]
    with contextlib.closing(Poster(server, cores, *flags)) as poster:
        load.run(time.monotonic() + options.seconds)
        last = usage(server.process.pid, ())
        status = server.get("/api/status")

        def all_received() -> bool:
            done = poster.figures()
            return done is not None and load.n_frames - n_before >= done["accepted"] * len(
                load.dashboards
            )

        load.run(time.monotonic() + DRAIN_S, all_received)
        posted = poster.figures()
    if posted is None:
        raise TimeoutError(f"the poster did not finish within {DRAIN_S:g} s")
    converged_s = None
    if stalled_dashboard is not None:
        converged_s = converge(server, load, stalled_dashboard, mirror)
        load.unwatch(stalled_dashboard)
        stalled_dashboard.socket.close()
    p50, p99 = load.latencies_ms(wall, time.time())
    core = last.cores_since(first)
    return Figures(
        stalled=stalled,
        p50_ms=p50,
        p99_ms=p99,
        delivered=(load.n_frames - n_before) / (posted["accepted"] * options.clients),
        core=core,
        rss_mb=last.rss_mb,
        queue_bytes=status["queue"]["bytes"],
        lagged=bool(status["clients"]["lagging"]),
        converged_s=converged_s,
        states=stalled_dashboard.n_states if stalled_dashboard is not None else 0,
        others=last.others_since(first, core),
    )


def converge(server: Running, load: Load, stalled_dashboard: Dashboard, mirror: Mirror) -> float:
    """Read until the stalled dashboard has the state of the server; return the seconds needed.

    Raises:
        NotConverged: it had another state after 10 s.
    """
    expected = {row["agent_id"]: row for row in server.get("/api/presence")["agents"]}
    start = time.monotonic()
    load.watch(stalled_dashboard)

    def is_converged() -> bool:
        return {name: agent.to_dict() for name, agent in mirror.agents.items()} == expected

    load.run(start + DRAIN_S, is_converged)
    if not is_converged():
        raise NotConverged(
            f"{len(mirror.agents)} agents at seq {mirror.seq}, expected {len(expected)}"
        )
    return time.monotonic() - start


def measure(options: argparse.Namespace) -> list[Figures]:
    """Run all phases on one server."""
    serving, loading = shared_out()
    pin(*loading)
    with htmlgraph(serving) as server:
        preload(server, loading, AGENTS)
        load = Load(server.address, "/ws/broadcasts", has_state=True)
        with contextlib.closing(load):
            load.connect(options.clients)
            results = []
            for number in range(2 * options.rounds):
                stalled = bool(number % 2)
                results.append(phase(server, load, stalled, options, loading))
                print(f"phase {number + 1} of {2 * options.rounds} done", file=sys.stderr)
            return results


HEADS = (
    "phase",
    "p50 ms",
    "p99 ms",
    "delivered",
    "core",
    "RSS MB",
    "queue KB",
    "lagged",
    "states",
    "converged s",
    "others",
)


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    return [
        "one stalled" if figures.stalled else "all read",
        figures.p50_ms,
        figures.p99_ms,
        f"{100 * figures.delivered:.2f} %",
        figures.core,
        figures.rss_mb,
        figures.queue_bytes / 1_000,
        "yes" if figures.lagged else "no",
        figures.states,
        figures.converged_s,
        figures.others,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=200, help="dashboards that read")
    parser.add_argument("--updates", type=float, default=500, help="updates a second")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each phase")
    parser.add_argument("--rounds", type=int, default=2, help="phases of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="10 dashboards, 1 round of 1.5 s")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.seconds, options.rounds = 10, 1.5, 1
    allow_open_files(2 * options.clients + 4_096)
    results = measure(options)
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
