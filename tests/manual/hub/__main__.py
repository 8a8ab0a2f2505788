"""Runs a JupyterHub with two users and looks at what each sees of the other's agents.

    pip install jupyterhub configurable-http-proxy
    python -m tests.manual.hub

Authenticator (dummy) and spawner (simple local processes) are the Hub's own, the proxy is the
Python package of that name. Printed is one line for each thing that was looked at; the exit status
is 1 where one was not as it must be. All is on loopback and in a folder that goes at the end.
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
from tests.helpers.jupyter_folders import jupyter_environ
from tests.helpers.wait import wait_until
from tests.integration.hook.test_command import payload

USERS = ("ada", "bob")
PASSWORD = "dummy password"
ADMIN = "0123456789abcdef0123456789abcdef"
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
IN_A_KERNEL = """
from htmlgraph_nb import PresenceClient, load_history
with PresenceClient() as client:
    client.wait_connected(30)
    print(client.connection.url, *client.agents, len(load_history()))
"""


class Hub:
    """A running JupyterHub.

    Attributes:
        url: of the proxy.
        homes: the folder of the users' homes.
    """

    def __init__(self, url: str, homes: Path) -> None:
        self.url = url
        self.homes = homes

    def ask(self, method: str, path: str, token: str = ADMIN, body: Any = None) -> tuple[int, Any]:
        """Send a request through the proxy; return the status and the JSON of the answer."""
        headers = {"Authorization": f"token {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {**headers, "Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, None

    def begin(self, user: str) -> str:
        """Make a user, start the server, and return a token of the user for it."""
        assert self.ask("POST", f"/hub/api/users/{user}")[0] == 201
        assert self.ask("POST", f"/hub/api/users/{user}/server")[0] in (201, 202)
        wait_until(
            lambda: (
                self.ask("GET", f"/hub/api/users/{user}")[1]["servers"].get("", {}).get("ready")
            ),
            f"the server of {user}",
            120,
            0.5,
        )
        wanted = {"note": "an agent", "scopes": [f"access:servers!user={user}"]}
        status, made = self.ask("POST", f"/hub/api/users/{user}/tokens", body=wanted)
        assert status == 201, made
        return str(made["token"])


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """Run a Hub with all its files in a folder, and end its processes."""
    ports = {name: free_port() for name in ("proxy", "hub", "api")}
    command = str(Path(sys.executable).with_name("configurable-http-proxy"))
    homes = folder / "homes"
    config = CONFIG.format(
        **ports, command=command, password=PASSWORD, homes=str(homes), admin=ADMIN
    )
    (folder / "jupyterhub_config.py").write_text(config)
    own = Path(sys.executable).parent
    environ = jupyter_environ(
        folder,
        {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}", "CONFIGPROXY_AUTH_TOKEN": ADMIN * 2},
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

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return running.ask("GET", "/hub/api/")[0] == 200
        except OSError:
            return False

    try:
        wait_until(answers, "the Hub", 120, 0.5)
        yield running
        for user in USERS:
            running.ask("DELETE", f"/hub/api/users/{user}/server")
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


class Findings:
    """What was looked at, printed as it is found."""

    n_wrong = 0

    def look(self, what: str, seen: object, expected: object) -> None:
        """Compare and print."""
        right = seen == expected
        self.n_wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {what}: {seen!r}", flush=True)


def agents_of(running: Hub, user: str, token: str) -> tuple[int, list[str]]:
    """Return the status and the agents of a user's server."""
    status, answer = running.ask("GET", f"/user/{user}/htmlgraph/api/presence", token)
    found = answer.get("agents", []) if isinstance(answer, dict) else []
    return status, sorted(one["agent_id"] for one in found)


