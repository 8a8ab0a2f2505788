"""Runs the commands and code of README.md and of the pages beside it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from traitlets.config import Config

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_server.cli.connect.hook_entries import htmlgraph_groups
from htmlgraph_server.cli.parser import make_parser
from htmlgraph_server.config import SETTINGS
from htmlgraph_server.jupyter.extension import HtmlgraphExtension
from tests.helpers.environ import clean_environ
from tests.helpers.jupyter_server import running_jupyter_server
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve

README = "README.md"
CONNECT = "notebooks/CONNECT.md"
SQL = "notebooks/SQL.md"
DEPLOYMENT = "server/DEPLOYMENT.md"
PAGES = (README, CONNECT, DEPLOYMENT, "server/COMMANDS.md", "server/SETTINGS.md", "SECURITY.md")
SCRIPTS = str(Path(sys.executable).parent)


def text_of(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return every ``htmlgraph-nb`` command of all pages, its arguments split."""
    spans = []
    for page in PAGES:
        spans += re.findall(r"`((?:[A-Z_]+=\S+ )?htmlgraph-nb [^`]+)`", text_of(page))
        lines = [line for block in blocks("sh", page) for line in block.splitlines()]
        spans += [part for line in lines for part in line.split("&&") if "htmlgraph-nb " in part]
    found = [shlex.split(span.partition("htmlgraph-nb ")[2], comments=True) for span in spans]
    return [list(arguments) for arguments in dict.fromkeys(map(tuple, found))]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_page_commands_parse(arguments: list[str]) -> None:
    """Every ``htmlgraph-nb`` command of the pages is accepted by the parser."""
    make_parser().parse_args(arguments)


def test_readme_start_and_test_are_one_command_each() -> None:
    """Starting and testing take one line each; .ci/run runs the test command."""
    start, *_, test = blocks("sh")
    assert len(start.splitlines()) == len(test.splitlines()) == 1
    assert start.startswith("python3 -m venv ")
    assert test.strip() in (ROOT / ".ci" / "run").read_text()


def run_python(page: str, server: Server, script: Path) -> str:
    """Run the Python blocks of a page in order; return what they print."""
    code = "\n".join(block for block in blocks("python", page) if not block.startswith("c."))
    script.write_text(code, encoding="utf-8")
    environ = clean_environ(server.home, {"HTMLGRAPH_DB": str(server.db)})
    return output_of([sys.executable, "-W", "error", str(script)], environ, script.parent)


def test_readme_python_blocks_run(serve: Serve, tmp_path: Path) -> None:
    """The Python blocks run in order with a running server, which shows their agent."""
    server = serve()
    assert run_python(README, server, tmp_path / "readme.py") == ""
    agent = server.presence()["my-agent"]
    assert (agent["total_tools_executed"], agent["total_cost_tokens"]) == (2, 1_540)
    assert (agent["model"], agent["title"]) == ("my-model", "Checkout")
    events = server.get("/api/history?agent=my-agent").json()["events"]
    assert {event["feature_id"] for event in events} >= {"feat-checkout"}


def test_sql_page_python_blocks_run(serve: Serve, tmp_path: Path) -> None:
    """SQLite, DuckDB and polars read a history; the functions take DuckDB's result."""
    server = serve()
    server.send("a", tool_name="Bash", duration_ms=40, project="shop")
    tokens = {"input_tokens": 90, "output_tokens": 10}
    server.send("a", event_type="completion", model="claude-opus-4-5", project="shop", **tokens)
    server.send("a", tool_name="Bash", duration_ms=60, branch="other")
    code = "\n".join(blocks("python", SQL)).replace("http://127.0.0.1:8000", server.url)
    code += """
print(tools[["tool_name", "calls", "ms"]].values.tolist(), tools["last"].dtype)
print(tokens["tokens"].max(), costs["output"].tolist())
print(days[["events", "agents"]].values.tolist(), frame.height, by_model["cost_tokens"].sum())
print(calls["tool_name"].to_list())
"""
    (tmp_path / "sql.py").write_text(code, encoding="utf-8")
    environ = clean_environ(server.home, {"HTMLGRAPH_DB": str(server.db)})
    printed = output_of([sys.executable, "-W", "error", "sql.py"], environ, tmp_path)
    assert printed.splitlines() == [
        "[['Bash', 2, 50.0]] datetime64[us, UTC]",
        "100.0 [10]",
        "[[3, 1]] 3 100",
        "['Bash', 'Bash']",
    ]


