"""Pi's extension is a program of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.pi.settings import SETTINGS
from tests.helpers.wait import wait_until

_HARNESS = """
import extension from "./htmlgraph.mjs";
const handlers = {};
extension({ on: (name, handler) => { handlers[name] = handler; } });
const manager = { getSessionId: () => "s1", getSessionFile: () => "/x/s1.jsonl" };
const ctx = { cwd: "/srv", model: { id: "m" }, sessionManager: manager };
const message = { role: "assistant", stopReason: "error", errorMessage: "429 secret" };
const results = [
  handlers.session_start({ reason: "startup" }, ctx),
  handlers.session_start({ reason: "reload" }, ctx),
  handlers.before_agent_start({ prompt: "secret", messageType: "user" }, ctx),
  handlers.tool_execution_start({ toolName: "bash", toolCallId: "c", args: "secret" }, ctx),
  handlers.message_end({ message }, ctx),
  handlers.agent_settled({}, ctx),
  handlers.agent_settled({}, {}),
];
console.log(JSON.stringify([Object.keys(handlers), results.map((each) => each === undefined)]));
"""


def test_settings_program_names_the_command_as_a_string() -> None:
    """Quotes in the command do not end the string."""
    assert SETTINGS.program is not None
    text = SETTINGS.program("'/srv/my \"env\"/bin/htmlgraph-hook' pi")
    assert 'const COMMAND = "\'/srv/my \\"env\\"/bin/htmlgraph-hook\' pi";' in text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_settings_program_reports_without_content_and_without_waiting(tmp_path: Path) -> None:
    """Handlers return at once and nothing; what they send has no prompts, inputs or texts."""
    assert SETTINGS.program is not None
    log = tmp_path / "log"
    command = f"sh -c 'cat >> {log}; echo >> {log}'"
    (tmp_path / "htmlgraph.mjs").write_text(SETTINGS.program(command))
    (tmp_path / "harness.mjs").write_text(_HARNESS)
    node = str(shutil.which("node"))
    done = subprocess.run(
        [node, "harness.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    names, returned = json.loads(done.stdout)
    assert returned == [True] * 7
    # A handler of these can change or block what Pi does, or runs for each piece of a response.
    assert not {"tool_call", "tool_result", "input", "context", "message_update"} & set(names)
    wait_until(lambda: log.exists() and log.read_text().count("hook_event_name") == 4)
    text = log.read_text()
    assert all(f'"{name}"' in text for name in ("SessionStart", "PreToolUse", "StopFailure"))
    assert '"rate_limit"' in text
    assert "secret" not in text
