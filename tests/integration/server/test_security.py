"""Authentication of the server by token, Origin and Host, and what it reveals to others."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.helpers.environ import clean_environ
from tests.helpers.server_files import server_files_in
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve

TOKEN = "correct-horse-battery-staple"
FLAGS = ("--token", TOKEN, "--verbose")

ROUTES = [
    ("GET", "/"),
    ("GET", "/api/presence"),
    ("GET", "/api/presence/a"),
    ("POST", "/api/presence/a/offline"),
    ("POST", "/api/presence/a/viewed"),
    ("POST", "/api/events"),
    ("GET", "/api/history"),
    ("POST", "/api/broadcast/tracks/t"),
    ("POST", "/api/hooks/claude"),
    ("GET", "/api/status"),
    ("GET", "/api/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/nowhere"),
    ("GET", "/ws/broadcasts"),
    ("GET", "/ws/events"),
]


def ws_status(server: Server, path: str, **options: Any) -> int:
    """Return the HTTP status of a WebSocket handshake."""
    try:
        with connect(server.ws(path), **options):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


# The token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
def test_public_host_without_token_does_not_start(tmp_path: Path, host: str) -> None:
    """Status 2 and one line that says what to type."""
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "serve", "--host", host, "--port", "0"],
        capture_output=True,
        text=True,
        env=clean_environ(tmp_path),
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("htmlgraph-nb: ")
    assert "--token" in line
    assert "HTMLGRAPH_TOKEN" in line
    assert not (tmp_path / "htmlgraph.db").exists()


def test_public_host_with_token_starts(serve: Serve) -> None:
    """The token comes from the flag or from the environment."""
    for server in (
        serve("--host", "0.0.0.0", "--token", TOKEN),
        serve("--host", "0.0.0.0", environ={"HTMLGRAPH_TOKEN": TOKEN}),
    ):
        assert server.get("/api/status").status == 200
        assert server.request("GET", "/api/status", token=False).status == 401


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer \xff"},
        {"Cookie": f"htmlgraph_token={TOKEN}"},
    ],
)
def test_routes_require_the_token(
    module_server: Server, method: str, path: str, headers: dict[str, str]
) -> None:
    """A missing or wrong token is a 401 with instructions; the response does not repeat it."""
    response = module_server.request(method, path, headers=headers, token=False)
    assert (response.status, response.error["code"]) == (401, "token_needed")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN not in response.text
    assert "wrong" not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token", "BEARER "])
def test_token_in_header_opens_every_route(module_server: Server, scheme: str) -> None:
    """The scheme is case-insensitive."""
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert module_server.request("GET", "/api/status", headers=headers, token=False).status == 200
    assert module_server.request("GET", "/", headers=headers, token=False).status == 200
    for path in ("/ws/broadcasts", "/ws/events"):
        assert ws_status(module_server, path, additional_headers=headers) == 101


def test_token_in_query_opens_page_and_websockets(module_server: Server) -> None:
    """?token= opens no other route."""
    for path in ("/ws/broadcasts", "/ws/events"):
        assert ws_status(module_server, f"{path}?token={TOKEN}") == 101
        assert ws_status(module_server, f"{path}?token=wrong") == 401
        assert ws_status(module_server, path) == 401
    for path in ("/api/status", "/api/events", "/metrics"):
        response = module_server.request("GET", f"{path}?token={TOKEN}", token=False)
        assert response.status == 401


def test_page_is_sent_at_once_for_a_link_on_another_site(module_server: Server) -> None:
    """Browsers send no Strict cookie along a redirect that such a link began; page.js drops it."""
    link = {"Sec-Fetch-Site": "cross-site"}
    path = f"/?token={TOKEN}"
    response = module_server.request("GET", path, headers=link, token=False)
    assert response.status == 200
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "; SameSite=Strict" in response.cookies[0]
    assert module_server.request("GET", "/?token=no", headers=link, token=False).status == 401


def test_page_replaces_query_token_by_cookie(module_server: Server) -> None:
    """Scripts and other sites cannot use the cookie, and the token leaves the URL."""
    response = module_server.request("GET", f"/?token={TOKEN}", token=False)
    assert response.status == 302
    assert response.headers["location"] == "./"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    [cookie] = response.cookies
    assert "; HttpOnly" in cookie
    assert "; SameSite=Strict" in cookie
    assert TOKEN not in cookie
    pair = cookie.partition(";")[0]
    for method, path, body in (
        ("GET", "/", None),
        ("GET", "/api/status", None),
        ("POST", "/api/events", {"agent_id": "by-cookie"}),
    ):
        done = module_server.request(method, path, body, {"Cookie": pair}, token=False)
        assert done.status == 200, path
    cookies = {"Cookie": pair}
    assert ws_status(module_server, "/ws/broadcasts", additional_headers=cookies) == 101
    other = {"Cookie": pair[:-1] + ("0" if pair[-1] != "0" else "1")}
    assert module_server.request("GET", "/", headers=other, token=False).status == 401
    assert module_server.request("GET", "/?token=wrong", token=False).status == 401
    # The value of the cookie is not itself a token.
    value = {"Authorization": f"Bearer {pair.partition('=')[2]}"}
    assert module_server.request("GET", "/", headers=value, token=False).status == 401


def test_cookie_requires_own_origin(module_server: Server) -> None:
    """A foreign page cannot use the browser's cookie for writes or WebSockets."""
    pair = module_server.request("GET", f"/?token={TOKEN}", token=False).cookies[0].split(";")[0]
    foreign = {"Cookie": pair, "Origin": "https://evil.example"}
    done = module_server.request("POST", "/api/events", {"agent_id": "x"}, foreign, token=False)
    assert (done.status, done.error["code"]) == (403, "origin_refused")
    assert ws_status(module_server, "/ws/broadcasts", additional_headers=foreign) == 403


