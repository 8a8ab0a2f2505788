"""The JupyterLab extension: launcher tile, tab, status bar; and Notebook 7."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.jupyter import START_S, Jupyter
from tests.e2e.page import (
    card,
    choose_view,
    control,
    details,
    expect_connection,
    field,
    grid,
    routed_sockets,
)
from tests.e2e.test_notebook_live import hook
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

OPEN = "() => window.jupyterapp.commands.execute('htmlgraph-nb:open')"
DARK = (
    "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
)
# The saved workspace of Lab as text: open tabs and their state.
SAVED = """([tab, text]) => window.jupyterapp.serviceManager.workspaces.fetch("default").then(
  ({ data }) => JSON.stringify(data["layout-restorer:data"] ?? "").includes(tab)
    && JSON.stringify(data[tab] ?? "").includes(text), () => false)"""
RGB = """(variable) => {
  const probe = document.createElement("span");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}"""


def status(page: Page) -> Locator:
    """Return the status bar item by its accessible name."""
    return page.get_by_role("button", name="Agent monitor:")


def tabs(page: Page) -> Locator:
    """Return the open tabs of that name."""
    return page.locator("#jp-main-dock-panel").get_by_role("tab", name="Agent monitor")


def open_lab(jupyter: Jupyter, open_page: OpenPage, **context: Any) -> Page:
    """Open JupyterLab with only the launcher."""
    page: Page = open_page(f"{jupyter.url}lab?reset", **context).page
    expect(launcher_tile(page)).to_be_visible(timeout=START_S * 1000)
    return page


def launcher_tile(page: Page) -> Locator:
    """Return the launcher tile."""
    return page.locator(".jp-LauncherCard").filter(has_text="Agent monitor")


def test_lab_launcher_tile_opens_live_tab(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """Tile, tab and status bar show an agent reported by a hook, in a single tab."""
    page = open_lab(jupyter, open_page)
    expect(status(page)).not_to_have_text(re.compile("connect"))
    launcher_tile(page).click()
    expect_connection(page, "connected")
    expect(tabs(page)).to_have_count(1)

    session = str(uuid.uuid4())
    agent = hook(presence_server, "post_tool_use", session)
    expect(field(page, agent, "tool")).to_have_text("Write")
    expect(status(page)).to_have_text(re.compile(r"^\d+ active"))
    hook(presence_server, "permission_request", session)
    expect(card(page, agent)).to_have_attribute("data-attention", "")
    expect(status(page)).to_have_text(re.compile(r"^\d+ active · \d+ waiting"))
    presence_server.send(agent, "completion", cost_tokens=1_234_567)
    expect(status(page)).to_have_text(re.compile(r" · [\d.]+\sM tokens$"))

    card(page, agent).click()
    expect(details(page).locator("[data-event]").first).to_be_visible()
    page.evaluate(OPEN)
    tabs(page).locator(".lm-TabBar-tabCloseIcon").click()
    expect(grid(page)).to_have_count(0)
    status(page).click()
    expect(card(page, agent)).to_be_visible()
    expect(tabs(page)).to_have_count(1)


def test_lab_tab_survives_reload(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """A reload of Lab restores one tab with the selected view."""
    agent = hook(presence_server, "post_tool_use", str(uuid.uuid4()))
    page = open_lab(jupyter, open_page)
    page.evaluate(OPEN)
    expect(card(page, agent)).to_be_visible()
    choose_view(page, "table")
    saved = ["htmlgraph-nb:agents", "view=table"]
    wait_until(lambda: page.evaluate(SAVED, saved), "the saved window", START_S, interval_s=0.1)
    page.goto(f"{jupyter.url}lab")
    expect(card(page, agent)).to_be_visible(timeout=START_S * 1000)
    expect(grid(page)).to_have_attribute("data-view", "table")
    expect(tabs(page)).to_have_count(1)


def test_lab_tab_uses_lab_theme(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """The grid follows Lab's theme without a reload, not the system's preference."""
    hook(presence_server, "post_tool_use", str(uuid.uuid4()))
    page = open_lab(jupyter, open_page, color_scheme="light")
    page.evaluate(OPEN)
    seen = []
    for _ in range(2):
        ground = page.evaluate(RGB, "--jp-layout-color1")
        expect(page.locator(".htmlgraph-nb-tab")).to_have_css("background-color", ground)
        expect(grid(page)).to_have_css("color", page.evaluate(RGB, "--jp-ui-font-color1"))
        seen.append(ground)
        page.evaluate(DARK)
        expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    assert seen[0] != seen[1]


def test_lab_status_bar_shows_lost_connection(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """A lost connection is shown and restored without user action."""
    hook(presence_server, "post_tool_use", str(uuid.uuid4()))
    watched = open_page("about:blank")
    page = watched.page
    sockets = routed_sockets(page, "/htmlgraph/ws/broadcasts")
    page.goto(f"{jupyter.url}lab?reset")
    expect(status(page)).to_have_text(re.compile(r"\d active"), timeout=START_S * 1000)
    sockets[0].close(code=1001, reason="a test closes it")
    expect(status(page)).to_have_text("Agents: not connected")
    expect(status(page)).to_have_attribute("title", re.compile("a test closes it"))
    expect(status(page)).to_have_text(re.compile(r"\d active"))
    assert len(sockets) == 2


def run_from_palette(page: Page, text: str) -> None:
    """Run a command of the palette by its label."""
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").fill(text)
    expect(page.locator(".lm-CommandPalette-item")).to_have_count(1)
    page.keyboard.press("Enter")


def test_lab_command_selects_next_waiting_agent(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """It opens the tab; further uses go round the waiting agents and skip others."""
    before = presence_server.presence()
    for name, agent in before.items():
        if agent["attention"]:
            presence_server.send(name, "answered")
    waiting = {f"waits-{n}" for n in (1, 2)}
    presence_server.send("works", tool_name="Read")
    page = open_lab(jupyter, open_page)
    run_from_palette(page, "Agent monitor: next waiting")
    expect(page.get_by_text("No agent is waiting for you.")).to_be_visible()
    expect(tabs(page)).to_have_count(1)
    for name in waiting:
        presence_server.send(name, "permission_request", tool_name="Bash")
        expect(card(page, name)).to_have_attribute("data-attention", "")
    tabs(page).locator(".lm-TabBar-tabCloseIcon").click()
    seen = []
    selected = grid(page).locator('[data-agent-id][aria-selected="true"]')
    for _ in range(3):
        run_from_palette(page, "Agent monitor: next waiting")
        expect(selected).to_have_count(1)
        if seen:
            expect(selected).not_to_have_attribute("data-agent-id", seen[-1])
        seen.append(selected.get_attribute("data-agent-id") or "")
    assert set(seen) == waiting
    assert seen[0] == seen[2]


def test_lab_tab_shows_costs_and_sessions(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """The tab has the pages of the server; a reload restores them, and Lab's URL stays."""
    name = f"claude-{uuid.uuid4()}"
    presence_server.send(
        name,
        "completion",
        session_id=f"s-{name}",
        project=f"project-of-{name}",
        model="claude-opus-4-5",
        input_tokens=1_000_000,
    )
    page = open_lab(jupyter, open_page)
    page.evaluate(OPEN)
    page.locator('[data-page-link="costs"]').click()
    control(page, "by").select_option("project")
    row = page.locator(f'tr[data-group="project-of-{name}"]')
    expect(row.locator("[data-field=total]")).to_have_attribute("data-value", "1000000")
    expect(page.locator("canvas[data-drawn]")).to_be_visible()
    assert "#" not in page.url
    saved = ["htmlgraph-nb:agents", "page=costs&by=project"]
    wait_until(lambda: page.evaluate(SAVED, saved), "the saved window", START_S, interval_s=0.1)
    page.goto(f"{jupyter.url}lab")
    expect(row).to_be_visible(timeout=START_S * 1000)
    expect(tabs(page)).to_have_count(1)
    link = row.get_by_role("link")
    expect(link).to_have_attribute("href", re.compile(r"/htmlgraph/#page=sessions&"))
    page.locator('[data-page-link="sessions"]').click()
    control(page, "search").fill(name)
    expect(page.locator("tr[data-key]")).to_have_count(1)
    presence_server.send(name, "permission_request", session_id=f"s-{name}", tool_name="Bash")
    expect(page.locator("tr[data-key] [data-field=status]")).to_have_text("waiting for you")
    run_from_palette(page, "Agent monitor: next waiting")
    expect(grid(page).locator('[data-agent-id][aria-selected="true"]')).to_have_count(1)
    presence_server.send(name, "answered")


