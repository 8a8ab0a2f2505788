"""Claude Code's session files are read completely and without content."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.claude_lines import (
    CALL,
    FILES,
    call,
    completion,
    only,
    result,
    user,
)
from tests.helpers.session_lines import (
    MAIN,
    PAYLOADS,
    SESSION,
    START,
    at,
    check,
    hashed,
    kinds,
    lines_of,
    read,
    tokens,
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid and contains no content."""
    events = read(ClaudeSession(), lines_of(path))
    assert events
    check(events)


def test_session_reads_allowed_and_denied_tools() -> None:
    """A recorded session with allowed and denied tool calls is read correctly."""
    events = read(ClaudeSession(), lines_of(PAYLOADS / "claude" / "permission.jsonl"))
    ran = ["prompt", "tool_start", "tool_execute", "completion", "completion", "stop"]
    refused = ["prompt", "tool_start", "answered", "completion", "interrupt"]
    said = ["prompt", "completion", "stop"]
    assert kinds(events) == ["session_start", *ran, *refused, *said, *ran, *said, *refused, *said]
    assert {event.agent_id for event in events} == {"claude-a845d6c4"}
    assert {event.project for event in events} == {"shop"}
    first = only(events[:5], "tool_execute")
    assert (first.tool_name, first.status, first.duration_ms) == ("Bash", "ok", 878)
    assert tokens(events) == (23, 196_147, 0, 14_119, 497)


def test_session_of_a_subagent_names_its_parent() -> None:
    """A subagent's own file contains its parent, its start and its tools."""
    (path,) = [path for path in FILES if "subagents" in path.parts]
    events = read(ClaudeSession(), lines_of(path))
    assert kinds(events)[:2] == ["subagent_start", "prompt"]
    assert events[0].agent_id == "claude-4d5611e5"
    assert events[0].extra == {"child_agent_id": "claude-a2898e3"}
    rest = events[1:]
    assert {event.agent_id for event in rest} == {"claude-a2898e3"}
    assert {event.parent_agent_id for event in rest} == {"claude-4d5611e5"}
    assert {event.session_id for event in events} == {"4d5611e5-241a-462a-8d15-5122611a9569"}


def test_session_tool_events_have_the_hash_of_their_input() -> None:
    """Start and end of a call have it, and the calls of subagents without a file, too."""
    events = read(ClaudeSession(hash_input=hashed), [call(0), result(1.5)])
    block = json.loads(call(0))["message"]["content"][0]
    hashes = [e.input_hash for e in events if e.event_type in ("tool_start", "tool_execute")]
    assert hashes == [hashed(block["input"])] * 2
    assert hashes[0] is not None
    for path in FILES:
        for event in read(ClaudeSession(hash_input=hashed), lines_of(path)):
            if event.event_type == "tool_start":
                assert event.input_hash is not None
            assert event.event_type.startswith("tool_") or event.input_hash is None


def test_session_tool_events_have_the_ids_of_hooks() -> None:
    """A call has the same agent, event ids and tool as in hooks."""
    events = read(ClaudeSession(), [call(0), result(1.5)])
    hook = {"session_id": SESSION, "tool_name": "Bash", "tool_use_id": CALL}
    for kind, name in (("tool_start", "PreToolUse"), ("tool_execute", "PostToolUse")):
        (hook_event,) = events_from_hook({**hook, "hook_event_name": name}, received_at=START)
        event = only(events, kind)
        assert (event.event_id, event.agent_id) == (hook_event.event_id, hook_event.agent_id)
        assert (event.tool_name, event.tool_use_id) == (
            hook_event.tool_name,
            hook_event.tool_use_id,
        )
        assert event.status == hook_event.status
    assert only(events, "tool_execute").duration_ms == 1500


def test_session_reports_a_failed_tool() -> None:
    """A tool whose result is an error failed; an interrupted one is flagged."""
    events = read(
        ClaudeSession(), [call(0), result(1, is_error=True, output={"interrupted": True})]
    )
    failed = only(events, "tool_error")
    assert (failed.status, failed.extra) == ("error", {"is_interrupt": True})
    assert failed.event_id == f"{CALL}:PostToolUse"


