"""Gemini CLI's session files become the right events, and each answer counts once."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.gemini.session import TURN_QUIET_S, GeminiSession
from htmlgraph_nb.coding_agents.session import GIVE_UP_AFTER_S
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.session_lines import (
    CONTENT,
    PAYLOADS,
    SESSION,
    START,
    at,
    check,
    kinds,
    line,
    lines_of,
    once,
    read,
)
from tests.helpers.session_lines import tokens as totals

FILES = sorted((PAYLOADS / "gemini").rglob("*.jsonl"))
AGENT = "gemini-0b9d6f4e"
HEAD = {"sessionId": SESSION, "projectHash": "a" * 64, "startTime": at(0), "kind": "main"}


def answer(
    key: str = "m1",
    seconds: float = 1,
    *,
    counts: dict[str, int] | None = None,
    calls: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a message of the model."""
    told = {"input": 100, "output": 5, "cached": 40, "thoughts": 7, "tool": 3, "total": 115}
    message = {
        "id": key,
        "timestamp": at(seconds),
        "type": "gemini",
        "content": CONTENT,
        "tokens": told if counts is None else counts,
        "model": "gemini-3.5-flash",
    }
    return message if calls is None else {**message, "toolCalls": calls}


def user(key: str, seconds: float, content: Any = CONTENT) -> dict[str, Any]:
    """Return a message of the user's side."""
    return {"id": key, "timestamp": at(seconds), "type": "user", "content": content}


def call(status: str, seconds: float, key: str = "c1") -> dict[str, Any]:
    """Return a tool call of a message."""
    told = {"id": key, "name": "read_file", "args": {"path": CONTENT}, "status": status}
    return {**told, "timestamp": at(seconds)}


def lines(*records: dict[str, Any]) -> list[bytes]:
    """Return a session file with these records after its head."""
    return [line(record) for record in (HEAD, *records)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_files_give_storable_events_without_content(path: Any) -> None:
    """Every event of every recording would be taken by the server and holds no content."""
    events = read(GeminiSession(), lines_of(path))
    assert kinds(events)[0] == "session_start"
    check(events)


def test_recorded_rewind() -> None:
    """What a rewind takes out of the conversation has been spent; nothing counts twice."""
    path = PAYLOADS / "gemini/shop/chats/session-checkpoint-rewind.jsonl"
    events = once(read(GeminiSession("shop"), lines_of(path)))
    said = ["prompt", "completion", "stop"]
    used = ["completion", "tool_start", "tool_execute"]
    assert kinds(events) == [
        "session_start",
        *said,
        *said,
        "prompt",
        *used * 4,
        "completion",
        "stop",
    ]
    assert {event.project for event in events} == {"shop"}
    assert totals(events)[0] == 85_372


def test_recorded_cancelled_request() -> None:
    """A request that the user cancelled is an interrupt."""
    path = PAYLOADS / "gemini/shop/chats/session-user-esc-interrupt.jsonl"
    events = read(GeminiSession(), lines_of(path))
    assert kinds(events)[:4] == ["session_start", "prompt", "interrupt", "prompt"]


def test_counts_of_an_answer() -> None:
    """The cache is taken from the input, what tools add goes to it, thoughts to the output."""
    (found,) = [e for e in read(GeminiSession(), lines(answer())) if e.event_type == "completion"]
    assert (found.input_tokens, found.cache_read_tokens, found.output_tokens) == (63, 40, 12)
    assert found.total_tokens == 115
    assert found.extra == {"reasoning_tokens": 7, "tool_tokens": 3}
    assert (found.agent_id, found.model) == (AGENT, "gemini-3.5-flash")


def test_message_is_replaced_by_its_id() -> None:
    """The last form of a message counts, and tells of its tool calls once."""
    records = [
        answer(),
        answer(calls=[call("success", 4)]),
        user("u", 5, [{"functionResponse": {}}]),
    ]
    events = read(GeminiSession(), lines(*records, answer("m2", 6)))
    assert kinds(events) == [
        *("session_start", "completion", "tool_start", "tool_execute", "completion", "stop"),
    ]
    done = events[3]
    assert (done.tool_name, done.status, done.duration_ms) == ("read_file", "ok", 3000)
    assert done.event_id == f"{SESSION}:c1:AfterTool"


@pytest.mark.parametrize(
    ("status", "kind"),
    [("error", "tool_error"), ("cancelled", "answered"), ("executing", "tool_start")],
)
def test_how_a_tool_ended(status: str, kind: str) -> None:
    """A tool that failed, one that was not let run, and one that still runs."""
    events = read(GeminiSession(), lines(answer(calls=[call(status, 4)])))
    assert kinds(events)[-1] == kind


def test_call_that_ends_after_other_messages() -> None:
    """A call that was open when its message was told is told when it ends."""
    records = [
        answer(calls=[call("executing", 1)]),
        user("u", 2),
        answer(calls=[call("success", 9)]),
    ]
    events = once(read(GeminiSession(), lines(*records)))
    assert kinds(events).count("tool_start") == kinds(events).count("tool_execute") == 1


def test_turn_ends_with_an_answer_without_tools() -> None:
    """After an answer that calls no tool the turn is over, as the next prompt or the end shows."""
    events = read(GeminiSession(), lines(user("a", 0), answer(), user("b", 5), answer("m2", 6)))
    stops = [event for event in events if event.event_type == "stop"]
    seconds = [(event.timestamp - START).total_seconds() for event in stops if event.timestamp]
    assert seconds == [1, 6]


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "<session_context>x"}],
        "I ran the following shell command:\nls",
        [{"functionResponse": {}}],
        None,
    ],
)
def test_not_every_user_message_is_a_prompt(content: Any) -> None:
    """Context, shell escapes and results of tools are no prompts."""
    assert kinds(read(GeminiSession(), lines(user("u", 1, content)))) == ["session_start"]


