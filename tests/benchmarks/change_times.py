"""Time from an event's request to its display on a page, for each event of one agent.

The clock starts before the request is sent. ``document`` stops it when the number on the agent's
card has changed, ``painted`` after the frame that shows the number. If several changes are drawn
at once, the earlier events count as shown with that drawing.
"""

from __future__ import annotations

import http.client
import json
import time
from itertools import count, islice
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.helpers.wait import wait_until

AGENT = "watched"
KINDS = ("document", "painted")
_OBSERVE = """(agent) => {
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
    // A message posted in a frame callback arrives after the frame is painted.
    requestAnimationFrame(() => {
      waiting.push(change);
      channel.port2.postMessage(null);
    });
  }).observe(field, { attributeFilter: ["data-value"] });
}"""
_NOW = "performance.timeOrigin + performance.now()"


def event(agent_id: str) -> dict[str, str]:
    """Return the JSON object of one event of an agent."""
    return {"agent_id": agent_id, "event_type": "tool_execute", "tool_name": "Read"}


def change_times(
    page: Page, url: str, events: int, rate: float, others: list[str]
) -> dict[str, list[float]]:
    """Send events of the agent ``watched``, whose card is on the page, and time each.

    Args:
        url: address of the server.
        events: number of events.
        rate: events per second.
        others: agents; each request also carries one event of each of them.

    Returns:
        Sorted latencies in milliseconds, by kind.
    """
    offset = clock_offset(page)
    shown = f'[data-agent-id="{AGENT}"] [data-field="tools"]'
    last = int(page.locator(shown).first.get_attribute("data-value") or 0) + events
    page.evaluate(_OBSERVE, AGENT)
    sent = _send(url, events, rate, others)
    done = f"changes.length > 0 && changes.at(-1).n === {last} && changes.at(-1).painted !== null"
    wait_until(lambda: page.evaluate(done), "the last event on the page", 30.0)
    return _latencies(sent, page.evaluate("changes"), last - events + 1, offset)


def clock_offset(page: Page) -> float:
    """Return how many milliseconds the page's clock is ahead of ours.

    Takes the fastest of 20 round trips. The page fixes the zero of its clock when it is opened, and
    the system clock may be adjusted afterwards.
    """
    samples = []
    for _ in range(20):
        before = time.time() * 1_000
        page_time = page.evaluate(_NOW)
        after = time.time() * 1_000
        samples.append((after - before, page_time - (before + after) / 2))
    return min(samples)[1]


def _send(url: str, events: int, rate: float, others: list[str]) -> list[float]:
    """Send the events at the given rate and return when, in milliseconds since 1970."""
    body = json.dumps([event(AGENT), *map(event, others)])
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    started, sent = time.monotonic(), []
    for n in islice(count(), events):
        time.sleep(max(0.0, started + n / rate - time.monotonic()))
        sent.append(time.time() * 1_000)
        connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
    connection.close()
    return sent


def _latencies(
    sent: list[float], changes: list[dict[str, Any]], first: int, offset: float
) -> dict[str, list[float]]:
    latencies: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for n, sent_at in enumerate(sent, first):
        change = next(change for change in changes if change["n"] >= n)
        for kind in KINDS:
            latencies[kind].append(round(change[kind] - offset - sent_at, 2))
    return {kind: sorted(values) for kind, values in latencies.items()}
