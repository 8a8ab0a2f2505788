"""Following session files: CPU time, and latency from a written byte to a dashboard.

    python -m tests.benchmarks.follow [--sessions 200] [--writing 50] [--rate 1] [--seconds 10]
        [--old 2000] [--ways server mixed] [--json] [--quick]

``server`` is the complete way, from the write of a byte to the WebSocket frame. ``mixed``
is the same with sessions of six agents, one of which writes to a database. The peers
(follow_peers.py) only read the files. All follow the same folder, one after the other, on a core of
their own where the machine has one: compare the latencies and the CPU shares, under load and at
rest.

Each growing session gets one line a second, the median rate of recorded sessions while their agents
work (the maximum was 2.2).
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
from tests.benchmarks.mixed_sessions import MixedSessions
from tests.benchmarks.servers import htmlgraph, start
from tests.benchmarks.table import print_figures, quantile

WAYS = ("server", "mixed", "follower", "watchfiles", "rereader")
LINES = 40
"""Lines in each session file before the run."""
HEADS = ("way", "sessions", "lines/s", "seen", "p50 ms", "p99 ms", "CPU %", "at rest CPU %", "MB")


@dataclass(frozen=True)
class Figures:
    """Results of one way.

    Attributes:
        calls: tool calls that were written; each is one line, and so is its result.
        seen: calls that arrived.
        core: share of one core while files were written.
        rest_core: share of one core while no file was written.
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
    """Growing session files of Claude Code.

    Args:
        folder: the folder of the files.
        options: the command line's: of ``sessions`` current files the first ``writing`` grow;
            ``old`` more files are from past sessions.
        mixed: whether the current sessions are of several agents.
    """

    def __init__(self, folder: Path, options: argparse.Namespace, *, mixed: bool) -> None:
        self._options = options
        self._paths: list[Path] = []
        self._ids: list[str] = []
        self.written: dict[str, float] = {}
        self._numbers = iter(range(10**9))
        self._mixed: MixedSessions | None = None
        n_current = options.sessions
        if mixed:
            self._mixed = MixedSessions(folder.parent.parent, self._pair, n_current)
            n_current = 0
        old = (datetime.now(UTC) - timedelta(days=9)).timestamp()
        for number in range(n_current + options.old):
            project = folder / f"-home-user-{number % 20}"
            project.mkdir(parents=True, exist_ok=True)
            session = str(UUID(int=random.Random(number).getrandbits(128), version=4))
            path = project / f"{session}.jsonl"
            if number < n_current:
                self._paths.append(path)
                self._ids.append(session)
                pairs = [self._pair(session, f"L{n}") for n in range(LINES // 2)]
                path.write_bytes(b"".join(line for pair in pairs for line in pair))
            else:
                path.write_bytes(b"{}\n")
                os.utime(path, (old, old))

    def _pair(self, session: str, tool: str) -> tuple[bytes, bytes]:
        """Return the line of a tool call and the line of its result."""
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
        record = {**record, "sessionId": session, "timestamp": now}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    def write(self, way: str) -> int:
        """Append lines to the files in turn for ``--seconds``; return the number of tool calls."""
        options = self._options
        interval_s = 1 / (options.writing * options.rate)
        n_lines = round(options.seconds / interval_s)
        started = time.monotonic()
        results: dict[int, bytes] = {}
        for number in range(n_lines):
            time.sleep(max(0.0, started + number * interval_s - time.monotonic()))
            index = number % options.writing
            if self._mixed is not None:
                tool, at = f"{way}-{number}", time.monotonic()
                if self._mixed.write(index, tool):
                    self.written[tool] = at
                continue
            line = results.pop(index, b"")
            if not line:
                tool = f"{way}-{number}"
                line, results[index] = self._pair(self._ids[index], tool)
                self.written[tool] = time.monotonic()
            with self._paths[index].open("ab", buffering=0) as file:
                file.write(line)
        return len(self.written)

    def close(self) -> None:
        """Close the files that are kept open."""
        if self._mixed is not None:
            self._mixed.close()


@contextlib.contextmanager
def served(home: Path, cores: list[int], seen: dict[str, float], n_sessions: int) -> Iterator[int]:
    """Run the server and a dashboard; yield the server's process id once it has read all files."""
    environ = {
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "XDG_DATA_HOME": str(home / ".local/share"),
    }
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
                status = server.get("/api/status")
                total = status["updates"]["total"]
                if sum(status["agents"].values()) == n_sessions and total == before:
                    break
                before = total
                time.sleep(1.0)
            yield server.process.pid
        thread.join()


@contextlib.contextmanager
def peer(way: str, folder: Path, cores: list[int], seen: dict[str, float]) -> Iterator[int]:
    """Run a peer; yield its process id once it has read all files."""
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
    """Run one way on new files and return its results."""
    own_cores, other_cores = shared_out()
    pin(*other_cores)
    seen: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="htmlgraph-follow-") as name:
        home = Path(name)
        folder = home / ".claude" / "projects"
        sessions = Sessions(folder, options, mixed=way == "mixed")
        if way in ("server", "mixed"):
            run = served(home, own_cores, seen, options.sessions)
        else:
            run = peer(way, folder, own_cores, seen)
        with run as pid:
            at_rest = usage(pid, ())
            time.sleep(options.seconds / 2)
            started = usage(pid, ())
            n_calls = sessions.write(way)
            done = usage(pid, ())
            deadline = time.monotonic() + 5
            while len(seen.keys() & sessions.written.keys()) < n_calls:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
        sessions.close()
    latencies_s = [seen[tool] - at for tool, at in sessions.written.items() if tool in seen]
    ordered = sorted(1_000 * latency_s for latency_s in latencies_s)
    return Figures(
        way,
        options.sessions,
        options.writing * options.rate,
        n_calls,
        len(latencies_s),
        quantile(ordered, 0.5),
        quantile(ordered, 0.99),
        done.cores_since(started),
        started.cores_since(at_rest),
        done.rss_mb,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=200, help="current sessions (default 200)")
    parser.add_argument("--writing", type=int, default=50, help="sessions that grow (default 50)")
    parser.add_argument(
        "--rate", type=float, default=1.0, help="lines a second per session (default 1)"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="duration of writing (default 10)"
    )
    parser.add_argument("--old", type=int, default=2_000, help="past sessions (default 2000)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--quick", action="store_true", help="few files and 1 s, to check that it runs"
    )
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.writing, options.seconds, options.old = 8, 4, 1.0, 20
    figures = [measure(way, options) for way in options.ways]
    print_figures(
        figures,
        HEADS,
        lambda row: (
            *(row.way, row.sessions, row.rate, f"{row.seen}/{row.calls}", row.p50_ms, row.p99_ms),
            *(100 * row.core, 100 * row.rest_core, row.rss_mb),
        ),
        as_json=options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
