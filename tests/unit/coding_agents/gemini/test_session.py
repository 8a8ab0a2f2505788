"""Gemini CLI's session files are read completely and without content, each completion once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
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
    hashed,
    kinds,
    line,
    lines_of,
    once,
    read,
)
from tests.helpers.session_lines import tokens as totals
from tests.helpers.strategies import hostile_values

FILES = sorted((PAYLOADS / "gemini").rglob("*.jsonl"))


AGENT = "gemini-0b9d6f4e"


HEAD = {"sessionId": SESSION, "projectHash": "a" * 64, "startTime": at(0), "kind": "main"}


def response(
    key: str = "m1",
    seconds: float = 1,
    *,
    counts: dict[str, int] | None = None,
    calls: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return a message of the model."""
    tokens_used = {"input": 100, "output": 5, "cached": 40, "thoughts": 7, "tool": 3, "total": 115}
    message = {
        "id": key,
        "timestamp": at(seconds),
        "type": "gemini",
        "content": CONTENT,
        "tokens": tokens_used if counts is None else counts,
        "model": "gemini-3.5-flash",
    }
    return message if calls is None else {**message, "toolCalls": calls}


def user(key: str, seconds: float, content: Any = CONTENT) -> dict[str, Any]:
    """Return a user message."""
    return {"id": key, "timestamp": at(seconds), "type": "user", "content": content}


def call(status: str, seconds: float, key: str = "c1") -> dict[str, Any]:
    """Return a tool call of a message."""
    fields = {"id": key, "name": "read_file", "args": {"path": CONTENT}, "status": status}
    return {**fields, "timestamp": at(seconds)}


