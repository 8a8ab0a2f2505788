"""Mistral Vibe's hooks; source: README.md of mistralai/mistral-vibe, as of version 2.18.4.

They are in a file of their own, beside its settings. Vibe runs them only if a setting allows it,
which stays with the user.
"""

from __future__ import annotations

import json

from ..hook_settings import HOOK_TIMEOUT_S, HookSettings

_HOOKS = ("before_tool", "after_tool", "post_agent_turn")


def _program(command: str) -> str:
    # A JSON string of ASCII characters is a TOML string as well.
    entries = (
        f'[[hooks]]\nname = "htmlgraph-{hook}"\ntype = "{hook}"\n'
        f"command = {json.dumps(command)}\ntimeout = {HOOK_TIMEOUT_S}.0\n"
        for hook in _HOOKS
    )
    return "# Written by htmlgraph-nb connect vibe.\n\n" + "\n".join(entries)


SETTINGS = HookSettings(
    file="hooks.toml",
    events=dict.fromkeys(_HOOKS, True),
    program=_program,
    note="Vibe runs hooks only with enable_experimental_hooks = true in its config.toml, or "
    "VIBE_ENABLE_EXPERIMENTAL_HOOKS=true.",
)
