"""Inside Jupyter Server: who is let in, what it is told, and when it opens and closes its file."""

from __future__ import annotations

import http.client
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from jupyter_server.auth import passwd
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from htmlgraph_server.app import ROUTES
from htmlgraph_server.config import SETTINGS
from htmlgraph_server.jupyter.extension import HtmlgraphExtension, SettingTrait
from tests.helpers.jupyter_server import BASE_URL, TOKEN, MountedServer, running_jupyter_server
from tests.helpers.server_process import clean_environ
from tests.helpers.wait import wait_until
from tests.integration.hook.test_command import payload

SOCKETS = ("/ws/broadcasts", "/ws/events")
PATHS = {pattern: re.sub(r"\(.*?\)", "name", pattern).replace("\\", "") for pattern, _ in ROUTES}
"""A path of each route in the application's own table."""
PATHS[r"/static/([^/]+)"] = "/static/page.js"
PATHS[r"/api/hooks/([^/]+)"] = "/api/hooks/claude"
HTTP = [path for path in PATHS.values() if path not in SOCKETS]
EVENT = {"agent_id": "ada", "event_type": "prompt"}


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedServer]:
    """One Jupyter Server with a token."""
    with running_jupyter_server(tmp_path_factory.mktemp("mounted") / "home") as started:
        yield started


def methods_of(path: str) -> tuple[str, ...]:
    """Return the methods that a route has."""
    (handler,) = [kind for pattern, kind in ROUTES if PATHS[pattern] == path]
    return tuple(name for name in ("GET", "HEAD", "POST") if name.lower() in vars(handler))


def asked(server: MountedServer, path: str, authorization: str | None) -> set[int]:
    """Return the statuses of a route's methods and of an unknown one."""
    headers = {} if authorization is None else {"Authorization": authorization}
    methods = (*methods_of(path), "DELETE", "OPTIONS")
    return {server.request(method, path, headers=headers, token=False).status for method in methods}


@pytest.mark.parametrize("path", HTTP)
def test_every_route_is_refused_without_credentials(mounted: MountedServer, path: str) -> None:
    """Also its other methods, and with a wrong token; the page leads to Jupyter's login."""
    login = {302} if path == "/" else set()
    assert asked(mounted, path, None) == {403} | login
    assert asked(mounted, path, "token of-nobody") == {403} | login
    assert mounted.request("GET", "/none", token=False).error["code"] == "token_needed"


@pytest.mark.parametrize("path", HTTP)
def test_every_route_is_served_with_them(mounted: MountedServer, path: str) -> None:
    """With Jupyter's token, and with what the extension left for this user's programs."""
    for secret in (f"token {TOKEN}", f"Bearer {TOKEN}", f"Bearer {mounted.secret}"):
        headers = {"Authorization": secret}
        for method in methods_of(path):
            answer = mounted.request(method, path, headers=headers, token=False)
            # Refused are only empty bodies and unknown agents.
            assert answer.status in (200, 400, 404), answer.text


@pytest.mark.parametrize("path", SOCKETS)
def test_every_websocket_is_refused_without_credentials_and_served_with_them(
    mounted: MountedServer, path: str
) -> None:
    """Before the handshake is answered, in the one shape of errors."""
    url = f"ws{mounted.url.removeprefix('http')}{path}"
    for headers in ({}, {"Authorization": "token of-nobody"}):
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "token_needed"
    for secret in (TOKEN, mounted.secret):
        with connect(url, additional_headers={"Authorization": f"token {secret}"}):
            pass
    with connect(f"{url}?token={TOKEN}"):
        pass


