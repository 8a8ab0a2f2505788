"""Titles of sessions that a model generated. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..core.model import LABELS, Event

_WITHOUT_FACTS: dict[str, Any] = {
    **dict.fromkeys(LABELS),
    **dict.fromkeys(("extra", "context_tokens", "context_window", "model")),
}
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
