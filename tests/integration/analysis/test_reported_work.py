"""Turns, loops and limits of what real hooks report to a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from tests.helpers.server_process import Server

SESSION = "8f14e45f-ceea-467a-9575-5b1d3f1c2a00"
COMMAND = {"command": "pytest -x"}


def run_hook(server: Server, name: str, **fields: Any) -> None:
    """Run the hook command as Claude Code does, with this input."""
    common = {"session_id": SESSION, "cwd": "/srv/shop", "transcript_path": None}
    done = subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", "claude", "--url", server.base],
        input=json.dumps({**common, "hook_event_name": name, **fields}).encode(),
        env=server.environment(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == b""


def run_call(server: Server, number: int, failed: bool = True, **fields: Any) -> None:
    """Report a tool call from its start to its end."""
    call = {"tool_name": "Bash", "tool_use_id": f"call-{number}", "tool_input": COMMAND, **fields}
    run_hook(server, "PreToolUse", **call)
    run_hook(server, "PostToolUseFailure" if failed else "PostToolUse", **call)


@pytest.fixture(scope="module")
def events(module_server: Server) -> pd.DataFrame:
    """Return the history of two prompts, a loop, a subagent and a limit."""
    server = module_server
    run_hook(server, "SessionStart", source="startup")
    run_hook(server, "UserPromptSubmit", prompt="Fix it")
    for number in range(3):
        run_call(server, number)
    run_hook(server, "SubagentStart", agent_id="a1b2", agent_type="Explore")
    run_call(server, 3, failed=False, agent_id="a1b2")
    run_hook(server, "SubagentStop", agent_id="a1b2", agent_type="Explore")
    run_hook(server, "Stop")
    run_hook(server, "UserPromptSubmit", prompt="And now?")
    run_hook(server, "StopFailure", error="rate_limit")
    (main,) = (name for name in server.presence() if "/" not in name and "a1b2" not in name)
    server.send(main, "completion", model="claude-opus-4-5", input_tokens=1000, cost_usd=2.5)
    return hg.load_history(server.url)


def test_turns_of_reported_prompts(events: pd.DataFrame) -> None:
    """Each prompt has its outcome; the work of a subagent counts apart or included."""
    apart = hg.turns(events)
    assert sorted(apart["tools"]) == [0, 1, 3]
    table = hg.turns(events, subagents="include")
    assert table["tools"].tolist() == [4, 0]
    assert table["tool_errors"].tolist() == [3, 0]
    assert table["subagents"].tolist() == [1, 0]
    assert table["outcome"].tolist() == ["done", "cannot_work"]
    assert table["usd"].sum() == 2.5
    assert table["agent_id"].astype(str).tolist() == table["root_agent_id"].astype(str).tolist()
    (session,) = hg.sessions(events, subagents="include").to_dict("records")
    assert (session["tools"], session["subagents"], session["usd"]) == (4, 1, 2.5)


def test_loops_of_reported_calls(events: pd.DataFrame) -> None:
    """Three failed calls with the same input are a loop, that of the subagent is none."""
    (loop,) = hg.loops(events).to_dict("records")
    assert (loop["tool_name"], loop["kind"], loop["count"], loop["errors"]) == (
        *("Bash", "repeat", 3, 3),
    )


def test_blocks_of_reported_answers(events: pd.DataFrame) -> None:
    """The answer opens a window of five hours."""
    (block,) = hg.blocks(events).to_dict("records")
    assert block["usd"] == 2.5
    assert block["open"]
    assert block["end"] - block["start"] == pd.Timedelta("5h")
