"""Titles of sessions that a model generated, or that are the start of a prompt. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..core.model import LABELS, Event

_WITHOUT_FACTS: dict[str, Any] = {
    **dict.fromkeys(LABELS),
    **dict.fromkeys(("extra", "context_tokens", "context_window", "model")),
}
_PROMPT_CHARS = 1_000
TITLE_GENERATED = "title_generated"
"""Key of ``extra``: true if a model, and not a person, wrote the title of the event."""


def drop_generated_titles(events: Iterable[Event]) -> list[Event]:
    """Return the events without the titles that a model generated.

    An event of the type ``session_info`` that reports nothing else is left out.
    """
    kept = []
    for event in events:
        if event.title is None or not (event.extra or {}).get(TITLE_GENERATED):
            kept.append(event)
            continue
        extra = {key: value for key, value in (event.extra or {}).items() if key != TITLE_GENERATED}
        changed = replace(event, title=None, extra=extra or None)
        is_empty = changed == replace(event, **_WITHOUT_FACTS)
        if changed.event_type != "session_info" or not is_empty:
            kept.append(changed)
    return kept


def start_of_prompt(text: object) -> str:
    """Return the start of a prompt in a form in which ``is_from_prompt`` can compare titles."""
    return " ".join(text[:_PROMPT_CHARS].split()).lower() if isinstance(text, str) else ""


def is_from_prompt(title: str, prompt: str) -> bool:
    """Return whether a title is a part of a prompt. Such titles are not kept, like prompts.

    Args:
        prompt: result of ``start_of_prompt``.
    """
    part = " ".join(title.split()).lower().rstrip(" .\u2026")
    return not part or part in prompt