def look_at_agents(running: Hub, tokens: dict[str, str], found: Findings) -> None:
    """Post with a Hub API token; look at who sees what, over HTTP and WebSocket."""
    for user, token in tokens.items():
        event = {"agent_id": f"agent-of-{user}", "event_type": "prompt"}
        path = f"/user/{user}/htmlgraph/api/events"
        found.look(f"{user}'s agent posts", running.ask("POST", path, token, event)[0], 200)
        other = next(one for one in USERS if one != user)
        found.look(f"{user} at {other}'s", agents_of(running, other, token), (403, []))
        denied = running.ask("POST", f"/user/{other}/htmlgraph/api/events", token, event)[0]
        found.look(f"{user} posts to {other}", denied, 403)
        found.look(f"nobody posts to {user}", running.ask("POST", path, "", event)[0], 403)
        url = f"ws{running.url.removeprefix('http')}/user/{user}/htmlgraph/ws/broadcasts"
        with connect(url, additional_headers={"Authorization": f"token {token}"}) as dashboard:
            state = json.loads(dashboard.recv(timeout=30))
        seen = [one["agent_id"] for one in state["agents"]]
        found.look(f"{user}'s dashboard", seen, [f"agent-of-{user}"])
        for headers in ({}, {"Authorization": f"token {tokens[other]}"}):
            try:
                with connect(url, additional_headers=headers):
                    status = 101
            except InvalidStatus as refused:
                status = refused.response.status_code
            found.look(f"{other if headers else 'nobody'} at {user}'s dashboard", status, 403)
    for user, token in tokens.items():
        found.look(f"{user} sees", agents_of(running, user, token), (200, [f"agent-of-{user}"]))


def run_in_kernel(running: Hub, user: str, token: str) -> str:
    """Run IN_A_KERNEL in a kernel of a user's server and return what it prints."""
    status, kernel = running.ask("POST", f"/user/{user}/api/kernels", token, {})
    assert status == 201, kernel
    url = f"ws{running.url.removeprefix('http')}/user/{user}/api/kernels/{kernel['id']}/channels"
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "s", "username": user}
    message = {
        "header": {**header, "version": "5.3", "date": "2025-01-14T14:50:30Z"},
        "parent_header": {},
        "metadata": {},
        "content": {"code": IN_A_KERNEL, "silent": False, "allow_stdin": False},
        "channel": "shell",
    }
    printed = ""
    with connect(url, additional_headers={"Authorization": f"token {token}"}) as channels:
        channels.send(json.dumps(message))
        while True:
            answer = json.loads(channels.recv(timeout=120))
            if answer["msg_type"] == "stream":
                printed += answer["content"]["text"]
            elif answer["msg_type"] == "error":
                printed += "\n".join(answer["content"]["traceback"])
            elif answer["msg_type"] == "execute_reply":
                break
    running.ask("DELETE", f"/user/{user}/api/kernels/{kernel['id']}", token)
    return printed.strip()


def look_at_kernel_and_hook(
    running: Hub, tokens: dict[str, str], found: Findings, folder: Path
) -> None:
    """A kernel finds its own server; so does a hook with what a terminal there inherits."""
    printed = run_in_kernel(running, "ada", tokens["ada"])
    url, *rest = printed.split()
    found.look("a kernel of ada's finds", url.partition("/user")[2], "/ada/htmlgraph")
    found.look("and there", rest, ["agent-of-ada", "1"])
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
    found.look("after a hook of ada's", (status, len(agents)), (200, 2))


def look_at_page(running: Hub, found: Findings) -> None:
    """A person logs in at the Hub and opens the page of the server."""
    with chromium() as browser, watched_page(browser) as watched:
        page = watched.page
        # Without a favicon of its own the Hub's form asks for one.
        watched.allowed.append("favicon")
        page.goto(f"{running.url}/hub/login?next=%2Fuser%2Fada%2Fhtmlgraph%2F")
        page.locator("#username_input").fill("ada")
        page.locator("#password_input").fill(PASSWORD)
        page.locator("#login_submit").click()
        card = page.locator('[data-agent-id="agent-of-ada"]')
        expect(card).to_be_visible()
        card.click()
        expect(page.locator('[data-event="prompt"]')).to_have_count(1)
        found.look("ada's page shows", page.locator("[data-agent-id]").count() >= 1, True)
        refused = page.request.get(f"{running.url}/user/bob/htmlgraph/api/presence").status
        found.look("ada's browser at bob's", refused, 403)


def main() -> int:
    """Look at everything and return the exit status."""
    found = Findings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with hub(folder) as running:
            tokens = {user: running.begin(user) for user in USERS}
            look_at_agents(running, tokens, found)
            look_at_kernel_and_hook(running, tokens, found, folder)
            look_at_page(running, found)
    return 1 if found.n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
