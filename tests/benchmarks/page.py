"""Latency from an event's request to its display on the page in Chromium.

    python -m tests.benchmarks.page [--agents 50] [--events 200] [--rate 20] [--load 0] [--json]
        [--quick]

Runs a real server and a real headless Chromium. Each request carries one event of a watched agent
and the other agents' share of ``--load`` updates a second. Both processes read the same clock; see
change_times.py for the start and end of a measurement. There is no peer: compare versions.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.benchmarks.change_times import AGENT, KINDS, change_times, event
from tests.benchmarks.table import print_table, quantile
from tests.e2e.browser import chromium
from tests.helpers.server_process import Server, running


def measure(page: Page, server: Server, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the latencies of every event in milliseconds, sorted, by kind."""
    others = [f"agent-{n}" for n in range(1, options.agents)]
    server.send(AGENT)
    if others:
        server.post("/api/events", [event(name) for name in others])
    expect(page.locator('[data-stat="total"]')).to_have_text(f"{options.agents:,}")
    share = round(options.load / options.rate) if others else 0
    with_each = [others[n % len(others)] for n in range(share)]
    return change_times(page, server.url, options.events, options.rate, with_each)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=50, help="agents on the page (default 50)")
    parser.add_argument("--events", type=int, default=200, help="events to time (default 200)")
    parser.add_argument("--rate", type=float, default=20, help="events a second (default 20)")
    parser.add_argument(
        "--load", type=float, default=0, help="further updates a second (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="20 events, to check that it runs")
    options = parser.parse_args()
    if options.quick:
        options.events = 20
    with (
        tempfile.TemporaryDirectory() as home,
        running(Path(home)) as server,
        chromium() as browser,
    ):
        page = browser.new_page()
        page.goto(server.url)
        latencies = measure(page, server, options)
    figures = {
        kind: {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": values[-1]}
        for kind, values in latencies.items()
    }
    if options.json:
        settings = {name: getattr(options, name) for name in ("agents", "events", "rate", "load")}
        print(json.dumps({**settings, "latency_ms": figures}))
        return 0
    rows = [[kind, *figures[kind].values()] for kind in KINDS]
    print_table(["milliseconds", "p50", "p99", "max"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
