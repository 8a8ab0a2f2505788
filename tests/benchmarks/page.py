"""From an event's request to the page: how late a person sees it.

    python -m tests.benchmarks.page [--agents 50] [--events 200] [--rate 20] [--load 0] [--json]
        [--quick]

A real server and a real headless Chromium. Each request carries one event of a watched agent and
the other agents' share of ``--load`` updates a second. The clock starts before the request is
sent; ``document`` ends it when the card's number has changed, ``painted`` after the frame that
shows it. Both processes read the same machine's clock. Where the page draws several changes in
one frame, the earlier events count as shown with it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from itertools import count, islice
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.e2e.browser import chromium
from tests.integration.server import Server, running
from tests.polling import wait_until

from .table import print_table, quantile

AGENT = "watched"
OBSERVE = """(agent) => {
  const field = document.querySelector(`[data-agent-id="${agent}"] [data-field="tools"]`);
  const now = () => performance.timeOrigin + performance.now();
  const channel = new MessageChannel();
  globalThis.changes = [];
  const waiting = [];
  channel.port1.onmessage = () => {
    for (const change of waiting.splice(0)) change.painted = now();
  };
  new MutationObserver(() => {
    const change = { n: Number(field.dataset.value), document: now(), painted: null };
    changes.push(change);
    // Messages that are posted in a frame's callback arrive once it has been painted.
    requestAnimationFrame(() => {
      waiting.push(change);
      channel.port2.postMessage(null);
    });
  }).observe(field, { attributeFilter: ["data-value"] });
}"""
KINDS = ("document", "painted")


def measure(page: Page, server: Server, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the latencies of every event in milliseconds, sorted, by kind."""
    others = [f"agent-{n}" for n in range(1, options.agents)]
    server.send(AGENT)
    if others:
        server.post("/api/events", [_event(name) for name in others])
    expect(page.locator('[data-stat="total"]')).to_have_text(f"{options.agents:,}")
    page.evaluate(OBSERVE, AGENT)
    share = round(options.load / options.rate) if others else 0
    sent = _send(server, options, [others[n % len(others)] for n in range(share)])
    shown = f"changes.length > 0 && changes.at(-1).n === {options.events + 1}"
    wait_until(lambda: page.evaluate(f"{shown} && changes.at(-1).painted !== null"), "the last one")
    return _latencies(sent, page.evaluate("changes"))


def _event(agent_id: str) -> dict[str, str]:
    return {"agent_id": agent_id, "event_type": "tool_execute", "tool_name": "Read"}


def _send(server: Server, options: argparse.Namespace, others: list[str]) -> list[float]:
    """Send the events at their times and return when each was, in milliseconds since 1970."""
    body = json.dumps([_event(AGENT), *map(_event, others)])
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    begun, sent = time.monotonic(), []
    for n in islice(count(), options.events):
        time.sleep(max(0.0, begun + n / options.rate - time.monotonic()))
        sent.append(time.time() * 1_000)
        connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()
    return sent


def _latencies(sent: list[float], changes: list[dict[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for n, began in enumerate(sent, 2):
        change = next(change for change in changes if change["n"] >= n)
        for kind in KINDS:
            found[kind].append(round(change[kind] - began, 2))
    return {kind: sorted(values) for kind, values in found.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=50, help="on the page (default 50)")
    parser.add_argument("--events", type=int, default=200, help="to time (default 200)")
    parser.add_argument("--rate", type=float, default=20, help="of them a second (default 20)")
    parser.add_argument(
        "--load", type=float, default=0, help="further updates a second (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="only 20 events, to see that it runs")
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
        found = measure(page, server, options)
    figures = {
        kind: {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": values[-1]}
        for kind, values in found.items()
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