def test_messages_of_a_patch_are_read() -> None:
    """Messages that ``$set`` brings count, those that are known by their id not again."""
    records = [answer(), {"$set": {"messages": [answer(), answer("m2", 3)], "lastUpdated": at(4)}}]
    assert totals(read(GeminiSession(), lines(*records)))[-1] == 24


def test_older_file_is_one_object() -> None:
    """The older form of a file, one object with all messages, reads as the newer one."""
    records = [user("u", 0), answer(calls=[call("success", 3)]), answer("m2", 4)]
    whole = json.dumps({**HEAD, "messages": records}, indent=2).encode()
    assert read(GeminiSession(), [whole]) == read(GeminiSession(), lines(*records))


def test_error_message_ends_the_turn() -> None:
    """An error is told as one."""
    error = {"id": "e", "timestamp": at(2), "type": "error", "content": CONTENT}
    assert kinds(read(GeminiSession(), lines(user("u", 1), error)))[-1] == "error"


def test_subagent() -> None:
    """A session in the folder of another one is its child, in its session."""
    parent = "1c94066b-eb13-47d9-b34e-c16170440ff4"
    events = read(GeminiSession(parent_session=parent), lines(user("u", 1)))
    start, prompt = events
    assert (start.event_type, start.agent_id) == ("subagent_start", "gemini-1c94066b")
    assert start.extra == {"child_agent_id": AGENT}
    assert (prompt.agent_id, prompt.parent_agent_id) == (AGENT, "gemini-1c94066b")
    assert prompt.session_id == parent


def test_project_of_the_session() -> None:
    """The folder that a session names is its project."""
    head = {**HEAD, "directories": ["/home/user/shop"]}
    (start,) = read(GeminiSession("folder"), [line(head)])
    assert start.project == "shop"


NAMES = (
    "sessionId startTime type id timestamp tokens toolCalls content messages $set $rewindTo model "
    "input output cached thoughts tool status name text directories kind"
).split()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [SESSION, at(1), "gemini", "user", "info", "error", "success", "\ud800", "a\0b", "x" * 300]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), max_size=4))
def test_no_record_raises_and_every_event_is_storable(records: list[dict[str, Any]]) -> None:
    """Whatever the objects hold, they are read, and the server would take the events."""
    check(read(GeminiSession("\0", "\ud800"), lines(*records)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_bytes_raise_anything_but_invalid_event(noise: bytes, cut: int) -> None:
    """Random bytes and cut lines are read or refused with a clear error."""
    for raw in (noise, line(HEAD)[:cut], b'{"type":"gemini",' + noise):
        with suppress(InvalidEvent):
            check(GeminiSession().feed(raw))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_totals_do_not_depend_on_order_or_repetition(keys: list[int], random: Any) -> None:
    """However messages are ordered or repeated, each counts once."""
    records = [answer(f"m{key}", key + 1) for key in keys]
    random.shuffle(records)
    assert totals(read(GeminiSession(), lines(*records)))[-1] == 12 * len(set(keys))


def settled(message: dict[str, Any], quiet_s: float) -> list[str]:
    """Return what the quiet after a message shows."""
    reader = GeminiSession()
    for one in lines(user("u", 0), message):
        reader.feed(one)
    return kinds(reader.on_quiet(quiet_s))


def test_quiet_ends_the_turn_after_an_answer() -> None:
    """An answer that called no tool was the last of its turn, if nothing follows for a while."""
    assert settled(answer(), TURN_QUIET_S / 2) == []
    assert settled(answer(), TURN_QUIET_S) == ["completion", "stop"]


@pytest.mark.parametrize(
    ("content", "output"), [("", 5), ("  ", 5), ("I run it.", 60), ("I run the tests.", 40)]
)
def test_quiet_while_a_tool_runs(content: str, output: int) -> None:
    """An answer without text, or with more tokens than its text needs, waits for its tools."""
    calls = {**answer(counts={"input": 1, "output": output}), "content": content}
    assert settled(calls, TURN_QUIET_S) == ["tool_start"]
    assert settled(calls, GIVE_UP_AFTER_S) == ["completion", "stop"]


def test_tool_that_the_quiet_shows_ends_with_what_follows() -> None:
    """A call that is not written yet is open until it is, and counts once."""
    reader = GeminiSession()
    silent = {**answer(), "content": ""}
    for one in lines(user("u", 0), silent):
        reader.feed(one)
    (begun,) = reader.on_quiet(TURN_QUIET_S)
    assert reader.on_quiet(TURN_QUIET_S) == []
    events = reader.feed(line({**silent, "toolCalls": [call("success", 60)]}))
    assert kinds(events) == ["answered", "completion", "tool_start", "tool_execute"]
    assert events[0].tool_use_id == begun.tool_use_id


def test_tool_is_told_when_it_is_written() -> None:
    """The calls of an answer are told with the line that holds them."""
    reader = GeminiSession()
    for one in lines(user("u", 0), answer()):
        reader.feed(one)
    told = kinds(reader.feed(line(answer(calls=[call("success", 4)]))))
    assert told == ["completion", "tool_start", "tool_execute"]


def test_turn_that_ends_with_a_question() -> None:
    """The end of a turn says whether its last words are a question, and not which."""
    asks = {**answer(), "content": "Shall I go on?"}
    assert read(GeminiSession(), lines(user("u", 0), asks))[-1].extra == {"question": True}
