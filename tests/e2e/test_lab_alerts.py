"""Alerts in JupyterLab and Notebook 7: notifications, status bar, tab, settings."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.jupyter import START_S, Jupyter
from tests.e2e.page import card, routed_sockets
from tests.e2e.test_lab import launcher_tile, status, tabs
from tests.e2e.test_page_alerts import alert
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

SETTINGS = "lab/api/settings/htmlgraph-nb:alerts"
EDITOR = "() => window.jupyterapp.commands.execute('settingeditor:open', {query: 'Agent alerts'})"
OPEN = "() => window.jupyterapp.commands.execute('htmlgraph-nb:open')"


def toast(page: Page, text: str) -> Locator:
    """Return the notification with a text."""
    return page.locator(".Toastify__toast", has_text=text)


def open_routed(page: Page, address: str) -> WebSocketRoute:
    """Open a front end and return its WebSocket to the server."""
    sockets = routed_sockets(page, "/htmlgraph/ws/broadcasts")
    page.goto(address)
    # The call of the page lets playwright handle its events.
    wait_until(lambda: page.evaluate("() => 1") and sockets, "the WebSocket", START_S)
    return sockets[-1]


def send(socket: WebSocketRoute, value: dict[str, Any]) -> None:
    """Send an alert as the server does."""
    socket.send(json.dumps({"type": "alert", "alert": value}))


def named(agent: str, **values: Any) -> dict[str, Any]:
    """Return an alert about an agent, with an id and a message of its own."""
    return alert(1, alert_id=agent, agent_id=agent, message=f"{agent} waits.", **values)


def test_lab_alert_is_a_notification(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """With text as text; Open shows the agent; its end removes the notification."""
    agent = f"claude-{uuid.uuid4()}"
    presence_server.send(agent, tool_name="Read")
    page = open_page("about:blank").page
    socket = open_routed(page, f"{jupyter.url}lab?reset")
    expect(launcher_tile(page)).to_be_visible(timeout=START_S * 1000)
    expect(status(page)).to_have_text(re.compile(r"\d active"))
    hostile = "<img src=x onerror=alert(1)>"
    send(socket, named(agent, project=hostile))
    shown = toast(page, f"{agent} waits.")
    expect(shown).to_contain_text(hostile)
    assert page.locator("[onerror]").count() == 0
    expect(status(page)).to_have_text(re.compile(r" · \d+ alerts?( ·|$)"))
    shown.get_by_role("button", name="Open").click()
    expect(card(page, agent)).to_have_attribute("aria-selected", "true")
    expect(tabs(page)).to_have_text(re.compile(r"^\(\d+\) Agent monitor"))
    other = f"{agent}-2"
    send(socket, named(other))
    expect(toast(page, f"{other} waits.")).to_be_visible()
    send(socket, named(other, state="resolved"))
    expect(toast(page, f"{other} waits.")).to_have_count(0)


def test_lab_alerts_have_settings(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """The Settings Editor shows them; muted alerts are counted but not shown."""
    watched = open_page(f"{jupyter.url}lab?reset")
    page = watched.page
    expect(launcher_tile(page)).to_be_visible(timeout=START_S * 1000)
    page.evaluate(EDITOR)
    editor = page.locator(".jp-SettingsForm")
    critical = editor.get_by_role("checkbox", name=re.compile("^Critical alerts"))
    expect(critical).to_be_checked(timeout=START_S * 1000)
    mute = editor.get_by_role("checkbox", name=re.compile("^Mute"))
    expect(mute).not_to_be_checked()
    mute.check()
    raw = "() => fetch(%r).then((response) => response.json()).then(({raw}) => raw)"
    address = f"{jupyter.url}{SETTINGS}"
    wait_until(lambda: '"mute": true' in page.evaluate(raw % address), "the setting")
    try:
        socket = open_routed(page, f"{jupyter.url}lab?reset")
        expect(launcher_tile(page)).to_be_visible(timeout=START_S * 1000)
        expect(status(page)).not_to_have_text(re.compile("connect"))
        agent = f"claude-{uuid.uuid4()}"
        send(socket, named(agent, severity="critical"))
        expect(status(page)).to_have_text(re.compile(r"\d+ alerts?( ·|$)"))
        expect(toast(page, agent)).to_have_count(0)
    finally:
        response = page.request.put(address, data={"raw": "{}"}, headers=xsrf(page))
        assert response.ok, response.text()


def xsrf(page: Page) -> dict[str, str]:
    """Return the header that Jupyter Server requires of a PUT."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    return {"X-XSRFToken": cookies.get("_xsrf", "")}


@pytest.mark.parametrize("jupyter", ["notebook"], indirect=True)
def test_notebook_7_alert_opens_the_page(
    jupyter: Jupyter, presence_server: Server, open_page: OpenPage
) -> None:
    """The notification is shown there, too; Open shows the agent in a browser tab."""
    agent = f"claude-{uuid.uuid4()}"
    presence_server.send(agent, tool_name="Read")
    watched = open_page("about:blank")
    watched.allowed.extend(jupyter.own_errors)
    page = watched.page
    socket = open_routed(page, f"{jupyter.url}tree")
    expect(page.get_by_role("menuitem", name="View").first).to_be_visible(timeout=START_S * 1000)
    send(socket, named(agent))
    with page.context.expect_page() as opened:
        toast(page, f"{agent} waits.").get_by_role("button", name="Open").click()
    expect(card(opened.value, agent)).to_have_attribute("aria-selected", "true")
