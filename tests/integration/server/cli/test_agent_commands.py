"""``ls``, ``tail``, ``explain`` and ``open``, and the command alone, with a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.server.cli.test_cli import COMMAND, TOKEN, error_line, run

EVIL = "\x1b[2J\x07evil\u202e"


@pytest.fixture
def busy(server: Server) -> Server:
    """A server with an agent that waits, one at work with an odd title, and one that is offline."""
    server.send("claude-e6026aaa", event_type="prompt", project="shop", title="Checkout")
    server.send("claude-e6026aaa", event_type="permission_request", tool_name="Bash")
    server.send(
        "codex-1",
        tool_name="Read",
        project="api",
        branch="main",
        title=EVIL,
        model="gpt-5",
        input_tokens=1_200,
        output_tokens=300,
    )
    server.send("gemini-1", tool_name="Grep", status="error", duration_ms=1_500)
    assert server.post("/api/presence/gemini-1/offline").status == 200
    return server


def test_ls_lists_agents_that_wait_first(busy: Server) -> None:
    """A row has state, id, title, place, reason, tokens and cost; offline agents are counted."""
    done = run(busy.home, "ls")
    assert (done.returncode, done.stderr) == (0, "")
    head, first, second, last = done.stdout.splitlines()
    assert head.split() == "STATE AGENT TITLE PROJECT BRANCH WHY TOKENS COST".split()
    assert re.match(r"waits \d+ s +claude-e6026aaa +Checkout +shop +permission: Bash$", first)
    assert re.match(r"active \d+ s +codex-1 .* api +main +used Read +1\.5k +\$0\.00$", second)
    assert last == "not listed: 1 offline; --all lists them"
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_ls_filters_and_sorts(busy: Server) -> None:
    """By words, states and an order."""

    def ids(*arguments: str) -> list[str]:
        rows = json.loads(run(busy.home, "ls", "--json", *arguments).stdout)
        return [row["agent_id"] for row in rows]

    assert ids() == ["claude-e6026aaa", "codex-1"]
    assert ids("--all", "--sort", "tokens", "--reverse")[0] == "codex-1"
    assert ids("api") == ["codex-1"]
    assert ids("--state", "offline", "--state", "waiting") == ["claude-e6026aaa", "gemini-1"]
    assert run(busy.home, "ls", "nothing").stdout == "none of 3 agents\n"
    assert "--state" in error_line(run(busy.home, "ls", "--state", "tired"))


def test_ls_json_has_all_fields(busy: Server) -> None:
    """The objects are those of GET /api/presence, with the state."""
    rows = {row.pop("agent_id"): row for row in json.loads(run(busy.home, "ls", "--json").stdout)}
    expected = busy.presence()["codex-1"]
    assert rows["codex-1"].pop("state") == "active"
    assert {**rows["codex-1"], "agent_id": "codex-1"} == expected


def test_ls_without_agents(server: Server) -> None:
    """An empty server has no table."""
    assert run(server.home, "ls").stdout == "no agents\n"
    assert run(server.home, "ls", "--json").stdout == "[]\n"


def test_command_alone_shows_what_runs(busy: Server) -> None:
    """Server, agents, those that wait, and the cost of today with its unknown part."""
    busy.send("claude-x", event_type="completion", model="my-model", input_tokens=7)
    done = run(busy.home)
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(re.findall(r"^(\w+)  +(.+)$", done.stdout, re.MULTILINE))
    assert rows["server"].endswith(f"at {busy.url}")
    assert rows["agents"] == "1 waits for you, 2 active, 1 offline"
    assert re.fullmatch(
        r"\$0\.00 since midnight, and 7 tokens without a known price", rows["today"]
    )
    assert re.search(r"^waits \d+ s +claude-e6026aaa", done.stdout, re.MULTILINE)


def test_explain_accepts_a_part_of_a_title(busy: Server) -> None:
    """Nothing in the output moves the cursor."""
    done = run(busy.home, "explain", "evil")
    assert done.stdout.startswith("codex-1 is active")
    assert run(busy.home, "explain", "checkout").stdout.startswith("claude-e6026aaa is active")
    assert "\x1b" not in done.stdout


def test_tail_prints_past_events(busy: Server) -> None:
    """The oldest is first; a line has time, agent, project, type, tool and facts."""
    done = run(busy.home, "tail", "--no-follow")
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d, times in \S+", head)
    assert len(lines) == 5
    assert re.match(r"\d\d:\d\d:\d\d  claude-e6026aaa +shop +prompt$", lines[0])
    assert re.match(r"\S+  claude-e6026aaa .* Bash +waits for permission to use Bash$", lines[1])
    assert re.match(r"\S+  codex-1 +api +tool_execute +Read +1\.5k tokens, gpt-5$", lines[2])
    assert re.match(r"\S+  gemini-1 +tool_execute +Grep +error, 1\.5 s$", lines[3])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-n", "2"), ["gemini-1", "gemini-1"]),
        (("-n", "0"), []),
        (("--project", "api"), ["codex-1"]),
        (("--errors",), ["gemini-1"]),
        (("--type", "prompt"), ["claude-e6026aaa"]),
        (("--tool", "Read", "--tool", "Grep"), ["codex-1", "gemini-1"]),
        (("E6026", "-n", "1"), ["claude-e6026aaa"]),
    ],
)
def test_tail_filters(busy: Server, arguments: tuple[str, ...], expected: list[str]) -> None:
    """The last N events are those that pass the filters."""
    done = run(busy.home, "tail", "--no-follow", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["agent_id"] for line in done.stdout.splitlines()] == expected


@contextmanager
def following(home: Path, *arguments: str) -> Iterator[IO[str]]:
    """Run ``tail`` while it follows; yield its output. Afterwards it ends by Ctrl-C."""
    process = subprocess.Popen(
        [COMMAND, "tail", *arguments],
        env=clean_environ(home, {"PYTHONUNBUFFERED": ""}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
        process.send_signal(2)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()


def test_tail_follows_and_survives_a_restart(serve: Serve) -> None:
    """New events are printed at once, also those of the server that is started again."""
    server = serve()
    server.send("claude-1", tool_name="Read")
    with following(server.home, "--json") as output:
        assert json.loads(output.readline())["tool_name"] == "Read"
        server.send("claude-1", tool_name="Edit")
        assert json.loads(output.readline())["tool_name"] == "Edit"
        server.stop()
        again = serve(home=server.home)
        again.send("claude-1", tool_name="Bash")
        assert json.loads(output.readline())["tool_name"] == "Bash"


def browser(home: Path, status: int = 0) -> dict[str, str]:
    """Return an environment with a browser that writes its address to ``home/address``."""
    program = home / "browser"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > "{home}/address"\nexit {status}\n')
    program.chmod(0o755)
    return {"BROWSER": str(program), "DISPLAY": ":99"}


def test_open_shows_the_page_of_an_agent(busy: Server) -> None:
    """The address selects the agent."""
    done = run(busy.home, "open", "checkout", environ=browser(busy.home))
    assert done.returncode == 0, done.stderr
    expected = f"{busy.url}/#selected=claude-e6026aaa"
    assert done.stdout == f"opened {expected}\n"
    wait_until(lambda: (busy.home / "address").exists(), "the browser")
    assert (busy.home / "address").read_text() == expected


def test_open_shows_the_token_to_nobody_else(serve: Serve) -> None:
    """The browser opens a private file; only --print prints the token."""
    server = serve("--token", TOKEN)
    done = run(server.home, "open", environ=browser(server.home))
    assert done.stdout == f"opened {server.url}/\n"
    address = wait_until(
        lambda: (server.home / "address").exists() and (server.home / "address").read_text(),
        "the browser",
    )
    file = Path(str(address).removeprefix("file://"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"{server.url}/?token={TOKEN}" in file.read_text()
    assert run(server.home, "open", "--print").stdout == f"{server.url}/?token={TOKEN}\n"


def test_open_without_a_display_says_what_to_do(server: Server) -> None:
    """As on a machine that is used by SSH."""
    environ = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    line = error_line(run(server.home, "open", environ=environ))
    assert f"open {server.url}/ in yours" in line


@pytest.mark.parametrize("command", ["ls", "tail", "open", "explain x"])
def test_agent_commands_without_a_server(tmp_path: Path, command: str) -> None:
    """The error names the addresses and how to start a server."""
    environ = {"HTMLGRAPH_URL": "http://127.0.0.1:1"}
    done = run(tmp_path, *command.split(), environ=environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Start one with: htmlgraph-nb serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_completion_of_bash(busy: Server) -> None:
    """Bash itself completes commands, options, values and agents."""
    script = f"""
PATH={os.path.dirname(COMMAND)}:$PATH
eval "$(htmlgraph-nb completion bash)"
complete_line() {{
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _htmlgraph_nb; echo "${{COMPREPLY[*]}}"
}}
complete -p htmlgraph-nb
complete_line htmlgraph-nb ex
complete_line htmlgraph-nb ls --st
complete_line htmlgraph-nb ls --state w
complete_line htmlgraph-nb explain cl
complete_line htmlgraph-nb explain --url http://x c
complete_line htmlgraph-nb export his
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=clean_environ(busy.home),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "complete -o default -F _htmlgraph_nb htmlgraph-nb",
        "explain\nexport".replace("\n", " "),
        "--state",
        "waiting",
        "claude-e6026aaa",
        "claude-e6026aaa codex-1",
        "",
    ]
