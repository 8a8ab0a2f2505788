"""Following session files: what it costs, and how soon a written byte is on a dashboard.

    python -m tests.benchmarks.follow [--sessions 200] [--writing 50] [--rate 1] [--seconds 10]
        [--old 2000] [--json] [--quick]

``server`` is the whole way, from the byte's write to the WebSocket frame; the others only read the
files, see follow_peers.py. Each has the same folder to follow, one after the other, on a core of
its own where there is one.

A session that is written gets one line a second: so many the recordings of real ones have in the
median while their agents work (the most was 2.2).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import UUID

from websockets.sync.client import connect

from tests.benchmarks.machine import pin, shared_out, usage
from tests.benchmarks.servers import htmlgraph, start
from tests.benchmarks.table import print_figures, quantile

WAYS = ("server", "follower", "watchfiles", "rereader")
LINES = 40
"""Lines that are in each session's file before the run."""
HEADS = ("way", "sessions", "lines/s", "seen", "p50 ms", "p99 ms", "CPU %", "at rest CPU %", "MB")


@dataclass(frozen=True)
class Figures:
    """What one way needed.

    Attributes:
        calls: tool calls that were written, each a line, as its result is one; seen: of them, those
            that arrived.
        core: share of one core while files were written; rest_core: while nothing was.
    """

    way: str
    sessions: int
    rate: float
    calls: int
    seen: int
    p50_ms: float | None
    p99_ms: float | None
    core: float
    rest_core: float
    rss_mb: float


