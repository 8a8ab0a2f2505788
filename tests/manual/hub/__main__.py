"""Runs a JupyterHub with two users and checks that each can reach only their own agents.

    pip install jupyterhub configurable-http-proxy
    python -m tests.manual.hub

Authenticator (dummy) and spawner (simple local processes) come with JupyterHub; the proxy is the
Python package configurable-http-proxy. Prints one line per check and exits with status 1 if one
fails. Everything runs on loopback and in a temporary folder.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.browser import chromium, watched_page
from tests.helpers.environ import jupyter_environ
from tests.helpers.wait import wait_until
from tests.integration.hook.test_command import payload

USERS = ("ada", "bob")
PASSWORD = "dummy password"
ADMIN_TOKEN = "0123456789abcdef0123456789abcdef"
CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.command = [{command!r}]
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.args = ["--allow-root"]
c.JupyterHub.services = [dict(name="driver", api_token={admin!r})]
scopes = ["admin:users", "admin:servers", "tokens", "access:servers"]
c.JupyterHub.load_roles = [dict(name="driver", scopes=scopes, services=["driver"])]
"""
KERNEL_CODE = """
from htmlgraph_nb import PresenceClient, load_history
with PresenceClient() as client:
    client.wait_connected(30)
    print(client.connection.url, *client.agents, len(load_history()))
"""


class Hub:
    """A running JupyterHub.

    Attributes:
        url: address of the proxy.
        homes: folder of the home folders of the users.
    """

    def __init__(self, url: str, homes: Path) -> None:
        self.url = url
        self.homes = homes

    def request(
        self, method: str, path: str, token: str = ADMIN_TOKEN, body: Any = None
    ) -> tuple[int, Any]:
        """Send a request through the proxy; return the status and JSON of the response."""
        headers = {"Authorization": f"token {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {**headers, "Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, None

    def start_server(self, user: str) -> str:
        """Create a user, start the user's server and return a token for it."""
        assert self.request("POST", f"/hub/api/users/{user}")[0] == 201
        assert self.request("POST", f"/hub/api/users/{user}/server")[0] in (201, 202)
        wait_until(
            lambda: (
                self.request("GET", f"/hub/api/users/{user}")[1]["servers"].get("", {}).get("ready")
            ),
            f"the server of {user}",
            120,
            0.5,
        )
        options = {"note": "an agent", "scopes": [f"access:servers!user={user}"]}
        status, created = self.request("POST", f"/hub/api/users/{user}/tokens", body=options)
        assert status == 201, created
        return str(created["token"])


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """Run a JupyterHub with all its files in a folder; end its processes at the end."""
    ports = {name: free_port() for name in ("proxy", "hub", "api")}
    command = str(Path(sys.executable).with_name("configurable-http-proxy"))
    homes = folder / "homes"
    config = CONFIG.format(
        **ports, command=command, password=PASSWORD, homes=str(homes), admin=ADMIN_TOKEN
    )
    (folder / "jupyterhub_config.py").write_text(config)
    programs = Path(sys.executable).parent
    environ = jupyter_environ(
        folder,
        {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "CONFIGPROXY_AUTH_TOKEN": ADMIN_TOKEN * 2,
        },
    )
    log = folder / "hub.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub"],
            cwd=folder,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    running = Hub(f"http://127.0.0.1:{ports['proxy']}", homes)

    def is_up() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return running.request("GET", "/hub/api/")[0] == 200
        except OSError:
            return False

    try:
        wait_until(is_up, "the Hub", 120, 0.5)
        yield running
        for user in USERS:
            running.request("DELETE", f"/hub/api/users/{user}/server")
    except BaseException:
        print(log.read_text()[-6_000:], file=sys.stderr)
        raise
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(process.pid, sign)
            try:
                process.wait(20)
                break
            except subprocess.TimeoutExpired:
                continue


class Checks:
    """Prints the result of each check and counts failures."""

    n_failed = 0

    def check(self, what: str, seen: object, expected: object) -> None:
        """Compare two values and print the result."""
        passed = seen == expected
        self.n_failed += not passed
        result = "ok    " if passed else f"FAILED (expected {expected!r})"
        print(f"{result} {what}: {seen!r}", flush=True)


def agents_of(running: Hub, user: str, token: str) -> tuple[int, list[str]]:
    """Return the response status and the agent ids of a user's server."""
    status, body = running.request("GET", f"/user/{user}/htmlgraph/api/presence", token)
    agents = body.get("agents", []) if isinstance(body, dict) else []
    return status, sorted(agent["agent_id"] for agent in agents)


