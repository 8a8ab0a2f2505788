"""What asks a person: tools that are questions themselves, and answers that end with one."""

from __future__ import annotations

from typing import Any

_TOOLS = {
    # Claude Code
    "AskUserQuestion": "input",
    "ExitPlanMode": "plan",
    # Codex
    "request_user_input": "input",
    # Gemini CLI
    "ask_user": "input",
    "exit_plan_mode": "plan",
}
# Full width, and Arabic.
_MARKS = ("?", "\uff1f", "\u061f")
_CLOSING = " \t\r\n*_`\"')\u201d\u2019\xbb"


def asks_of(tool: str | None) -> dict[str, Any] | None:
    """Return the ``extra`` of a call of a tool that waits for a person; None: it does not."""
    kind = _TOOLS.get(tool or "")
    return None if kind is None else {"asks": kind}


def is_question(answer: object) -> bool:
    """Return whether an answer's text ends with a question."""
    return isinstance(answer, str) and answer[-80:].rstrip(_CLOSING).endswith(_MARKS)