def cookies_of(server: MountedServer) -> dict[str, str]:
    """Log in as a browser does, and return the headers of a page of this server."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    found: dict[str, str] = {}
    with closing(connection):
        # The page of the login form sets the cookie against forged requests.
        for path in (f"{BASE_URL}login", f"{BASE_URL}htmlgraph/?token={TOKEN}"):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            for cookie in answer.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                found[name] = value
    cookie = "; ".join(f"{name}={value}" for name, value in found.items())
    return {"Cookie": cookie, "X-XSRFToken": found["_xsrf"]}


def test_a_browser_is_known_by_its_cookie(mounted: MountedServer) -> None:
    """It reads with the cookie alone; it writes only with the token against forged requests."""
    headers = cookies_of(mounted)
    cookie = {"Cookie": headers["Cookie"]}
    for path in ("/", "/static/page.js", "/api/presence"):
        assert mounted.request("GET", path, headers=cookie, token=False).status == 200
    forged = mounted.request("POST", "/api/events", EVENT, cookie, token=False)
    assert forged.status == 403
    assert "_xsrf" in forged.error["message"]
    assert mounted.request("POST", "/api/events", EVENT, headers, token=False).status == 200
    with connect(mounted.ws("/ws/broadcasts").partition("?")[0], additional_headers=cookie):
        pass


def test_a_foreign_origin_is_refused(mounted: MountedServer) -> None:
    """What a foreign page makes a browser send with its cookie neither reads nor writes."""
    headers = {**cookies_of(mounted), "Origin": "https://elsewhere.example"}
    for method, path, body in (("GET", "/api/presence", None), ("POST", "/api/events", EVENT)):
        answer = mounted.request(method, path, body, headers, token=False)
        assert (answer.status, answer.error["code"]) == (403, "origin_refused")
    for path in SOCKETS:
        url = f"ws{mounted.url.removeprefix('http')}{path}"
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403


def test_a_foreign_host_is_refused(mounted: MountedServer) -> None:
    """A name that somebody else has given to this machine, as Jupyter itself has it."""
    for secret in (TOKEN, mounted.secret):
        headers = {"Host": "elsewhere.example", "Authorization": f"token {secret}"}
        answer = mounted.request("GET", "/api/presence", headers=headers, token=False)
        assert (answer.status, answer.error["code"]) == (403, "host_refused")


def test_an_agent_posts_with_a_token_and_no_cookie(mounted: MountedServer) -> None:
    """A program holds no cookie against forged requests, and needs none."""
    answer = mounted.request(
        "POST", "/api/events", EVENT, {"Authorization": f"token {TOKEN}"}, token=False
    )
    assert answer.status == 200
    by_secret = mounted.request(
        "POST", "/api/events", EVENT, {"Authorization": f"Bearer {mounted.secret}"}, token=False
    )
    assert (by_secret.status, by_secret.cookies) == (200, [])


def test_the_token_leaves_the_address(mounted: MountedServer) -> None:
    """As at the standalone server; without a slash the address is completed."""
    opened = mounted.request("GET", f"/?token={TOKEN}", token=False)
    assert (opened.status, opened.headers["location"]) == (302, "./")
    bare = mounted.request("GET", "", token=False)
    assert (bare.status, bare.headers["location"]) == (301, f"{BASE_URL}htmlgraph/")


def test_jupyters_authorizer_decides(tmp_path: Path) -> None:
    """One that lets everybody read lets nobody write, not over a WebSocket either."""
    authorizer = "tests.helpers.authorizers.OnlyReading"
    with running_jupyter_server(
        tmp_path / "home", f"--ServerApp.authorizer_class={authorizer}"
    ) as server:
        assert server.get("/api/presence").status == 200
        with connect(server.ws("/ws/broadcasts")):
            pass
        for secret in (TOKEN, server.secret):
            headers = {"Authorization": f"token {secret}"}
            answer = server.request("POST", "/api/events", EVENT, headers, token=False)
            assert (answer.status, answer.error["code"]) == (403, "not_authorized")
        with pytest.raises(InvalidStatus), connect(server.ws("/ws/events")):
            pass


def test_with_a_password_and_no_token_this_users_programs_come_in(tmp_path: Path) -> None:
    """The hook, the command line and the client find the server and need to be told nothing."""
    flags = (
        "--IdentityProvider.token=",
        f"--PasswordIdentityProvider.hashed_password={passwd('correct horse')}",
    )
    with running_jupyter_server(tmp_path / "home", *flags) as server:
        assert server.request("GET", "/api/presence", token=False).status == 403
        environ = clean_environ(server.home)
        run([sys.executable, "-m", "htmlgraph_nb.hook"], environ, payload())
        status = run([sys.executable, "-m", "htmlgraph_server.cli", "status"], environ)
        assert b"1 active" in status
        code = "import htmlgraph_nb as hg; print(len(hg.load_history()), len(hg.load_presence()))"
        assert run([sys.executable, "-c", code], environ).split() == [b"1", b"1"]
        follow = (
            "from htmlgraph_nb import PresenceClient\n"
            "with PresenceClient() as client:\n"
            "    client.wait_connected(30); print(client.connection.url, len(client.agents))"
        )
        kernel = {**environ, "JPY_PARENT_PID": str(server.pid)}
        assert run([sys.executable, "-c", follow], kernel).split() == [server.url.encode(), b"1"]
    assert not (tmp_path / "home/spool.jsonl").exists()


def run(command: list[str], environ: dict[str, str], stdin: bytes = b"") -> bytes:
    """Run a program to its end and return what it wrote to stdout."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, env=environ, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_the_file_is_opened_for_the_first_who_is_let_in_and_closed_at_the_end(
    tmp_path: Path,
) -> None:
    """Neither the start nor a refused request touches it; the end commits and leaves no log."""
    with running_jupyter_server(tmp_path / "home") as server:
        assert server.request("GET", "/api/presence", token=False).status == 403
        assert not server.db.exists()
        server.send("ada")
        assert server.db.exists()
    assert not Path(f"{server.db}-wal").exists()
    with closing(sqlite3.connect(server.db)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_a_database_that_cannot_be_used_is_an_answer(tmp_path: Path) -> None:
    """503 in words, and Jupyter goes on; once the file is sound, so are the answers."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "test.db").write_text("not a database, but somebody's notes " * 100)
    server = MountedServer(home)
    try:
        answer = server.start().get("/api/presence")
        assert (answer.status, answer.error["code"]) == (503, "store_unavailable")
        assert str(server.db) in answer.error["message"]
        server.db.unlink()
        server.send("ada")
        assert list(server.presence()) == ["ada"]
    finally:
        server.stop()
    # Jupyter logs the answer itself as an error.
    assert "Traceback" not in server.log()


# Settings


LISTENERS = {"host", "port", "token", "allow_origins", "allow_hosts"}


def test_each_setting_is_a_trait() -> None:
    """All but those by which Jupyter Server says who may come, and where; each with its help."""
    traits = {
        name: trait
        for name, trait in HtmlgraphExtension.class_traits(config=True).items()
        if isinstance(trait, SettingTrait)
    }
    named = {"db" if name == "db_path" else name for name in traits}
    assert named == {setting.name for setting in SETTINGS} - LISTENERS
    text = HtmlgraphExtension.class_get_help()
    for name, trait in traits.items():
        assert f"--HtmlgraphExtension.{name}=" in text
        assert len(trait.help) > 20


def test_traits_are_read_as_flags_are(tmp_path: Path) -> None:
    """A value of its own type and a text mean the same; the environment stands behind them."""
    from traitlets import TraitError
    from traitlets.config import Config

    def told(**values: object) -> HtmlgraphExtension:
        return HtmlgraphExtension(config=Config({"HtmlgraphExtension": values}))

    assert told(idle_timeout="5m").idle_timeout == told(idle_timeout=300).idle_timeout == 300.0
    assert told(seal=False).seal is told(seal="off").seal is False
    assert told(max_clients=7).server_config.hub.max_clients == 7
    assert told(db_path="x.db").server_config.db == "x.db"
    with pytest.raises(TraitError, match="max_clients"):
        told(max_clients=0)
    with pytest.raises(TraitError, match="a duration as 300, 90s, 5m"):
        told(idle_timeout="soon")


def test_traits_on_the_command_line_and_in_the_environment(tmp_path: Path) -> None:
    """The command line goes before the environment."""
    flags = ("--max-clients", "1")
    environ = {"HTMLGRAPH_MAX_CLIENTS": "9", "HTMLGRAPH_MAX_BODY_BYTES": "100"}
    with running_jupyter_server(tmp_path / "home", *flags, environ=environ) as server:
        assert server.post("/api/events", [EVENT] * 50).status == 413
        with connect(server.ws("/ws/broadcasts")) as first:
            first.recv(timeout=15)
            with connect(server.ws("/ws/broadcasts")) as second:
                wait_until(lambda: second.close_code, "the refusal")
                assert second.close_code == 1008


def test_the_extension_loads_little() -> None:
    """At its start Jupyter Server loads neither the handlers nor the store."""
    code = (
        "import jupyter_server.serverapp, sys; before = set(sys.modules);"
        "import htmlgraph_server.jupyter.extension;"
        "print(*sorted(m for m in set(sys.modules) - before if m.startswith('htmlgraph')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {
        "htmlgraph_nb",
        "htmlgraph_nb.core",
        "htmlgraph_nb.core.validation",
        "htmlgraph_nb.errors",
        "htmlgraph_nb.core.reducer",
        "htmlgraph_nb.paths",
        "htmlgraph_nb.core.model",
        "htmlgraph_nb.core.roster",
        "htmlgraph_nb.core.agent_state",
        "htmlgraph_nb.storage",
        "htmlgraph_nb.storage.database",
        "htmlgraph_nb.storage.row_writer",
        "htmlgraph_nb.storage.schema",
        "htmlgraph_nb.core.timestamps",
        "htmlgraph_nb.core.status_rules",
        "htmlgraph_server",
        "htmlgraph_server.server_file",
        "htmlgraph_server.config",
        "htmlgraph_server.jupyter",
        "htmlgraph_server.jupyter.extension",
        "htmlgraph_server.jupyter.service_provider",
    }
