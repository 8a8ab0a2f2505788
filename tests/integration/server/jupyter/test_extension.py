"""The Jupyter Server extension: authentication, settings, and the life of its database."""

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
from tests.helpers.environ import clean_environ
from tests.helpers.jupyter_server import BASE_URL, TOKEN, JupyterServer, running_jupyter_server
from tests.helpers.wait import wait_until
from tests.integration.hook.test_command import payload

SOCKETS = ("/ws/broadcasts", "/ws/events")
PATHS = {pattern: re.sub(r"\(.*?\)", "name", pattern).replace("\\", "") for pattern, *_ in ROUTES}
"""Route pattern → an example path."""
PATHS[r"/static/([^/]+)"] = "/static/page.js"
PATHS[r"/api/hooks/([^/]+)"] = "/api/hooks/claude"
HTTP = [path for path in PATHS.values() if path not in SOCKETS]
EVENT = {"agent_id": "ada", "event_type": "prompt"}


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A Jupyter Server with a token."""
    with running_jupyter_server(tmp_path_factory.mktemp("jupyter") / "home") as started:
        yield started


def methods_of(path: str) -> tuple[str, ...]:
    """Return the methods of a route."""
    (handler,) = [handler for pattern, handler, _ in ROUTES if PATHS[pattern] == path]
    return tuple(name for name in ("GET", "HEAD", "POST") if name.lower() in vars(handler))


def statuses_of(server: JupyterServer, path: str, authorization: str | None) -> set[int]:
    """Return the statuses of all methods of a route, and of two that it does not have."""
    headers = {} if authorization is None else {"Authorization": authorization}
    methods = (*methods_of(path), "DELETE", "OPTIONS")
    return {server.request(method, path, headers=headers, token=False).status for method in methods}


@pytest.mark.parametrize("path", HTTP)
def test_routes_refuse_requests_without_credentials(jupyter: JupyterServer, path: str) -> None:
    """For all methods, and with a wrong token. The page redirects to Jupyter's login."""
    login = {302} if path == "/" else set()
    assert statuses_of(jupyter, path, None) == {403} | login
    assert statuses_of(jupyter, path, "token unknown") == {403} | login
    assert jupyter.request("GET", "/none", token=False).error["code"] == "token_needed"


@pytest.mark.parametrize("path", HTTP)
def test_routes_accept_credentials(jupyter: JupyterServer, path: str) -> None:
    """Jupyter's token and the secret of the server file are both accepted."""
    for secret in (f"token {TOKEN}", f"Bearer {TOKEN}", f"Bearer {jupyter.secret}"):
        headers = {"Authorization": secret}
        for method in methods_of(path):
            response = jupyter.request(method, path, headers=headers, token=False)
            # 400 for empty bodies, 404 for unknown agents, 415 for a body without a type.
            assert response.status in (200, 400, 404, 415), response.text


@pytest.mark.parametrize("path", SOCKETS)
def test_websockets_require_credentials(jupyter: JupyterServer, path: str) -> None:
    """The handshake is refused with the usual error object."""
    url = f"ws{jupyter.url.removeprefix('http')}{path}"
    for headers in ({}, {"Authorization": "token unknown"}):
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "token_needed"
    for secret in (TOKEN, jupyter.secret):
        with connect(url, additional_headers={"Authorization": f"token {secret}"}):
            pass
    with connect(f"{url}?token={TOKEN}"):
        pass


