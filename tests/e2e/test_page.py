"""The page at ``/`` in a real browser with a real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import OpenPage
from tests.e2e.page import card, cards, control, expect_connection, field, statistic
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server

HOSTILE = "<img src=x onerror=alert(1)>"
CONTRAST = """(element) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
  };
  const luminance = () => {
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    layers.unshift(getComputedStyle(at).backgroundColor);
  }
  paint("white");
  layers.forEach(paint);
  const ground = luminance();
  paint(getComputedStyle(element).color);
  const text = luminance();
  return { ground, ratio: (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05) };
}"""


def test_page_empty_state_says_what_to_do(server: Server, open_page: OpenPage) -> None:
    """Without agents the page shows where agents report to, and commands to begin with."""
    page = open_page(server.url).page
    expect_connection(page, "connected")
    expect(page.get_by_text("No agent is known yet.")).to_be_visible()
    for command in ("htmlgraph-nb connect claude", "htmlgraph-nb demo"):
        expect(page.locator(".hg-empty").get_by_text(command)).to_be_visible()
    expect(page.get_by_text(f"{server.url}/api/events")).to_be_visible()
    expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    expect(cards(page)).to_have_count(0)
    expect(statistic(page, "total")).to_have_text("0")


def test_page_events_become_cards(server: Server, open_page: OpenPage) -> None:
    """Agents that report after the page was opened get cards and are counted."""
    page = open_page(server.url).page
    expect_connection(page, "connected")
    server.send(
        "claude-1",
        tool_name="Read",
        session_id="s-1",
        feature_id="feat-checkout",
        cost_tokens=1_500,
    )
    server.send("codex-1", tool_name="Bash", cost_tokens=500)
    server.send("gemini-1", "stop")
    expect(cards(page)).to_have_count(3)
    expect(page.locator(".hg-empty")).to_be_hidden()
    expect(field(page, "claude-1", "name")).to_have_text("claude-1")
    expect(field(page, "claude-1", "status")).to_have_text("Active")
    expect(field(page, "claude-1", "tool")).to_have_text("Read")
    expect(field(page, "claude-1", "feature")).to_have_text("feat-checkout")
    expect(field(page, "claude-1", "tools")).to_have_text("1")
    expect(field(page, "claude-1", "tokens")).to_have_text("1.5k")
    expect(field(page, "claude-1", "tokens")).to_have_attribute("data-value", "1500")
    expect(card(page, "gemini-1")).to_have_attribute("data-status", "idle")
    for name, text in {
        "total": "3",
        "active": "2",
        "done": "1",
        "idle": "0",
        "offline": "0",
        "tokens": "2k",
    }.items():
        expect(statistic(page, name)).to_have_text(text)
    expect(page).to_have_title(re.compile("2 active"))


def test_page_shows_agents_known_before_it_opened(server: Server, open_page: OpenPage) -> None:
    """A page opened later shows existing agents, also after a reload."""
    server.send("claude-1", tool_name="Read")
    page = open_page(server.url).page
    expect(field(page, "claude-1", "tool")).to_have_text("Read")
    page.reload()
    expect(field(page, "claude-1", "tool")).to_have_text("Read")


def test_page_shows_hostile_names_as_text(server: Server, open_page: OpenPage) -> None:
    """Markup in values of an agent is shown as text and has no effect."""
    page = open_page(server.url).page
    n_images = page.locator("img").count()
    server.send(
        HOSTILE,
        tool_name=HOSTILE,
        session_id=HOSTILE,
        feature_id=HOSTILE,
        model=HOSTILE,
        project=HOSTILE,
        title=HOSTILE,
        branch=HOSTILE,
        agent_kind=HOSTILE,
        pr=HOSTILE,
    )
    expect(cards(page)).to_have_count(1)
    for name in ("name", "tool", "feature", "model", "pr"):
        expect(page.locator(f'[data-field="{name}"]')).to_have_text(HOSTILE)
    expect(field(page, HOSTILE, "place")).to_have_text(f"{HOSTILE} · {HOSTILE}")
    assert page.locator("img").count() == n_images
    assert page.locator("[onerror]").count() == 0


def test_page_card_follows_changes(server: Server, open_page: OpenPage) -> None:
    """A new event updates the existing card element."""
    page = open_page(server.url).page
    server.send("claude-1", tool_name="Read")
    expect(field(page, "claude-1", "tools")).to_have_text("1")
    card(page, "claude-1").evaluate("(element) => { element.marked = true; }")
    server.send("claude-1", tool_name="Bash")
    expect(field(page, "claude-1", "tools")).to_have_text("2")
    expect(field(page, "claude-1", "tool")).to_have_text("Bash")
    assert card(page, "claude-1").evaluate("(element) => element.marked") is True


def test_page_shows_running_tool(server: Server, open_page: OpenPage) -> None:
    """A started tool appears on the card before it ends."""
    page = open_page(server.url).page
    server.send("claude-1", "tool_start", tool_name="Bash", tool_use_id="call-1")
    expect(card(page, "claude-1")).to_have_attribute("data-detail", "tool")
    expect(field(page, "claude-1", "reason")).to_contain_text("Bash")
    expect(field(page, "claude-1", "tools")).to_have_text("0")


def test_page_sorts_waiting_agents_first(server: Server, open_page: OpenPage) -> None:
    """Agents that wait for a person come first until they continue."""
    page = open_page(server.url).page
    for name in ("claude-1", "claude-2", "claude-10"):
        server.send(name, tool_name="Read")
    expect(cards(page)).to_have_count(3)
    assert [item.get_attribute("data-agent-id") for item in cards(page).all()] == [
        "claude-1",
        "claude-2",
        "claude-10",
    ]
    server.send("claude-10", "permission_request", tool_name="Bash")
    expect(cards(page).first).to_have_attribute("data-agent-id", "claude-10")
    expect(card(page, "claude-10")).to_have_attribute("data-attention", "")
    expect(field(page, "claude-10", "status")).to_have_text("Waits for you")
    expect(statistic(page, "waiting")).to_have_text("1")
    expect(page).to_have_title(re.compile("1 waiting"))
    server.send("claude-10", "answered")
    expect(cards(page).last).to_have_attribute("data-agent-id", "claude-10")
    expect(statistic(page, "waiting")).to_have_text("0")


def test_page_sorts_offline_agents_last(server: Server, open_page: OpenPage) -> None:
    """An offline agent is counted as offline and comes last."""
    page = open_page(server.url).page
    server.send("claude-1", tool_name="Read")
    server.send("codex-1", tool_name="Read")
    expect(cards(page).first).to_have_attribute("data-agent-id", "claude-1")
    assert server.post("/api/presence/claude-1/offline").status == 200
    expect(cards(page).last).to_have_attribute("data-agent-id", "claude-1")
    expect(field(page, "claude-1", "status")).to_have_text("Offline")
    expect(statistic(page, "offline")).to_have_text("1")


def test_page_ages_advance(server: Server, open_page: OpenPage) -> None:
    """The age of the last activity advances without events."""
    page = open_page(server.url).page
    server.send("claude-1", tool_name="Read")
    expect(field(page, "claude-1", "age")).to_have_text(re.compile(r"^(just now|\d s ago)$"))
    expect(field(page, "claude-1", "age")).to_have_text(re.compile(r"^[3-9] s ago$"))


def test_page_two_hundred_agents(server: Server, open_page: OpenPage) -> None:
    """Two hundred agents have two hundred cards with their own values."""
    page = open_page(server.url).page
    events = [
        {
            "agent_id": f"agent-{n}",
            "event_type": "tool_execute",
            "tool_name": "Read",
            "cost_tokens": n,
        }
        for n in range(1, 201)
    ]
    assert server.post("/api/events", events).json()["accepted"] == 200
    expect(cards(page)).to_have_count(200)
    expect(statistic(page, "active")).to_have_text("200")
    expect(statistic(page, "tokens")).to_have_attribute("data-value", "20100")
    shown = page.evaluate(
        """() => [...document.querySelectorAll("[data-agent-id]")].map((card) => {
          const tokens = card.querySelector('[data-field="tokens"]');
          return [card.dataset.agentId, Number(tokens.dataset.value)];
        })"""
    )
    assert shown == [[f"agent-{n}", n] for n in range(1, 201)]


def test_page_more_agents_than_elements(server: Server, open_page: OpenPage) -> None:
    """Beyond a thousand agents only visible cards exist; scrolling creates the others."""
    page = open_page(server.url).page
    events = [{"agent_id": f"agent-{n}", "event_type": "prompt"} for n in range(1, 1_501)]
    assert server.post("/api/events", events).json()["accepted"] == 1_500
    expect(statistic(page, "total")).to_have_text("1,500")
    expect(card(page, "agent-1")).to_be_visible()
    assert cards(page).count() < 300
    card(page, "agent-1").focus()
    page.keyboard.press("End")
    expect(card(page, "agent-1500")).to_be_in_viewport()
    expect(card(page, "agent-1500")).to_be_focused()
    expect(card(page, "agent-1")).to_have_count(0)


def test_page_keyboard(server: Server, open_page: OpenPage) -> None:
    """The cards are a single tab stop; arrow keys move between them."""
    page = open_page(server.url).page
    for n in range(1, 4):
        server.send(f"agent-{n}")
    expect(cards(page)).to_have_count(3)
    control(page, "view").locator("button").last.focus()
    page.keyboard.press("Tab")
    expect(card(page, "agent-1")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(card(page, "agent-2")).to_be_focused()
    page.keyboard.press("End")
    expect(card(page, "agent-3")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(control(page, "view").locator("button").last).to_be_focused()


def test_page_narrow_window(server: Server, open_page: OpenPage) -> None:
    """Nothing overflows at phone width."""
    page = open_page(server.url, viewport={"width": 360, "height": 640}).page
    server.send(
        "an-agent-with-a-rather-long-name-" + "x" * 120, tool_name="mcp__server__" + "y" * 200
    )
    expect(cards(page)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_light_and_dark(server: Server, open_page: OpenPage, scheme: str) -> None:
    """The page follows the system's colour scheme with sufficient contrast."""
    server.send("claude-1", tool_name="Read", session_id="s-1", feature_id="f-1", cost_tokens=5)
    server.send("codex-1", "stop")
    server.send("gemini-1", "permission_request", tool_name="Bash")
    assert server.post("/api/presence/codex-1/offline").status == 200
    page = open_page(server.url, color_scheme=scheme).page
    expect(cards(page)).to_have_count(3)
    for locator in page.locator("[data-agent-id] [data-field], [data-stat]").all():
        if not locator.is_visible() or not (locator.text_content() or "").strip():
            continue
        seen = locator.evaluate(CONTRAST)
        assert (seen["ground"] > 0.5) == (scheme == "light"), locator
        assert seen["ratio"] >= 4.5, (locator.evaluate("element => element.outerHTML"), seen)


def test_page_benchmark_runs() -> None:
    """It times every event until the DOM changes and until it is painted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.page", "--quick", "--json", "--load", "40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["events"] == 20
    latency_ms = figures["latency_ms"]
    assert (
        0
        < latency_ms["document"]["p50"]
        <= latency_ms["document"]["p99"]
        <= latency_ms["document"]["max"]
    )
    assert latency_ms["document"]["p50"] <= latency_ms["painted"]["p50"]
