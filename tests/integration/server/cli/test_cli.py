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
from tests.helpers.environ import clean_environ
from tests.helpers.server_files import server_files_in
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


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the single line of the error; fail unless there is exactly one."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("htmlgraph-nb")
    return line


def test_version_is_printed(tmp_path: Path) -> None:
    """``--version`` prints the version of the package."""
    assert run(tmp_path, "--version").stdout == f"{__version__}\n"


def test_help_lists_the_commands(tmp_path: Path) -> None:
    """All commands are listed, but not the alias ``why``."""
    text = run(tmp_path, "--help").stdout
    commands = ("serve", "demo", "status", "connect", "import", "seal", "export", "explain")
    for command in commands:
        assert re.search(rf"^ +{command} +\w", text, re.MULTILINE), text
    assert "why" not in text


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_help_lists_every_setting(tmp_path: Path, command: str) -> None:
    """Each setting is listed with its flag, variable and default."""
    text = re.sub(r"\s+", " ", run(tmp_path, command, "--help").stdout)
    for setting in SETTINGS:
        match = re.search(rf"{setting.flag} \[?[A-Z]+\]? (.*?); also {setting.variable}\b", text)
        assert match, setting.name
        if setting.default_text:
            assert f"(default: {setting.default_text})" in match[1], setting.name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("serve", "--port", "x"), "--port: expected a whole number from 0 to 65535, got 'x'"),
        (
            ("serve", "--port", "65536"),
            "--port: expected a whole number from 0 to 65535, got '65536'",
        ),
        (("serve", "--max-clients", "0"), "--max-clients: expected a whole number"),
        (
            ("serve", "--tick-ms", "-1"),
            "--tick-ms: expected a whole number from 0 to 60000, got '-1'",
        ),
        (("serve", "--retain", "3y"), "expected a duration such as 300, 90s, 5m, 24h or 90d"),
        (("serve", "--synchronous", "ON"), "expected one of"),
        (("serve", "--token", "short"), "--token: expected 8 to 256 letters"),
        (("serve", "--host", "0.0.0.0"), "set a secret with --token or HTMLGRAPH_TOKEN"),
        (("serve", "--nope"), "--nope"),
        (("demo", "--agents", "0"), "--agents: expected 1 to 5000, got '0'"),
        (("demo", "--agents", "many"), "--agents: expected 1 to 5000, got 'many'"),
        (("demo", "--agents", "0000009999"), "--agents: expected 1 to 5000, got '0000009999'"),
        (("tail", "-n", "10001"), "expected 0 to 10000, got '10001'"),
        (("demo", "--speed", "fast"), "--speed: expected a number > 0 and <= 1000, got 'fast'"),
        (("demo", "--seed", "x"), "--seed"),
        (("dance",), "dance"),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    """The line says what was expected; the exit status is 2."""
    assert expected in error_line(run(tmp_path, *arguments))


def test_invalid_environment_variable_is_named(tmp_path: Path) -> None:
    """The error names the variable, not the flag."""
    done = run(tmp_path, "serve", environ={"HTMLGRAPH_IDLE_TIMEOUT": "soon"})
    assert "HTMLGRAPH_IDLE_TIMEOUT: expected a duration" in error_line(done)


def test_invalid_token_is_not_printed(tmp_path: Path) -> None:
    """A mistyped secret must not end up in a log."""
    done = run(tmp_path, "serve", "--token", "not/allowed/secret")
    assert "not/allowed" not in done.stdout + done.stderr
    assert "--token" in error_line(done)


def test_flag_takes_precedence_over_the_variable(serve: Serve) -> None:
    """The invalid variable is not even parsed."""
    server = serve(
        "--max-clients-per-session", "1", environ={"HTMLGRAPH_MAX_CLIENTS_PER_SESSION": "x"}
    )
    assert server.get("/api/status").status == 200


