"""What README.md tells people to do, done."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.connectors.claude import events_from_hook
from htmlgraph_server.cli import _parser

from .conftest import Serve
from .server import clean_environ

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAYLOADS = ROOT / "tests" / "payloads" / "claude_hooks"
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
def test_commands(arguments: list[str]) -> None:
    """Every command of ours is one that our command line takes."""
    _parser().parse_args(arguments)


def test_one_command_each() -> None:
    """Starting and testing take one line, and testing is what .ci/run does."""
    start, test = blocks("sh")[:2]
    assert len(start.splitlines()) == len(test.splitlines()) == 1
    assert test.strip() in (ROOT / ".ci" / "run").read_text()


def test_python(serve: Serve, tmp_path: Path) -> None:
    """The Python blocks run one after the other beside a running server, which sees their agent."""
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


def test_curl(serve: Serve) -> None:
    """The request of the curl line is taken as it is."""
    server = serve()
    (line,) = [block for block in blocks("sh") if block.startswith("curl ")]
    words = shlex.split(line)
    assert words[1].startswith("http://127.0.0.1:8000/")
    path = words[1].removeprefix("http://127.0.0.1:8000")
    name, value = words[words.index("-H") + 1].split(": ")
    answer = server.request("POST", path, words[words.index("-d") + 1], {name: value})
    assert answer.status == 200, answer.text
    assert server.presence()["my-agent"]["last_tool_name"] == "Bash"


def hooks() -> dict[str, list[dict[str, object]]]:
    """Return the commands of the hook settings, by event."""
    (text,) = blocks("json")
    found: dict[str, list[dict[str, object]]] = {
        event: [hook for group in groups for hook in group["hooks"]]
        for event, groups in json.loads(text)["hooks"].items()
    }
    return found


def test_hook_settings() -> None:
    """Each hook runs our command; those after which the agent may end are waited for."""
    for event, found in hooks().items():
        (hook,) = found
        assert hook["type"] == "command"
        assert shutil.which(str(hook["command"]), path=SCRIPTS)
        assert ("async" not in hook) == (event in ("Stop", "StopFailure", "SessionEnd"))


def test_hook_settings_are_complete() -> None:
    """The settings name the hooks that say more than that the agent is alive, and no others."""
    telling = set()
    for path in sorted(PAYLOADS.glob("*.json")):
        payload = json.loads(path.read_text())
        events = events_from_hook(payload, received_at=datetime.now(UTC))
        if any(event.event_type not in ("activity", "idle") for event in events):
            telling.add(payload["hook_event_name"])
    assert set(hooks()) == telling
