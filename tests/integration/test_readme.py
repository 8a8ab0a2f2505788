"""Runs the commands and code of README.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_server.cli.connect.hook_entries import htmlgraph_groups
from htmlgraph_server.cli.parser import make_parser
from tests.helpers.paths import ROOT
from tests.helpers.server_process import clean_environ
from tests.integration.conftest import Serve

README = (ROOT / "README.md").read_text()
SCRIPTS = str(Path(sys.executable).parent)


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return every ``htmlgraph-nb`` command, its arguments split."""
    spans = re.findall(r"`((?:[A-Z_]+=\S+ )?htmlgraph-nb [^`]+)`", README)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    spans += [part for line in lines for part in line.split("&&") if "htmlgraph-nb " in part]
    return [shlex.split(span.partition("htmlgraph-nb ")[2]) for span in spans]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_readme_commands_parse(arguments: list[str]) -> None:
    """Every ``htmlgraph-nb`` command is accepted by the parser."""
    make_parser().parse_args(arguments)


def test_readme_start_and_test_are_one_command_each() -> None:
    """Starting and testing take one line each; .ci/run runs the test command."""
    start, test = blocks("sh")[:2]
    assert len(start.splitlines()) == len(test.splitlines()) == 1
    assert test.strip() in (ROOT / ".ci" / "run").read_text()


def test_readme_python_blocks_run(serve: Serve, tmp_path: Path) -> None:
    """The Python blocks run in order with a running server, which shows their agent."""
    server = serve()
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks("python")))
    environ = {"HTMLGRAPH_DB": str(server.db)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env=clean_environ(server.home, environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "active\n"
    agent = server.presence()["my-agent"]
    assert agent["total_tools_executed"] == 3
    assert agent["total_cost_tokens"] == 1_540
    assert agent["model"] == "my-model"
    events = server.get("/api/history?agent=my-agent").json()["events"]
    assert {event["feature_id"] for event in events} >= {"feat-checkout"}


def test_readme_curl_request_is_accepted(serve: Serve) -> None:
    """The request of the curl command is accepted."""
    server = serve()
    (line,) = [block for block in blocks("sh") if block.startswith("curl ")]
    words = shlex.split(line)
    assert words[1].startswith("http://127.0.0.1:8000/")
    path = words[1].removeprefix("http://127.0.0.1:8000")
    name, value = words[words.index("-H") + 1].split(": ")
    answer = server.request("POST", path, words[words.index("-d") + 1], {name: value})
    assert answer.status == 200, answer.text
    assert server.presence()["my-agent"]["last_tool_name"] == "Bash"


def test_readme_connect_commands_connect(tmp_path: Path) -> None:
    """Each connect command connects its agent."""
    lines = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("htmlgraph-nb connect ")
    ]
    assert [line.split()[-1] for line in lines] == list(AGENTS)
    for line in lines:
        words = shlex.split(line)
        done = subprocess.run(
            [os.path.join(SCRIPTS, words[0]), *words[1:]],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        settings = AGENTS[words[-1]].hook_settings()
        assert htmlgraph_groups((tmp_path / settings.folder / settings.file).read_text())