def test_port_in_use_is_reported(tmp_path: Path) -> None:
    """The error names the port and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = error_line(run(tmp_path, "serve", "--port", str(port)))
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port 0" in line


def test_damaged_database_is_reported_and_unchanged(tmp_path: Path) -> None:
    """A file that is not a database is named and not modified."""
    path = tmp_path / "notes.db"
    path.write_text("not a database, but somebody's notes " * 100)
    before = path.read_bytes()
    assert str(path) in error_line(run(tmp_path, "serve", "--port", "0", "--db", str(path)))
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_shuts_down_on_a_signal(serve: Serve, number: signal.Signals) -> None:
    """The exit status is 0 and the server file is removed."""
    server = serve()
    (server_file,) = server_files_in(server.home)
    assert json.loads(server_file.read_text())["url"] == server.url
    assert server_file.stat().st_mode & 0o777 == 0o600
    assert server.stop(number) == 0
    assert not server_file.exists()


def test_status_prints_a_table(serve: Serve) -> None:
    """``status`` finds this user's running server."""
    server = serve()
    server.send("claude-1", tool_name="Read")
    done = run(server.home, "status")
    assert done.returncode == 0, done.stderr
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines())
    assert rows["version"] == __version__
    assert rows["agents"] == "1 active, 0 idle, 0 offline"
    assert rows["clients"] == "0"
    assert rows["updates"].endswith("1 in total")
    assert rows["database"].startswith(str(server.db))


def test_status_prints_json(serve: Serve, tmp_path: Path) -> None:
    """``status --json --url`` prints the whole report of any server."""
    server = serve()
    server.send("claude-1", tool_name="Read")
    done = run(tmp_path / "elsewhere", "status", "--json", "--url", server.url)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["agents"] == {"active": 1, "idle": 0, "offline": 0}
    assert set(report) == {*server.get("/api/status").json(), "hosts"}


@pytest.mark.parametrize("command", ["explain", "why"])
def test_explain_prints_rules_and_evidence(serve: Serve, command: str) -> None:
    """``explain`` shows the deciding rule, those that did not apply, and dated evidence.

    ``why`` is its former name.
    """
    server = serve()
    server.send("claude-1", event_type="prompt")
    call = {"tool_name": "ExitPlanMode", "tool_use_id": "t1", "extra": {"asks": "plan"}}
    server.send("claude-1", event_type="tool_start", **call)
    done = run(server.home, command, "claude-1")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(
        "claude-1 is active (waiting_permission, waiting for a person) since 20"
    )
    assert first.endswith(": waits for approval of its plan")
    assert "  yes  waiting for a person\n" in done.stdout
    assert "open call with a question (plan)" in done.stdout
    response = json.loads(run(server.home, command, "claude-1", "--json").stdout)
    assert response == server.get("/api/presence/claude-1?explain=1").json()
    assert response["explanation"]["rules"][-1] == {"rule": "waiting for a person", "fits": True}


def test_explain_reports_an_unknown_agent(serve: Serve) -> None:
    """The error is one line with the id of the agent."""
    done = run(serve().home, "explain", "nobody/1")
    assert done.returncode == 2
    assert done.stderr == "htmlgraph-nb: unknown agent 'nobody/1'\n"


def test_status_without_a_server_is_reported(tmp_path: Path) -> None:
    """The error names the address that was tried and how to start a server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = run(tmp_path, "status", "--url", url)
    assert done.returncode == 2
    assert url in done.stderr
    assert "htmlgraph-nb serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_sends_the_token(serve: Serve, tmp_path: Path) -> None:
    """The token is read from the server file, a flag or a variable; a wrong token fails."""
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


def test_log_contains_no_token(serve: Serve) -> None:
    """Not even with ``--verbose``: neither the server's token nor a wrong one."""
    server = serve("--token", TOKEN, "--verbose")
    assert server.get("/").status == 200
    assert server.request("GET", f"/?token={TOKEN}", token=False).status == 302
    assert server.request("GET", "/?token=another-token", token=False).status == 401
    server.stop()
    log = server.log()
    assert " 401 GET / " in log
    assert TOKEN not in log
    assert "another-token" not in log


def test_module_runs_the_command(tmp_path: Path) -> None:
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


def test_demo_refuses_an_existing_database(tmp_path: Path) -> None:
    """Agents of the user are not mixed with simulated ones, and no file is deleted."""
    own = tmp_path / "own.db"
    own.write_bytes(b"mine")
    line = error_line(run(tmp_path, "demo", "--no-browser", "--port", "0", "--db", str(own)))
    assert f"--db: expected a new file for the demo, got {own}" in line
    assert own.read_bytes() == b"mine"
