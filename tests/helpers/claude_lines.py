"""Lines of Claude Code's session files for tests."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from tests.helpers.session_lines import (
    CONTENT,
    PAYLOADS,
    SESSION,
    at,
    line,
)

FILES = sorted((PAYLOADS / "claude").rglob("*.jsonl"))


CALL = "toolu_01Xk9QmVb3nT7sRfLw2cYp4D"


ANSWER = "msg_01Rk4vT8sXw2LbQ9mYp7cHd3"


CHILD_ID = "ae04f393030f3393b"


CHILD = "claude-ae04f393"


def record(kind: str, seconds: float = 0, **fields: Any) -> bytes:
    """Return a line of the main session."""
    common = {
        "type": kind,
        "sessionId": SESSION,
        "timestamp": at(seconds),
        "uuid": f"u-{kind}-{seconds}",
        "cwd": "/home/user/shop",
        "version": "2.1.158",
        "isSidechain": False,
    }
    return line({**common, **fields})


def completion(
    key: str | None,
    output: int,
    seconds: float = 0,
    *,
    content: list[dict[str, Any]] | None = None,
    stop_reason: str | None = "tool_use",
    model: str = "claude-opus-4-8",
    cache_read: int = 7,
    usage: dict[str, Any] | None = None,
    **fields: Any,
) -> bytes:
    """Return one line of a completion."""
    message = {
        "id": key,
        "model": model,
        "content": [{"type": "text", "text": CONTENT}] if content is None else content,
        "stop_reason": stop_reason,
        "usage": {
            "input_tokens": 3,
            "output_tokens": output,
            "cache_read_input_tokens": cache_read,
            "cache_creation_input_tokens": 11,
            "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 10},
            **(usage or {}),
        },
    }
    return record("assistant", seconds, **{"message": message, "requestId": f"req_{key}", **fields})


def call(seconds: float = 0, name: str = "Bash", key: str = CALL) -> bytes:
    """Return the line of a completion that calls a tool."""
    block = {"type": "tool_use", "id": key, "name": name, "input": {"command": CONTENT}}
    return completion("msg_call", 5, seconds, content=[block])


def result(seconds: float, key: str = CALL, **fields: Any) -> bytes:
    """Return the line of a tool's result."""
    output = fields.pop("output", {"stdout": CONTENT})
    block = {"type": "tool_result", "tool_use_id": key, "content": CONTENT, **fields}
    return record("user", seconds, message={"content": [block]}, toolUseResult=output)


def user(text: str, seconds: float = 0, **fields: Any) -> bytes:
    """Return the line of a user message."""
    return record("user", seconds, message={"role": "user", "content": text}, **fields)


def only(events: list[Event], kind: str) -> Event:
    """Return the only event of a type."""
    (event,) = [event for event in events if event.event_type == kind]
    return event


def final(seconds: float, text: str = CONTENT, key: str = "msg_end") -> bytes:
    """Return the line of a completion that ends its turn."""
    return completion(
        key, 9, seconds, content=[{"type": "text", "text": text}], stop_reason="end_turn"
    )


def notice(seconds: float, task: str) -> bytes:
    """Return the queued notice of the end of a background task."""
    content = f"<task-notification><task-id>{task}</task-id><status>completed</status>"
    return record("queue-operation", seconds, operation="enqueue", content=content)
