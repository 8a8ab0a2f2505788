"""The pages Costs and Sessions with a real server: numbers, URL, links, keyboard, files."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, expect

import htmlgraph_nb as hg
from htmlgraph_nb.core.timestamps import to_rfc3339
from tests.e2e.conftest import OpenPage, Serve
from tests.e2e.jupyter import running_jupyter
from tests.e2e.page import card, control, details, expect_connection, grid, statistic
from tests.e2e.test_page import CONTRAST, HOSTILE
from tests.e2e.test_page_access import check_accessibility
from tests.helpers.server_process import Server

ZONE = "America/St_Johns"
MODELS = {"claude": "claude-opus-4-5", "codex": "gpt-5.2-codex", "gemini": "house-model"}
TOTAL = "tfoot tr"
PATIENCE_MS = 90_000
"""Longer than the time between two reports, a multiple of what the first one took."""


def fill(server: Server, n_sessions: int = 12) -> None:
    """Report sessions of the last days: three kinds, one model without a price, a silent agent."""
    now = datetime.now(UTC)
    events: list[dict[str, Any]] = []
    for n in range(n_sessions):
        kind = list(MODELS)[n % 3]
        start = now - timedelta(hours=7 * (n % 20) + 1)
        shared = {
            "agent_id": f"{kind}-{n}",
            "agent_kind": kind,
            "session_id": f"5e55-{n}",
            "project": ("storefront", "billing")[n % 2],
            "branch": "main" if n % 4 else None,
            "cwd": "/home/ada/shop",
            "title": f"Task {n}",
        }
        steps = (
            ("prompt", {}),
            ("tool_execute", {"tool_name": "Bash", "status": "error" if n == 1 else "ok"}),
            (
                "completion",
                {
                    "model": MODELS[kind],
                    "input_tokens": 1_000 * (n + 1),
                    "cache_read_tokens": 30_000,
                    "output_tokens": 700,
                },
            ),
            ("session_end", {}),
        )
        for second, (event_type, fields) in enumerate(steps):
            at = to_rfc3339(start + timedelta(seconds=30 * second))
            events.append({**shared, "event_type": event_type, "timestamp": at, **fields})
    silent = {"agent_id": "cursor-1", "agent_kind": "cursor", "tool_name": "Edit"}
    events.append({**silent, "event_type": "tool_execute"})
    assert server.post("/api/events", events).json()["accepted"] == len(events)


def page_link(page: Page, name: str) -> Locator:
    """Return the link to a page."""
    return page.locator(f'[data-page-link="{name}"]')


def group(page: Page, name: str) -> Locator:
    """Return the row of a group in the table of costs."""
    return page.locator(f'tr[data-group="{name}"]')


def value(row: Locator, column: str) -> Locator:
    """Return a cell."""
    return row.locator(f'[data-field="{column}"]')


def session(page: Page, n: int) -> Locator:
    """Return the row of a session."""
    return page.locator(f'tr[data-session="5e55-{n}"]')


def sessions(page: Page) -> Locator:
    """Return the rows of all sessions shown."""
    return page.locator("tr[data-key]")


def panel(page: Page) -> Locator:
    """Return the details of a session."""
    return page.locator("[data-panel=session]")


def expect_drawn(page: Page) -> None:
    """Wait until the chart is drawn."""
    expect(page.locator("canvas[data-drawn]")).to_be_visible()


def test_costs_are_those_of_the_function(server: Server, open_page: OpenPage) -> None:
    """Table and total have the numbers of token_costs() for the viewer's days."""
    fill(server)
    page = open_page(f"{server.url}/#page=costs", timezone_id=ZONE).page
    expect_drawn(page)
    today = datetime.now(ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    since = (today.replace(tzinfo=None) - timedelta(days=6)).replace(tzinfo=ZoneInfo(ZONE))
    events = hg.load_history(str(server.db), since=since)
    for by in ("model", "project", "branch", "agent_kind"):
        control(page, "by").select_option(by)
        costs = hg.token_costs(events, by)
        expect(page.locator("tbody tr[data-group]")).to_have_count(len(costs))
        for row in costs.to_dict("records"):
            name = row[by] if isinstance(row[by], str) else ""
            expect(value(group(page, name), "total")).to_have_attribute(
                "data-value", str(row["total"])
            )
            shown = value(group(page, name), "usd").get_attribute("data-value") or "nan"
            assert float(shown) == pytest.approx(row["usd"], nan_ok=True)
    (total,) = hg.token_costs(events, ()).to_dict("records")
    expect(statistic(page, "total")).to_have_attribute("data-value", str(total["total"]))
    assert float(statistic(page, "usd").get_attribute("data-value") or 0) == pytest.approx(
        total["usd"]
    )
    expect(value(page.locator(TOTAL), "total")).to_have_attribute("data-value", str(total["total"]))
    days = hg.token_costs(events.assign(timestamp=events["timestamp"].dt.tz_convert(ZONE)), (), "D")
    control(page, "by").select_option("day")
    expect(page.locator("tbody tr[data-group]")).to_have_count(len(days))
    for row in days.to_dict("records"):
        cell = value(group(page, row["timestamp"].isoformat()), "total")
        expect(cell).to_have_attribute("data-value", str(row["total"]))
    expect(page.get_by_text(f"Times in {ZONE}.")).to_be_visible()


def test_costs_name_what_they_leave_out(server: Server, open_page: OpenPage) -> None:
    """Tokens without a price, their models, and agents without token counts."""
    fill(server)
    page = open_page(f"{server.url}/#page=costs").page
    gaps = page.locator(".hg-gaps li")
    expect(gaps.first).to_contain_text("No price is known: house-model")
    expect(gaps.last).to_contain_text("Not covered: cursor, 1 agent with 1 call")
    expect(statistic(page, "unpriced")).to_contain_text("unpriced")
    expect(value(group(page, "house-model"), "usd")).to_contain_text("tokens unpriced")


def test_costs_without_tokens(server: Server, open_page: OpenPage) -> None:
    """An empty range says so."""
    page = open_page(f"{server.url}/#page=costs").page
    expect(page.get_by_text("No tokens were reported in this range.")).to_be_visible()
    expect(page.locator("canvas")).to_be_hidden()


def test_costs_follow_new_events(server: Server, open_page: OpenPage) -> None:
    """An open page shows the costs of answers that arrive later."""
    fill(server)
    page = open_page(f"{server.url}/#page=costs").page
    expect_drawn(page)
    before = int(statistic(page, "total").get_attribute("data-value") or 0)
    server.send("claude-0", "completion", model="claude-opus-4-5", input_tokens=5_000_000)
    expect(statistic(page, "total")).to_have_attribute(
        "data-value", str(before + 5_000_000), timeout=PATIENCE_MS
    )


def test_costs_load_their_code_on_first_use(server: Server, open_page: OpenPage) -> None:
    """The chart library is loaded by the page of costs only, from this server."""
    fill(server)
    watched = open_page("about:blank")
    page = watched.page
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(server.url)
    expect_connection(page, "connected")
    assert not [url for url in requested if "chart" in url or "costs_page" in url]
    page_link(page, "costs").click()
    expect_drawn(page)
    assert [url for url in requested if url == f"{server.url}/static/vendor/chart.umd.min.js"]
    assert page.evaluate("[typeof Chart, typeof define]") == ["undefined", "undefined"]


def test_pages_are_in_the_url(server: Server, open_page: OpenPage) -> None:
    """Links, back button, reload and an edited address lead to the same page and settings."""
    fill(server)
    page = open_page(server.url).page
    expect(card(page, "cursor-1")).to_be_visible()
    page_link(page, "costs").click()
    expect(grid(page)).to_have_attribute("data-page", "costs")
    control(page, "by").select_option("project")
    control(page, "measure").get_by_text("Tokens").click()
    expect(page).to_have_url(re.compile(r"#page=costs&by=project&measure=total$"))
    page.reload()
    expect(group(page, "billing")).to_be_visible()
    expect(control(page, "by")).to_have_value("project")
    expect(control(page, "measure").get_by_text("Tokens")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(control(page, "measure").get_by_text("Dollars")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.go_back()
    expect(control(page, "by")).to_have_value("model")
    page.go_back()
    expect(card(page, "cursor-1")).to_be_visible()
    page.evaluate("location.hash = 'page=sessions&q=Task+10'")
    expect(sessions(page)).to_have_count(1)
    page_link(page, "agents").click()
    expect(page).to_have_url(f"{server.url}/")
    page_link(page, "sessions").click()
    expect(control(page, "search")).to_have_value("Task 10")
    expect(grid(page)).to_have_count(1)


def test_pages_keep_the_settings_of_the_agents(server: Server, open_page: OpenPage) -> None:
    """The grid comes back with its view and selection."""
    fill(server)
    page = open_page(f"{server.url}/#view=table&selected=cursor-1").page
    expect(details(page)).to_be_visible()
    page_link(page, "costs").click()
    expect(details(page)).to_have_count(0)
    page_link(page, "agents").click()
    expect(grid(page)).to_have_attribute("data-view", "table")
    expect(details(page)).to_be_visible()


@pytest.mark.parametrize("server", [("--token", "t0ken-with-16-chars")], indirect=True)
def test_pages_open_by_a_link_with_token(server: Server, open_page: OpenPage) -> None:
    """A link with a token and a page leads to the page; its requests are authenticated."""
    fill(server)
    page = open_page(f"{server.url}/?token={server.token}#page=costs&by=agent_kind").page
    expect(group(page, "codex")).to_be_visible()
    assert "token" not in page.url


def test_pages_open_below_a_base_url_of_jupyter(
    serve: Serve, open_page: OpenPage, tmp_path: Path
) -> None:
    """A link with Jupyter's token leads to the page; its links, requests and files work."""
    server = serve()
    fill(server)
    environ = {"HTMLGRAPH_HOME": str(server.home), "HTMLGRAPH_DB": str(server.db)}
    access = ("--ServerApp.base_url=/user/ada/", "--IdentityProvider.token=t0ken")
    with running_jupyter("lab", tmp_path / "lab", environ, access) as jupyter:
        assert jupyter.url.endswith("/user/ada/")
        address = f"{jupyter.url}htmlgraph/"
        page = open_page(f"{address}?token=t0ken#page=costs&by=agent_kind").page
        group(page, "codex").get_by_role("link").click()
        expect(sessions(page)).to_have_count(4)
        expect(page).to_have_url(re.compile(re.escape(address)))
        with page.expect_download() as download:
            control(page, "csv").click()
        assert "5e55-1" in download.value.path().read_text(encoding="utf-8")
        page.go_back()
        expect_drawn(page)


def test_costs_as_csv(server: Server, open_page: OpenPage, tmp_path: Path) -> None:
    """The file has the rows of the chart: periods and groups."""
    fill(server)
    page = open_page(f"{server.url}/#page=costs&by=agent_kind").page
    expect_drawn(page)
    total = int(statistic(page, "total").get_attribute("data-value") or 0)
    with page.expect_download() as download:
        control(page, "csv").click()
    assert download.value.suggested_filename == "costs.csv"
    path = tmp_path / "costs.csv"
    download.value.save_as(path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["total"]) for row in rows) == total > 0
    assert {row["agent_kind"] for row in rows} == set(MODELS)


def test_costs_link_to_the_sessions_of_a_group(server: Server, open_page: OpenPage) -> None:
    """The name of a group opens its sessions in the same range."""
    fill(server)
    page = open_page(f"{server.url}/#page=costs&range=30d&by=project").page
    group(page, "billing").get_by_role("link", name="billing").click()
    expect(page.locator('[data-chip="project:billing"]')).to_be_visible()
    expect(sessions(page)).to_have_count(6)


def test_costs_table_is_sorted_by_its_headers(server: Server, open_page: OpenPage) -> None:
    """A header sorts in descending order first, then in ascending order."""
    fill(server)
    page = open_page(f"{server.url}/#page=costs").page
    first = page.locator("tbody tr[data-group]").first
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Cost")
    page.locator("[data-sort=answers]").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Answers")
    page.locator("[data-sort=name]").click()
    expect(first).to_have_attribute("data-group", "claude-opus-4-5")
    page.locator("[data-sort=name]").click()
    expect(first).to_have_attribute("data-group", "house-model")
    expect(page.locator("[data-sort=name]")).to_be_focused()
    expect(page).to_have_url(re.compile("sort=-name"))


def test_sessions_are_those_of_the_function(server: Server, open_page: OpenPage) -> None:
    """Each row has the numbers of sessions()."""
    fill(server)
    page = open_page(f"{server.url}/#page=sessions&range=all").page
    table = hg.sessions(hg.load_history(str(server.db)), subagents="include")
    expect(sessions(page)).to_have_count(len(table))
    for row in table.to_dict("records"):
        shown = page.locator(f'tr[data-agent="{row["agent_id"]}"]')
        for column in ("tools", "errors", "tokens"):
            expect(value(shown, column)).to_have_attribute("data-value", str(row[column]))
        usd = value(shown, "usd").get_attribute("data-value") or "nan"
        assert float(usd) == pytest.approx(row["usd"], nan_ok=True)


def test_sessions_search_filter_and_sort(server: Server, open_page: OpenPage) -> None:
    """Words, chips and headers; the state is in the URL."""
    fill(server)
    page = open_page(f"{server.url}/#page=sessions").page
    expect(sessions(page)).to_have_count(13)
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    page.keyboard.type("codex task")
    expect(sessions(page)).to_have_count(4)
    expect(page.get_by_text("4 of 13 sessions in this range")).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=codex\+task"))
    control(page, "filter").click()
    option = page.locator('button[data-filter="project:storefront"]')
    option.click()
    expect(option).to_have_attribute("aria-pressed", "true")
    expect(sessions(page)).to_have_count(2)
    page.keyboard.press("Escape")
    page.locator('[data-chip="project:storefront"]').click()
    expect(sessions(page)).to_have_count(4)
    control(page, "search").fill("")
    expect(sessions(page)).to_have_count(13)
    page.locator("[data-sort=tokens]").click()
    expect(sessions(page).first).to_have_attribute("data-session", "5e55-11")
    page.locator("[data-sort=tokens]").click()
    expect(sessions(page).first).to_have_attribute("data-agent", "cursor-1")
    control(page, "search").fill("no such session")
    expect(page.get_by_text("No session matches.")).to_be_visible()
    control(page, "clear").click()
    expect(sessions(page)).to_have_count(13)


def test_sessions_details_by_mouse_and_keyboard(server: Server, open_page: OpenPage) -> None:
    """The details have the command to resume, and code for a replay; Esc closes them."""
    fill(server)
    page = open_page(
        f"{server.url}/#page=sessions", permissions=["clipboard-read", "clipboard-write"]
    ).page
    session(page, 3).click()
    expect(panel(page)).to_contain_text("Task 3")
    expect(session(page, 3)).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile("session=5e55-3"))
    panel(page).locator('[data-copy="resume"]').click()
    expect(panel(page).locator('[data-copy="resume"]')).to_have_attribute("aria-label", "Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "cd /home/ada/shop && claude --resume 5e55-3"
    expect(panel(page).locator("[data-code=replay]")).to_contain_text(
        'hg.load_history(sessions="5e55-3")'
    )
    page.keyboard.press("Escape")
    expect(panel(page)).to_have_count(0)
    opener = session(page, 3).get_by_role("button", name="Task 3")
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel(page)).to_be_visible()
    page.go_back()
    expect(panel(page)).to_have_count(0)


def test_sessions_replay_code_runs(server: Server, open_page: OpenPage) -> None:
    """The code that the details show replays the session."""
    fill(server)
    page = open_page(f"{server.url}/#page=sessions&session=5e55-3&agent=claude-3").page
    code = panel(page).locator("[data-code=replay]").inner_text()
    code = code.replace("load_history(", f"load_history({str(server.db)!r}, ")
    first, last = code.strip().splitlines()
    scope: dict[str, Any] = {}
    exec(first, scope)
    replay = eval(last, scope)
    assert [agent.agent_id for agent in replay.agents.values()] == ["claude-3"]


def test_sessions_link_to_one_outside_of_the_list(server: Server, open_page: OpenPage) -> None:
    """A link shows the details of a session that the range or search leaves out."""
    fill(server)
    page = open_page(f"{server.url}/#page=sessions&q=Task+10&session=5e55-3&agent=claude-3").page
    expect(sessions(page)).to_have_count(1)
    expect(panel(page)).to_contain_text("Task 3")


def test_sessions_show_what_agents_do_now(server: Server, open_page: OpenPage) -> None:
    """The status follows the agent at once, and links to it."""
    fill(server)
    page = open_page(f"{server.url}/#page=sessions").page
    live = page.locator('tr[data-agent="cursor-1"]')
    expect(value(live, "status")).to_have_text("active")
    server.send("cursor-1", "permission_request", tool_name="Bash")
    expect(value(live, "status")).to_have_text("waiting for you")
    live.click()
    panel(page).locator("[data-control=live]").click()
    expect(details(page)).to_be_visible()
    expect(card(page, "cursor-1")).to_have_attribute("aria-selected", "true")


def test_sessions_a_thousand(server: Server, open_page: OpenPage) -> None:
    """Two hundred rows at first, more on request; a search covers all."""
    fill(server, 1_000)
    page = open_page(f"{server.url}/#page=sessions").page
    expect(sessions(page)).to_have_count(200)
    expect(page.get_by_text("1,001 sessions in this range, 200 shown")).to_be_visible()
    control(page, "more").click()
    expect(sessions(page)).to_have_count(400)
    control(page, "search").fill("task 999")
    expect(sessions(page)).to_have_count(1)
    expect(session(page, 999)).to_be_visible()


def test_reports_show_hostile_names_as_text(server: Server, open_page: OpenPage) -> None:
    """Markup in names has no effect."""
    fields = dict.fromkeys(("model", "project", "branch", "title", "agent_kind", "cwd"), HOSTILE)
    server.send(HOSTILE, "completion", session_id=HOSTILE, input_tokens=5, **fields)
    page = open_page(f"{server.url}/#page=costs").page
    expect(page.locator("tbody tr[data-group]")).to_contain_text(HOSTILE)
    expect(page.locator(".hg-gaps")).to_contain_text(HOSTILE)
    page_link(page, "sessions").click()
    sessions(page).click()
    expect(panel(page)).to_contain_text(HOSTILE)
    expect(panel(page).locator("[data-code=resume]")).to_have_count(0)
    assert page.locator("[onerror]").count() == 0


def test_reports_say_why_they_fail(serve: Serve, open_page: OpenPage) -> None:
    """Without a server the last report stays, and an error says why a new one is missing."""
    server = serve()
    fill(server)
    watched = open_page(f"{server.url}/#page=costs")
    watched.allowed.append("net::ERR_CONNECTION_REFUSED")
    page = watched.page
    expect_drawn(page)
    server.stop()
    expect_connection(page, "reconnecting")
    control(page, "by").select_option("project")
    status = page.locator(".hg-page-status")
    expect(status).to_have_text("The report could not be loaded: no response from the server.")
    expect(control(page, "retry")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1_280])
def test_reports_accessibility(
    server: Server, open_page: OpenPage, scheme: str, width: int
) -> None:
    """axe finds nothing, texts have contrast, and nothing overflows at phone width."""
    fill(server)
    page = open_page(
        f"{server.url}/#page=costs&by=agent_kind",
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": 800},
    ).page
    expect_drawn(page)
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for locator in page.locator(".hg-footnote, .hg-gaps li, tbody td:visible").all():
        assert locator.evaluate(CONTRAST)["ratio"] >= 4.5
    page_link(page, "sessions").click()
    session(page, 1).click()
    expect(panel(page)).to_be_visible()
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    panel(page).locator("[data-control=close]").click()
    control(page, "filter").click()
    check_accessibility(page)