def cookies_of(server: JupyterServer) -> dict[str, str]:
    """Log in as a browser does, and return the cookie and XSRF headers of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    cookies: dict[str, str] = {}
    with closing(connection):
        # The login page sets the XSRF cookie.
        for path in (f"{BASE_URL}login", f"{BASE_URL}htmlgraph/?token={TOKEN}"):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            for cookie in response.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                cookies[name] = value
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {"Cookie": cookie, "X-XSRFToken": cookies["_xsrf"]}


def test_browser_is_authenticated_by_its_cookie(jupyter: JupyterServer) -> None:
    """The cookie suffices for reading; writing also needs the XSRF token."""
    headers = cookies_of(jupyter)
    cookie = {"Cookie": headers["Cookie"]}
    for path in ("/", "/static/page.js", "/api/presence"):
        assert jupyter.request("GET", path, headers=cookie, token=False).status == 200
    forged = jupyter.request("POST", "/api/events", EVENT, cookie, token=False)
    assert forged.status == 403
    assert "_xsrf" in forged.error["message"]
    assert jupyter.request("POST", "/api/events", EVENT, headers, token=False).status == 200
    with connect(jupyter.ws("/ws/broadcasts").partition("?")[0], additional_headers=cookie):
        pass


def test_foreign_origin_is_refused(jupyter: JupyterServer) -> None:
    """A page of another origin can neither read nor write with the user's cookie."""
    headers = {**cookies_of(jupyter), "Origin": "https://elsewhere.example"}
    for method, path, body in (("GET", "/api/presence", None), ("POST", "/api/events", EVENT)):
        response = jupyter.request(method, path, body, headers, token=False)
        assert (response.status, response.error["code"]) == (403, "origin_refused")
    for path in SOCKETS:
        url = f"ws{jupyter.url.removeprefix('http')}{path}"
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403


def test_foreign_host_is_refused(jupyter: JupyterServer) -> None:
    """A host name that Jupyter does not know is refused (DNS rebinding)."""
    for secret in (TOKEN, jupyter.secret):
        headers = {"Host": "elsewhere.example", "Authorization": f"token {secret}"}
        response = jupyter.request("GET", "/api/presence", headers=headers, token=False)
        assert (response.status, response.error["code"]) == (403, "host_refused")


def test_agent_posts_with_a_token_and_no_cookie(jupyter: JupyterServer) -> None:
    """With a token, no XSRF cookie is needed."""
    response = jupyter.request(
        "POST", "/api/events", EVENT, {"Authorization": f"token {TOKEN}"}, token=False
    )
    assert response.status == 200
    by_secret = jupyter.request(
        "POST", "/api/events", EVENT, {"Authorization": f"Bearer {jupyter.secret}"}, token=False
    )
    assert (by_secret.status, by_secret.cookies) == (200, [])


def test_token_is_removed_from_the_address(jupyter: JupyterServer) -> None:
    """As on the standalone server. A missing trailing slash is added."""
    opened = jupyter.request("GET", f"/?token={TOKEN}", token=False)
    assert (opened.status, opened.headers["location"]) == (302, "./")
    bare = jupyter.request("GET", "", token=False)
    assert (bare.status, bare.headers["location"]) == (301, f"{BASE_URL}htmlgraph/")


def test_authorizer_may_forbid_writing(tmp_path: Path) -> None:
    """With a read-only authorizer nobody can write, not even over a WebSocket."""
    authorizer = "tests.helpers.authorizers.ReadOnlyAuthorizer"
    with running_jupyter_server(
        tmp_path / "home", f"--ServerApp.authorizer_class={authorizer}"
    ) as server:
        assert server.get("/api/presence").status == 200
        with connect(server.ws("/ws/broadcasts")):
            pass
        for secret in (TOKEN, server.secret):
            headers = {"Authorization": f"token {secret}"}
            for path in ("/api/events", "/api/presence/a/viewed"):
                response = server.request("POST", path, EVENT, headers, token=False)
                assert (response.status, response.error["code"]) == (403, "not_authorized")
        with pytest.raises(InvalidStatus), connect(server.ws("/ws/events")):
            pass


def test_programs_of_the_user_need_no_password(tmp_path: Path) -> None:
    """Hook, command line and client find the server and its secret by the server file."""
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
        code = (
            "import htmlgraph_nb as hg; events = hg.load_history(event_types='tool_execute')"
            "; print(len(events), len(hg.load_presence()))"
        )
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
    """Run a program to its end and return its stdout."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, env=environ, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_database_is_opened_by_the_first_authorized_request(
    tmp_path: Path,
) -> None:
    """Neither the start nor a refused request opens it; the end leaves no write-ahead log."""
    with running_jupyter_server(tmp_path / "home") as server:
        assert server.request("GET", "/api/presence", token=False).status == 403
        assert not server.db.exists()
        server.send("ada")
        assert server.db.exists()
    assert not Path(f"{server.db}-wal").exists()
    with closing(sqlite3.connect(server.db)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_unusable_database_is_reported_and_retried(tmp_path: Path) -> None:
    """The response is 503 and Jupyter keeps running; later requests try again."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "test.db").write_text("not a database, but somebody's notes " * 100)
    server = JupyterServer(home)
    try:
        response = server.start().get("/api/presence")
        assert (response.status, response.error["code"]) == (503, "store_damaged")
        assert str(server.db) in response.error["message"]
        server.db.unlink()
        server.send("ada")
        assert list(server.presence()) == ["ada"]
    finally:
        server.stop()
    # Jupyter logs the 503 response as an error.
    assert "Traceback" not in server.log()


