"""Session files of Kiro CLI 3 and Kiro IDE are read completely and without content."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.kiro import KiroCli
from htmlgraph_nb.coding_agents.kiro.workspace_session import SESSION_FILE, KiroWorkspaceSession
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.session_lines import CONTENT, SESSION, at, check, hashed, kinds, line, read
from tests.helpers.strategies import hostile_values

MAIN = "kiro-0b9d6f4e"
CHILD = "5f3c1b2a-0000-4000-8000-000000000001"


def record(kind: str, seconds: float, /, **payload: Any) -> dict[str, Any]:
    """Return a line."""
    values = {"id": f"{kind}-{seconds}", "timestamp": at(seconds)}
    return {**values, "payload": {"type": kind, **payload}}


def user(seconds: float, content: str = CONTENT) -> dict[str, Any]:
    """Return a prompt."""
    return record("user", seconds, content=[{"type": "text", "text": content}])


def call(seconds: float, key: str = "c1") -> dict[str, Any]:
    """Return a tool call."""
    values = {"toolCallId": key, "toolName": "fs_read", "args": {"path": CONTENT}}
    return record("tool_call", seconds, **values)


def result(seconds: float, key: str = "c1", **more: Any) -> dict[str, Any]:
    """Return the result of a tool call."""
    return record("tool_result", seconds, toolCallId=key, output=CONTENT, **more)


def events_of(*records: dict[str, Any]) -> list[Event]:
    """Return the events of a session after its start."""
    events = read(KiroWorkspaceSession(SESSION, None, hashed), map(line, records))
    check(events)
    assert events[0].event_type == "session_start"
    return events[1:]


def test_session_turn() -> None:
    """Prompts, calls and the end of the turn."""
    events = events_of(
        user(1),
        record("turn_start", 1),
        call(2),
        result(2, success=True, durationMs=700),
        record("assistant", 3, content=f"{CONTENT}?", operationType="Say"),
        record("turn_end", 4, stopReason="end_turn"),
    )
    assert kinds(events) == ["prompt", "tool_start", "tool_execute", "stop"]
    done = events[2]
    assert (done.tool_name, done.status, done.duration_ms) == ("read", "ok", 700)
    assert done.input_hash == hashed({"path": CONTENT})
    assert events[-1].extra == {"question": True}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("user_cancelled", "interrupt"), ("error", "error"), ("max_tokens", "stop")],
)
def test_session_turn_that_ended_otherwise(reason: str, kind: str) -> None:
    """The reason is a keyword."""
    events = events_of(user(1), record("turn_end", 2, stopReason=reason))
    assert (events[-1].event_type, events[-1].extra) == (kind, {"reason": reason})


def test_session_error_says_why_the_agent_cannot_work() -> None:
    """Its text is not kept."""
    events = events_of(user(1), record("error", 2, message=f"429 Too Many Requests {CONTENT}"))
    assert events[-1].event_type == "error"


def test_session_waits_for_the_user() -> None:
    """For the approval of a tool, or for input."""
    asked = record("pending_interaction", 2, interactionType="tool_approval")
    events = events_of(user(1), asked, record("interaction_resolved", 3))
    assert kinds(events)[1:] == ["permission_request", "answered"]
    events = events_of(user(1), record("pending_interaction", 2, interactionType="question"))
    assert events[-1].extra == {"notification_type": "agent_needs_input"}


def test_session_failed_call() -> None:
    """Calls are written when they end, so their own times are no duration."""
    events = events_of(user(1), call(2), result(2, success=False))
    assert (events[-1].event_type, events[-1].duration_ms) == ("tool_error", None)


def test_session_compaction_and_rewind() -> None:
    """Going back to an earlier message is no compaction."""
    events = events_of(user(1), record("tombstone", 2, kind="summarization"))
    assert (events[-1].event_type, (events[-1].extra or {})["compacted"]) == ("activity", True)
    assert kinds(events_of(user(1), record("tombstone", 2, kind="rewind"))) == ["prompt"]


def test_session_subagent() -> None:
    """Its file has its work, that of the session its start and its end."""
    ids = {"subSessionId": CHILD, "subAgentName": "reviewer"}
    started, ended = record("sub_agent_start", 2, **ids), record("sub_agent_complete", 9, **ids)
    events = events_of(user(1), started, ended)
    assert kinds(events)[1:] == [
        *("subagent_start", "session_info", "subagent_stop", "session_end"),
    ]
    path = f"/home/user/.kiro/sessions/w/{SESSION}/sub-executions/{CHILD}.jsonl"
    child = read(KiroCli().session_reader(path), [line(user(3))])
    assert (child[0].event_type, child[0].agent_id) == ("subagent_start", MAIN)
    assert child[0].extra == {"child_agent_id": events[2].agent_id}
    assert (child[1].agent_id, child[1].parent_agent_id) == (events[2].agent_id, MAIN)
    assert child[1].session_id == SESSION
    assert KiroCli().sidecars(path) == ()


def test_session_information_of_the_file_beside_it() -> None:
    """A title that is a part of the prompt is not kept."""
    path = f"/home/user/.kiro/sessions/w/{SESSION}/messages.jsonl"
    assert KiroCli().sidecars(path) == (path.replace("messages.jsonl", SESSION_FILE),)
    reader = KiroCli().session_reader(path)
    assert isinstance(reader, KiroWorkspaceSession)
    read(reader, [line(user(1, "Fix the shop, please"))])
    facts = {"title": "Fix the shop", "modelId": "m", "workspacePaths": ["/home/user/shop"]}
    (event,) = reader.feed_sidecar(SESSION_FILE, json.dumps(facts).encode())
    assert (event.title, event.model, event.cwd) == (None, "m", "/home/user/shop")
    (event,) = reader.feed_sidecar(SESSION_FILE, json.dumps({**facts, "title": "Till"}).encode())
    assert (event.title, event.extra) == ("Till", {"title_generated": True})
    assert reader.feed_sidecar(SESSION_FILE, b"{") == []


def test_session_agent_knows_its_lines() -> None:
    """Lines of other agents are not taken for its own."""
    agent = KiroCli()
    assert agent.is_session_record(user(1))
    assert not agent.is_session_record({**user(1), "type": "event_msg"})
    assert not agent.is_session_record({"type": "user", "message": {}})


fields = st.dictionaries(
    st.sampled_from(
        "content operationType stopReason message toolCallId toolName args success durationMs kind "
        "interactionType subSessionId subAgentName".split()
    ),
    hostile_values("c1", "Say", "error", CHILD),
)
KINDS = (
    "user turn_start assistant turn_end error tool_call tool_result pending_interaction "
    "interaction_resolved tombstone sub_agent_start sub_agent_complete"
).split()


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), fields, st.just(at(2)) | hostile_values()), max_size=12
    ),
    st.dictionaries(
        st.sampled_from("title modelId workspacePaths rootPaths".split()), hostile_values("/x")
    ),
)
def test_session_hostile_lines_give_valid_events(
    records: list[tuple[str, dict[str, Any], Any]], beside: dict[str, Any]
) -> None:
    """Whatever the values are, each event is valid."""
    reader = KiroWorkspaceSession(SESSION)
    events = reader.feed(line(user(1)))
    lines = [{"payload": {**more, "type": kind}, "timestamp": when} for kind, more, when in records]
    for each in [*map(line, lines), b"{", b"[]", b"\xff"]:
        with suppress(InvalidEvent):
            events += reader.feed(each)
    for event in events + reader.feed_sidecar(SESSION_FILE, json.dumps(beside).encode()):
        event.checked()
