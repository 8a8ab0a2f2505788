"""Lines of Codex's session files for tests."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from tests.helpers.session_lines import (
    CONTENT,
    at,
    line,
)

ID = "019e7583-0b33-7912-a209-4c0407cfa243"


OTHER = "019e7584-5201-7901-b1e7-a3f0c990c12f"


AGENT = f"codex-{ID}"


def entry(kind: str, seconds: float = 0, **payload: Any) -> bytes:
    """Return a line of a session."""
    return line({"timestamp": at(seconds), "type": kind, "payload": payload})


def message(kind: str, seconds: float = 0, **payload: Any) -> bytes:
    """Return the line of an event."""
    return entry("event_msg", seconds, type=kind, **payload)


def item(kind: str, seconds: float = 0, **payload: Any) -> bytes:
    """Return the line of an item of a response."""
    return entry("response_item", seconds, type=kind, **payload)


def meta(key: str = ID, seconds: float = 0, **fields: Any) -> bytes:
    """Return the first line of a session."""
    common = {"id": key, "timestamp": at(seconds), "cwd": "/home/user/shop", "cli_version": "0.147"}
    return entry("session_meta", seconds, **{**common, **fields})


def used(*counts: int) -> dict[str, int]:
    """Return a usage object: input, cached, output, reasoning."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    return dict(zip(names, counts, strict=False))


def count(total: tuple[int, ...] | None, last: tuple[int, ...] | None, at_s: float) -> bytes:
    """Return a token_count."""
    info: dict[str, Any] = {}
    if total is not None:
        info["total_token_usage"] = used(*total)
    if last is not None:
        info["last_token_usage"] = used(*last)
    return message("token_count", at_s, info=info)


def completions(events: list[Event]) -> list[Event]:
    """Return the completions."""
    return [event for event in events if event.event_type == "completion"]


def turn(kind: str, seconds: float, **fields: Any) -> bytes:
    """Return the start or end of a turn."""
    return message(kind, seconds, turn_id="t1", **fields)


def planned(seconds: float) -> bytes:
    """Return the line of a plan that is ready to be approved."""
    return message("item_completed", seconds, item={"type": "Plan", "id": "p1", "text": CONTENT})