def test_token_is_not_logged(module_server: Server) -> None:
    """A verbose log of accepted, refused and broken requests does not contain it."""
    for path in (f"/?token={TOKEN}", f"/?token={TOKEN}&token=%ff", f"/nowhere?token={TOKEN}"):
        module_server.get(path)
    module_server.request("GET", f"/api/status?token={TOKEN}")
    module_server.request("GET", f"/static/nothing?token={TOKEN}", token=False)
    module_server.request("POST", f"/api/events?token={TOKEN}", "broken")
    module_server.request("GET", "/", headers={"Cookie": f"x={TOKEN}; {TOKEN}"}, token=False)
    ws_status(module_server, f"/ws/broadcasts?token={TOKEN}&since=%ff")
    ws_status(module_server, f"/ws/events?token={TOKEN}")
    with connect(module_server.ws(f"/ws/events?token={TOKEN}")) as stream:
        stream.send("broken")
        assert TOKEN not in str(stream.recv(timeout=10))
    log = module_server.log()
    assert "DEBUG htmlgraph_server.app: 400 POST /api/events" in log
    assert TOKEN not in log


@pytest.mark.parametrize("token", ["short", "with space in it", "x" * 257, "кириллица"])
def test_invalid_token_setting_is_not_repeated(tmp_path: Path, token: str) -> None:
    """The error describes the expected form of a token."""
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "serve", "--token", token],
        capture_output=True,
        text=True,
        env=clean_environ(tmp_path),
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert token not in line
    assert "8 to 256" in line


def test_server_file_is_private(serve: Serve, tmp_path: Path) -> None:
    """Its file has mode 600 in a folder of mode 700, and is removed with the server."""
    home = tmp_path / "shared"
    server = serve("--token", TOKEN, home=home)
    (path,) = server_files_in(home)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    record = json.loads(path.read_text())
    assert (record["url"], record["token"]) == (server.url, TOKEN)
    assert record["pid"] == server.pid
    server.stop()
    assert server_files_in(home) == []


# Origin and Host


ORIGINS = [
    "https://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://localhost.evil.example",
    "null",
    "http://[",
    "file://",
    "",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_foreign_origin_cannot_write_or_listen(server: Server, origin: str) -> None:
    """Reads are allowed because the page cannot see the response."""
    headers = {"Origin": origin}
    for path in (
        "/api/events",
        "/api/presence/x/offline",
        "/api/presence/x/viewed",
        "/api/hooks/claude",
    ):
        response = server.request("POST", path, {}, headers)
        assert (response.status, response.error["code"]) == (403, "origin_refused")
    for path in ("/ws/broadcasts", "/ws/events"):
        assert ws_status(server, path, additional_headers=headers) == 403
    response = server.request("GET", "/api/presence", headers=headers)
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_own_and_allowed_origins_may_write_and_listen(serve: Serve) -> None:
    """The server's own pages and those of --allow-origins."""
    server = serve("--allow-origins", "https://hub.example, http://localhost:8888/")
    for origin in (server.url, "https://hub.example", "HTTP://LOCALHOST:8888"):
        headers = {"Origin": origin}
        assert server.request("POST", "/api/events", {"agent_id": "a"}, headers).status == 200
        assert ws_status(server, "/ws/broadcasts", additional_headers=headers) == 101
    refused = server.request("POST", "/api/events", {}, {"Origin": "https://hub.example.evil"})
    assert refused.status == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]", "[", "10.0.0.1"],
)
def test_foreign_host_is_refused(server: Server, host: str) -> None:
    """DNS rebinding is refused for reads too."""
    headers = {"Host": host, "Origin": f"http://{host}"}
    for method, path in (("GET", "/api/presence"), ("GET", "/"), ("POST", "/api/events")):
        response = server.request(method, path, headers=headers)
        assert (response.status, response.error["code"]) == (403, "host_refused")


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "[::1]:80", "127.8.9.1", "my.hub"])
def test_local_and_allowed_hosts_are_accepted(serve: Serve, host: str) -> None:
    """Loopback by any name, and the names of --allow-hosts."""
    server = serve("--allow-hosts", "My.Hub,other")
    assert server.request("GET", "/api/presence", headers={"Host": host}).status == 200


def test_page_has_security_headers(server: Server) -> None:
    """Only the server's own script files run, and foreign pages cannot frame it."""
    response = server.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "server" not in response.headers
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|style=", response.text)


def test_static_files_need_no_token(module_server: Server) -> None:
    """They contain no secrets."""
    for name in ("page.js", "page.css", "agent_grid.js", "favicon.svg", "index.html"):
        response = module_server.request("GET", f"/static/{name}", token=False)
        assert response.status == 200
        assert TOKEN not in response.text
        assert response.cookies == []


def test_wrong_tokens_are_slowed_down(module_server: Server) -> None:
    """Of many guesses at once most are not even checked; the owner is let in afterwards."""
    statuses: list[int] = []

    def guess(number: int) -> None:
        header = {"Authorization": f"Bearer guess-{number}"}
        response = module_server.request("GET", "/api/status", headers=header, token=False)
        statuses.append(response.status)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {401, 429}
    assert module_server.request("GET", "/api/status").status == 200
