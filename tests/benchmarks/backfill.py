"""The import of past sessions at the start of a server: its speed, memory and effect on latency.

    python -m tests.benchmarks.backfill [--bytes 200M] [--clients 5] [--updates 200] [--json]
        [--source FILE] [--quick]

Two servers run one after the other under the same load of updates and dashboards: ``without``
imports nothing, ``during`` imports a folder of session files. These are copies of the recorded
ones with other ids and times. Compare the latencies of the two. The peers read the same folder
where they are installed: ``ccusage`` (npm) and ``agentsview`` (PyPI); their time includes their
start.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.benchmarks.machine import allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Poster, Running, htmlgraph, preload
from tests.benchmarks.table import print_figures, quantile
from tests.helpers.session_home import RECORDED, SessionHome

AGENTS = 50
DEADLINE_S = 3_600.0
PEERS = {
    "ccusage": ["ccusage", "daily", "--json", "--offline"],
    "agentsview": ["agentsview", "sync"],
}
HEADS = ("way", "MB", "s", "MB/s", "events", "p50 ms", "p99 ms", "server MB", "child MB")


@dataclass(frozen=True)
class Figures:
    """Results of one way.

    Attributes:
        size_mb: session files that were read.
        seconds: from the start of the server, or of the peer, to the end of its reading.
        server_mb, child_mb: largest resident memory of the server and of the importing process.
    """

    way: str
    size_mb: float
    seconds: float
    events: int | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    server_mb: float | None = None
    child_mb: float | None = None


def size_of(text: str) -> int:
    """Return the bytes of a text such as 200M or 2G."""
    match = re.fullmatch(r"(\d+)([kMG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 200M or 2G, got {text!r}")
    return int(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]


def make_sessions(home: SessionHome, n_bytes: int, source: Path | None) -> int:
    """Write copies of the recorded sessions, an hour apart and more; return their size.

    Args:
        source: a session file of Claude Code to copy; None: the recorded ones of three agents.
    """
    written = number = 0
    agents = [*RECORDED]
    while written < n_bytes:
        # Between an hour and 29 days old.
        age = timedelta(hours=1 + number % 690, seconds=number % 3_000)
        agent = agents[number % len(agents)] if source is None else "claude"
        written += home.add(agent, age, source=source).stat().st_size
        number += 1
    return written


def child_memory(pid: int) -> float:
    """Return the resident memory in MB of the children of a process."""
    sizes = [0]
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            sizes.append(child.memory_info().rss)
    return max(sizes) / 1e6


@contextlib.contextmanager
def dashboards(server: Running, n_clients: int, latencies_ms: list[float]) -> Iterator[None]:
    """Connect dashboards that read everything; add the latency of each posted update."""

    def read(dashboard: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for frame in dashboard:
                now = time.time()
                message = json.loads(frame)
                presence = message.get("presence", {})
                # Only the poster's agents are updated now; the others are imported.
                is_posted = presence.get("agent_id", "").startswith("agent-")
                if message["type"] == "presence_update" and is_posted:
                    at = datetime.fromisoformat(presence["last_activity"]).timestamp()
                    latencies_ms.append((now - at) * 1_000)

    url = f"ws://{server.address[0]}:{server.address[1]}/ws/broadcasts"
    with contextlib.ExitStack() as stack:
        for _ in range(n_clients):
            dashboard = stack.enter_context(connect(url, max_size=None, compression=None))
            threading.Thread(target=read, args=(dashboard,), daemon=True).start()
        yield


def serve(
    home: SessionHome, size: int, imports: bool, options: argparse.Namespace, cores: list[int]
) -> Figures:
    """Run a server under load, until the import is done or for ``--seconds``."""
    serving, loading = cores[:1], cores[1:] or cores
    flags = ["--watch"] if imports else ["--backfill", "off"]
    started = time.monotonic()
    server_mb = child_mb = 0.0
    with htmlgraph(serving, *flags, **home.environ) as server:
        preload(server, loading, AGENTS)
        latencies: list[float] = []
        with dashboards(server, options.clients, latencies):
            poster_flags = ["--rate", str(options.updates), "--agents", str(AGENTS)]
            poster_flags += ["--batch", "1", "--seconds", str(DEADLINE_S)]
            with contextlib.closing(Poster(server, loading, *poster_flags)):
                end = time.monotonic() + (DEADLINE_S if imports else options.seconds)
                report = None
                while time.monotonic() < end:
                    time.sleep(0.2)
                    server_mb = max(server_mb, usage(server.process.pid, ()).rss_mb)
                    child_mb = max(child_mb, child_memory(server.process.pid))
                    report = status_of(server)
                    if imports and report is not None and report["state"] == "done":
                        break
                seconds = time.monotonic() - started
    ordered = sorted(latencies)
    p50, p99 = quantile(ordered, 0.5), quantile(ordered, 0.99)
    events = report["events"] if imports and report is not None else None
    return Figures(
        "during" if imports else "without",
        size / 1e6 if imports else 0.0,
        seconds,
        events,
        p50,
        p99,
        server_mb,
        child_mb if imports else None,
    )


def status_of(server: Running) -> dict[str, object] | None:
    """Return the report of the import."""
    report: dict[str, object] | None = server.get("/api/status")["backfill"]
    return report


def read_by_peer(name: str, home: SessionHome, size: int) -> Figures | None:
    """Return the figures of a peer; None: it is not installed."""
    program = shutil.which(PEERS[name][0])
    if program is None:
        return None
    # agentsview would start a server that stays.
    environ = {**os.environ, **home.environ, "AGENTSVIEW_NO_DAEMON": "1"}
    started = time.monotonic()
    subprocess.run(
        [program, *PEERS[name][1:]],
        env=environ,
        capture_output=True,
        check=True,
        timeout=DEADLINE_S,
    )
    return Figures(name, size / 1e6, time.monotonic() - started)


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    rate = figures.size_mb / figures.seconds if figures.size_mb else None
    return [
        *(figures.way, figures.size_mb, figures.seconds, rate, figures.events),
        *(figures.p50_ms, figures.p99_ms, figures.server_mb, figures.child_mb),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bytes", type=size_of, default=size_of("200M"), help="session files")
    parser.add_argument("--source", type=Path, help="a session file of Claude Code to copy")
    parser.add_argument("--clients", type=int, default=5, help="dashboards")
    parser.add_argument("--updates", type=float, default=200, help="updates a second")
    parser.add_argument("--seconds", type=float, default=10, help="time without an import")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="300 kB, 5 dashboards, 2 s")
    options = parser.parse_args()
    if options.quick:
        options.bytes, options.clients, options.seconds = 300_000, 5, 2.0
    allow_open_files(options.clients + 4_096)
    serving, loading = shared_out()
    pin(*loading)
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as folder:
        home = SessionHome(Path(folder) / "user")
        size = make_sessions(home, options.bytes, options.source)
        cores = [*serving, *loading]
        results = [serve(home, size, imports, options, cores) for imports in (False, True)]
        peers = [read_by_peer(name, home, size) for name in PEERS]
    results += [each for each in peers if each is not None]
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