def check_access(running: Hub, tokens: dict[str, str], checks: Checks) -> None:
    """Post with Hub API tokens; check what each user can read, over HTTP and WebSocket."""
    for user, token in tokens.items():
        event = {"agent_id": f"agent-of-{user}", "event_type": "prompt"}
        path = f"/user/{user}/htmlgraph/api/events"
        checks.check(f"{user}'s agent posts", running.request("POST", path, token, event)[0], 200)
        other = next(name for name in USERS if name != user)
        checks.check(f"{user} reads agents of {other}", agents_of(running, other, token), (403, []))
        denied = running.request("POST", f"/user/{other}/htmlgraph/api/events", token, event)[0]
        checks.check(f"{user} posts to {other}", denied, 403)
        checks.check(
            f"post to {user} without a token", running.request("POST", path, "", event)[0], 403
        )
        url = f"ws{running.url.removeprefix('http')}/user/{user}/htmlgraph/ws/broadcasts"
        with connect(url, additional_headers={"Authorization": f"token {token}"}) as dashboard:
            state = json.loads(dashboard.recv(timeout=30))
        seen = [agent["agent_id"] for agent in state["agents"]]
        checks.check(f"{user}'s dashboard", seen, [f"agent-of-{user}"])
        for headers in ({}, {"Authorization": f"token {tokens[other]}"}):
            try:
                with connect(url, additional_headers=headers):
                    status = 101
            except InvalidStatus as error:
                status = error.response.status_code
            checks.check(f"dashboard of {user} for {other if headers else 'no token'}", status, 403)
    for user, token in tokens.items():
        checks.check(f"{user} reads", agents_of(running, user, token), (200, [f"agent-of-{user}"]))


def run_in_kernel(running: Hub, user: str, token: str) -> str:
    """Run KERNEL_CODE in a kernel of a user's server and return its output."""
    status, kernel = running.request("POST", f"/user/{user}/api/kernels", token, {})
    assert status == 201, kernel
    url = f"ws{running.url.removeprefix('http')}/user/{user}/api/kernels/{kernel['id']}/channels"
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "s", "username": user}
    message = {
        "header": {**header, "version": "5.3", "date": "2025-01-14T14:50:30Z"},
        "parent_header": {},
        "metadata": {},
        "content": {"code": KERNEL_CODE, "silent": False, "allow_stdin": False},
        "channel": "shell",
    }
    printed = ""
    with connect(url, additional_headers={"Authorization": f"token {token}"}) as channels:
        channels.send(json.dumps(message))
        while True:
            reply = json.loads(channels.recv(timeout=120))
            if reply["msg_type"] == "stream":
                printed += reply["content"]["text"]
            elif reply["msg_type"] == "error":
                printed += "\n".join(reply["content"]["traceback"])
            elif reply["msg_type"] == "execute_reply":
                break
    running.request("DELETE", f"/user/{user}/api/kernels/{kernel['id']}", token)
    return printed.strip()


def check_kernel_and_hook(
    running: Hub, tokens: dict[str, str], checks: Checks, folder: Path
) -> None:
    """Check that a kernel and a hook in a terminal find the server of their user."""
    printed = run_in_kernel(running, "ada", tokens["ada"])
    url, *rest = printed.split()
    checks.check("server in a kernel of ada", url.partition("/user")[2], "/ada/htmlgraph")
    checks.check("agents and events there", rest, ["agent-of-ada", "1"])
    environ = {
        "JUPYTERHUB_SERVICE_URL": f"{url.removesuffix('htmlgraph')}",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
        "JUPYTERHUB_API_TOKEN": tokens["ada"],
    }
    subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook"],
        input=payload(),
        env=jupyter_environ(folder, {**environ, "HTMLGRAPH_HOME": str(folder / "nowhere")}),
        check=True,
        timeout=60,
    )
    status, agents = agents_of(running, "ada", tokens["ada"])
    checks.check("agents after a hook of ada", (status, len(agents)), (200, 2))


def check_page(running: Hub, checks: Checks) -> None:
    """Check that a person can log in at the Hub and open the page of the server."""
    with chromium() as browser, watched_page(browser) as watched:
        page = watched.page
        # The Hub's login form requests a favicon that does not exist.
        watched.allowed.append("favicon")
        page.goto(f"{running.url}/hub/login?next=%2Fuser%2Fada%2Fhtmlgraph%2F")
        page.locator("#username_input").fill("ada")
        page.locator("#password_input").fill(PASSWORD)
        page.locator("#login_submit").click()
        card = page.locator('[data-agent-id="agent-of-ada"]')
        expect(card).to_be_visible()
        card.click()
        expect(page.locator('[data-event="prompt"]')).to_have_count(1)
        checks.check("page of ada shows agents", page.locator("[data-agent-id]").count() >= 1, True)
        status = page.request.get(f"{running.url}/user/bob/htmlgraph/api/presence").status
        checks.check("browser of ada reads agents of bob", status, 403)


def main() -> int:
    """Run all checks and return the exit status."""
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with hub(folder) as running:
            tokens = {user: running.start_server(user) for user in USERS}
            check_access(running, tokens, checks)
            check_kernel_and_hook(running, tokens, checks, folder)
            check_page(running, checks)
    return 1 if checks.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
