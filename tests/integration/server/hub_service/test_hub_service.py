"""``serve --jupyterhub`` as a service of a real JupyterHub behind its proxy, in a real browser.

It runs where the packages jupyterhub and configurable-http-proxy are installed. That proxy drops
messages that arrive while it opens a WebSocket, so clients here may have to connect again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.browser import chromium
from tests.e2e.page import card, expect_connection
from tests.helpers.environ import clean_environ
from tests.helpers.jupyterhub_process import PASSWORD, Hub, running_hub
from tests.helpers.ports import free_port
from tests.helpers.wait import wait_until

pytest.importorskip("jupyterhub", reason="jupyterhub is not installed")
pytest.importorskip("configurable_http_proxy", reason="its proxy is not installed")

BASE = "/services/htmlgraph"
SCOPES = {right: f"custom:htmlgraph:{right}" for right in ("read", "write", "admin")}
CONFIG = """
c.JupyterHub.custom_scopes = {{s: {{"description": s}} for s in {scopes!r}}}
c.JupyterHub.load_groups = {{
    "team-a": {{"users": ["ada", "bob"]}}, "watchers": {{"users": ["eve"]}}
}}
c.JupyterHub.load_roles += [
    dict(name="user", scopes=["self", "access:services!service=htmlgraph"]),
    dict(name="team", scopes={scopes!r}, groups=["team-a"]),
    dict(name="watch", scopes={scopes!r}[:1], groups=["watchers"]),
    dict(name="alone", scopes={scopes!r}, users=["cleo"]),
]
c.Authenticator.allowed_users = {{"ada", "bob", "cleo", "eve", "mallory"}}
c.JupyterHub.services.append(dict(
    name="htmlgraph",
    url="http://127.0.0.1:{port}",
    command=[{python!r}, "-m", "htmlgraph_server.cli", "serve", "--jupyterhub"],
    environment={environ!r},
    oauth_no_confirm=True,
    oauth_client_allowed_scopes={scopes!r},
))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub with the service; ada and bob are a team, cleo is alone, eve may only read."""
    folder = tmp_path_factory.mktemp("hub")
    environ = {
        name: value
        for name, value in clean_environ(folder / "service").items()
        if not name.startswith("JUPYTER")
    }
    config = CONFIG.format(
        scopes=list(SCOPES.values()), port=free_port(), python=sys.executable, environ=environ
    )
    with running_hub(folder, config) as running:
        wait_until(
            lambda: running.request("GET", f"{BASE}/api/presence", "")[0] == 401,
            "the service",
            60,
            0.5,
        )
        yield running


def token_of(hub: Hub, user: str, *rights: str) -> str:
    """Return a new token of a user with these rights."""
    options = {"note": "a test", "scopes": [SCOPES[right] for right in rights]}
    options["scopes"] += ["access:services!service=htmlgraph"]
    status, created = hub.request("POST", f"/hub/api/users/{user}/tokens", body=options)
    assert status == 201, created
    return str(created["token"])


def agents(hub: Hub, token: str) -> list[str]:
    """Return the agents that a token shows."""
    status, body = hub.request("GET", f"{BASE}/api/presence", token)
    assert status == 200, body
    return sorted(agent["agent_id"] for agent in body["agents"])


def report(hub: Hub, token: str, agent_id: str) -> tuple[int, Any]:
    """Report an event."""
    event = {"agent_id": agent_id, "event_type": "prompt"}
    return hub.request("POST", f"{BASE}/api/events", token, event)


def test_groups_are_spaces_and_scopes_are_rights(hub: Hub) -> None:
    """A team shares a space, a user without a group has an own one, strangers see nothing."""
    both = ("read", "write")
    ada, bob, cleo = (token_of(hub, user, *both) for user in ("ada", "bob", "cleo"))
    assert report(hub, ada, "of-ada")[0] == 200
    assert report(hub, cleo, "of-cleo")[0] == 200
    assert agents(hub, bob) == ["of-ada"]
    assert agents(hub, cleo) == ["of-cleo"]
    status, body = hub.request("POST", f"{BASE}/api/alerts/mute", bob, {"seconds": 1})
    assert (status, body["error"]["code"]) == (403, "not_permitted")
    admin = token_of(hub, "bob", "admin")
    assert hub.request("POST", f"{BASE}/api/alerts/mute", admin, {"seconds": 0})[0] == 200
    reader, writer = token_of(hub, "ada", "read"), token_of(hub, "ada", "write")
    assert report(hub, reader, "x")[1]["error"]["code"] == "not_permitted"
    assert report(hub, writer, "by-writer")[0] == 200
    assert hub.request("GET", f"{BASE}/api/presence", writer)[0] == 403
    assert agents(hub, reader) == ["by-writer", "of-ada"]


def test_users_without_a_scope_are_refused(hub: Hub) -> None:
    """And those that the Hub does not know."""
    options = {"scopes": ["access:services!service=htmlgraph"]}
    created = hub.request("POST", "/hub/api/users/mallory/tokens", body=options)[1]
    status, body = hub.request("GET", f"{BASE}/api/presence", created["token"])
    assert (status, body["error"]["code"]) == (403, "not_permitted")
    status, body = hub.request("GET", f"{BASE}/api/presence", "0" * 32)
    assert (status, body["error"]["code"]) == (401, "token_needed")
    assert hub.request("GET", f"{BASE}/none", "")[0] == 401


def test_websockets_accept_the_hubs_tokens(hub: Hub) -> None:
    """And refuse others with the usual error."""
    url = f"ws{hub.url.removeprefix('http')}{BASE}/ws/broadcasts"
    token = token_of(hub, "ada", "read")

    def first_message() -> Any:
        with connect(url, additional_headers={"Authorization": f"token {token}"}) as socket:
            try:
                return json.loads(socket.recv(5))
            except TimeoutError:
                return None

    assert wait_until(first_message, "the state", 60)["type"] == "presence_state"
    writer = token_of(hub, "ada", "write")
    for wrong, status in (("", 401), (writer, 403)):
        headers = {"Authorization": f"token {wrong}"} if wrong else {}
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == status


def log_in(hub: Hub, page: Page, user: str) -> None:
    """Open the service and log in at the Hub, which sends the browser back."""
    page.goto(f"{hub.url}{BASE}/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_url(f"{hub.url}{BASE}/**")


def wait_connected(page: Page) -> None:
    """Wait until the page is live, and load it again if the proxy dropped the first message."""

    def is_connected() -> bool:
        try:
            expect_connection(page, "connected", 5_000)
        except AssertionError:
            page.reload()
            return False
        return True

    wait_until(is_connected, "the page is connected", 90)


def test_browser_logs_in_at_the_hub(hub: Hub) -> None:
    """The page is live, shows the space of the user's group, and can change what it may."""
    assert report(hub, token_of(hub, "ada", "write"), "seen-by-bob")[0] == 200
    with chromium() as browser:
        page = browser.new_context().new_page()
        log_in(hub, page, "bob")
        wait_connected(page)
        expect(card(page, "seen-by-bob")).to_be_visible()
        page.locator("[data-control=alerts]").click()
        page.locator("[data-control=mute-hour]").click()
        expect(page.locator("[data-control=unmute]")).to_be_visible()
        page.locator("[data-control=unmute]").click()
        reader = browser.new_context().new_page()
        log_in(hub, reader, "eve")
        wait_connected(reader)
        expect(card(reader, "seen-by-bob")).to_have_count(0)
        reader.locator("[data-control=alerts]").click()
        expect(reader.locator("[data-control=mute-hour]")).to_be_hidden()
