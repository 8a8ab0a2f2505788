"""Ways to follow session files, for ``follow``: each runs as a process and prints what it sees.

    python -m tests.benchmarks.follow_peers NAME FOLDER

``follower`` is this project's, without store and fan-out. ``watchfiles`` is notified of changes by
the operating system and reads the added bytes. ``rereader`` polls every 100 ms and reads changed
files from the start. Each prints the name of every tool call and the monotonic time at which it
was read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from watchfiles import watch

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.session_files import SessionFile
from htmlgraph_nb.ingest.session_scanner import SessionRoot
from htmlgraph_nb.ingest.session_tail import SessionTail
from htmlgraph_nb.ingest.session_watcher import SessionWatcher

POLL_S = 0.1


def follower(folder: str) -> Iterator[Iterable[Event]]:
    """Poll this project's SessionWatcher as the server does."""
    source = SessionWatcher([SessionRoot("claude", folder)], 0.0)
    ready = False
    while True:
        yield source.poll(datetime.now(UTC))
        if not ready and source.report()["followed"] and source.interval_s > POLL_S / 2:
            ready = True
            print("ready", flush=True)
        time.sleep(source.interval_s)


def tail_of(path: str) -> SessionTail:
    """Return a tail at the start of a file."""
    return SessionTail(SessionFile(path, "claude", 0, 0.0))


def watchfiles(folder: str) -> Iterator[Iterable[Event]]:
    """Read the bytes added to files that the operating system reports as changed."""
    tails = {str(path): tail_of(str(path)) for path in Path(folder).rglob("*.jsonl")}
    for tail in tails.values():
        list(tail.read())
    print("ready", flush=True)
    for changes in watch(folder, debounce=50, step=10):
        for path in {path for _, path in changes}:
            tail = tails.setdefault(path, tail_of(path))
            yield list(tail.read())


def rereader(folder: str) -> Iterator[Iterable[Event]]:
    """Poll all files and read each changed file from its start."""
    sizes: dict[Path, int] = {}
    seen: set[str | None] = set()
    ready = False
    while True:
        for path in Path(folder).rglob("*.jsonl"):
            size = path.stat().st_size
            if sizes.get(path) != size:
                sizes[path] = size
                events = list(tail_of(str(path)).read())
                yield [event for event in events if event.event_id not in seen]
                seen.update(event.event_id for event in events)
        if not ready:
            ready = True
            print("ready", flush=True)
        time.sleep(POLL_S)


PEERS = {"follower": follower, "watchfiles": watchfiles, "rereader": rereader}


def main() -> None:
    """Follow until the process is killed."""
    name, folder = sys.argv[1:3]
    for events in PEERS[name](str(Path(folder).resolve())):
        now = time.monotonic()
        for event in events:
            if event.event_type == "tool_start":
                print(event.tool_name, now, flush=True)


if __name__ == "__main__":
    main()