def test_lab_opens_replay_of_a_session(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """The details open a notebook that replays the session."""
    name = f"claude-{uuid.uuid4()}"
    presence_server.send(name, session_id=f"s-{name}", tool_name="Read", agent_kind="claude")
    page = open_lab(jupyter, open_page)
    page.evaluate(OPEN)
    page.locator('[data-page-link="sessions"]').click()
    control(page, "search").fill(name)
    page.locator(f'tr[data-agent="{name}"]').click()
    page.locator("[data-control=replay]").click()
    notebook = page.locator(".jp-NotebookPanel")
    expect(notebook).to_contain_text(f's-{name}"', timeout=START_S * 1000)
    replay = notebook.locator(".htmlgraph-grid [data-agent-id]")
    expect(replay).to_have_attribute("data-agent-id", name, timeout=START_S * 1000)


@pytest.mark.parametrize("jupyter", ["notebook"], indirect=True)
def test_notebook_7_menu_opens_the_page(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """The menu opens the page in a browser tab; there is no status bar."""
    agent = hook(presence_server, "post_tool_use", str(uuid.uuid4()))
    watched = open_page(f"{jupyter.url}tree")
    watched.allowed.extend(jupyter.own_errors)
    page = watched.page
    page.get_by_role("menuitem", name="View").first.click(timeout=START_S * 1000)
    with page.context.expect_page() as opened:
        page.get_by_role("menuitem", name="Agent monitor").click()
    expect(card(opened.value, agent)).to_be_visible()
    assert opened.value.url.startswith(f"{jupyter.url}htmlgraph/")
    expect(status(page)).to_have_count(0)
