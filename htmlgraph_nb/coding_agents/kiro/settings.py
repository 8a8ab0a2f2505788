"""Kiro CLI's hook settings, of which it has two kinds.

- CLI 3 and IDE 1 read the files in ``hooks`` for all agents
  (https://kiro.dev/docs/cli/v3/hooks/).
- CLI 2 reads only the configs of agents in ``agents``
  (https://kiro.dev/docs/cli/hooks/); a config with the groups of Claude Code is ignored as a whole.
  The built-in default agent has no config, and a new one would replace it.

Kiro waits for each hook. One that fails before a tool can deny the tool, so the command must
succeed even after htmlgraph-nb was removed.

The ends of tool calls are left out: a hook does not say whether a call failed, the session file
does. So is agentSpawn, which some versions run for each prompt
(https://github.com/aws/amazon-q-developer-cli/issues/2623).
"""

from __future__ import annotations

import json
import os

from ..hook_settings import HOOK_TIMEOUT_S, HandlerEntry, HookSettings
from .constants import AGENT_CONFIG_OPTION

_ALWAYS_SUCCEED = "" if os.name == "nt" else " || true"
_TRIGGERS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop")


def _program(command: str) -> str:
    hooks = [
        {
            "name": f"htmlgraph-{trigger}",
            "trigger": trigger,
            "action": {"type": "command", "command": f"{command}{_ALWAYS_SUCCEED}"},
            "timeout": HOOK_TIMEOUT_S,
        }
        for trigger in _TRIGGERS
    ]
    return json.dumps({"version": "v1", "hooks": hooks}, indent=2) + "\n"


def _handler(command: str, hook: str, waits: bool) -> HandlerEntry:
    return {
        "command": f"{command} {AGENT_CONFIG_OPTION}{_ALWAYS_SUCCEED}",
        "timeout_ms": HOOK_TIMEOUT_S * 1_000,
    }


SETTINGS = HookSettings(
    file=os.path.join("hooks", "htmlgraph.json"),
    events=dict.fromkeys(_TRIGGERS, True),
    program=_program,
    note="Kiro CLI 2 runs hooks only of agents that have a config in ~/.kiro/agents; connect again "
    "after you add one.",
    existing=HookSettings(
        file=os.path.join("agents", "*.json"),
        events=dict.fromkeys(("userPromptSubmit", "preToolUse", "stop"), True),
        handler=_handler,
        is_flat=True,
    ),
)