class Sessions:
    """Session files of Claude Code that grow.

    Args:
        folder: where they are; the first ``--writing`` of ``--sessions`` grow, ``--old`` are past.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._options = options
        self._paths: list[Path] = []
        self._ids: list[str] = []
        self.written: dict[str, float] = {}
        self._numbers = iter(range(10**9))
        old = (datetime.now(UTC) - timedelta(days=9)).timestamp()
        for number in range(options.sessions + options.old):
            place = folder / f"-home-user-{number % 20}"
            place.mkdir(parents=True, exist_ok=True)
            session = str(UUID(int=random.Random(number).getrandbits(128), version=4))
            path = place / f"{session}.jsonl"
            if number < options.sessions:
                self._paths.append(path)
                self._ids.append(session)
                begun = [self._pair(session, f"L{n}") for n in range(LINES // 2)]
                path.write_bytes(b"".join(line for pair in begun for line in pair))
            else:
                path.write_bytes(b"{}\n")
                os.utime(path, (old, old))

    def _pair(self, session: str, tool: str) -> tuple[bytes, bytes]:
        """Return the line in which a tool is called, and that of its result."""
        call = f"toolu_{tool}{next(self._numbers)}"
        result = {"type": "tool_result", "tool_use_id": call, "content": "y" * 800}
        use = {"type": "tool_use", "id": call, "name": tool}
        usage_ = {"input_tokens": 3, "cache_read_input_tokens": 12_000, "output_tokens": 90}
        message = {"id": f"msg_{tool}{session[:8]}", "model": "claude-sonnet-5", "usage": usage_}
        message["content"] = [{"type": "text", "text": "x" * 400}, use]
        return (
            self._line(session, {"type": "assistant", "message": message}),
            self._line(session, {"type": "user", "message": {"content": [result]}}),
        )

    def _line(self, session: str, record: dict[str, Any]) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        whole = {**record, "sessionId": session, "timestamp": now}
        return json.dumps(whole, separators=(",", ":")).encode() + b"\n"

    def write(self, way: str) -> int:
        """Append lines to files in turn for the time of a run; return how many call a tool."""
        options = self._options
        pause_s = 1 / (options.writing * options.rate)
        n_lines = round(options.seconds / pause_s)
        begun = time.monotonic()
        results: dict[int, bytes] = {}
        for number in range(n_lines):
            time.sleep(max(0.0, begun + number * pause_s - time.monotonic()))
            place = number % options.writing
            line = results.pop(place, b"")
            if not line:
                tool = f"{way}-{number}"
                line, results[place] = self._pair(self._ids[place], tool)
                self.written[tool] = time.monotonic()
            with self._paths[place].open("ab", buffering=0) as file:
                file.write(line)
        return len(self.written)


@contextlib.contextmanager
def served(home: Path, cores: list[int], seen: dict[str, float], n_sessions: int) -> Iterator[int]:
    """Run the server and a dashboard; yield the server's process id once it has read all."""
    environ = {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude")}
    with htmlgraph(cores, "--watch", **environ) as server:
        address = f"ws://{server.address[0]}:{server.address[1]}/ws/broadcasts"
        with connect(address, max_size=None, max_queue=None, compression=None) as dashboard:

            def listen() -> None:
                with contextlib.suppress(Exception):
                    for frame in dashboard:
                        now = time.monotonic()
                        presence = json.loads(frame).get("presence") or {}
                        seen.setdefault(str(presence.get("last_tool_name")), now)

            thread = threading.Thread(target=listen, daemon=True)
            thread.start()
            before = -1
            while True:
                told = server.get("/api/status")
                total = told["updates"]["total"]
                if sum(told["agents"].values()) == n_sessions and total == before:
                    break
                before = total
                time.sleep(1.0)
            yield server.process.pid
        thread.join()


@contextlib.contextmanager
def peer(way: str, folder: Path, cores: list[int], seen: dict[str, float]) -> Iterator[int]:
    """Run another way; yield its process id once it has read what is there."""
    process: Popen[str] = start(["tests.benchmarks.follow_peers", way, str(folder)], cores)
    assert process.stdout is not None
    ready = threading.Event()

    def listen() -> None:
        for line in process.stdout or ():
            words = line.split()
            if words == ["ready"]:
                ready.set()
            else:
                seen.setdefault(words[0], float(words[1]))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        if not ready.wait(120):
            raise RuntimeError(f"{way} was not ready in time")
        yield process.pid
    finally:
        process.kill()
        process.wait()
        thread.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def measure(way: str, options: argparse.Namespace) -> Figures:
    """Let one way follow fresh files, and return what it needed."""
    own, others = shared_out()
    pin(*others)
    seen: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="htmlgraph-follow-") as name:
        home = Path(name)
        folder = home / ".claude" / "projects"
        sessions = Sessions(folder, options)
        if way == "server":
            run = served(home, own, seen, options.sessions)
        else:
            run = peer(way, folder, own, seen)
        with run as pid:
            resting = usage(pid, ())
            time.sleep(options.seconds / 2)
            begun = usage(pid, ())
            n_calls = sessions.write(way)
            done = usage(pid, ())
            deadline = time.monotonic() + 5
            while len(seen.keys() & sessions.written.keys()) < n_calls:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
    taken = [seen[tool] - at for tool, at in sessions.written.items() if tool in seen]
    ordered = sorted(1_000 * one for one in taken)
    return Figures(
        way,
        options.sessions,
        options.writing * options.rate,
        n_calls,
        len(taken),
        quantile(ordered, 0.5),
        quantile(ordered, 0.99),
        done.cores_since(begun),
        begun.cores_since(resting),
        done.rss_mb,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=200, help="followed (default 200)")
    parser.add_argument("--writing", type=int, default=50, help="of them written (default 50)")
    parser.add_argument("--rate", type=float, default=1.0, help="lines a second each (default 1)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of writing (default 10)")
    parser.add_argument("--old", type=int, default=2_000, help="past sessions (default 2000)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="few files, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.writing, options.seconds, options.old = 8, 4, 1.0, 20
    figures = [measure(way, options) for way in options.ways]
    print_figures(
        figures,
        HEADS,
        lambda one: (
            *(one.way, one.sessions, one.rate, f"{one.seen}/{one.calls}", one.p50_ms, one.p99_ms),
            *(100 * one.core, 100 * one.rest_core, one.rss_mb),
        ),
        as_json=options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
