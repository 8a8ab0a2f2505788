"""The agents in JupyterLab itself: tile, tab and status bar; and in Notebook 7."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.jupyter import START_S, Jupyter
from tests.e2e.page import card, choose_view, expect_connection, field, grid
from tests.e2e.test_notebook_live import hook
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

OPEN = "() => window.jupyterapp.commands.execute('htmlgraph-nb:open')"
DARK = (
    "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
)
# What Lab has saved of its window, as text: which tabs there are, and how each is made again.
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
    """Return the item of the status bar, by its name for a screen reader."""
    return page.get_by_role("button", name="Agent monitor:")


def tabs(page: Page) -> Locator:
    """Return the tabs of that name among the open documents."""
    return page.locator("#jp-main-dock-panel").get_by_role("tab", name="Agent monitor")


def open_lab(jupyter: Jupyter, open_page: OpenPage, **context: Any) -> Page:
    """Open JupyterLab with nothing in it but the launcher."""
    page: Page = open_page(f"{jupyter.url}lab?reset", **context).page
    expect(launcher_tile(page)).to_be_visible(timeout=START_S * 1000)
    return page


def launcher_tile(page: Page) -> Locator:
    """Return our tile of the launcher."""
    return page.locator(".jp-LauncherCard").filter(has_text="Agent monitor")


def test_the_tile_opens_a_live_tab(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """Tile, tab, a hook outside, the status bar: all in one window, and there is one tab."""
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
    expect(page.locator('[data-panel="details"] [data-event]').first).to_be_visible()
    page.evaluate(OPEN)
    tabs(page).locator(".lm-TabBar-tabCloseIcon").click()
    expect(grid(page)).to_have_count(0)
    status(page).click()
    expect(card(page, agent)).to_be_visible()
    expect(tabs(page)).to_have_count(1)


def test_the_tab_survives_a_reload(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """After a reload of Lab the tab is there, once, with the view that was chosen."""
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


def test_it_has_the_colours_of_lab(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """Light and dark are Lab's own, without a reload, whatever the system prefers."""
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


def test_the_status_bar_says_when_there_is_no_connection(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """A lost connection is told, and is made again without anybody doing anything."""
    hook(presence_server, "post_tool_use", str(uuid.uuid4()))
    watched = open_page("about:blank")
    page = watched.page
    sockets: list[WebSocketRoute] = []

    def route(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket(re.compile("/htmlgraph/ws/broadcasts"), route)
    page.goto(f"{jupyter.url}lab?reset")
    expect(status(page)).to_have_text(re.compile(r"\d active"), timeout=START_S * 1000)
    sockets[0].close(code=1001, reason="a test closes it")
    expect(status(page)).to_have_text("Agents: not connected")
    expect(status(page)).to_have_attribute("title", re.compile("a test closes it"))
    expect(status(page)).to_have_text(re.compile(r"\d active"))
    assert len(sockets) == 2


@pytest.mark.parametrize("jupyter", ["notebook"], indirect=True)
def test_notebook_7_opens_a_page_of_its_own(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """There the menu opens the page in a tab of the browser; a status bar there is none."""
    agent = hook(presence_server, "post_tool_use", str(uuid.uuid4()))
    watched = open_page(f"{jupyter.url}tree")
    watched.allowed.extend(jupyter.own_faults)
    page = watched.page
    page.get_by_role("menuitem", name="View").first.click(timeout=START_S * 1000)
    with page.context.expect_page() as opened:
        page.get_by_role("menuitem", name="Agent monitor").click()
    expect(card(opened.value, agent)).to_be_visible()
    assert opened.value.url.startswith(f"{jupyter.url}htmlgraph/")
    expect(status(page)).to_have_count(0)