@pytest.mark.parametrize(
    "rejection",
    [
        {"output": "User rejected tool use"},
        {"content": "The user doesn't want to proceed with this tool use."},
    ],
)
def test_session_reports_a_denied_tool_as_answered(rejection: dict[str, Any]) -> None:
    """A tool call that the user denied is neither a tool run nor an error."""
    events = read(ClaudeSession(), [call(0), result(1, is_error=True, **rejection)])
    assert only(events, "answered").extra == {"decision": "denied"}
    assert not {"tool_execute", "tool_error"} & set(kinds(events))


def test_session_ignores_meta_and_summary_lines() -> None:
    """Messages that Claude Code inserts are no prompts."""
    lines = [user("x", 0, isMeta=True), user("y", 1, isCompactSummary=True)]
    assert kinds(read(ClaudeSession(), lines)) == ["session_start"]


def test_session_does_not_parse_lines_of_other_types() -> None:
    """Lines of other types are ignored, invalid lines are reported."""
    reader = ClaudeSession()
    assert reader.feed(b'{"type":"progress","data":}') == []
    with pytest.raises(InvalidEvent, match="invalid JSON"):
        reader.feed(b'{"type":"progress","da')
    with pytest.raises(InvalidEvent, match="an array"):
        reader.feed(b"[]")
    assert reader.feed(b'{"type":"user"}') == []


def test_session_id_comes_from_the_file_name() -> None:
    """Lines without a session id belong to the session that the file is named after."""
    events = read(ClaudeSession(SESSION), [user("hi", 0, sessionId=None)])
    assert {event.agent_id for event in events} == {MAIN}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


FIELDS = (
    "message content usage output_tokens input_tokens cache_creation id model type tool_use_id "
    "is_error toolUseResult agentId status stop_reason isSidechain subtype iterations uuid "
    "costUSD compactMetadata timestamp sessionId requestId version cwd speed interrupted name text"
).split()


VALUES = st.sampled_from(
    [
        *(
            "assistant",
            "user",
            "system",
            "tool_use",
            "tool_result",
            "text",
            "completed",
            "end_turn",
        ),
        *(
            "compact_boundary",
            "turn_duration",
            "async_launched",
            "advisor_message",
            "\ud800",
            "a\0b",
        ),
        *("x" * 300, SESSION, CALL, at(1), 2**60, -1, True, None, float("inf")),
    ]
)


RECORDS = st.recursive(
    VALUES | JSON,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), RECORDS, max_size=12), max_size=4))
def test_session_reads_any_record(records: list[dict[str, Any]]) -> None:
    """Any JSON object is read, and all events are valid."""
    check(read(ClaudeSession(SESSION), [json.dumps(each).encode() for each in records]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400))
def test_session_raises_only_invalid_event(noise: bytes, cut: int) -> None:
    """Random bytes and truncated lines are read or raise InvalidEvent."""
    for raw in (noise, completion("m", 4)[:cut], b'{"type":"user",' + noise):
        with suppress(InvalidEvent):
            check(ClaudeSession(SESSION).feed(raw))


@given(st.integers(0, 60))
def test_session_read_in_parts_equals_whole(cut: int) -> None:
    """Feeding a reader in two parts gives the same events as in one."""
    lines = lines_of(PAYLOADS / "claude" / "background-agents.jsonl")
    reader = ClaudeSession()
    parts = [event for each in lines[:cut] for event in reader.feed(each)]
    parts += [event for each in lines[cut:] for event in reader.feed(each)]
    assert parts + reader.finish() == read(ClaudeSession(), lines)


def test_session_reports_a_call_with_its_line() -> None:
    """A tool is shown while it runs, not only when the completion is complete."""
    assert "tool_start" in kinds(ClaudeSession().feed(call()))


@pytest.mark.parametrize(
    ("tool", "extra"),
    [("AskUserQuestion", {"asks": "input"}), ("ExitPlanMode", {"asks": "plan"}), ("Bash", None)],
)
def test_session_flags_tools_that_wait_for_the_user(
    tool: str, extra: dict[str, str] | None
) -> None:
    """A call that waits for the user is flagged."""
    assert only(ClaudeSession().feed(call(name=tool)), "tool_start").extra == extra
