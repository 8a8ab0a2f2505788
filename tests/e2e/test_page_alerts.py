"""The alerts of the page, in a real browser with a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.page import card, details, expect_connection, routed_sockets
from tests.e2e.test_page_access import check_accessibility
from tests.helpers.server_process import Server

QUOTA = {
    "account": "claude",
    "official": True,
    "windows": [
        {"window": "5h", "minutes": 300, "used_percent": 95, "resets_at": "2150-01-14T18:00:00Z"}
    ],
}
HOSTILE = "<img src=x onerror=alert(1)>"
# Keeps what the page shows as notifications; headless browsers show none.
RECORD_NOTIFICATIONS = """() => {
  const shown = [];
  const Native = window.Notification;
  window.real = () => Native.permission;
  window.shownNotifications = shown;
  window.Notification = class extends EventTarget {
    static get permission() { return window.permission ?? Native.permission; }
    static requestPermission() {
      window.asked = (window.asked ?? 0) + 1;
      window.permission = window.answer;
      return Promise.resolve(window.answer);
    }
    constructor(title, options) {
      super();
      this.open = true;
      shown.push({title, body: options.body, tag: options.tag, notification: this});
    }
    close() { this.open = false; this.onclose?.(); }
  };
  document.hasFocus = () => false;
}"""
SHOWN = "() => window.shownNotifications.map(({title, notification}) => [title, notification.open])"


def bell(page: Page) -> Locator:
    """Return the button with the number of alerts."""
    return page.locator("[data-control=alerts]")


def section(page: Page, name: str) -> Locator:
    """Return the alerts of a section of the panel."""
    return page.locator(f'[data-section="{name}"] [data-alert-id]')


def alert(number: int, **values: Any) -> dict[str, Any]:
    """Return an alert as the server sends it."""
    fired = datetime.now(UTC) - timedelta(seconds=number)
    fields = {
        "alert_id": f"a{number}",
        "rule": "waits",
        "kind": "waits",
        "severity": "warning",
        "state": "firing",
        "subject": "claude-1",
        "since": fired.isoformat(),
        "fired_at": fired.isoformat(),
        "message": f"agent {number} waits for a person.",
        "label": "claude-1",
        "agent_id": "claude-1",
        "agent_kind": "claude",
        "project": "shop",
        "acknowledged_at": None,
        "channels": [],
        "silenced": False,
    }
    return fields | values


Open = Callable[..., tuple[Page, WebSocketRoute]]


@pytest.fixture
def open_routed(server: Server, open_page: OpenPage) -> Open:
    """Open the page with its WebSocket, through which a test sends alerts."""

    def open_one(**context: Any) -> tuple[Page, WebSocketRoute]:
        page = open_page("about:blank", **context).page
        page.add_init_script(f"({RECORD_NOTIFICATIONS})()")
        sockets = routed_sockets(page)
        page.goto(server.url)
        expect_connection(page, "connected")
        return page, sockets[0]

    return open_one


def send(socket: WebSocketRoute, *values: dict[str, Any]) -> None:
    """Send alerts as the server does."""
    for value in values:
        socket.send(json.dumps({"type": "alert", "alert": value}))


def test_page_alert_of_an_agent_is_listed_and_acknowledged(
    server: Server, open_page: OpenPage
) -> None:
    """A usage limit fires at once; one click acknowledges it on the server, for all pages."""
    page = open_page(server.url).page
    other = open_page(server.url).page
    expect(bell(page)).to_have_attribute("aria-label", "Alerts: none")
    server.send("claude-1", "quota", agent_kind="claude", extra=QUOTA)
    expect(bell(page)).to_have_attribute("aria-label", "Alerts: 1")
    expect(bell(other)).to_have_attribute("aria-label", "Alerts: 1")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    expect(page.locator('link[rel="icon"]')).to_have_attribute(
        "href", re.compile("^data:.*%3E1%3C")
    )
    expect(page.locator("[role=status]", has_text="Alert: ")).to_have_count(1)
    bell(page).click()
    expect(section(page, "firing")).to_have_count(1)
    section(page, "firing").locator("[data-acknowledge]").click()
    expect(section(page, "acknowledged")).to_have_count(1)
    expect(bell(other)).to_have_attribute("aria-label", "Alerts: none")
    expect(page).not_to_have_title(re.compile(r"^\("))
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon.svg$"))
    page.reload()
    bell(page).click()
    expect(section(page, "acknowledged")).to_have_count(1)
    stored = server.get("/api/alerts?state=acknowledged").json()["alerts"]
    assert len(stored) == 1


def test_page_alerts_are_muted_on_the_server(server: Server, open_page: OpenPage) -> None:
    """For an hour, until tomorrow, and no longer; other pages show it."""
    page = open_page(server.url).page
    bell(page).click()
    page.get_by_role("button", name="Mute for 1 hour").click()
    expect(page.locator("[data-field=muted]")).to_have_text(re.compile("^Muted until "))
    expect(bell(page)).to_have_attribute("aria-label", re.compile("; muted until "))
    assert server.get("/api/alerts").json()["muted_until"] is not None
    other = open_page(server.url).page
    bell(other).click()
    other.get_by_role("button", name="Unmute").click()
    expect(page.get_by_role("button", name="Unmute")).to_be_hidden()
    page.get_by_role("button", name="Mute until tomorrow, 8:00").click()
    expect(page.locator("[data-field=muted]")).to_have_text("Muted until tomorrow 08:00")


def test_page_alert_opens_its_agent(server: Server, open_routed: Open) -> None:
    """From each page; the panel closes."""
    server.send("claude-1", tool_name="Read")
    page, socket = open_routed()
    send(socket, alert(1))
    page.locator("[data-page-link=costs]").click()
    expect(page.locator('[data-page="costs"]')).to_be_visible()
    expect(bell(page)).to_have_attribute("aria-label", "Alerts: 1")
    bell(page).click()
    section(page, "firing").locator("[data-open]").click()
    expect(details(page)).to_be_visible()
    expect(card(page, "claude-1")).to_have_attribute("aria-selected", "true")
    expect(section(page, "firing")).to_be_hidden()


def test_page_alert_shows_hostile_text_as_text(open_routed: Open) -> None:
    """Names in an alert are text in the panel and for screen readers."""
    page, socket = open_routed()
    n_images = page.locator("img").count()
    hostile = dict.fromkeys(("message", "project", "branch", "host", "agent_kind"), HOSTILE)
    send(socket, alert(1, **hostile))
    bell(page).click()
    expect(section(page, "firing").locator(".hg-alert-message")).to_have_text(HOSTILE)
    assert page.locator("img").count() == n_images


def test_page_alerts_work_with_the_keyboard(open_routed: Open) -> None:
    """The button opens the panel, Tab reaches each control, Escape closes it."""
    page, socket = open_routed()
    send(socket, alert(1), alert(2))
    expect(bell(page)).to_have_attribute("aria-label", "Alerts: 2")
    bell(page).focus()
    page.keyboard.press("Enter")
    expect(section(page, "firing")).to_have_count(2)
    expect(page.get_by_role("button", name="Mute for 1 hour")).to_be_focused()
    first = section(page, "firing").first.locator("[data-open]")
    for _ in range(8):
        if first.evaluate("(element) => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("Escape")
    expect(section(page, "firing").first).to_be_hidden()
    expect(bell(page)).to_be_focused()


def test_page_acknowledges_all(open_routed: Open) -> None:
    """One click for all; after a failure the others stay, and it is shown."""
    page, socket = open_routed()

    def acknowledge(route: Route) -> None:
        number = int(route.request.url.split("/")[-2][1:])
        now = datetime.now(UTC).isoformat()
        body = json.dumps(alert(number, acknowledged_at=now))
        route.fulfill(body="?" if number == 50 else body)

    page.route("**/api/alerts/*/acknowledge", acknowledge)
    send(socket, *(alert(number) for number in range(60)))
    bell(page).click()
    expect(section(page, "firing")).to_have_count(60)
    page.get_by_role("button", name="Acknowledge all").click()
    expect(page.locator(".hg-alerts-problem")).to_have_text(
        "Not all alerts could be acknowledged: the server's response is not JSON."
    )
    expect(section(page, "firing").filter(has_text="agent 50 waits")).to_have_count(1)
    expect(section(page, "firing").filter(has_text="agent 3 waits")).to_have_count(0)
    page.unroute("**/api/alerts/*/acknowledge")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_alerts_have_no_accessibility_violations(open_routed: Open, scheme: str) -> None:
    """Axe finds none in the open panel, with alerts of each severity and section."""
    page, socket = open_routed(color_scheme=scheme)
    send(
        socket,
        alert(1, severity="critical"),
        alert(2),
        alert(3, severity="info", silenced=True),
        alert(4, acknowledged_at=datetime.now(UTC).isoformat(), acknowledged_by="ada"),
        alert(5, state="resolved", resolved_at=datetime.now(UTC).isoformat()),
    )
    bell(page).click()
    expect(section(page, "past")).to_have_count(1)
    check_accessibility(page)


def test_page_asks_for_notifications_by_a_click(open_routed: Open) -> None:
    """Never at load; a question that is closed can be asked again."""
    page, socket = open_routed()
    page.evaluate("() => { window.permission = window.answer = 'default'; }")
    send(socket, alert(1))
    bell(page).click()
    row = page.locator("[data-field=notifications]")
    expect(row).to_have_attribute("data-state", "default")
    assert page.evaluate("() => window.asked") is None
    row.get_by_role("button", name="Turn on").click()
    expect(row).to_have_attribute("data-state", "dismissed")
    expect(row).to_contain_text("closed without an answer")
    page.evaluate("() => { window.answer = 'granted'; }")
    row.get_by_role("button", name="Ask again").click()
    expect(row).to_have_attribute("data-state", "granted")
    assert page.evaluate("() => window.asked") == 2


def test_page_notifies_with_permission(server: Server, open_routed: Open) -> None:
    """One notification for an alert in all tabs; it ends with the alert and opens the agent."""
    server.send("claude-1", tool_name="Read")
    page, socket = open_routed(permissions=["notifications"])
    second = page.context.new_page()
    second.add_init_script(f"({RECORD_NOTIFICATIONS})()")
    sockets = routed_sockets(second)
    second.goto(server.url)
    expect_connection(second, "connected")
    for each in (socket, sockets[0]):
        send(each, alert(1))
    for each in (page, second):
        expect(bell(each)).to_have_attribute("aria-label", "Alerts: 1")
    page.wait_for_function("() => localStorage.getItem('htmlgraph-nb.shown-alerts') !== null")
    for each in (page, second):
        # The lock is free once both tabs have decided.
        each.evaluate("() => navigator.locks.request('htmlgraph-nb.notify', () => 0)")
    shown = {each: each.evaluate(SHOWN) for each in (page, second)}
    texts = [text for values in shown.values() for text, _ in values]
    assert texts == ["agent 1 waits for a person."]
    tab = page if shown[page] else second
    tab.evaluate("() => window.shownNotifications[0].notification.onclick()")
    expect(details(tab)).to_be_visible()
    send(socket if tab is page else sockets[0], alert(2))
    tab.wait_for_function("() => window.shownNotifications.length === 2")
    ended = datetime.now(UTC).isoformat()
    send(socket if tab is page else sockets[0], alert(2, state="resolved", resolved_at=ended))
    tab.wait_for_function("() => !window.shownNotifications[1].notification.open")
    tab.locator("[data-control=alerts]").click()
    tab.locator("[data-field=notifications]").get_by_role("button", name="Turn off").click()
    expect(tab.locator("[data-field=notifications]")).to_have_attribute("data-state", "off")


def test_page_says_that_notifications_are_blocked(open_routed: Open) -> None:
    """Without permission the panel says what to do, and has no button that does nothing."""
    page, _ = open_routed(permissions=[])
    assert page.evaluate("() => window.real()") == "denied"
    bell(page).click()
    row = page.locator("[data-field=notifications]")
    expect(row).to_have_attribute("data-state", "denied")
    expect(row).to_contain_text("Allow them in its site settings")
    expect(row.get_by_role("button")).to_be_hidden()
