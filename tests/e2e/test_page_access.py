"""axe-core finds no serious violation in any view and colour scheme."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage, Serve
from tests.e2e.page import card, cards, choose_view, control, details, grid
from tests.helpers.server_process import Server

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
VIEWS = ("cards", "table", "compact")


def check_accessibility(page: Page) -> None:
    """Fail if axe finds a serious violation."""
    page.evaluate(AXE)
    violations = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    grave = [
        f"{issue['impact']} {issue['id']}: {node['html'][:200]}\n{node.get('failureSummary')}"
        for issue in violations
        if issue["impact"] in ("serious", "critical")
        for node in issue["nodes"][:3]
    ]
    assert not grave, "\n".join(grave)


def _fill(server: Server) -> None:
    server.send(
        "claude-1",
        tool_name="Read",
        session_id="s-1",
        feature_id="f-1",
        model="claude-opus-4-5",
        project="storefront",
        input_tokens=5_000,
    )
    server.send("claude-1/sub", tool_name="Read", parent_agent_id="claude-1")
    server.send("codex-1", tool_name="Bash", status="error")
    server.send("codex-2", "error")
    server.send("gemini-1", "permission_request", tool_name="Bash")
    server.send("gemini-2", "stop")
    server.send("gemini-3", tool_name="Read")
    assert server.post("/api/presence/gemini-3/offline").status == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_accessibility_of_views(
    server: Server, open_page: OpenPage, view: str, scheme: str
) -> None:
    """axe reports nothing for grouped agents with a selection, and with an open filter panel."""
    _fill(server)
    page = open_page(server.url, color_scheme=scheme, reduced_motion="reduce").page
    choose_view(page, view)
    expect(cards(page)).to_have_count(7)
    check_accessibility(page)
    control(page, "group").select_option("status")
    expect(page.locator("[data-group]").first).to_be_visible()
    card(page, "claude-1").click()
    expect(details(page).locator("[data-event]").first).to_be_visible()
    page.locator('button[data-filter="status:active"]').click()
    expect(card(page, "gemini-3")).to_have_count(0)
    check_accessibility(page)
    control(page, "filter").click()
    expect(page.locator('button[data-filter="feature:f-1"]')).to_be_visible()
    check_accessibility(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_empty_narrow_and_disconnected(
    serve: Serve, open_page: OpenPage, scheme: str
) -> None:
    """Without agents, at phone width, and without a server."""
    server = serve()
    watched = open_page(
        server.url,
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": 360, "height": 700},
    )
    watched.allowed.append("net::ERR_CONNECTION_REFUSED")
    page = watched.page
    expect(page.locator(".hg-empty")).to_be_visible()
    check_accessibility(page)
    _fill(server)
    expect(cards(page)).to_have_count(7)
    card(page, "gemini-1").click()
    check_accessibility(page)
    server.stop()
    expect(grid(page)).to_have_attribute("data-stale", "true")
    check_accessibility(page)
