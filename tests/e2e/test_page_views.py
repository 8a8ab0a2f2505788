"""The page at ``/``: views, filters, sort, groups, details panel, keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import OpenPage
from tests.e2e.page import (
    card,
    cards,
    choose_view,
    control,
    details,
    expect_connection,
    expect_order,
    field,
    grid,
    statistic,
)
from tests.helpers.server_process import Server

VIEWS = ("cards", "table", "compact")
PATIENCE_MS = 15_000
"""Longer than the interval between two announcements."""
AGENTS = {
    "claude-1": ("feat-checkout", "claude-opus-4-5", "storefront", "Bash", 9_000),
    "claude-2": ("feat-checkout", "claude-sonnet-4-5", "billing", "Read", 1_000),
    "codex-1": ("feat-search", "gpt-5.2-codex", "storefront", "Edit", 5_000),
    "gemini-1": ("", "gemini-3-pro", "billing", "Grep", 3_000),
}


def _fill(server: Server) -> None:
    for name, (feature, model, project, tool, tokens) in AGENTS.items():
        server.send(
            name,
            title=name,
            tool_name=tool,
            feature_id=feature or None,
            model=model,
            project=project,
            session_id=f"session-of-{name}",
            cost_tokens=tokens,
        )


@pytest.mark.parametrize("view", VIEWS)
def test_view_shows_every_agent(server: Server, open_page: OpenPage, view: str) -> None:
    """Each view has an element with the status of every agent and follows changes."""
    _fill(server)
    page = open_page(server.url).page
    choose_view(page, view)
    expect(cards(page)).to_have_count(len(AGENTS))
    expect(card(page, "codex-1")).to_have_attribute("data-status", "active")
    server.send("codex-1", "permission_request", tool_name="Bash")
    expect(card(page, "codex-1")).to_have_attribute("data-attention", "")
    expect(cards(page).first).to_have_attribute("data-agent-id", "codex-1")


def test_search(server: Server, open_page: OpenPage) -> None:
    """Every word of the search must match; matches are counted, Esc clears the search."""
    _fill(server)
    page = open_page(server.url).page
    expect(cards(page)).to_have_count(4)
    page.keyboard.press("/")
    expect(control(page, "search")).to_be_focused()
    page.keyboard.type("STOREFRONT bash")
    expect(cards(page)).to_have_count(1)
    expect(card(page, "claude-1")).to_be_visible()
    expect(page.get_by_text("1 shown")).to_be_visible()
    expect(statistic(page, "total")).to_have_text("4")
    page.keyboard.press("Enter")
    expect(card(page, "claude-1")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(cards(page)).to_have_count(4)
    expect(control(page, "search")).to_have_value("")


def test_search_without_match_can_be_cleared(server: Server, open_page: OpenPage) -> None:
    """A filter that hides all agents shows so and can be cleared."""
    _fill(server)
    page = open_page(server.url).page
    control(page, "search").fill("no-such-agent")
    expect(page.locator(".hg-none")).to_be_visible()
    expect(page.locator(".hg-empty")).to_be_hidden()
    page.get_by_role("button", name="Clear the filter").click()
    expect(cards(page)).to_have_count(4)


def test_status_tiles_filter(server: Server, open_page: OpenPage) -> None:
    """Status tiles filter by status; their numbers still count all agents."""
    _fill(server)
    server.send("gemini-1", "stop")
    page = open_page(server.url).page
    done = page.locator('button[data-filter="status:done"]')
    done.click()
    expect(done).to_have_attribute("aria-pressed", "true")
    expect(cards(page)).to_have_count(1)
    expect(card(page, "gemini-1")).to_be_visible()
    expect(statistic(page, "active")).to_have_text("3")
    page.locator('button[data-filter="status:active"]').click()
    expect(cards(page)).to_have_count(4)
    done.click()
    expect(card(page, "gemini-1")).to_have_count(0)


def test_filter_by_values(server: Server, open_page: OpenPage) -> None:
    """The filter lists values with counts; selected values have a removable chip."""
    _fill(server)
    page = open_page(server.url).page
    control(page, "filter").click()
    option = page.locator('button[data-filter="feature:feat-checkout"]')
    expect(option).to_have_text(re.compile(r"feat-checkout\s*2"))
    option.click()
    expect(option).to_have_attribute("aria-pressed", "true")
    expect(cards(page)).to_have_count(2)
    page.locator('button[data-filter="project:billing"]').click()
    expect(cards(page)).to_have_count(1)
    expect(card(page, "claude-2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(option).to_be_hidden()
    page.locator('[data-chip="feature:feat-checkout"]').click()
    expect(cards(page)).to_have_count(2)
    page.locator('[data-chip="project:billing"]').click()
    expect(cards(page)).to_have_count(4)
    expect(page.locator("[data-chip]")).to_have_count(0)


def test_filter_by_empty_value(server: Server, open_page: OpenPage) -> None:
    """Agents without a feature can be selected."""
    _fill(server)
    page = open_page(server.url).page
    control(page, "filter").click()
    page.locator('button[data-filter="feature:"]').click()
    expect(cards(page)).to_have_count(1)
    expect(card(page, "gemini-1")).to_be_visible()


def test_sort(server: Server, open_page: OpenPage) -> None:
    """The sort is set by menu or by table headers, which show it."""
    _fill(server)
    page = open_page(server.url).page
    expect(cards(page)).to_have_count(4)
    control(page, "sort").select_option("-tokens")
    expect_order(page, "claude-1", "codex-1", "gemini-1", "claude-2")
    page.evaluate("location.hash = 'view=table&sort=-tokens&columns=agent,status,tokens'")
    header = page.locator(".hg-td-tokens[role=columnheader]")
    expect(header).to_have_attribute("aria-sort", "descending")
    page.locator('[data-sort="tokens"]').click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(cards(page).first).to_have_attribute("data-agent-id", "claude-2")
    page.locator('[data-sort="agent"]').click()
    expect(control(page, "sort")).to_have_value("agent")
    expect(cards(page).last).to_have_attribute("data-agent-id", "gemini-1")


@pytest.mark.parametrize("view", VIEWS)
def test_group(server: Server, open_page: OpenPage, view: str) -> None:
    """Groups have headers with current totals above their agents."""
    _fill(server)
    page = open_page(server.url).page
    choose_view(page, view)
    control(page, "group").select_option("project")
    header = page.locator('[data-group="billing"]')
    expect(header).to_contain_text("2 agents")
    expect(header).to_contain_text("4k tokens")
    expect(page.locator("[data-group]")).to_have_count(2)
    fields = {"title": "codex-2", "project": "billing", "cost_tokens": 6_000}
    server.send("codex-2", tool_name="Read", **fields)
    expect(header).to_contain_text("3 agents")
    expect(header).to_contain_text("10k tokens")
    order = page.locator("[data-group], [data-agent-id]").evaluate_all(
        "nodes => nodes.map((node) => node.dataset.group ?? node.dataset.agentId)"
    )
    assert order[order.index("billing") + 1 :][:3] == ["claude-2", "codex-2", "gemini-1"]
    control(page, "group").select_option("")
    expect(page.locator("[data-group]")).to_have_count(0)


def test_tree_subagents_follow_their_parent(server: Server, open_page: OpenPage) -> None:
    """A subagent follows its parent one level deeper; a waiting one moves both up."""
    for name in ("a-agent", "b-agent"):
        server.send(name, tool_name="Read")
    server.send("z-sub", tool_name="Read", parent_agent_id="b-agent")
    page = open_page(server.url).page
    expect_order(page, "a-agent", "b-agent", "z-sub")
    expect(card(page, "z-sub")).to_have_attribute("aria-level", "2")
    expect(field(page, "b-agent", "children")).to_have_text("+1")
    server.send("z-sub", "permission_request", tool_name="Bash")
    expect_order(page, "b-agent", "z-sub", "a-agent")


def test_details_panel(server: Server, open_page: OpenPage) -> None:
    """A click opens the details with stored events; Esc closes them."""
    server.send("claude-1", "prompt", session_id="s-1")
    server.send("claude-1", tool_name="Read", session_id="s-1", duration_ms=1_200)
    server.send("claude-1", tool_name="Bash", session_id="s-1", status="error")
    page = open_page(server.url).page
    panel = details(page)
    expect(panel).to_be_hidden()
    card(page, "claude-1").click()
    expect(panel).to_be_visible()
    expect(card(page, "claude-1")).to_have_attribute("aria-selected", "true")
    expect(panel.locator('[data-field="session"]')).to_have_text("s-1")
    expect(panel.locator("[data-event]")).to_have_count(3)
    expect(panel.locator("[data-event]").first).to_contain_text("Bash")
    expect(panel.locator("[data-event]").first).to_have_attribute("data-failed", "")
    expect(panel.locator("[data-event]").nth(1)).to_contain_text("1.2 s")
    expect(panel.locator("[data-event]").last).to_contain_text("prompt")
    server.send("claude-1", "tool_start", tool_name="Edit", tool_use_id="c-1", session_id="s-1")
    expect(panel.locator('[data-event="change"]').first).to_contain_text("Edit")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(card(page, "claude-1")).to_have_attribute("aria-selected", "false")


def test_details_history_error_can_be_retried(server: Server, open_page: OpenPage) -> None:
    """When the server refuses the history, the panel shows the error and can retry."""
    server.send("claude-1", tool_name="Read")
    watched = open_page(server.url)
    watched.allowed.append("503")
    page = watched.page
    refusal = '{"error": {"code": "busy", "message": "the store is closed", "field": null}}'
    page.route(
        "**/api/history?**",
        lambda route: route.fulfill(status=503, body=refusal, content_type="application/json"),
    )
    card(page, "claude-1").click()
    panel = details(page)
    expect(panel).to_contain_text("could not be loaded: the store is closed")
    page.unroute("**/api/history?**")
    panel.get_by_role("button", name="Try again").click()
    expect(panel.locator('[data-event="tool_execute"]')).to_have_count(1)
    expect(panel).not_to_contain_text("could not be loaded")


def test_details_ids_are_copied(server: Server, open_page: OpenPage) -> None:
    """The buttons beside ids copy them to the clipboard."""
    server.send("claude-1", tool_name="Read", session_id="s-42")
    page = open_page(server.url, permissions=["clipboard-read", "clipboard-write"]).page
    card(page, "claude-1").click()
    page.locator('[data-copy="session"]').click()
    expect(page.locator('[data-copy="session"]')).to_have_attribute("aria-label", "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "s-42"


@pytest.mark.parametrize("view", VIEWS)
def test_keyboard_controls_everything(server: Server, open_page: OpenPage, view: str) -> None:
    """Arrows move, Enter toggles the panel, Esc closes it and keeps the focus."""
    _fill(server)
    page = open_page(server.url).page
    choose_view(page, view)
    expect(cards(page)).to_have_count(4)
    card(page, "claude-1").focus()
    page.keyboard.press("ArrowRight")
    expect(card(page, "claude-2")).to_be_focused()
    page.keyboard.press("End")
    expect(card(page, "gemini-1")).to_be_focused()
    page.keyboard.press("Home")
    expect(card(page, "claude-1")).to_be_focused()
    page.keyboard.press("Enter")
    panel = details(page)
    expect(panel.locator('[data-field="id"]')).to_have_text("claude-1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(panel.locator('[data-field="id"]')).to_have_text("claude-2")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(card(page, "claude-2")).to_be_focused()


def test_settings_survive_reload(server: Server, open_page: OpenPage) -> None:
    """View, filter, sort, groups and selection are in the URL."""
    _fill(server)
    page = open_page(server.url).page
    choose_view(page, "table")
    control(page, "search").fill("storefront")
    control(page, "sort").select_option("-tools")
    control(page, "group").select_option("feature")
    # Rows have their final position only once the groups are drawn.
    expect(page.locator("[data-group]").first).to_be_visible()
    card(page, "codex-1").click()
    expect(page).to_have_url(re.compile("selected=codex-1"))
    page.reload()
    expect_connection(page, "connected")
    expect(grid(page)).to_have_attribute("data-view", "table")
    expect(cards(page)).to_have_count(2)
    expect(control(page, "search")).to_have_value("storefront")
    expect(control(page, "sort")).to_have_value("-tools")
    expect(control(page, "group")).to_have_value("feature")
    expect(details(page).locator("[data-field=id]")).to_have_text("codex-1")
    page.evaluate("location.hash = 'view=compact&q=gemini'")
    expect(grid(page)).to_have_attribute("data-view", "compact")
    expect(card(page, "gemini-1")).to_be_visible()
    expect(cards(page)).to_have_count(1)


def test_columns(server: Server, open_page: OpenPage) -> None:
    """The table columns are selected from a menu."""
    _fill(server)
    page = open_page(f"{server.url}/#view=table").page
    expect(page.locator("[role=columnheader]").first).to_have_text("Status")
    host = page.locator(".hg-td-host[role=columnheader]")
    expect(host).to_have_count(0)
    control(page, "columns").click()
    page.locator('[data-column="host"]').check()
    expect(host).to_be_visible()
    page.locator('[data-column="branch"]').uncheck()
    expect(page.locator(".hg-td-branch")).to_have_count(0)


@pytest.mark.parametrize("view", VIEWS)
def test_list_ten_thousand_agents(server: Server, open_page: OpenPage, view: str) -> None:
    """Only visible ones of ten thousand agents have elements; End shows the last."""
    for first in range(1, 10_001, 2_500):
        events = [
            {
                "agent_id": f"agent-{n}",
                "event_type": "prompt",
                "project": f"p-{n % 4}",
                "title": f"agent-{n}",
            }
            for n in range(first, first + 2_500)
        ]
        assert server.post("/api/events", events).json()["accepted"] == 2_500
    page = open_page(f"{server.url}/#view={view}").page
    expect(statistic(page, "total")).to_have_text("10,000")
    expect(card(page, "agent-1")).to_be_visible()
    assert cards(page).count() < 300
    card(page, "agent-1").focus()
    page.keyboard.press("End")
    expect(card(page, "agent-10000")).to_be_in_viewport()
    expect(card(page, "agent-10000")).to_be_focused()
    expect(card(page, "agent-1")).to_have_count(0)
    server.send("agent-10000", tool_name="Bash")
    expect(card(page, "agent-10000")).to_have_attribute("data-status", "active")
    control(page, "group").select_option("project")
    page.locator(".hg-box").evaluate("(box) => { box.scrollTop = 0; }")
    expect(page.locator('[data-group="p-0"]')).to_contain_text("2,500 agents")
    page.locator(".hg-box").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    expect(card(page, "agent-9999")).to_be_in_viewport()
    assert cards(page).count() < 300


@pytest.mark.parametrize("view", VIEWS)
def test_layout_in_narrow_sidebar(server: Server, open_page: OpenPage, view: str) -> None:
    """At 300 px nothing overflows and everything is reachable."""
    _fill(server)
    server.send("an-agent-with-a-rather-long-name-" + "x" * 120, tool_name="y" * 200)
    page = open_page(f"{server.url}/#view={view}", viewport={"width": 300, "height": 800}).page
    expect(cards(page)).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 300
    for name in ("search", "filter", "sort", "group", "view"):
        expect(control(page, name)).to_be_in_viewport(ratio=1)
    control(page, "filter").click()
    expect(page.locator('button[data-filter="project:billing"]')).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    card(page, "claude-1").click(position={"x": 60, "y": 12})
    expect(details(page)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 300


@pytest.mark.parametrize("view", VIEWS)
def test_layout_is_stable_when_numbers_change(
    server: Server, open_page: OpenPage, view: str
) -> None:
    """Values keep position and size while numbers grow and an agent starts to wait."""
    _fill(server)
    page = open_page(f"{server.url}/#view={view}&sort=agent").page
    expect(cards(page)).to_have_count(4)
    boxes = """() => [...document.querySelectorAll(
      ".hg-stats, .hg-stat, .hg-toolbar, [data-agent-id], [role=columnheader]")].map((node) => {
        const { x, y, width, height } = node.getBoundingClientRect();
        return [node.className, x, y, width, height];
      })"""
    before = page.evaluate(boxes)
    server.send("claude-2", "permission_request", tool_name="Bash")
    for name in ("claude-1", "codex-1", "gemini-1"):
        server.send(name, tool_name="WebFetch", cost_tokens=123_456_789, status="error")
    expect(statistic(page, "waiting")).to_have_text("1")
    expect(card(page, "gemini-1").locator('[data-field="age"]')).to_have_text(re.compile("now|ago"))
    expect(statistic(page, "tokens")).to_have_text("370M")
    assert page.evaluate(boxes) == before


def test_sparkline_shows_recent_activity(server: Server, open_page: OpenPage) -> None:
    """The bars count events before and after the page was opened."""
    for _ in range(3):
        server.send("claude-1", tool_name="Read")
    server.send("claude-1", tool_name="Bash", status="error")
    page = open_page(server.url).page
    bars = field(page, "claude-1", "sparkline")
    expect(bars).to_have_attribute("data-value", "4")
    expect(bars).to_have_attribute("aria-label", re.compile("4 events, 1 error"))
    server.send("claude-1", tool_name="Read")
    expect(bars).to_have_attribute("data-value", "5")
    expect(field(page, "claude-1", "errors")).to_have_text("1")


def test_announcer_is_quiet(server: Server, open_page: OpenPage) -> None:
    """The announcement counts waiting agents and does not change with every event."""
    page = open_page(server.url).page
    expect_connection(page, "connected")
    line = page.locator(".hg-announcement")
    expect(line).to_have_attribute("role", "status")
    expect(line).to_have_text("Connected.", timeout=PATIENCE_MS)
    page.evaluate(
        """() => {
          globalThis.announced = [];
          const line = document.querySelector(".hg-announcement");
          const note = () => announced.push(line.textContent);
          new MutationObserver(note).observe(line, {
            subtree: true, childList: true, characterData: true,
          });
        }"""
    )
    server.send("claude-1", "permission_request", tool_name="Bash")
    for n in range(10):
        server.send(f"agent-{n}", tool_name="Read")
    waits = "Connected. 1 agent waits for you."
    expect(line).to_have_text(waits, timeout=PATIENCE_MS)
    assert page.evaluate("announced") == [waits]


def test_projects_of_the_same_name_are_two_groups(server: Server, open_page: OpenPage) -> None:
    """The folder above appears and goes with the second one; a link selects one or both."""
    server.send("a", project="api", cwd="/home/dev/acme/api", branch="main")
    page = open_page(f"{server.url}/#group=project").page
    expect(page.locator('[data-group="api"]')).to_be_visible()
    server.send("b", project="api", cwd="/home/dev/beta/api", branch="main")
    expect(page.locator('[data-group="acme/api"]')).to_be_visible()
    expect(page.locator('[data-group="beta/api"]')).to_be_visible()
    expect(card(page, "a")).to_contain_text("acme/api")
    for wanted, shown in (("api", 2), ("beta/api", 1)):
        page.goto(f"{server.url}/#project={wanted}")
        expect(cards(page)).to_have_count(shown)
    server.send("a", "forget")
    expect(card(page, "b")).to_contain_text("api · main")
