"""Runs a JupyterHub with two users and checks that each can reach only their own agents.

    pip install jupyterhub configurable-http-proxy
    python -m tests.manual.hub

Authenticator (dummy) and spawner (simple local processes) come with JupyterHub; the proxy is the
Python package configurable-http-proxy. Prints one line per check and exits with status 1 if one
fails. Everything runs on loopback and in a temporary folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.browser import chromium, watched_page
from tests.helpers.environ import jupyter_environ
from tests.helpers.jupyterhub_process import PASSWORD, USERS, Hub, running_hub
from tests.integration.hook.test_command import payload

KERNEL_CODE = """
from htmlgraph_nb import PresenceClient, load_history
with PresenceClient() as client:
    client.wait_connected(30)
    print(client.connection.url, *client.agents, len(load_history()))
"""


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
        with running_hub(folder) as running:
            tokens = {user: running.start_server(user) for user in USERS}
            check_access(running, tokens, checks)
            check_kernel_and_hook(running, tokens, checks, folder)
            check_page(running, checks)
    return 1 if checks.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
