"""Single messages of Gemini CLI's session files; see ``session``. Pure.

Gemini CLI records what it shows, by text alone: results of commands and faults of MCP servers have
the same types as the end of a turn, and messages that it writes itself have the type of a prompt.
Sources of the texts, in google-gemini/gemini-cli as of version 0.61: useGeminiStream.ts and
AppContainer.tsx in packages/cli/src/ui, constants.ts, approvalModeUtils.ts, environmentContext.ts
in packages/core/src/utils, and client.ts in packages/core/src/core.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..fields import count, mapping, mappings
from .constants import CANNOT_WORK

_CONTEXT = (
    "<session_context>",
    "<hook_context>",
    "I ran the following shell command:",
    "Here is the user's editor context",
    "Here is a summary of changes in the user's editor context",
    "User has manually exited Plan Mode.",
    "- **Workspace Directories:**",
)
"""Starts of user messages that Gemini CLI writes at its prompt, without asking the model."""
_CONTINUED = ("Please continue.", "System: ")
"""Starts of user messages by which Gemini CLI makes the model continue its turn."""
_INTERRUPTS = ("Request cancelled.", "User cancelled the request.")
_STOPS = (
    "Agent execution stopped:",
    "The session has reached the maximum number of turns",
    "Sending this message (",
    "A potential loop was detected.",
)
"""Starts of notes on why a turn ended although it neither failed nor was interrupted."""
_FAILURES = (
    "[API Error:",
    "Invalid stream received from model",
    "Model stream ended",
    "The model returned",
    "Model response was truncated",
    "The model response was blocked",
)
"""Starts of errors that end a turn; other errors are those of commands, MCP servers and files."""
_OF_ACCOUNT = ("usage_limited", "rate_limited", "signed_out")
"""Failures that only requests to the model have, whatever their text starts with."""

_SPARE_TOKENS = 8

Record = Mapping[str, Any]
"""JSON object of a message."""


def first_text(content: object) -> str | None:
    """Return the first text of a message; None if its first part is no text."""
    parts = mappings(content)
    first = parts[0].get("text") if parts else content
    return first if isinstance(first, str) else None


def is_prompt(content: object) -> bool:
    """Return whether a user message asks the model; tool results and context do not."""
    text = first_text(content)
    return text is not None and not text.lstrip().startswith(_CONTEXT)


def continues_turn(content: object) -> bool:
    """Return whether a user message is one by which Gemini CLI makes the model continue."""
    return (first_text(content) or "").startswith(_CONTINUED)


def turn_end_of(kind: object, content: object) -> str | None:
    """Return the event type of the end of turn that a message reports; None if it reports none.

    Args:
        kind: its type: "info", "warning" or "error".
    """
    text = first_text(content) or ""
    if kind == "info" and text in _INTERRUPTS:
        return "interrupt"
    if text.startswith(_STOPS):
        return "stop"
    if kind == "error" and (text.startswith(_FAILURES) or failure_kind(text) in _OF_ACCOUNT):
        return "error"
    return None


def failure_kind(text: str) -> str | None:
    """Return why an error keeps the agent from working; None if its text does not say."""
    lower = text.lower()
    return next((kind for part, kind in CANNOT_WORK.items() if part in lower), None)


def is_synthetic(message: Record) -> bool:
    """Return whether a response was written by Gemini CLI itself: it has no model and no tokens."""
    return not (message.get("model") or message.get("tokens") or message.get("toolCalls"))


def calls_tool(message: Record) -> bool:
    """Return whether a response called tools that are not written yet.

    Such a response has no text, or more output tokens than its text can have.
    """
    text = message.get("content")
    if not isinstance(text, str):
        return False
    output = count(mapping(message.get("tokens")).get("output")) or 0
    return not text.strip() or output > _most_tokens(text)


def _most_tokens(text: str) -> float:
    """Return more tokens than a text has: words have long tokens, digits and other scripts not."""
    n_ascii = len(text.encode("ascii", "ignore"))
    n_digits = sum(map(text.count, "0123456789"))
    n_rare = len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
    others = 1.25 * (len(text) - n_ascii)
    return (n_ascii - n_digits) / 2 + n_digits + others + 2 * n_rare + _SPARE_TOKENS
