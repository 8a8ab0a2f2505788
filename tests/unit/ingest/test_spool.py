"""events_from_spool reads hook calls and SDK events, and skips broken lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.ingest.spool import events_from_spool, spool_line

NOW = datetime(2026, 5, 30, 17, 0, tzinfo=UTC)


def test_spool_line_names_its_agent() -> None:
    """A line without a known agent is a hook call of Claude Code."""
    lines = [
        b'{"session_id":"s","hook_event_name":"Interrupt","htmlgraph":{"hook":"codex"}}',
        b'{"session_id":"s","hook_event_name":"AfterAgent","htmlgraph":{"hook":"gemini"}}',
        b'{"session_id":"s","hook_event_name":"Stop","htmlgraph":{"hook":"other"}}',
        b'{"session_id":"s","hook_event_name":"Stop"}',
        b'{"session_id":"s","hook_event_name":"Stop","htmlgraph":{"hook":[]}}',
    ]
    events, broken = events_from_spool(b"\n".join(lines), NOW)
    assert broken == []
    assert [(event.agent_id, event.event_type) for event in events] == [
        ("codex-s", "interrupt"),
        ("gemini-s", "stop"),
        *[("claude-s", "stop")] * 3,
    ]


def test_spool_names_broken_lines() -> None:
    """Complete lines become events, broken lines are named, empty lines are not."""
    stop = json.dumps({"session_id": "s", "hook_event_name": "Stop"}).encode()
    lines = [stop, b"", stop[:20], b"[]", b"[" * 9000, b'{"session_id":"x"}', b"\xff", stop]
    events, broken = events_from_spool(b"\n".join(lines), NOW)
    assert [event.event_type for event in events] == ["stop", "stop"]
    assert broken == [3, 4, 5, 6, 7]


def test_spool_may_be_empty() -> None:
    """An empty file has no events and no broken lines."""
    assert events_from_spool(b"", NOW) == ([], [])


def test_spool_line_of_sdk_event_is_read_unchanged() -> None:
    """An event of the SDK keeps all fields and is not passed on as a hook call."""
    event = Event(agent_id="a", event_type="prompt", timestamp=NOW, event_id="e1")
    hook = b'{"session_id":"s","hook_event_name":"Stop"}'
    calls: list[tuple[str, Mapping[str, Any]]] = []
    text = b"\n".join([spool_line(event), hook])
    events, broken = events_from_spool(text, NOW, lambda *call: calls.append(call))
    assert (events[0], broken) == (event, [])
    assert calls == [("claude", json.loads(hook))]
