"""The page at ``/``: who waits, cannot work or is done, subagents, groups, quotas, hints."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import expect

from htmlgraph_nb.coding_agents.registry import AGENTS
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
    routed_sockets,
    statistic,
)
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

QUOTA = {
    "account": "codex",
    "agent_kind": "codex",
    "plan": "plus",
    "window": "5h",
    "minutes": 300,
    "used_percent": 62.0,
    "official": False,
}
BACKFILL = {
    "state": "running",
    "files": 412,
    "bytes": 100,
    "bytes_done": 40,
    "sessions": {"claude": 7, "codex": 3},
    "cost_7d_usd": 4.38,
}


def _time(**offset: float) -> str:
    return (datetime.now(UTC) + timedelta(**offset)).isoformat()


def test_card_is_headed_by_title_project_and_branch(server: Server, open_page: OpenPage) -> None:
    """The heading is the title, else project and branch; the id is short."""
    place = {"project": "shop", "branch": "fix/login", "agent_kind": "claude"}
    server.send("claude-1", title="Fix the login", **place)
    server.send("codex-019e56a6-a7f0-75d0-a6ed-b560f4a1d899", **place)
    page = open_page(server.url).page
    expect(field(page, "claude-1", "name")).to_have_text("Fix the login")
    expect(field(page, "claude-1", "place")).to_have_text("shop · fix/login")
    expect(field(page, "claude-1", "kind")).to_have_attribute("aria-label", "Claude Code")
    codex = "codex-019e56a6-a7f0-75d0-a6ed-b560f4a1d899"
    expect(field(page, codex, "name")).to_have_text("shop · fix/login")
    expect(field(page, codex, "place")).to_have_text("codex-f4a1d899")
    expect(page.locator(".hg-row-feature").first).to_be_hidden()
    server.send("claude-2", feature_id="feat-1")
    expect(page.locator(".hg-row-feature").first).to_be_visible()


def test_card_has_the_general_sign_for_other_kinds(server: Server, open_page: OpenPage) -> None:
    """Also if the kind is called like a property of every object of JavaScript."""
    for kind in ("my-kind", "constructor"):
        server.send(kind, agent_kind=kind)
    page = open_page(server.url).page
    for kind in ("my-kind", "constructor"):
        expect(field(page, kind, "kind")).to_have_attribute("aria-label", kind)
        path = field(page, kind, "kind").locator("path")
        expect(path).to_have_attribute("d", re.compile("^M3 5.5h10"))


def test_context_bar_shows_share_and_origin(server: Server, open_page: OpenPage) -> None:
    """Without a known window there is no bar."""
    server.send("claude-1", "completion", context_tokens=190_000, context_window=200_000)
    server.send("claude-2", "completion", context_tokens=9_000)
    page = open_page(server.url).page
    context = field(page, "claude-1", "context")
    expect(context).to_have_attribute("data-value", "95")
    expect(context).to_have_attribute("data-level", "full")
    expect(context).to_have_attribute("title", re.compile("190,000 of 200,000.*reported"))
    expect(context.locator(".hg-context-compacted")).to_be_hidden()
    expect(field(page, "claude-2", "context").locator(".hg-context-bar")).to_be_hidden()
    server.send("claude-1", "session_info", extra={"compacted": True})
    expect(context.locator(".hg-context-compacted")).to_be_visible()


def test_waiting_agents_are_listed_longest_first(server: Server, open_page: OpenPage) -> None:
    """Each says for how long; they are not counted as active; w selects one after the other."""
    server.send("a-late", "permission_request", tool_name="Bash", timestamp=_time(seconds=-65))
    server.send("b-long", "permission_request", tool_name="Edit", timestamp=_time(minutes=-4.5))
    server.send("c-works", tool_name="Read")
    page = open_page(server.url).page
    expect_order(page, "b-long", "a-late", "c-works")
    expect(field(page, "b-long", "reason")).to_have_text("permission: Edit")
    expect(field(page, "b-long", "age")).to_have_text("waits 4 min")
    expect(statistic(page, "waiting")).to_have_text("2")
    expect(statistic(page, "active")).to_have_text("1")
    expect(page).to_have_title(re.compile("2 waiting · 1 active"))
    for name in ("b-long", "a-late", "b-long"):
        page.keyboard.press("w")
        expect(card(page, name)).to_be_focused()
        expect(card(page, name)).to_have_attribute("aria-selected", "true")
    control(page, "group").select_option("status")
    expect(page.locator("[data-group]").first).to_contain_text("waiting for you")


def test_agent_that_cannot_work_says_why_and_until_when(
    server: Server, open_page: OpenPage
) -> None:
    """It has its own tile, which is shown only then; a failed turn has the word for it."""
    server.send("claude-1", tool_name="Read")
    server.send("claude-2", "prompt")
    page = open_page(server.url).page
    expect(statistic(page, "cannot_work")).to_be_hidden()
    until = {"cannot_work": "usage_limited", "until": _time(days=3)}
    server.send("claude-1", "error", extra=until)
    server.send("claude-2", "error")
    expect(field(page, "claude-1", "status")).to_have_text("Cannot work")
    expect(field(page, "claude-1", "reason")).to_have_text("usage limit reached")
    expect(field(page, "claude-1", "age")).to_have_text(re.compile("^until "))
    expect(statistic(page, "cannot_work")).to_have_text("1")
    expect(field(page, "claude-2", "status")).to_have_text("Failed")
    expect(card(page, "claude-2")).to_have_attribute("data-state", "done")


def test_selecting_an_agent_that_is_done_marks_it_as_viewed(
    server: Server, open_page: OpenPage
) -> None:
    """Its mark goes, on the page and in the server."""
    server.send("claude-1", "prompt")
    server.send("claude-1", "stop")
    page = open_page(server.url).page
    expect(statistic(page, "done")).to_have_text("1")
    expect(field(page, "claude-1", "status")).to_have_text("Done")
    card(page, "claude-1").click()
    expect(field(page, "claude-1", "status")).to_have_text("Idle")
    expect(statistic(page, "done")).to_have_text("0")
    wait_until(lambda: not server.presence()["claude-1"].get("unseen"), "the mark to go")


def test_ended_subagents_fold_into_their_parent(server: Server, open_page: OpenPage) -> None:
    """They are listed on demand, by mouse or key."""
    server.send("parent", "prompt")
    for name in ("sub-1", "sub-2", "sub-3"):
        server.send(name, tool_name="Read", parent_agent_id="parent")
    for name in ("sub-1", "sub-2"):
        server.send(name, "session_end", parent_agent_id="parent")
    page = open_page(server.url).page
    expect(cards(page)).to_have_count(2)
    children = field(page, "parent", "children")
    expect(children).to_have_text("+1 · 2 done")
    children.click()
    expect(cards(page)).to_have_count(4)
    expect(children).to_have_attribute("aria-expanded", "true")
    expect(details(page)).to_be_hidden()
    card(page, "parent").focus()
    page.keyboard.press("o")
    expect(cards(page)).to_have_count(2)
    page.evaluate("location.hash = 'selected=sub-1'")
    expect(card(page, "sub-1")).to_be_visible()
    details(page).locator('[data-link="parent"]').click()
    expect(details(page).locator("[data-field=id]")).to_have_text("parent")
    expect(details(page).locator("[data-link]")).to_have_count(3)


def test_groups_can_be_closed(server: Server, open_page: OpenPage) -> None:
    """They stay closed while agents change, and in another view."""
    for name, project in {"a": "p", "b": "p", "c": "q"}.items():
        server.send(name, "prompt", project=project)
    page = open_page(f"{server.url}/#group=project").page
    expect(cards(page)).to_have_count(3)
    toggle = page.locator('[data-toggle="p"]')
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    expect(cards(page)).to_have_count(1)
    server.send("d", "prompt", project="p")
    expect(page.locator('[data-group="p"]')).to_contain_text("3 agents")
    choose_view(page, "table")
    expect(cards(page)).to_have_count(1)
    toggle.press("Enter")
    expect(cards(page)).to_have_count(4)


def test_banner_offers_hooks_for_agents_known_from_files(
    server: Server, open_page: OpenPage
) -> None:
    """Once dismissed it stays away on this page."""
    server.send("claude-1", "prompt", source="claude-session")
    page = open_page(server.url).page
    banner = page.locator(".hg-banner")
    expect(banner).to_contain_text("htmlgraph-nb connect claude")
    expect(banner.get_by_role("link")).to_have_attribute("href", "coverage")
    expect(card(page, "claude-1").get_by_text("no hooks")).to_be_visible()
    control(page, "dismiss").click()
    expect(banner).to_be_hidden()
    page.reload()
    expect(card(page, "claude-1")).to_be_visible()
    expect(banner).to_be_hidden()


def test_server_info_shows_quotas_and_import(server: Server, open_page: OpenPage) -> None:
    """Quotas in the header; what the import found where there are no agents."""
    page = open_page(server.url).page
    sockets = routed_sockets(page)
    page.reload()
    expect_connection(page, "connected")

    def send(message: dict[str, Any]) -> None:
        sockets[-1].send(json.dumps(message))

    quota = {
        **QUOTA,
        "resets_at": _time(hours=3),
        "reported_at": _time(minutes=-30),
        "forecast": {"full_at": _time(hours=1)},
    }
    send({"type": "server_info", "backfill": BACKFILL, "quotas": [quota]})
    shown = page.locator('[data-quota="codex:5h"]')
    for text in ("Codex 5h", "62 %", "resets", "at this pace full at", "30 min old", "estimated"):
        expect(shown).to_contain_text(text)
    found = "10 sessions: Claude Code 7, Codex 3 · $4.38 in the last 7 days · reading 412 files"
    expect(page.locator(".hg-found")).to_contain_text(found)
    server.send("claude-1", "prompt")
    expect(page.locator(".hg-backfill")).to_contain_text("reading 412 files, 40 %")
    send({"type": "server_info", "backfill": {**BACKFILL, "state": "done"}, "quotas": []})
    expect(page.locator(".hg-backfill")).to_be_hidden()
    expect(shown).to_have_count(0)


def test_details_list_calls_once_and_how_to_resume(server: Server, open_page: OpenPage) -> None:
    """Start and end of a call are one row; tokens are shown by scope."""
    about = {"session_id": "4a9c1ab2-7d41", "agent_kind": "claude", "cwd": "/home/ada/shop"}
    server.send("claude-1", "tool_start", tool_name="Bash", tool_use_id="t-1", **about)
    server.send(
        "claude-1", tool_name="Bash", tool_use_id="t-1", duration_ms=1_200, cost_tokens=900, **about
    )
    page = open_page(server.url, permissions=["clipboard-read", "clipboard-write"]).page
    card(page, "claude-1").click()
    panel = details(page)
    expect(panel.locator("[data-event]")).to_have_count(1)
    expect(panel.locator("[data-event]")).to_contain_text("1.2 s")
    expect(panel.locator('[data-field="cwd"]')).to_have_text("/home/ada/shop")
    server.send("claude-1", "session_start", session_id="other", agent_kind="claude")
    expect(panel.locator('[data-field="totalTokens"]')).to_have_text("900")
    expect(panel.locator('[data-field="tokens"]')).to_have_text("0")
    panel.locator('[data-copy="resume"]').click()
    expect(panel.locator('[data-copy="resume"]')).to_have_attribute("aria-label", "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "claude --resume other"


def test_help_lists_the_keys(server: Server, open_page: OpenPage) -> None:
    """With ? anywhere on the page; 1 to 3 choose the view; j and k move."""
    for name in ("agent-1", "agent-2"):
        server.send(name)
    page = open_page(server.url).page
    expect(cards(page)).to_have_count(2)
    page.keyboard.press("?")
    expect(page.locator(".hg-help")).to_contain_text("next agent that waits")
    page.keyboard.press("Escape")
    expect(page.locator(".hg-help")).to_be_hidden()
    card(page, "agent-1").click()
    page.keyboard.press("?")
    expect(page.locator(".hg-help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".hg-help")).to_be_hidden()
    expect(details(page)).to_be_visible()
    page.keyboard.press("2")
    expect(page.locator(".htmlgraph-grid")).to_have_attribute("data-view", "table")
    card(page, "agent-1").focus()
    page.keyboard.press("j")
    expect(card(page, "agent-2")).to_be_focused()
    page.keyboard.press("k")
    expect(card(page, "agent-1")).to_be_focused()


def test_table_that_is_wider_than_the_page_says_so(server: Server, open_page: OpenPage) -> None:
    """The edge fades until the last column is reached."""
    server.send("claude-1", tool_name="Read", project="shop", branch="main", model="m")
    page = open_page(f"{server.url}/#view=table", viewport={"width": 375, "height": 700}).page
    expect(cards(page)).to_have_count(1)
    main = page.locator(".hg-main")
    expect(main).to_have_attribute("data-more-columns", "")
    page.locator(".hg-box").evaluate("(box) => { box.scrollLeft = box.scrollWidth; }")
    expect(main).not_to_have_attribute("data-more-columns", "")


def test_coverage_page_is_a_table_of_all_agents(open_page: OpenPage, server: Server) -> None:
    """The link of an empty page leads to it; nothing is loaded from elsewhere."""
    page = open_page(server.url).page
    page.get_by_role("link", name="What is seen of each agent").click()
    expect(page.get_by_role("row")).to_have_count(1 + len(AGENTS))
    row = page.get_by_role("row").filter(has_text="Gemini CLI")
    expect(row.get_by_role("cell").nth(1)).to_have_text("hooks")
    expect(row.get_by_role("cell", name="not reported")).to_have_count(2)
    page.get_by_role("link", name="Agents").click()
    expect(page.locator(".hg-empty")).to_be_visible()
