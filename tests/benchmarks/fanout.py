"""Fan-out of updates to many dashboards, compared with peers that run in the same session.

    python -m tests.benchmarks.fanout [--clients 1000] [--updates 1000] [--seconds 5]
        [--only htmlgraph,hub,floor,websockets,tornado] [--tries 1] [--ceiling] [--jupyter]
        [--json] [--quick]

``htmlgraph`` is the complete server: ``htmlgraph-nb serve`` with a new SQLite file receives
``POST /api/events`` on 8 keep-alive connections (requests of 10 events, so 100 requests a second
for 1,000 updates, each answered after its commit) and sends to N WebSocket dashboards. The peers
generate the same messages themselves at the same rate; they read no requests and store nothing.
``hub`` is this project's fan-out alone, without requests and storage. ``floor`` is no server, only
one ``socket.send`` of the joined frames of a tick per client. Compare ``us_per_frame`` and the
latencies of ``htmlgraph`` with those of ``websockets`` and ``floor``.

The server has the first core; dashboards and poster share the second. Every byte that a dashboard
receives is compared with what the others received; ``delivered`` counts complete frames. Latency
runs from the time at which an event was due until a dashboard has read the bytes of its frame, over
all frames of 20 dashboards. CPU is user and system time of the server process plus the soft
interrupts of its core, in which the kernel delivers the packets. ``others`` is the number of cores
that other processes used (the poster included): do not trust a run with more than 0.3. With
``--tries 3`` there are three rounds: each server's run with the fewest ``others`` counts, and
ratios are medians. On a virtual machine, the time that the host needs to wake a sleeping core is
charged to no process, so a peer that wakes its readers for each frame can fall behind while it uses
less than one core.

At 1,000 updates/s the peers are at their limit and this server is not: find its limit with
``--only htmlgraph --updates 2000``, or with ``--ceiling``, which feeds the hub in its own process
at rising rates.

``--jupyter`` compares the server inside Jupyter Server with the standalone server, without and with
two kernels that print 100 lines a second each, and prints the ratios. ``kernels`` is the standalone
server while a Jupyter Server on the same core streams the kernels' output; ``streaming`` is the
server inside that Jupyter Server. Both do the same work on the same cores; ``core`` counts the
measured process only. The kernels and the client that reads their output share the second core with
the dashboards.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.jupyter_server import mounted
from tests.benchmarks.load import Load
from tests.benchmarks.machine import Usage, allow_open_files, pin, shared_out, usage
from tests.benchmarks.peers import PATHS
from tests.benchmarks.servers import Poster, Running, htmlgraph, peer, preload
from tests.benchmarks.table import print_figures, print_table

DRAIN_S = 3.0
BATCH = 10
AGENTS = 200
CASES = ("htmlgraph", "hub", "floor", "websockets", "tornado")
N_KERNELS = 2
JUPYTER_CASES = {"jupyter": "htmlgraph", "streaming": "kernels"}
"""The server inside Jupyter Server → the standalone server with the same additional load."""


@dataclass(frozen=True)
class Figures:
    """Results of one server.

    Attributes:
        frames_per_s: frames that arrived during the measurement, per second.
        delivered: share of all frames of the run that arrived, including the wait at the end.
        core: cores that the server used.
        load_core: cores that the dashboards used.
        us_per_frame: microseconds of server CPU per frame that arrived.
        connected_mb: resident memory with all dashboards connected, before updates.
        rss_mb: resident memory at the end.
        kb_per_client: growth of resident memory per connecting dashboard.
        others: cores that other processes used.
    """

    server: str
    clients: int
    updates_per_s: float
    frames: int
    expected: int
    frames_per_s: float
    delivered: float
    p50_ms: float | None
    p99_ms: float | None
    core: float
    load_core: float
    us_per_frame: float
    connected_mb: float
    rss_mb: float
    kb_per_client: float
    others: float


@dataclass(frozen=True)
class Task:
    """Load of a run."""

    clients: int
    updates: float
    seconds: float
    warm_up_s: float = 1.0


def measure(name: str, task: Task) -> Figures:
    """Run one server, or one peer, and return its figures."""
    serving, loading = shared_out()
    pin(*loading)
    with contextlib.ExitStack() as stack:
        is_server = name not in PATHS
        server = stack.enter_context(_start_server(name, serving, loading))
        if is_server:
            preload(server, loading, AGENTS)
        path = f"{server.base}/ws/broadcasts" if is_server else PATHS[name]
        load = Load(server.address, path, has_state=is_server or name == "hub", token=server.token)
        stack.callback(load.close)
        before = usage(server.process.pid, ())
        load.connect(task.clients)
        load.run(time.monotonic() + 0.5)
        connected = usage(server.process.pid, ())
        source = stack.enter_context(
            (_post_updates if is_server else _request_updates)(server, task, loading)
        )
        return _run(name, task, server, load, (before, connected), source)


def _start_server(
    name: str, serving: list[int], loading: list[int]
) -> contextlib.AbstractContextManager[Running]:
    if name == "htmlgraph":
        return htmlgraph(serving)
    if name == "kernels":
        return _beside_kernels(serving, loading)
    if name in JUPYTER_CASES:
        return mounted(serving, loading, N_KERNELS if name == "streaming" else 0)
    return peer(name, serving)


@contextlib.contextmanager
def _beside_kernels(serving: list[int], loading: list[int]) -> Iterator[Running]:
    with mounted(serving, loading, N_KERNELS), htmlgraph(serving) as server:
        yield server


def _run(
    name: str,
    task: Task,
    server: Running,
    load: Load,
    idle: tuple[Usage, Usage],
    n_updates: Callable[[], int | None],
) -> Figures:
    serving, loading = shared_out()

    def used() -> tuple[Usage, Usage]:
        alone = serving != loading
        of_server = usage(server.process.pid, serving if alone else ())
        return of_server, usage(os.getpid(), loading if alone else ())

    started = time.monotonic()
    load.run(started + task.warm_up_s)
    (first, first_load), n_first, wall = used(), load.n_frames, time.time()
    load.run(started + task.warm_up_s + task.seconds)
    (last, last_load), n_last, wall_end = used(), load.n_frames, time.time()

    def all_received() -> bool:
        total = n_updates()
        return total is not None and load.n_frames >= total * task.clients

    load.run(time.monotonic() + DRAIN_S, all_received)
    total = n_updates() or len(load.stream.seqs)
    cpu_s, frames = last.cpu_s - first.cpu_s, n_last - n_first
    core, load_core = last.cores_since(first), last_load.cores_since(first_load)
    p50, p99 = load.latencies_ms(wall, wall_end)
    before, connected = idle
    return Figures(
        server=name,
        clients=task.clients,
        updates_per_s=task.updates,
        frames=load.n_frames,
        expected=total * task.clients,
        frames_per_s=frames / (last.at - first.at),
        delivered=load.n_frames / (total * task.clients),
        p50_ms=p50,
        p99_ms=p99,
        core=core,
        load_core=load_core,
        us_per_frame=1e6 * cpu_s / max(1, frames),
        connected_mb=connected.rss_mb,
        rss_mb=usage(server.process.pid, ()).rss_mb,
        kb_per_client=1_000 * (connected.rss_mb - before.rss_mb) / task.clients,
        others=last.others_since(first, core + load_core),
    )


@contextlib.contextmanager
def _post_updates(
    server: Running, task: Task, loading: list[int]
) -> Iterator[Callable[[], int | None]]:
    """Post from a third process; yield a function that returns the number of updates when done."""
    flags = ["--rate", str(task.updates), "--batch", str(BATCH), "--agents", str(AGENTS)]
    flags += ["--seconds", str(task.warm_up_s + task.seconds)]
    with contextlib.closing(Poster(server, loading, *flags)) as poster:

        def n_updates() -> int | None:
            figures = poster.figures()
            return None if figures is None else int(figures["accepted"])

        yield n_updates


@contextlib.contextmanager
def _request_updates(
    server: Running, task: Task, _loading: list[int]
) -> Iterator[Callable[[], int | None]]:
    """Make a peer generate the updates; their number follows from the rate."""
    seconds = task.warm_up_s + task.seconds
    server.send_command(f"go {task.updates} {seconds}")
    yield lambda: round(task.updates * seconds)


RATIOS = {
    "frames/s": "frames_per_s",
    "p50": "p50_ms",
    "p99": "p99_ms",
    "core": "core",
    "µs/frame": "us_per_frame",
}
"""Column head of each ratio → its figure."""

HEADS = (
    "server",
    "clients",
    "updates/s",
    "frames/s",
    "delivered",
    "p50 ms",
    "p99 ms",
    "core",
    "µs/frame",
    "RSS MB",
    "KB/client",
    "load core",
    "others",
)


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    return [
        figures.server,
        figures.clients,
        int(figures.updates_per_s),
        int(figures.frames_per_s),
        f"{100 * figures.delivered:.2f} %",
        figures.p50_ms,
        figures.p99_ms,
        figures.core,
        figures.us_per_frame,
        figures.rss_mb,
        figures.kb_per_client,
        figures.load_core,
        figures.others,
    ]


def ratios(rounds: Sequence[Sequence[Figures]], name: str) -> list[object]:
    """Return the figures of a server inside Jupyter divided by the standalone ones, as a table row.

    Args:
        rounds: the runs of each round; each ratio is the median over the rounds.
    """

    def ratio(figure: str) -> float | None:
        values = []
        for results in rounds:
            runs = {result.server: getattr(result, figure) for result in results}
            inside, standalone = runs[name], runs[JUPYTER_CASES[name]]
            values += [inside / standalone] if inside and standalone else []
        return statistics.median(values) if values else None

    return [name, *map(ratio, RATIOS.values())]


def _jupyter_pairs() -> list[str]:
    return [name for pair in JUPYTER_CASES.items() for name in reversed(pair)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--updates", type=float, default=1_000, help="updates a second")
    parser.add_argument("--seconds", type=float, default=5, help="measured, after a warm-up of 1")
    parser.add_argument("--only", default=",".join(CASES), help="servers, separated by commas")
    parser.add_argument(
        "--jupyter", action="store_true", help="inside Jupyter Server and standalone"
    )
    parser.add_argument(
        "--tries",
        type=int,
        default=1,
        help="runs of each server; the one with the fewest others counts",
    )
    parser.add_argument("--ceiling", action="store_true", help="only the hub, at rising rates")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="20 clients, 200 updates/s, 0.7 s")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.updates, options.seconds = 20, 200.0, 0.7
    allow_open_files(2 * options.clients + 4_096)
    warm_up_s = 0.3 if options.quick else 1.0
    tasks = [
        (name, Task(options.clients, options.updates, options.seconds, warm_up_s))
        for name in (_jupyter_pairs() if options.jupyter else options.only.split(","))
    ]
    if options.ceiling:
        rates = (200.0,) if options.quick else (1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0)
        tasks = [("hub", Task(options.clients, rate, options.seconds, warm_up_s)) for rate in rates]
    rounds = []
    for number in range(options.tries):
        rounds.append([measure(name, task) for name, task in tasks])
        print(f"round {number + 1} done", file=sys.stderr)
    results = [min(runs, key=lambda run: run.others) for runs in zip(*rounds, strict=True)]
    print_figures(results, HEADS, row, as_json=options.json)
    if options.jupyter and not options.json:
        heads = ("beside standalone", *RATIOS)
        print_table(heads, [ratios(rounds, name) for name in JUPYTER_CASES])


if __name__ == "__main__":
    main()
