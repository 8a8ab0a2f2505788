"""The command line, as real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from htmlgraph_nb import __version__
from htmlgraph_server.config import SETTINGS
from tests.helpers.server_files import server_files_in
from tests.helpers.server_process import clean_environ
from tests.integration.conftest import Serve

COMMAND = str(Path(sys.executable).with_name("htmlgraph-nb"))
TOKEN = "a-token-for-tests"


def run(
    home: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``htmlgraph-nb`` to its end, with its files in ``home``."""
    return subprocess.run(
        [COMMAND, *arguments],
        env={**clean_environ(home, environ), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line with which a command ended; the test fails where it is not one."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("htmlgraph-nb")
    return line


def test_version(tmp_path: Path) -> None:
    """The version is the package's."""
    assert run(tmp_path, "--version").stdout == f"{__version__}\n"


def test_help_names_the_commands(tmp_path: Path) -> None:
    """Without knowing anything one learns the commands."""
    text = run(tmp_path, "--help").stdout
    for command in ("serve", "demo", "status", "import"):
        assert re.search(rf"^ +{command} +\w", text, re.MULTILINE), text


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_help_names_every_setting(tmp_path: Path, command: str) -> None:
    """Each setting is listed with its flag, its variable and its default."""
    text = re.sub(r"\s+", " ", run(tmp_path, command, "--help").stdout)
    for setting in SETTINGS:
        found = re.search(rf"{setting.flag} \[?[A-Z]+\]? (.*?); also {setting.variable}\b", text)
        assert found, setting.name
        if setting.default_text:
            assert f"(default: {setting.default_text})" in found[1], setting.name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("serve", "--port", "x"), "--port is 'x': expected a whole number from 0 to 65535"),
        (("serve", "--port", "65536"), "--port is '65536'"),
        (("serve", "--max-clients", "0"), "--max-clients is '0'"),
        (("serve", "--tick-ms", "-1"), "--tick-ms is '-1'"),
        (("serve", "--retain", "3y"), "expected a duration as 300, 90s, 5m, 24h or 90d"),
        (("serve", "--synchronous", "ON"), "expected one of"),
        (("serve", "--token", "short"), "--token is unusable: expected 8 to 256 letters"),
        (("serve", "--host", "0.0.0.0"), "give a secret with --token or HTMLGRAPH_TOKEN"),
        (("serve", "--nope"), "--nope"),
        (("demo", "--agents", "0"), "--agents: '0', expected 1 to 5000"),
        (("demo", "--agents", "many"), "--agents: 'many', expected 1 to 5000"),
        (("demo", "--speed", "fast"), "--speed: 'fast', expected more than 0"),
        (("demo", "--seed", "x"), "--seed"),
        (("dance",), "dance"),
        ((), "COMMAND"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    """A wrong argument is answered with one line that says what was expected, and status 2."""
    assert expected in refusal(run(tmp_path, *arguments))


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    """Where the value came from the environment, the line names the variable."""
    done = run(tmp_path, "serve", environ={"HTMLGRAPH_IDLE_TIMEOUT": "soon"})
    assert "HTMLGRAPH_IDLE_TIMEOUT is 'soon'" in refusal(done)


def test_a_wrong_token_is_not_repeated(tmp_path: Path) -> None:
    """A secret with a slip of the pen in it does not end up in a log."""
    done = run(tmp_path, "serve", "--token", "not/allowed/secret")
    assert "not/allowed" not in done.stdout + done.stderr
    assert "--token" in refusal(done)


def test_a_flag_wins_over_a_variable(serve: Serve) -> None:
    """Where both name a value, the flag counts."""
    server = serve(
        "--max-clients-per-session", "1", environ={"HTMLGRAPH_MAX_CLIENTS_PER_SESSION": "x"}
    )
    assert server.get("/api/status").status == 200


def test_a_port_in_use(tmp_path: Path) -> None:
    """A port that somebody else has is named, and how to take another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(run(tmp_path, "serve", "--port", str(port)))
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port 0" in line


def test_a_damaged_database(tmp_path: Path) -> None:
    """A file that is no database is named, and left as it is."""
    path = tmp_path / "notes.db"
    path.write_text("not a database, but somebody's notes " * 100)
    before = path.read_bytes()
    assert str(path) in refusal(run(tmp_path, "serve", "--port", "0", "--db", str(path)))
    assert path.read_bytes() == before


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stops_in_good_order(serve: Serve, sign: signal.Signals) -> None:
    """A signal ends the server with status 0, and nothing announces it any more."""
    server = serve()
    (announced,) = server_files_in(server.home)
    assert json.loads(announced.read_text())["url"] == server.url
    assert announced.stat().st_mode & 0o777 == 0o600
    assert server.stop(sign) == 0
    assert not announced.exists()


def test_status_table(serve: Serve) -> None:
    """``status`` finds the server of this user and tells of it in a table."""
    server = serve()
    server.send("claude-1", tool_name="Read")
    done = run(server.home, "status")
    assert done.returncode == 0, done.stderr
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines())
    assert rows["version"] == __version__
    assert rows["agents"] == "1 active, 0 idle, 0 offline"
    assert rows["clients"] == "0"
    assert rows["updates"].endswith("1 in all")
    assert rows["database"].startswith(str(server.db))


def test_status_json(serve: Serve, tmp_path: Path) -> None:
    """``status --json --url`` gives the whole report of a server, from anywhere."""
    server = serve()
    server.send("claude-1", tool_name="Read")
    done = run(tmp_path / "elsewhere", "status", "--json", "--url", server.url)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["agents"] == {"active": 1, "idle": 0, "offline": 0}
    assert set(report) == set(server.get("/api/status").json())


def test_why_an_agent_has_its_status(serve: Serve) -> None:
    """``why`` tells the rule that decided, those that did not, and the evidence with its times."""
    server = serve()
    server.send("claude-1", event_type="prompt")
    call = {"tool_name": "ExitPlanMode", "tool_use_id": "t1", "extra": {"asks": "plan"}}
    server.send("claude-1", event_type="tool_start", **call)
    done = run(server.home, "why", "claude-1")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("claude-1 is active (waiting_permission, waits for a person) since 20")
    assert first.endswith(": waits for approval of its plan")
    assert "  yes  it waits for a person\n" in done.stdout
    assert "open call that asks a person (plan)" in done.stdout
    told = json.loads(run(server.home, "why", "claude-1", "--json").stdout)
    assert told == server.get("/api/presence/claude-1?explain=1").json()
    assert told["explanation"]["rules"][-1] == {"rule": "it waits for a person", "fits": True}


def test_why_of_an_unknown_agent(serve: Serve) -> None:
    """An agent that the server does not know is named in one line."""
    done = run(serve().home, "why", "nobody/1")
    assert done.returncode == 2
    assert done.stderr == "htmlgraph-nb: nothing is known of 'nobody/1'\n"


def test_status_without_a_server(tmp_path: Path) -> None:
    """Without a server ``status`` says where it looked and how to start one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = run(tmp_path, "status", "--url", url)
    assert done.returncode == 2
    assert url in done.stderr
    assert "htmlgraph-nb serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_with_a_token(serve: Serve, tmp_path: Path) -> None:
    """The token comes from the running server's file, a flag or a variable; a wrong one fails."""
    server = serve("--token", TOKEN)
    elsewhere = tmp_path / "elsewhere"
    given = ("status", "--url", server.url)
    assert run(server.home, "status").returncode == 0
    assert run(elsewhere, *given, "--token", TOKEN).returncode == 0
    assert run(elsewhere, *given, environ={"HTMLGRAPH_TOKEN": TOKEN}).returncode == 0
    for wrong in ((), ("--token", "another-token")):
        done = run(elsewhere, *given, *wrong)
        assert done.returncode == 2
        assert "token" in done.stderr
        assert "another-token" not in done.stderr


def test_no_token_in_the_log(serve: Serve) -> None:
    """Even a talkative server does not write its token, nor one that was tried."""
    server = serve("--token", TOKEN, "--verbose")
    assert server.get("/").status == 200
    assert server.request("GET", f"/?token={TOKEN}", token=False).status == 302
    assert server.request("GET", "/?token=another-token", token=False).status == 401
    server.stop()
    log = server.log()
    assert " 401 GET / " in log
    assert TOKEN not in log
    assert "another-token" not in log


def test_runs_as_a_module(tmp_path: Path) -> None:
    """``python -m htmlgraph_server.cli`` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "--version"],
        env=clean_environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"{__version__}\n"
    assert os.access(COMMAND, os.X_OK)
