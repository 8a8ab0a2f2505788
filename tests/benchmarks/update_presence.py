"""Durable ``update_presence`` calls one after the other, compared with the HtmlGraph project's way.

    python -m tests.benchmarks.update_presence [--calls 2000] [--rounds 7] [--json] [--quick]

Each call returns when its event is committed to a file. The peer ``older way`` is what HtmlGraph's
PresenceManager does for each update: connect, ``PRAGMA journal_mode = WAL``, INSERT OR REPLACE of
the agent's row, commit, close. ``sqlite alone`` is the lower bound of a durable event: its two
prepared rows in one transaction on an open connection. The ways take turns; figures are medians of
the rounds, and the ratio is to the older way.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import CHECKPOINT_PAGES
from tests.benchmarks.table import print_table

AGENTS = 50
OURS = "update_presence"
OLDER = "older way"
Call = Callable[[int], object]


def update_presence(path: Path, synchronous: str) -> Call:
    """Return a call of this project's update_presence."""
    manager = PresenceManager(str(path), synchronous=synchronous)

    def call(n: int) -> object:
        agent = n % AGENTS
        return manager.update_presence(
            f"agent-{agent}",
            {"event_type": "tool_execute", "tool_name": "Read", "session_id": f"session-{agent}"},
        )

    return call


_COLUMNS = (
    "agent_id TEXT PRIMARY KEY, status TEXT, current_feature_id TEXT, last_tool_name TEXT, "
    "last_activity TEXT, total_tools_executed INTEGER, total_cost_tokens INTEGER, session_id TEXT"
)


def older_way(path: Path, synchronous: str) -> Call:
    """Return a call that opens the file, writes and closes it."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"CREATE TABLE agent_presence ({_COLUMNS})")
    db.close()

    def call(n: int) -> object:
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        agent = n % AGENTS
        now = datetime.now(UTC).isoformat()
        row = (f"agent-{agent}", "active", None, "Read", now, n, 0, f"session-{agent}")
        db.execute("INSERT OR REPLACE INTO agent_presence VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.commit()
        db.close()
        return None

    return call


def sqlite_alone(path: Path, synchronous: str) -> Call:
    """Return a call that only writes the same two rows as this project."""
    with PresenceManager(str(path)) as manager:
        for agent in range(AGENTS):
            manager.update_presence(f"agent-{agent}", {"tool_name": "Read", "session_id": "s"})
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    states = list(db.execute("SELECT * FROM agent_presence"))
    event = db.execute("SELECT * FROM events LIMIT 1").fetchone()
    rows = [[value for value in state if value is not None] for state in states]
    _, *rest = [value for value in event if value is not None]
    # Binding None is slow, so the lower bound uses literal NULLs.
    put, add = (", ".join("NULL" if v is None else "?" for v in row) for row in (states[0], event))

    def call(n: int) -> object:
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"INSERT OR REPLACE INTO agent_presence VALUES ({put})", rows[n % AGENTS])
        db.execute(f"INSERT INTO events VALUES ({add})", (1_000 + n, *rest))
        return db.execute("COMMIT")

    return call


WAYS: dict[str, Callable[[Path, str], Call]] = {
    OURS: update_presence,
    "sqlite alone": sqlite_alone,
    OLDER: older_way,
}


def measure(calls: int, rounds: int, folder: Path) -> list[dict[str, object]]:
    """Return the figures of each way under each setting of ``synchronous``.

    Args:
        calls: calls per round; the older way and synchronous=FULL make a tenth of them.
        rounds: rounds, after one that is not counted.
        folder: folder of the databases.
    """
    calls_of = {
        (synchronous, name): way(folder / f"{synchronous}-{way.__name__}.db", synchronous)
        for synchronous in ("NORMAL", "FULL")
        for name, way in WAYS.items()
    }
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls_of}
    done = dict.fromkeys(calls_of, 0)
    for number in range(rounds + 1):
        for key, call in calls_of.items():
            n = max(1, calls // (10 if OLDER in key or "FULL" in key else 1))
            start = time.perf_counter()
            for i in range(done[key], done[key] + n):
                call(i)
            seconds = time.perf_counter() - start
            done[key] += n
            if number:
                times[key].append(1e6 * seconds / n)
    medians = {key: statistics.median(values) for key, values in times.items()}
    return [
        {
            "synchronous": synchronous,
            "way": name,
            "us_per_call": us,
            "calls_per_s": 1e6 / us,
            "times_faster_than_older": medians[synchronous, OLDER] / us,
        }
        for (synchronous, name), us in medians.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=2_000, help="calls per round (default 2000)")
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds, after one for warm-up (default 7)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="100 calls, 1 round")
    options = parser.parse_args()
    if options.quick:
        options.calls, options.rounds = 100, 1
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as folder:
        rows = measure(options.calls, options.rounds, Path(folder))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print_table(
        ["way", "synchronous", "µs/call", "calls/s", "× older"],
        [
            [
                r["way"],
                r["synchronous"],
                r["us_per_call"],
                r["calls_per_s"],
                r["times_faster_than_older"],
            ]
            for r in rows
        ],
    )


if __name__ == "__main__":
    main()
