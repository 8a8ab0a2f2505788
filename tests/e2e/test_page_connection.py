"""The page at ``/`` and its server: reconnects, tokens, origins, other clients."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import OpenPage, Serve
from tests.e2e.page import card, cards, expect_connection, field, grid
from tests.helpers.seed_fields import ORIGINAL_FIELDS
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

TOKEN = "a-token-for-tests"
FIRST_PAUSE_MS = 3_000
RECONNECT_MS = 30_000


def test_page_reconnects(serve: Serve, open_page: OpenPage) -> None:
    """Without a server the page shows so and keeps its cards; then it resumes."""
    first = serve()
    watched = open_page(first.url)
    # Chromium logs each failed attempt itself.
    watched.allowed.append("net::ERR_CONNECTION_REFUSED")
    page = watched.page
    first.send("claude-1", tool_name="Read")
    expect(field(page, "claude-1", "tools")).to_have_text("1")
    first.stop()
    expect_connection(page, "reconnecting")
    expect(grid(page)).to_have_attribute("data-stale", "true")
    expect(page.locator(".hg-connection-text")).to_have_text("Reconnecting…")
    expect(page).to_have_title(re.compile("^Not connected"))
    expect(card(page, "claude-1")).to_be_visible()
    second = serve("--port", str(first.port), home=first.home)
    second.send("claude-1", tool_name="Bash")
    second.send("claude-2", tool_name="Edit")
    expect_connection(page, "connected", RECONNECT_MS)
    expect(field(page, "claude-1", "tools")).to_have_text("2")
    expect(field(page, "claude-2", "tool")).to_have_text("Edit")
    expect(grid(page)).to_have_attribute("data-stale", "false")


def test_page_another_database_replaces_everything(serve: Serve, open_page: OpenPage) -> None:
    """A server restarted with another database leaves none of the old agents."""
    first = serve()
    watched = open_page(first.url)
    watched.allowed.append("net::ERR_CONNECTION_REFUSED")
    page = watched.page
    first.send("claude-1", tool_name="Read")
    expect(card(page, "claude-1")).to_be_visible()
    first.stop()
    expect_connection(page, "reconnecting")
    second = serve("--port", str(first.port))
    second.send("codex-1", tool_name="Read")
    expect(card(page, "codex-1")).to_be_visible(timeout=RECONNECT_MS)
    expect(cards(page)).to_have_count(1)


def test_page_waits_before_reconnecting(serve: Serve, open_page: OpenPage) -> None:
    """The first attempt to reconnect comes after three seconds."""
    server = serve()
    watched = open_page("about:blank")
    watched.allowed.append("net::ERR_CONNECTION_REFUSED")
    page = watched.page
    page.add_init_script(
        """
        globalThis.openedAt = [];
        globalThis.closedAt = [];
        globalThis.WebSocket = class extends WebSocket {
          constructor(url) {
            super(url);
            openedAt.push(performance.now());
            this.addEventListener("close", () => closedAt.push(performance.now()));
          }
        };
        """
    )
    page.goto(server.url)
    expect_connection(page, "connected")
    server.stop()
    wait_until(
        lambda: page.evaluate("openedAt.length > 1"), "another attempt", RECONNECT_MS / 1_000
    )
    assert page.evaluate("openedAt[1] - closedAt[0]") >= FIRST_PAUSE_MS


@pytest.mark.parametrize("server", [("--token", TOKEN)], indirect=True)
def test_page_token_leaves_the_url(server: Server, open_page: OpenPage) -> None:
    """Opened with its token, the page keeps a cookie and removes the token from the URL."""
    page = open_page(f"{server.url}/?token={TOKEN}").page
    assert page.url == f"{server.url}/"
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert TOKEN not in cookie["value"]
    expect_connection(page, "connected")
    server.send("claude-1", tool_name="Read")
    expect(field(page, "claude-1", "tool")).to_have_text("Read")
    page.goto(server.url)
    expect(field(page, "claude-1", "tool")).to_have_text("Read")


@pytest.mark.parametrize("server", [("--token", TOKEN)], indirect=True)
@pytest.mark.parametrize("query", ["", "?token=another-token"])
def test_page_missing_or_wrong_token_is_refused(
    server: Server, open_page: OpenPage, query: str
) -> None:
    """Without the right token the server sends no page, cookie or presence."""
    server.send("claude-1", tool_name="Read")
    watched = open_page("about:blank")
    watched.allowed.append("401 (Unauthorized)")
    page = watched.page
    response = page.goto(f"{server.url}/{query}")
    assert response is not None
    assert response.status == 401
    assert "claude-1" not in page.content()
    assert page.context.cookies() == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_protocol_twelve_line_client_works(server: Server, open_page: OpenPage, name: str) -> None:
    """A plain WebSocket client receives the eight fields of each update."""
    page = open_page(f"http://{name}:{server.port}").page
    page.evaluate(
        f"""() => new Promise((resolve) => {{
          globalThis.received = [];
          const ws = new WebSocket('ws://{name}:{server.port}/ws/broadcasts');

          ws.onmessage = (event) => {{
            const msg = JSON.parse(event.data);

            if (msg.type === 'presence_update') {{
              const {{ agent_id, presence }} = msg;
              received.push([agent_id, presence]);
            }}
          }};
          ws.onopen = resolve;
        }})"""
    )
    server.send(
        "claude-1", tool_name="Read", session_id="s-1", feature_id="feat-1", cost_tokens=700
    )
    wait_until(lambda: page.evaluate("received.length > 0"), "an update")
    agent_id, presence = page.evaluate("received[0]")
    assert agent_id == "claude-1"
    assert tuple(presence)[:8] == ORIGINAL_FIELDS
    activity = presence.pop("last_activity")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", activity)
    expected = {
        "agent_id": "claude-1",
        "status": "active",
        "current_feature_id": "feat-1",
        "last_tool_name": "Read",
        "total_tools_executed": 1,
        "total_cost_tokens": 700,
        "session_id": "s-1",
    }
    assert {name: presence[name] for name in expected} == expected


def test_page_foreign_origin_is_refused(serve: Serve, open_page: OpenPage) -> None:
    """A page of another server is refused because of its Origin."""
    server, other = serve(), serve()
    watched = open_page(other.url)
    watched.allowed.append("WebSocket connection to")
    opened = watched.page.evaluate(
        """(url) => new Promise((resolve) => {
          const ws = new WebSocket(url);
          ws.onopen = () => resolve(true);
          ws.onerror = () => resolve(false);
        })""",
        server.ws("/ws/broadcasts"),
    )
    assert opened is False