# Settings


JUPYTER_SETTINGS = {
    *("host", "port", "token", "allow_origins", "allow_hosts", "max_spaces", "jupyterhub"),
    *("token_file", "local_token", "log_format"),
    *("identity_header", "groups_header", "trusted_proxies"),
}


def test_extension_has_a_trait_for_each_setting() -> None:
    """All settings except those that Jupyter Server has itself; each trait has a help text."""
    traits = {
        name: trait
        for name, trait in HtmlgraphExtension.class_traits(config=True).items()
        if isinstance(trait, SettingTrait)
    }
    renamed = {"db_path": "db", "alerts_file": "alerts"}
    named = {renamed.get(name, name) for name in traits}
    assert named == {setting.name for setting in SETTINGS} - JUPYTER_SETTINGS
    text = HtmlgraphExtension.class_get_help()
    for name, trait in traits.items():
        assert f"--HtmlgraphExtension.{name}=" in text
        assert len(trait.help) > 20


def test_traits_accept_values_and_texts(tmp_path: Path) -> None:
    """A trait accepts a typed value or the text of the flag."""
    from traitlets import TraitError
    from traitlets.config import Config

    def extension(**values: object) -> HtmlgraphExtension:
        return HtmlgraphExtension(config=Config({"HtmlgraphExtension": values}))

    assert (
        extension(idle_timeout="5m").idle_timeout
        == extension(idle_timeout=300).idle_timeout
        == 300.0
    )
    assert extension(seal=False).seal is extension(seal="off").seal is False
    assert extension(max_clients=7).server_config.hub.max_clients == 7
    folders = (("claude", "/a"), ("codex", "/b"))
    for value in ("claude=/a,codex=/b", ["claude=/a", "codex=/b"], folders):
        assert extension(session_folder=value).server_config.session_folder == folders
    assert extension(db_path="x.db").server_config.db == "x.db"
    with pytest.raises(TraitError, match="max_clients"):
        extension(max_clients=0)
    with pytest.raises(TraitError, match="a duration such as 300, 90s, 5m"):
        extension(idle_timeout="soon")
    with pytest.raises(TraitError, match="AGENT=FOLDER"):
        extension(session_folder="/a")


def test_traits_take_precedence_over_the_environment(tmp_path: Path) -> None:
    """A trait on the command line overrides the environment variable."""
    flags = ("--max-clients", "1")
    environ = {"HTMLGRAPH_MAX_CLIENTS": "9", "HTMLGRAPH_MAX_BODY_BYTES": "100"}
    with running_jupyter_server(tmp_path / "home", *flags, environ=environ) as server:
        assert server.post("/api/events", [EVENT] * 50).status == 413
        with connect(server.ws("/ws/broadcasts")) as first:
            first.recv(timeout=15)
            with connect(server.ws("/ws/broadcasts")) as second:
                wait_until(lambda: second.close_code, "the refusal")
                assert second.close_code == 1008


def test_extension_imports_little() -> None:
    """At the start of Jupyter Server neither handlers nor store are imported."""
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
        "htmlgraph_nb.core.agent_facts",
        "htmlgraph_nb.core.fast_records",
        "htmlgraph_nb.core.agent_state",
        "htmlgraph_nb.core.ids",
        "htmlgraph_nb.core.hosts",
        "htmlgraph_nb.core.hosts.host_contact",
        "htmlgraph_nb.storage.commit",
        "htmlgraph_nb.storage.commit.damage",
        "htmlgraph_nb.storage.postgres",
        "htmlgraph_nb.storage.postgres.location",
        "htmlgraph_server.connections",
        "htmlgraph_server.connections.hub_address",
        "htmlgraph_server.connections.hub_limits",
        "htmlgraph_server.setting_parsers",
        "htmlgraph_nb.storage",
        "htmlgraph_nb.storage.database",
        "htmlgraph_nb.storage.file_guard",
        "htmlgraph_nb.storage.migrations",
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
