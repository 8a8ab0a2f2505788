"""A server on loopback with a token of its own, which all tools of its user find."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from htmlgraph_server.access.local_token import local_token_file
from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until
from tests.integration.server.cli.test_cli import error_line, run

ON = {"HTMLGRAPH_LOCAL_TOKEN": "on"}
_TOOLS = """
import sys
from htmlgraph_nb import SDK, PresenceClient, load_history
with SDK("own-program") as sdk:
    sdk.tool("Read")
    assert sdk.flush(20)
print(len(load_history(sys.argv[1])))
assert [agent.agent_id for agent in PresenceClient().presence().values()] == ["own-program"]
"""


def token_of(home: Path) -> str:
    """Return the local token of a data folder."""
    path = home / Path(local_token_file()).name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text().strip()


def test_local_token_is_found_by_own_tools_only(tmp_path: Path) -> None:
    """Hook, commands and other programs of the user need no step; others are refused."""
    home = tmp_path / "home"
    with running(home, environ=ON) as server:
        token = token_of(home)
        for path in ("/", "/api/presence", "/api/history", "/api/status", "/metrics"):
            assert server.request("GET", path).status == 401, path
        assert server.request("POST", "/api/events", [{"agent_id": "other"}]).status == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert server.request("GET", "/api/presence", headers=bearer).status == 200
        assert token not in server.log()
        assert "htmlgraph-nb open" in server.log()
        hook = shutil.which("htmlgraph-hook", path=os.path.dirname(sys.executable))
        assert hook
        body = {"session_id": "s1", "hook_event_name": "UserPromptSubmit", "cwd": "/tmp/shop"}
        subprocess.run(
            [hook, "claude"],
            input=json.dumps(body).encode(),
            env=clean_environ(home),
            check=True,
            timeout=60,
        )
        wait_until(lambda: "claude-s1" in run(home, "ls", "--json").stdout, "the hook's agent")
        assert not (home / "spool.jsonl").exists()
        assert run(home, "status").returncode == 0
        assert "claude-s1" in run(home, "explain", "s1").stdout
        address = run(home, "open", "--print").stdout.strip()
        assert address == f"{server.url}/?token={token}"
        done = run(home, "connect", "otel")
        assert "HTMLGRAPH_TOKEN" in done.stdout
        assert token not in done.stdout
        # As its printed lines say: a shell reads the token.
        lines = f"{done.stdout}\necho $OTEL_EXPORTER_OTLP_HEADERS"
        printed = subprocess.run(["sh", "-c", lines], capture_output=True, text=True, check=True)
        assert printed.stdout.strip() == f"Authorization=Bearer {token}"
        # Another user of the machine has another data folder.
        line = error_line(run(tmp_path / "other", "ls", "--url", server.url))
        assert "token" in line
        assert server.stop() == 0
    server.check_log()


def test_local_token_keeps_a_page_signed_in_over_restarts(tmp_path: Path) -> None:
    """The cookie of the first start is valid at the second."""
    home = tmp_path / "home"
    with running(home, environ=ON) as server:
        token = token_of(home)
        opened = server.request("GET", f"/?token={token}")
        assert opened.status == 302
        (cookie,) = opened.cookies
        assert "Max-Age=" in cookie
        assert token not in cookie
        headers = {"Cookie": cookie.partition(";")[0]}
        assert server.request("GET", "/", headers=headers).status == 200
    with running(home, environ=ON) as server:
        assert token_of(home) == token
        assert server.request("GET", "/", headers=headers).status == 200
        assert server.request("GET", "/api/presence", headers=headers).status == 200


def test_local_token_is_found_by_sdk_and_grid(tmp_path: Path) -> None:
    """In programs of the same user, without a step."""
    home = tmp_path / "home"
    with running(home, environ=ON) as server:
        done = subprocess.run(
            [sys.executable, "-c", _TOOLS, server.url],
            env=clean_environ(home),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) >= 1
        assert "own-program" in run(home, "ls", "--json").stdout


def test_start_server_with_local_token(tmp_path: Path) -> None:
    """A notebook's own server works as without it."""
    code = (
        "import htmlgraph_nb as hg\n"
        "with hg.start_server() as server:\n"
        "    sdk = hg.SDK('a')\n"
        "    sdk.tool('Read')\n"
        "    assert sdk.flush(20)\n"
        "    print(len(hg.load_history(server.url)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environ(tmp_path, ON),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_serve_prints_the_address_that_signs_in_to_a_terminal(tmp_path: Path) -> None:
    """Only there: the output of a service goes to a log."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "htmlgraph_server.cli", "serve", "--port", "0", "--no-watch"]
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env=clean_environ(tmp_path, ON)
    )
    os.close(child)
    text = b""
    try:
        while not (match := re.search(rb"sign in: (http://\S+/\?token=\S+)\r\n", text)):
            part = os.read(parent, 4_096)
            assert part, text
            text += part
    finally:
        process.terminate()
        process.wait(30)
        os.close(parent)
    assert match[1].decode().endswith(token_of(tmp_path))


def test_token_file_holds_the_token(tmp_path: Path) -> None:
    """It is not in the list of processes; a wrong file is one clear line."""
    home, file = tmp_path / "home", tmp_path / "secret"
    file.write_text("a-token-for-tests\n")
    with running(home, "--token-file", str(file)) as server:
        assert server.request("GET", "/api/presence").status == 401
        bearer = {"Authorization": "Bearer a-token-for-tests"}
        assert server.request("GET", "/api/presence", headers=bearer).status == 200
        assert "a-token-for-tests" not in " ".join(server.arguments)
        assert run(home, "ls").returncode == 0
    file.write_text("x\n")
    line = error_line(run(home, "serve", "--port", "0", "--token-file", str(file)))
    assert str(file) in line


def test_local_token_off_needs_none(tmp_path: Path) -> None:
    """As on a machine with one user."""
    server = Server(tmp_path, "--no-local-token")
    server.start()
    try:
        assert server.request("GET", "/api/presence").status == 200
    finally:
        server.stop()
    assert not (tmp_path / "local-token").exists()