def lines(*records: dict[str, Any]) -> list[bytes]:
    """Return a session file with these records after its first line."""
    return [line(record) for record in (HEAD, *records)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid and contains no content."""
    events = read(GeminiSession(), lines_of(path))
    assert kinds(events)[0] == "session_start"
    check(events)


def test_session_rewind_keeps_used_tokens() -> None:
    """Messages that a rewind removes have used their tokens; nothing counts twice."""
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


def test_session_reports_a_cancelled_request_as_interrupt() -> None:
    """A request that the user cancelled is an interrupt."""
    path = PAYLOADS / "gemini/shop/chats/session-user-esc-interrupt.jsonl"
    events = read(GeminiSession(), lines_of(path))
    assert kinds(events)[:4] == ["session_start", "prompt", "interrupt", "prompt"]


def test_session_counts_of_a_completion() -> None:
    """Cached tokens are subtracted from the input; tool tokens and thoughts are added."""
    (event,) = [e for e in read(GeminiSession(), lines(response())) if e.event_type == "completion"]
    assert (event.input_tokens, event.cache_read_tokens, event.output_tokens) == (63, 40, 12)
    assert event.total_tokens == 115
    assert event.extra == {"reasoning_tokens": 7, "tool_tokens": 3}
    assert (event.agent_id, event.model) == (AGENT, "gemini-3.5-flash")


def test_session_last_form_of_a_message_counts() -> None:
    """The last form of a message counts, and each of its tool calls once."""
    records = [
        response(),
        response(calls=[call("success", 4)]),
        user("u", 5, [{"functionResponse": {}}]),
    ]
    events = read(GeminiSession(), lines(*records, response("m2", 6)))
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
def test_session_tool_status(status: str, kind: str) -> None:
    """A tool call can have failed, be cancelled, or still run."""
    events = read(GeminiSession(), lines(response(calls=[call(status, 4)])))
    assert kinds(events)[-1] == kind


def test_session_tool_call_ends_after_other_messages() -> None:
    """A call that was open in the first form of its message ends with a later one."""
    records = [
        response(calls=[call("executing", 1)]),
        user("u", 2),
        response(calls=[call("success", 9)]),
    ]
    events = once(read(GeminiSession(), lines(*records)))
    assert kinds(events).count("tool_start") == kinds(events).count("tool_execute") == 1


def test_session_turn_ends_with_a_response_without_tools() -> None:
    """The next prompt or the end of the file shows that the turn is over."""
    events = read(GeminiSession(), lines(user("a", 0), response(), user("b", 5), response("m2", 6)))
    stops = [event for event in events if event.event_type == "stop"]
    seconds = [(event.timestamp - START).total_seconds() for event in stops if event.timestamp]
    assert seconds == [1, 6]


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "<session_context>x"}],
        "I ran the following shell command:\nls",
        [{"text": "User has manually exited Plan Mode. Switching to Default mode."}],
        "Here is the user's editor context as a JSON object.",
        "- **Workspace Directories:**\n  - /x",
        "<hook_context>x</hook_context>",
        [{"functionResponse": {}}],
        None,
    ],
)
def test_session_ignores_user_messages_that_are_not_typed(content: Any) -> None:
    """Context, shell escapes and tool results are no prompts."""
    assert kinds(read(GeminiSession(), lines(user("u", 1, content)))) == ["session_start"]


def test_session_reads_messages_of_a_patch() -> None:
    """The tokens of messages in ``$set`` count; those with a known id do not count again."""
    records = [
        response(),
        {"$set": {"messages": [response(), response("m2", 3)], "lastUpdated": at(4)}},
    ]
    assert totals(read(GeminiSession(), lines(*records)))[-1] == 24


def test_session_reads_an_older_file_as_one_object() -> None:
    """An older file, one object with all messages, gives the same events."""
    records = [user("u", 0), response(calls=[call("success", 3)]), response("m2", 4)]
    document = json.dumps({**HEAD, "messages": records}, indent=2).encode()
    assert read(GeminiSession(), [document]) == read(GeminiSession(), lines(*records))


def shown(kind: str, text: str, seconds: float, key: str = "shown") -> dict[str, Any]:
    """Return a message that Gemini CLI shows to the user."""
    return {"id": key, "timestamp": at(seconds), "type": kind, "content": text}


def history(seconds: float, *messages: dict[str, Any]) -> dict[str, Any]:
    """Return the line that replaces the messages of the conversation."""
    return {"$set": {"messages": list(messages), "lastUpdated": at(seconds)}}


@pytest.mark.parametrize(
    ("kind", "text", "end"),
    [
        ("error", "[API Error: x (Status: INTERNAL)]", "error"),
        ("error", "The model response was blocked due to safety settings.", "error"),
        ("error", "The model returned an empty response with no text or thoughts.", "error"),
        ("error", "Model response was truncated because it exceeded the token limit.", "error"),
        ("error", "Model stream ended without a finish reason.", "error"),
        ("info", "Request cancelled.", "interrupt"),
        ("info", "User cancelled the request.", "interrupt"),
        ("info", "Agent execution stopped: x", "stop"),
        ("info", "A potential loop was detected. This can happen due to repetitive x.", "stop"),
        ("info", "The session has reached the maximum number of turns: 3. x", "stop"),
        ("info", "Sending this message (9 tokens) might exceed the context window limit", "stop"),
    ],
)
def test_session_turn_ends_without_a_response(kind: str, text: str, end: str) -> None:
    """Each end has its type, and no other end follows."""
    running = [user("u", 1), response(calls=[call("success", 2)])]
    events = read(GeminiSession(), lines(*running, shown(kind, text, 3)))
    assert kinds(events)[-1] == end
    assert len({"stop", "error", "interrupt"}.intersection(kinds(events))) == 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("error", f"MCP ERROR (files): {CONTENT}"),
        ("error", f"Unknown command: /{CONTENT}"),
        ("error", f"Error refreshing memory: {CONTENT}"),
        ("warning", "Agent execution blocked: x"),
        ("info", "Switched to fallback model gemini-3.5-flash"),
        ("info", "Loop detection has been disabled for this session. Retrying request..."),
        ("info", "Context compressed from 80% to 20%."),
        ("info", "This request failed. Press F12 for diagnostics"),
        ("info", ""),
    ],
)
def test_session_other_messages_do_not_end_the_turn(kind: str, text: str) -> None:
    """Commands, servers and files fail while the model works."""
    events = read(GeminiSession(), lines(user("u", 1), shown(kind, text, 2)))
    assert kinds(events) == ["session_start", "prompt"]


@pytest.mark.parametrize("key", ["m1", "new"])
@pytest.mark.parametrize("status", ["cancelled", "success", "error", "executing"])
def test_session_interrupt_of_a_tool_lasts(status: str, key: str) -> None:
    """The result of the interrupted call is written after the interrupt, in either message."""
    records = [
        user("u", 1),
        response(seconds=2),
        shown("info", "Request cancelled.", 4),
        response(key, 2 if key == "m1" else 5, calls=[call(status, 5)]),
        user("r", 5.1, [{"functionResponse": {}}]),
    ]
    events = read(GeminiSession(), lines(*records))
    (interrupt,) = [event for event in events if event.event_type == "interrupt"]
    assert interrupt.timestamp is not None
    assert all(e.timestamp and e.timestamp <= interrupt.timestamp for e in events)
    after = read(GeminiSession(), lines(*records, user("v", 9), response("m2", 10)))
    assert kinds(after)[-3:] == ["prompt", "completion", "stop"]


def test_session_failed_request_removes_its_prompt() -> None:
    """The prompt is missing in the new history; if no message says why, the turn is over."""
    before = [user("u", 1), response(seconds=2)]
    failed = [*before, user("v", 10), history(12, *before)]
    events = once(read(GeminiSession(), lines(*failed)))
    assert kinds(events)[-2:] == ["prompt", "stop"]
    assert events[-1].timestamp == START + timedelta(seconds=12)
    error = shown("error", "[API Error: You have exhausted your capacity on this model.]", 12.1)
    events = once(read(GeminiSession(), lines(*failed, error, user("w", 20))))
    assert kinds(events)[-3:] == ["prompt", "error", "prompt"]
    cancelled = [*before, user("v", 10), shown("info", "Request cancelled.", 11)]
    events = once(read(GeminiSession(), lines(*cancelled, history(12, *before))))
    assert kinds(events)[-2:] == ["prompt", "interrupt"]


def test_session_compression_in_a_turn_does_not_end_it() -> None:
    """The prompt is missing in the new history, too, but that has a new message."""
    summary = [user("s", 3, "<state_snapshot>"), synthetic("k", 3)]
    records = [user("u", 1), response(seconds=2, calls=[call("success", 2.5)])]
    events = once(read(GeminiSession(), lines(*records, history(3, *summary))))
    assert kinds(events)[-1] == "tool_execute"


def test_session_resume_repeats_no_event() -> None:
    """A resumed session writes its history again, in some versions with new ids."""
    first = [user("u", 1), response(seconds=2)]
    resumed = [user("<", 60, "<session_context>"), *first, user("r", 60, [{"functionResponse": 1}])]
    start = {"$set": {"sessionId": SESSION}}
    for again in (resumed, [user("u2", 60), synthetic("m2", 60)]):
        records = [*first, start, history(60, *again)]
        events = once(read(GeminiSession(), lines(*records)))
        opened = ["session_start", "prompt", "completion", "stop", "session_start"]
        assert kinds(events) == opened
        events = once(read(GeminiSession(), lines(*records, user("v", 70), response("m3", 71))))
        assert kinds(events)[5:] == ["prompt", "completion", "stop"]


def test_session_resume_is_another_start() -> None:
    """The session waits at its prompt again; a compression in a turn is no start."""
    first, start = [user("u", 1), response(seconds=2)], {"$set": {"sessionId": SESSION}}
    reader = GeminiSession()
    for each in lines(*first):
        reader.feed(each)
    reader.on_quiet(TURN_QUIET_S)
    assert reader.feed(line(start)) == []
    (again,) = [
        event
        for event in reader.feed(line(history(60, *first)))
        if event.event_type == "session_start"
    ]
    check([again])
    assert (again.timestamp, again.extra) == (START + timedelta(seconds=60), {"source": "resume"})
    running = [*first, user("v", 70), start, history(71, user("s", 71, "x"), synthetic("k", 71))]
    assert kinds(read(GeminiSession(), lines(*running))).count("session_start") == 1


def test_session_prompt_can_be_in_the_history_only() -> None:
    """With context management a prompt is written as the last message of a new history."""
    first = [user("u", 1), response(seconds=2)]
    records = [*first, history(60, *first, user("v", 60)), response("m2", 61)]
    events = once(read(GeminiSession(), lines(*records)))
    assert kinds(events)[4:] == ["prompt", "completion", "stop"]


@pytest.mark.parametrize(
    "text", ["Please continue.", "System: Potential loop detected. Details: x"]
)
def test_session_turn_continues_after_a_message_of_the_program(text: str) -> None:
    """It makes the model continue, so the response before it is not the last one."""
    records = [user("u", 1), response(seconds=2), user("c", 2.1, text), response("m2", 5)]
    events = read(GeminiSession(), lines(*records))
    assert kinds(events)[1:] == ["prompt", "completion", "completion", "stop"]
    typed = read(GeminiSession(), lines(user("u", 1, text)))
    assert kinds(typed) == ["session_start", "prompt"]


def test_session_image_of_a_tool_does_not_end_the_turn() -> None:
    """Gemini CLI writes a response of its own between the result and the image."""
    thought = [{"text": "Binary content received. Proceeding with analysis.", "thought": True}]
    records = [
        user("u", 1),
        response(seconds=2, calls=[call("success", 3)]),
        user("r", 3, [{"functionResponse": {}}]),
        {**synthetic("b", 3), "content": thought},
        shown("info", "", 3, "i"),
    ]
    reader = GeminiSession()
    for each in lines(*records):
        reader.feed(each)
    assert reader.on_quiet(TURN_QUIET_S) == []


def test_session_history_written_again_in_a_turn_is_no_work() -> None:
    """To cut long results of tools, Gemini CLI writes all messages with new ids."""
    calls = {**synthetic("s2", 4), "content": [{"functionCall": {}}]}
    again = [user("s1", 4, "Fix it"), calls, user("s3", 4, [{"functionResponse": {}}])]
    records = [user("u", 1, "Fix it"), response(seconds=2, calls=[call("success", 3)]), *again]
    reader = GeminiSession()
    events = [event for each in lines(*records) for event in reader.feed(each)]
    assert kinds(events) == ["session_start", "prompt", "completion", "tool_start", "tool_execute"]
    assert reader.on_quiet(TURN_QUIET_S) == []
    events = [event for each in lines(response("m2", 9)) for event in reader.feed(each)]
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion", "stop"]
    repeated = reader.feed(line(user("v", 20, "Fix it")))
    assert kinds(repeated) == ["prompt"], "the user typed it again"


def test_session_loaded_conversation_is_over_at_once() -> None:
    """A conversation that was saved is written as prompts and responses without a model."""
    loaded = [user("a", 1, "One"), synthetic("b", 1), user("c", 1, "Two"), synthetic("d", 1)]
    reader = GeminiSession()
    for each in lines(*loaded):
        reader.feed(each)
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["stop"]


def test_session_queued_prompt_follows_its_turn() -> None:
    """Prompts that were typed during a turn start the next one."""
    records = [user("u", 1), response(seconds=5), user("q", 5.01), response("m2", 9)]
    events = read(GeminiSession(), lines(*records))
    turn = ["prompt", "completion", "stop"]
    assert kinds(events)[1:] == [*turn, *turn]


def synthetic(key: str, seconds: float) -> dict[str, Any]:
    """Return a response that Gemini CLI wrote itself."""
    content = [{"text": f"Got it. {CONTENT}"}]
    return {"id": key, "timestamp": at(seconds), "type": "gemini", "content": content}


def test_session_of_a_subagent_names_its_parent() -> None:
    """A session in the folder of another one is its child."""
    parent = "1c94066b-eb13-47d9-b34e-c16170440ff4"
    events = read(GeminiSession(parent_session=parent), lines(user("u", 1)))
    start, prompt = events
    assert (start.event_type, start.agent_id) == ("subagent_start", "gemini-1c94066b")
    assert start.extra == {"child_agent_id": AGENT}
    assert (prompt.agent_id, prompt.parent_agent_id) == (AGENT, "gemini-1c94066b")
    assert prompt.session_id == parent


def test_session_names_its_project() -> None:
    """The first directory of a session is its project."""
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
def test_session_reads_any_record(records: list[dict[str, Any]]) -> None:
    """Any JSON object is read, and all events are valid."""
    check(read(GeminiSession("\0", "\ud800"), lines(*records)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_session_raises_only_invalid_event(noise: bytes, cut: int) -> None:
    """Random bytes and truncated lines are read or raise InvalidEvent."""
    for raw in (noise, line(HEAD)[:cut], b'{"type":"gemini",' + noise):
        with suppress(InvalidEvent):
            check(GeminiSession().feed(raw))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_session_totals_ignore_order_and_repetition(keys: list[int], random: Any) -> None:
    """Each message counts once, in any order."""
    records = [response(f"m{key}", key + 1) for key in keys]
    random.shuffle(records)
    assert totals(read(GeminiSession(), lines(*records)))[-1] == 12 * len(set(keys))


def quiet_events(message: dict[str, Any], quiet_s: float) -> list[str]:
    """Return the types of the events that quiet after a message gives."""
    reader = GeminiSession()
    for each in lines(user("u", 0), message):
        reader.feed(each)
    return kinds(reader.on_quiet(quiet_s))


def test_session_quiet_ends_the_turn() -> None:
    """A response without tool calls ends its turn if no line follows for a while."""
    assert quiet_events(response(), TURN_QUIET_S / 2) == []
    assert quiet_events(response(), TURN_QUIET_S) == ["completion", "stop"]


@pytest.mark.parametrize(
    ("content", "output"), [("", 5), ("  ", 5), ("I run it.", 60), ("I run the tests.", 40)]
)
def test_session_quiet_while_a_tool_runs(content: str, output: int) -> None:
    """A response without text, or with more tokens than its text has, waits for its tools."""
    calls = {**response(counts={"input": 1, "output": output}), "content": content}
    assert quiet_events(calls, TURN_QUIET_S) == ["tool_start"]
    assert quiet_events(calls, GIVE_UP_AFTER_S) == ["completion", "stop"]


def test_session_unwritten_tool_call_ends_with_the_next_line() -> None:
    """A call that is not written yet is open until it is written, and counts once."""
    reader = GeminiSession()
    silent = {**response(), "content": ""}
    for each in lines(user("u", 0), silent):
        reader.feed(each)
    (start,) = reader.on_quiet(TURN_QUIET_S)
    assert reader.on_quiet(TURN_QUIET_S) == []
    events = reader.feed(line({**silent, "toolCalls": [call("success", 60)]}))
    assert kinds(events) == ["answered", "completion", "tool_start", "tool_execute"]
    assert events[0].tool_use_id == start.tool_use_id


def test_session_reports_tool_calls_with_their_line() -> None:
    """The tool calls of a response are reported with the line that contains them."""
    reader = GeminiSession()
    for each in lines(user("u", 0), response()):
        reader.feed(each)
    types = kinds(reader.feed(line(response(calls=[call("success", 4)]))))
    assert types == ["completion", "tool_start", "tool_execute"]


def test_session_turn_end_flags_a_question() -> None:
    """The end of a turn is flagged if its last text is a question; the text is dropped."""
    asks = {**response(), "content": "May I go on?"}
    assert read(GeminiSession(), lines(user("u", 0), asks))[-1].extra == {"question": True}


def test_session_title_is_its_summary() -> None:
    """A model writes the summary; it is reported when it changes."""
    sets = [{"$set": {"summary": summary}} for summary in ("Fix the cart", "Fix the cart", "", 7)]
    events = read(GeminiSession(), lines(user("u", 1), *sets, {"$set": {"summary": " Fix\nall"}}))
    titles = [(e.title, e.extra) for e in events if e.event_type == "session_info"]
    assert titles == [
        ("Fix the cart", {"title_generated": True}),
        ("Fix all", {"title_generated": True}),
    ]
    whole = line({**HEAD, "summary": "Fix the cart", "messages": [user("u", 1)]})
    assert [e.title for e in read(GeminiSession(), [whole])][-1] == "Fix the cart"


def test_session_reports_the_size_of_the_context() -> None:
    """The input of the last request, cached tokens included; not for subagents."""
    events = read(GeminiSession(cwd="/home/user/shop"), lines(response()))
    (completion,) = [event for event in events if event.event_type == "completion"]
    assert completion.context_tokens == 100
    assert {event.cwd for event in events} == {"/home/user/shop"}
    child = read(GeminiSession("shop", "parent"), lines(response()))
    assert {event.context_tokens for event in child} == {None}


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        (
            "[API Error: You have exhausted your daily quota on this model.]",
            {"cannot_work": "usage_limited"},
        ),
        (
            "You have exhausted your capacity on this model. Your quota will reset after 1h0m2s.",
            {"cannot_work": "usage_limited", "until": "2026-05-30T18:00:05.000000Z"},
        ),
        (
            '[API Error: {"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]',
            {"cannot_work": "rate_limited"},
        ),
        (
            '[API Error: {"error":{"code":503,"status":"UNAVAILABLE"}}]',
            {"cannot_work": "overloaded"},
        ),
        (
            '[API Error: {"error":{"code":401,"status":"UNAUTHENTICATED"}}]',
            {"cannot_work": "signed_out"},
        ),
        ("[API Error: An unknown error occurred.]", None),
    ],
)
def test_session_error_says_why_it_cannot_work(text: str, extra: dict[str, Any] | None) -> None:
    """Errors have no code, so their text decides; it is not kept."""
    for content in (f"{text} {CONTENT}", [{"text": f"{text} {CONTENT}"}]):
        error = {"id": "e", "timestamp": at(3), "type": "error", "content": content}
        events = read(GeminiSession(), lines(error))
        check(events)
        assert events[-1].extra == extra


@settings(max_examples=200)
@given(values=st.lists(hostile_values(), min_size=5, max_size=5))
def test_session_accepts_hostile_values_in_its_facts(values: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    summary, tokens, content, cached, cwd = values
    reader = GeminiSession(cwd=cwd)
    counts = {"input": tokens, "output": 1, "cached": cached}
    error = {
        "id": "e",
        "timestamp": at(3),
        "type": "error",
        "content": [content, {"text": content}],
    }
    try:
        records = lines({"$set": {"summary": summary}}, response(counts=counts), error)
    except UnicodeEncodeError:
        return
    for raw in records:
        check(reader.feed(raw))
    check(reader.finish())


def test_session_tool_events_have_the_hash_of_their_input() -> None:
    """Start and end of each recorded call have it."""
    n_calls = 0
    for path in FILES:
        for event in read(GeminiSession(hash_input=hashed), lines_of(path)):
            if event.event_type in ("tool_execute", "tool_error"):
                # The calls of the recordings have the same input.
                assert event.input_hash == hashed({"note": CONTENT})
                n_calls += 1
    assert n_calls > 0
