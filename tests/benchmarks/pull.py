"""Long history exports while dashboards receive updates: does a pull delay the fan-out?

    python -m tests.benchmarks.pull [--rows 1000000] [--clients 200] [--updates 200]
        [--seconds 10] [--only none,arrow,ndjson,csv,json] [--json] [--quick]

Each row is one server on a database with ``--rows`` events. Dashboards receive every update, as in
``fanout``, while one client pulls the whole history repeatedly in one format (``json``: pages of
10,000 by cursor). Compare the latencies with ``none``, which pulls nothing. The server and its
children have the first core; dashboards, poster and the pulling client share the second, where the
client has the lowest priority. ``rows/s`` counts the rows that the client received during the
measurement. Memory is the server's without its children.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from htmlgraph_nb import PresenceManager
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.columnar.sealing import seal
from tests.benchmarks.fanout import AGENTS, BATCH, DRAIN_S
from tests.benchmarks.load import Load
from tests.benchmarks.machine import allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Poster, Running, preload, running, start
from tests.benchmarks.table import print_figures
from tests.helpers.wait import wait_until

CASES = ("none", "arrow", "ndjson", "csv", "json")
_FORMATS = {
    "arrow": "format=arrow&compression=zstd",
    "ndjson": "format=ndjson",
    "csv": "format=csv",
}
_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Figures:
    """Results of one run.

    Attributes:
        pull: format of the pull.
        delivered: share of all frames that arrived.
        rows_per_s: rows that the pulling client received, per second.
        mb_per_s: megabytes that it received, per second.
        rss_mb: largest measured resident memory of the server.
        core: cores that the server used.
    """

    pull: str
    delivered: float
    p50_ms: float | None
    p99_ms: float | None
    rows_per_s: float
    mb_per_s: float
    rss_mb: float
    core: float


def fill(path: str, n_rows: int) -> None:
    """Write events of the last three days into a database and seal them."""
    start_time = datetime.now(UTC) - timedelta(days=3)
    with PresenceManager(path) as manager:
        for first in range(0, n_rows, 10_000):
            manager.ingest(
                [
                    Event(
                        agent_id=f"agent-{n % AGENTS:04d}",
                        event_type="tool_execute" if n % 3 else "completion",
                        timestamp=start_time
                        + timedelta(seconds=n * 0.25 * 1_000_000 / max(n_rows, 1)),
                        session_id=f"session-{n % 2_000}",
                        tool_name=("Read", "Edit", "Bash")[n % 3],
                        model="claude-sonnet-4-5",
                        project="benchmarks",
                        event_id=f"old-{n}",
                        input_tokens=n % 5_000,
                        output_tokens=n % 700,
                        duration_ms=n % 900,
                    )
                    for n in range(first, min(first + 10_000, n_rows))
                ]
            )
    seal(path)


def pull(host: str, port: int, kind: str, log: str) -> None:
    """Pull repeatedly and log the rows and bytes so far, until the process is killed."""
    totals = [0, 0]
    # Do not disturb the dashboards on the same core: their latency is measured.
    os.nice(19)
    with open(log, "w", encoding="utf-8", buffering=1) as file:
        while True:
            pulled = _pages(host, port) if kind == "json" else _stream(host, port, kind)
            for n_rows, n_bytes in pulled:
                totals[0] += n_rows
                totals[1] += n_bytes
                file.write(f"{time.monotonic()} {totals[0]} {totals[1]}\n")


def _stream(host: str, port: int, kind: str) -> Iterator[tuple[int, int]]:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    connection.request("GET", f"/api/history?{_FORMATS[kind]}")
    response = connection.getresponse()
    if kind == "arrow":
        import pyarrow as pa

        with pa.ipc.open_stream(response) as reader:
            for batch in reader:
                yield batch.num_rows, batch.nbytes
    else:
        while part := response.read(1 << 20):
            yield part.count(b"\n"), len(part)
    connection.close()


def _pages(host: str, port: int) -> Iterator[tuple[int, int]]:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    cursor = ""
    more = True
    while more:
        connection.request("GET", f"/api/history?limit=10000{cursor}")
        body = connection.getresponse().read()
        page = json.loads(body)
        more, cursor = page["more"], f"&cursor={page['cursor']}"
        yield len(page["events"]), len(body)
    connection.close()


def measure(kind: str, path: str, home: str, options: argparse.Namespace) -> Figures:
    """Run one server and one pulling client."""
    serving, loading = shared_out()
    pin(*loading)
    arguments = ["htmlgraph_server.cli", "serve", "--port", "0", "--db", path, "--no-watch"]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(arguments, serving, HTMLGRAPH_HOME=home))
        preload(server, loading, AGENTS)
        load = Load(server.address, "/ws/broadcasts", has_state=True)
        stack.callback(load.close)
        load.connect(options.clients)
        load.run(time.monotonic() + 0.5)
        flags = ["--rate", str(options.updates), "--batch", str(min(BATCH, 2))]
        flags += ["--agents", str(AGENTS), "--seconds", str(_WARM_UP_S + options.seconds)]
        puller = None
        if kind != "none":
            puller = stack.enter_context(_pulling(server, kind, loading))
        poster = stack.enter_context(contextlib.closing(Poster(server, loading, *flags)))
        return _run(kind, server, load, poster, puller, options.seconds)


@contextlib.contextmanager
def _pulling(server: Running, kind: str, cores: list[int]) -> Iterator[str]:
    host, port = server.address
    with tempfile.NamedTemporaryFile(suffix=".txt") as log:
        command = ["tests.benchmarks.pull", "--pull", kind, "--at", f"{host}:{port}"]
        process = start([*command, "--log", log.name], cores)
        try:
            wait_until(
                lambda: os.path.getsize(log.name) > 0, "the first rows of the pulling client"
            )
            yield log.name
            if process.poll() is not None:
                raise RuntimeError(f"the pulling client failed ({kind})")
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _run(
    kind: str, server: Running, load: Load, poster: Poster, log: str | None, seconds: float
) -> Figures:
    started = time.monotonic()
    load.run(started + _WARM_UP_S)
    first, wall = usage(server.process.pid, ()), time.time()
    peak_rss_mb = first.rss_mb
    end = started + _WARM_UP_S + seconds
    while time.monotonic() < end:
        load.run(min(end, time.monotonic() + 0.5))
        peak_rss_mb = max(peak_rss_mb, usage(server.process.pid, ()).rss_mb)
    last, wall_end = usage(server.process.pid, ()), time.time()
    n_clients = len(load.dashboards)

    def all_received() -> bool:
        figures = poster.figures()
        return figures is not None and load.n_frames >= int(figures["accepted"]) * n_clients

    load.run(time.monotonic() + DRAIN_S, all_received)
    figures = poster.figures()
    total = int(figures["accepted"]) if figures else len(load.stream.seqs)
    p50, p99 = load.latencies_ms(wall, wall_end)
    rows, n_bytes = _received(log, first.at, last.at) if log else (0, 0)
    return Figures(
        pull=kind,
        delivered=load.n_frames / (total * n_clients),
        p50_ms=p50,
        p99_ms=p99,
        rows_per_s=rows / (last.at - first.at),
        mb_per_s=n_bytes / 1e6 / (last.at - first.at),
        rss_mb=peak_rss_mb,
        core=last.cores_since(first),
    )


def _received(log: str, since: float, until: float) -> tuple[int, int]:
    """Return the rows and bytes that the client received between two monotonic times."""
    before, after = (0, 0), (0, 0)
    with open(log, encoding="utf-8") as file:
        for line in file:
            parts = line.split()
            if len(parts) < 3 or not line.endswith("\n"):
                continue
            at, totals = float(parts[0]), (int(parts[1]), int(parts[2]))
            if at < since:
                before = totals
            if at < until:
                after = totals
    return max(0, after[0] - before[0]), max(0, after[1] - before[1])


HEADS = ("pull", "delivered", "p50 ms", "p99 ms", "rows/s", "MB/s", "RSS MB", "core")


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    return [
        figures.pull,
        f"{100 * figures.delivered:.2f} %",
        figures.p50_ms,
        figures.p99_ms,
        int(figures.rows_per_s),
        figures.mb_per_s,
        figures.rss_mb,
        figures.core,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="events of the history")
    parser.add_argument("--clients", type=int, default=200, help="dashboards")
    parser.add_argument("--updates", type=float, default=200, help="updates a second")
    parser.add_argument("--seconds", type=float, default=10, help="measured, after a warm-up of 1")
    parser.add_argument("--only", default=",".join(CASES), help="formats, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="3,000 rows, 20 clients, 1 s")
    parser.add_argument("--pull", help=argparse.SUPPRESS)
    parser.add_argument("--at", default="", help=argparse.SUPPRESS)
    parser.add_argument("--log", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pull:
        host, _, port = options.at.rpartition(":")
        pull(host, int(port), options.pull, options.log)
    if options.quick:
        options.rows, options.clients, options.seconds = 3_000, 20, 1.0
    allow_open_files(2 * options.clients + 4_096)
    results = []
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as home:
        path = f"{home}/bench.db"
        fill(path, options.rows)
        for kind in options.only.split(","):
            results.append(measure(kind, path, home, options))
            print(f"{kind} done", file=sys.stderr)
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
