"""How long a small request takes beside one expensive sender, and without it.

    python -m tests.benchmarks.responsiveness [--seconds 4] [--only "NAME;NAME"] [--json] [--quick]

Each sender of ``heavy_requests`` runs alone in its own process against a server of its own, with
default settings and a new SQLite file. Meanwhile one connection repeats ``GET /api/status`` every
10 ms; the table has the time of its response: ``p50``, ``p99`` and ``max``. ``none`` is the same
without a sender: compare with it. ``requests`` is the number of responses that were measured.
``CPU`` is the CPU time of the server, all threads, between a request and its response, which a busy
machine does not change (Linux only).
Server and sender have a core each, if there are two; the measuring process shares the sender's.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.heavy_requests import SENDERS
from tests.benchmarks.machine import allow_open_files, pin, shared_out, usage
from tests.benchmarks.servers import Running, htmlgraph, start
from tests.benchmarks.table import print_figures, quantile

INTERVAL_S = 0.01
QUICK = ("empty groups, gzip", "10,000 events, ws", "presence")
HEADS = (
    *("sender", "p50 ms", "p99 ms", "max ms", "CPU p50 ms", "CPU p99 ms", "requests", "core"),
    *("RSS MB", "others"),
)


@dataclass(frozen=True)
class Figures:
    """Results beside one sender.

    Attributes:
        core: cores that the server used.
        rss_mb: resident memory of the server at the end.
        others: cores that other processes used, the sender included.
    """

    sender: str
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    cpu_p50_ms: float | None
    cpu_p99_ms: float | None
    requests: int
    core: float
    rss_mb: float
    others: float


def measure(name: str, seconds: float) -> Figures:
    """Return the figures beside the sender of this name, or "none"."""
    serving, loading = shared_out()
    pin(*loading)
    with htmlgraph(serving) as server, _sending(server, name, loading):
        first = usage(server.process.pid, ())
        times, cpu_times = _response_times(server, seconds)
        last = usage(server.process.pid, ())
    core = last.cores_since(first)
    return Figures(
        name,
        *((quantile(times, q) if times else None) for q in (0.5, 0.99)),
        max(times, default=None),
        *((quantile(cpu_times, q) if cpu_times else None) for q in (0.5, 0.99)),
        len(times),
        core,
        last.rss_mb,
        last.others_since(first, core),
    )


@contextlib.contextmanager
def _sending(server: Running, name: str, cores: list[int]) -> Iterator[None]:
    if name == "none":
        yield
        return
    process = start(["tests.benchmarks.heavy_requests", "--url", server.url, name], cores)
    try:
        if process.stdout is None or process.stdout.readline() != "sending\n":
            raise RuntimeError(f"the sender {name!r} failed")
        # Without the first requests: they load modules.
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _cpu_ms(pid: int) -> float:
    """Return the CPU time of all threads of a process in milliseconds; 0 where it is unknown."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with contextlib.suppress(OSError), open(path) as file:
            total += int(file.read().split()[0])
    return total / 1e6


def _response_times(server: Running, seconds: float) -> tuple[list[float], list[float]]:
    """Return milliseconds of each response, and the server's CPU time until then, both sorted."""
    host = f"{server.address[0]}:{server.address[1]}"
    request = f"GET /api/status HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    times, cpu_times = [], []
    end = time.monotonic() + seconds
    with socket.create_connection(server.address, 60) as stream:
        while time.monotonic() < end:
            before = _cpu_ms(server.process.pid)
            started = time.monotonic()
            stream.sendall(request)
            received = b""
            # The body is one line of JSON.
            while not received.endswith(b"}\n"):
                data = stream.recv(65_536)
                if not data:
                    raise ConnectionError("the server closed the connection")
                received += data
            now = time.monotonic()
            times.append(1_000 * (now - started))
            cpu_times.append(_cpu_ms(server.process.pid) - before)
            time.sleep(max(0.0, INTERVAL_S - (now - started)))
    return sorted(times), sorted(cpu_times)


def row(figures: Figures) -> list[object]:
    """Return the row of the table."""
    return [
        figures.sender,
        figures.p50_ms,
        figures.p99_ms,
        figures.max_ms,
        figures.cpu_p50_ms,
        figures.cpu_p99_ms,
        figures.requests,
        figures.core,
        figures.rss_mb,
        figures.others,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=4, help="duration beside each sender")
    parser.add_argument("--only", default="", help="senders, separated by semicolons")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="three senders, 0.7 s each")
    options = parser.parse_args()
    allow_open_files(4_096)
    names = [name.strip() for name in options.only.split(";") if name.strip()] or list(SENDERS)
    if options.quick:
        names, options.seconds = list(QUICK), 0.7
    results = []
    for name in ["none", *names]:
        results.append(measure(name, options.seconds))
        print(f"{name}: p99 {results[-1].p99_ms} ms", file=sys.stderr)
    print_figures(results, HEADS, row, as_json=options.json)


if __name__ == "__main__":
    main()
