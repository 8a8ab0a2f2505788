"""A real JupyterHub with its proxy, in a temporary folder and on loopback.

It needs the packages jupyterhub and configurable-http-proxy.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.environ import jupyter_environ
from tests.helpers.ports import free_port
from tests.helpers.wait import wait_until

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


@contextmanager
def running_hub(folder: Path, more_config: str = "") -> Iterator[Hub]:
    """Run a JupyterHub with all its files in a folder; end its processes at the end.

    Args:
        more_config: lines at the end of its configuration.
    """
    ports = {name: free_port() for name in ("proxy", "hub", "api")}
    command = str(Path(sys.executable).with_name("configurable-http-proxy"))
    homes = folder / "homes"
    config = CONFIG.format(
        **ports, command=command, password=PASSWORD, homes=str(homes), admin=ADMIN_TOKEN
    )
    (folder / "jupyterhub_config.py").write_text(config + more_config)
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