def test_connect_page_python_blocks_run(serve: Serve, tmp_path: Path) -> None:
    """The same for the page about connecting; a function reports as a tool of the agent."""
    server = serve()
    assert run_python(CONNECT, server, tmp_path / "connect.py") == "active\n"
    assert server.presence()["my-agent"]["last_tool_name"] == "Bash"


def test_deployment_page_settings_of_jupyter() -> None:
    """The page's traits exist, and their values are accepted."""
    config = Config()
    (block,) = [text for text in blocks("python", DEPLOYMENT) if "HtmlgraphExtension" in text]
    exec(compile(block, DEPLOYMENT, "exec"), {"c": config})
    extension = HtmlgraphExtension(config=config)
    assert config.HtmlgraphExtension
    for name, value in config.HtmlgraphExtension.items():
        parse = next(setting.parse for setting in SETTINGS if setting.name == name)
        assert getattr(extension, name) == parse(value)


def test_deployment_page_devcontainer_is_json() -> None:
    """The part of devcontainer.json is JSON and sets the variables of hooks."""
    (block,) = blocks("json", DEPLOYMENT)
    assert set(json.loads(block)["containerEnv"]) == {"HTMLGRAPH_URL", "HTMLGRAPH_TOKEN"}


def requests() -> list[str]:
    """Return the curl commands of README.md."""
    return [block for block in blocks("sh") if block.startswith("curl ")]


def curl(block: str) -> tuple[str, dict[str, str], str]:
    """Return URL, headers and body of a curl command."""
    words = shlex.split(block)
    pairs = list(itertools.pairwise(words))
    headers = dict(value.split(": ", 1) for flag, value in pairs if flag == "-H")
    (body,) = [value for flag, value in pairs if flag == "-d"]
    return words[1], headers, body


def test_readme_curl_request_is_accepted(serve: Serve) -> None:
    """The server accepts the request of the first curl command."""
    server = serve()
    url, headers, body = curl(requests()[0])
    path = url.removeprefix("http://127.0.0.1:8000")
    assert path != url
    answer = server.request("POST", path, body, headers)
    assert answer.status == 200, answer.text
    assert server.presence()["my-agent"]["last_tool_name"] == "Bash"


def test_readme_curl_request_beside_jupyter_is_accepted(tmp_path: Path) -> None:
    """Jupyter Server accepts the request of the second one, with its own port and token."""
    url, headers, body = curl(requests()[1])
    path = url.removeprefix("http://localhost:8888/htmlgraph")
    assert path != url
    with running_jupyter_server(tmp_path / "home") as server:
        headers["Authorization"] = headers["Authorization"].replace("YOUR_TOKEN", server.token)
        answer = server.request("POST", path, body, headers)
        assert answer.status == 200, answer.text
        assert server.presence()["my-agent"]["last_tool_name"] == "Bash"


def test_readme_connect_commands_connect(tmp_path: Path) -> None:
    """Each connect command connects its agent; ``uninstall`` undoes all of them."""
    lines = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("htmlgraph-nb connect ")
    ]
    lines, statusline = lines[:-1], lines[-1]
    assert [line.split()[-1] for line in lines] == ["claude", "codex", "gemini"]
    assert statusline.endswith(" --statusline")
    for line in lines:
        run(line, tmp_path)
        agent = AGENTS[line.split()[-1]]
        settings = agent.hook_settings()
        assert settings is not None
        assert htmlgraph_groups((tmp_path / agent.folder / settings.file).read_text())
    # As after an installation.
    program = tmp_path / "bin" / "htmlgraph-statusline"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    run(statusline, tmp_path)
    claude = tmp_path / ".claude" / "settings.json"
    assert "htmlgraph-statusline" in claude.read_text()
    run("htmlgraph-nb uninstall", tmp_path)
    # It was created by connect, so that nothing is left.
    assert not claude.exists()


def run(line: str, home: Path) -> None:
    """Run a command in a home folder of its own."""
    words = shlex.split(line)
    environ = {"HOME": str(home), "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    output_of([os.path.join(SCRIPTS, words[0]), *words[1:]], environ, home)


def output_of(command: list[str], environ: dict[str, str], folder: Path) -> str:
    """Run a command in a folder; return what it prints."""
    done = subprocess.run(
        command,
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
