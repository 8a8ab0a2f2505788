"""One dashboard that never reads, among others that do: what they notice, and what it costs.

    python -m tests.benchmarks.stall [--clients 200] [--updates 500] [--seconds 10] [--rounds 2]
        [--json] [--quick]

One server runs all phases; those without and with the stalled dashboard take turns. The stalled
one asks its kernel for 64 KiB, so that its silence soon reaches the server. After its phase it
reads again: it must then hold exactly what the server says. ``queue`` is what the server keeps
for all dashboards (``/api/status``) at the end of the phase, with the bound of 1 MiB for each;
``lagged`` whether the stalled one passed that bound, so that it gets a state instead of frames.
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
    """One phase.

    Attributes:
        delivered: share of all updates that the reading dashboards received.
        rss_mb: of the server at the end of the phase.
        converged_s: seconds from its first read until the stalled dashboard held what the server
            says; None: it had no stalled one.
        states: messages other than updates that it then got.
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
    """The stalled dashboard holds another state than the server."""


def phase(
    server: Running, load: Load, stalled: bool, options: argparse.Namespace, cores: list[int]
) -> Figures:
    """Run one phase and return its figures."""
    mirror = Mirror()
    silent = load.connect_apart(mirror.fold, RECEIVE_BYTES) if stalled else None
    n_before = load.n_frames
    first, wall = usage(server.process.pid, ()), time.time()
    flags = ["--rate", str(options.updates), "--agents", str(AGENTS)]
    flags += ["--batch", "10", "--seconds", str(options.seconds)]
    with contextlib.closing(Poster(server, cores, *flags)) as poster:
        load.run(time.monotonic() + options.seconds)
        last = usage(server.process.pid, ())
        status = server.get("/api/status")

        def all_there() -> bool:
            done = poster.figures()
            return done is not None and load.n_frames - n_before >= done["accepted"] * len(
                load.dashboards
            )

        load.run(time.monotonic() + DRAIN_S, all_there)
        posted = poster.figures()
    if posted is None:
        raise TimeoutError("the poster is not done")
    converged_s = None
    if silent is not None:
        converged_s = converge(server, load, silent, mirror)
        load.unwatch(silent)
        silent.socket.close()
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
        states=silent.n_states if silent is not None else 0,
        others=last.others_since(first, core),
    )


def converge(server: Running, load: Load, silent: Dashboard, mirror: Mirror) -> float:
    """Let it read until it holds what the server says; return the seconds that this took.

    Raises:
        NotConverged: it did not within 10 s.
    """
    told = {row["agent_id"]: row for row in server.get("/api/presence")["agents"]}
    start = time.monotonic()
    load.watch(silent)

    def same() -> bool:
        return {name: one.to_dict() for name, one in mirror.agents.items()} == told

    load.run(start + DRAIN_S, same)
    if not same():
        raise NotConverged(f"{len(mirror.agents)} agents at seq {mirror.seq}")
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
    parser.add_argument("--seconds", type=float, default=10, help="of each phase")
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
