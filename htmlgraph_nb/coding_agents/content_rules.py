"""Facts that are derived from texts before these are dropped: questions, failures, interrupts.

``htmlgraph-hook`` and the server's readers use the same rules. The hook loads this module on every
tool call, so it imports nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

TASK_ENDS = ("completed", "failed", "killed", "stopped")
"""Statuses of a background task that has ended."""
INTERRUPT_LINE = "[Request interrupted by user for tool use]"
"""Line in the error of a shell command that the user cancelled; ``is_interrupt`` is false there."""
# ASCII, full width, and Arabic.
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")
_FAILURE_TEXTS = ("last_assistant_message", "error_details")
_AFTER_QUESTION = " \t\r\n*_`\"')\u201d\u2019\xbb"
_TAIL_CHARS = 80


def is_question(response: object) -> bool:
    """Return whether the text of a model's response ends with a question."""
    if not isinstance(response, str):
        return False
    return response[-_TAIL_CHARS:].rstrip(_AFTER_QUESTION).endswith(_QUESTION_MARKS)


def ends_with_question(payload: Mapping[str, Any]) -> bool:
    """Return whether the turn that a hook input reports ended with a question."""
    if payload.get("ends_with_question") is True:
        return True
    return is_question(payload.get("last_assistant_message", payload.get("prompt_response")))


def was_interrupted(payload: Mapping[str, Any]) -> bool:
    """Return whether the user interrupted the tool call whose failure a hook input reports."""
    if payload.get("is_interrupt") is True:
        return True
    error = payload.get("error")
    if not isinstance(error, str):
        return False
    return INTERRUPT_LINE in (line.strip() for line in error.splitlines())


def tool_failed(payload: Mapping[str, Any]) -> bool:
    """Return whether the tool result in a hook input is an error."""
    if payload.get("is_error") is True:
        return True
    result = payload.get("tool_response")
    return isinstance(result, dict) and bool(result.get("error"))


def limit_facts(payload: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Return whether a failed turn reached a usage limit, and until when, without its texts.

    Args:
        payload: a hook input with the texts, or one in which the hook has replaced them by these
            facts.
        at: when the turn failed.
    """
    texts = [payload.get(name) for name in _FAILURE_TEXTS]
    reported = payload.get("usage_limited")
    if reported is not True and not any(isinstance(text, str) for text in texts):
        return {}
    # The hook loads this on a failed turn only, as parsing times needs further modules.
    from .failures import limit_of

    return limit_of(texts, reported, payload.get("until"), at)


def derived_fields(
    hook: object, payload: Mapping[str, Any], now: Callable[[], datetime]
) -> dict[str, Any]:
    """Return what replaces the texts of a hook input before it leaves the machine.

    Args:
        hook: name of the hook.
        now: returns the current time.
    """
    if hook == "StopFailure":
        return limit_facts(payload, now())
    is_true = {
        "is_interrupt": hook == "PostToolUseFailure" and was_interrupted(payload),
        "is_error": hook == "AfterTool" and tool_failed(payload),
        "ends_with_question": hook in ("Stop", "AfterAgent") and ends_with_question(payload),
        "is_continued": hook == "UserPromptSubmit" and payload.get("prompt") == "",
    }
    return {name: True for name, holds in is_true.items() if holds}


def is_at_rest(task: object) -> bool:
    """Return whether a background task has ended.

    A teammate counts as well: it is listed as running even while it waits.
    """
    if not isinstance(task, dict):
        return False
    return task.get("type") == "teammate" or task.get("status") in TASK_ENDS


def question_extra(tool: str | None, question_tools: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the ``extra`` of a call of a tool that waits for the user; None if it does not wait.

    Args:
        question_tools: tool → "input" or "plan".
    """
    kind = question_tools.get(tool or "")
    return None if kind is None else {"asks": kind}
