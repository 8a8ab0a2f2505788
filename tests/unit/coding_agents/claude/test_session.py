"""Claude Code's session files become the right events, and each answer counts once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.claude.lines import tokens_of
from htmlgraph_nb.coding_agents.claude.session import TURN_QUIET_S, ClaudeSession
from htmlgraph_nb.coding_agents.session import GIVE_UP_AFTER_S
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.session_lines import (
    CONTENT,
    MAIN,
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
    tokens,
)

FILES = sorted((PAYLOADS / "claude").rglob("*.jsonl"))
CALL = "toolu_01Xk9QmVb3nT7sRfLw2cYp4D"
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


def answer(
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
    """Return one line of an answer."""
    message = {
        "id": key,
        "model": model,
        "content": content or [{"type": "text", "text": CONTENT}],
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
    """Return the line of an answer that calls a tool."""
    block = {"type": "tool_use", "id": key, "name": name, "input": {"command": CONTENT}}
    return answer("msg_call", 5, seconds, content=[block])


def result(seconds: float, key: str = CALL, **fields: Any) -> bytes:
    """Return the line of a tool's result."""
    told = fields.pop("told", {"stdout": CONTENT})
    block = {"type": "tool_result", "tool_use_id": key, "content": CONTENT, **fields}
    return record("user", seconds, message={"content": [block]}, toolUseResult=told)


def user(text: str, seconds: float = 0, **fields: Any) -> bytes:
    """Return the line of a text on the user's side."""
    return record("user", seconds, message={"role": "user", "content": text}, **fields)


def only(events: list[Event], kind: str) -> Event:
    """Return the one event of a type."""
    (found,) = [event for event in events if event.event_type == kind]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_files_give_storable_events_without_content(path: Any) -> None:
    """Every event of every recording would be taken by the server and holds no content."""
    events = read(ClaudeSession(), lines_of(path))
    assert events
    check(events)


def test_recorded_permission_session() -> None:
    """A session of allowed and refused tools reads as it was."""
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


def test_recorded_background_agents() -> None:
    """Subagents that ran in the background begin and end, each once, as children."""
    events = once(read(ClaudeSession(), lines_of(PAYLOADS / "claude/background-agents.jsonl")))
    starts = [event for event in events if event.event_type == "subagent_start"]
    stops = [event for event in events if event.event_type == "subagent_stop"]
    children = {(event.extra or {})["child_agent_id"] for event in starts}
    assert len(starts) == len(children) == 12
    ended = {(event.extra or {})["child_agent_id"] for event in stops}
    assert ended == children
    assert len(stops) == 12
    own_ends = [event for event in events if event.event_type == "session_end"]
    assert {event.agent_id for event in own_ends} == ended
    assert {event.parent_agent_id for event in own_ends} == {"claude-8a525d27"}


def test_recorded_subagent_is_a_child_of_its_session() -> None:
    """A subagent's own file tells its parent, its begin and its tools."""
    (path,) = [path for path in FILES if "subagents" in path.parts]
    events = read(ClaudeSession(), lines_of(path))
    assert kinds(events)[:2] == ["subagent_start", "prompt"]
    assert events[0].agent_id == "claude-4d5611e5"
    assert events[0].extra == {"child_agent_id": "claude-a2898e3"}
    rest = events[1:]
    assert {event.agent_id for event in rest} == {"claude-a2898e3"}
    assert {event.parent_agent_id for event in rest} == {"claude-4d5611e5"}
    assert {event.session_id for event in events} == {"4d5611e5-241a-462a-8d15-5122611a9569"}


def test_compaction() -> None:
    """A compaction that the user asked for leaves the agent at its prompt."""
    events = read(ClaudeSession(), lines_of(PAYLOADS / "claude" / "compaction.jsonl"))
    idle = only(events, "idle")
    assert idle.extra == {
        "trigger": "manual",
        "hook_event_name": "PostCompact",
        "pre_tokens": 20_965,
    }
    assert idle.duration_ms == 15_335
    assert kinds(events).count("prompt") == 2


def test_the_line_with_the_most_output_counts_whole() -> None:
    """Of an answer's lines the whole one with the largest output counts, of equals the last."""
    lines = [
        answer("msg_1", 2, 0, cache_read=100),
        answer("msg_1", 40, 1, cache_read=200),
        answer("msg_1", 40, 2, cache_read=300),
        answer("msg_1", 1, 3, cache_read=999),
        user("next", 4),
    ]
    events = read(ClaudeSession(), lines)
    found = only(events, "completion")
    assert (found.cache_read_tokens, found.output_tokens) == (300, 40)
    assert found.timestamp is not None
    assert (found.timestamp - START).total_seconds() == 2
    assert found.event_id == "claude:msg_1"
    assert found.extra == {"request_id": "req_msg_1", "stop_reason": "tool_use"}


def test_a_line_that_comes_after_another_answer_still_counts() -> None:
    """Lines of one answer may be apart: the one with the most output supersedes the other."""
    lines = [answer("msg_1", 2, 0), answer("msg_2", 5, 1), answer("msg_1", 40, 2)]
    events = read(ClaudeSession(), lines)
    assert kinds(events).count("completion") == 3
    assert tokens(events)[-1] == 45


def test_answer_waits_for_its_last_line() -> None:
    """An answer is told when another line shows that it is complete, not before."""
    reader = ClaudeSession()
    assert "completion" not in kinds(reader.feed(answer("msg_1", 2, 0)))
    assert "completion" not in kinds(reader.feed(answer("msg_1", 9, 1)))
    assert kinds(reader.feed(answer("msg_2", 1, 2))) == ["completion"]
    assert kinds(reader.finish()) == ["completion"]
    assert reader.finish() == []


def test_synthetic_answers_are_no_answers() -> None:
    """What Claude Code writes itself costs nothing; an API error in it ends the turn."""
    error = answer("x", 4, 2, model="<synthetic>", isApiErrorMessage=True, error="rate_limit")
    events = read(ClaudeSession(), [answer("y", 4, 1, model="<synthetic>"), error])
    assert kinds(events) == ["session_start", "error"]
    assert events[1].extra == {"error": "rate_limit"}


def test_answers_without_an_id_each_count() -> None:
    """Lines that share no id are answers of their own."""
    bare = [answer(None, 4, second, requestId=None) for second in range(3)]
    assert tokens(read(ClaudeSession(), bare))[-1] == 12
    nameless = [answer(None, 4, second, requestId=None, uuid=None) for second in range(3)]
    assert tokens(read(ClaudeSession(), nameless))[-1] == 12


def test_missing_request_id() -> None:
    """An answer without a request id is one answer all the same."""
    lines = [answer("msg_1", 4, 0, requestId=None), answer("msg_1", 9, 1, requestId=None)]
    assert tokens(read(ClaudeSession(), lines))[-1] == 9


def test_advice_of_a_second_model_is_an_answer_of_its_own() -> None:
    """A model that advised is counted under its own name."""
    advice = {"type": "advisor_message", "model": "claude-haiku", "output_tokens": 50}
    usage = {"iterations": [{"type": "message", "output_tokens": 4}, advice]}
    events = read(ClaudeSession(), [answer("msg_1", 4, usage=usage)])
    models = {event.model: event.output_tokens for event in events if event.model}
    assert models == {"claude-opus-4-8": 4, "claude-haiku": 50}


def test_version_flags_what_may_be_a_placeholder() -> None:
    """Where no line tells why an answer stopped, the version is kept with it."""
    found = only(read(ClaudeSession(), [answer("msg_1", 4, stop_reason=None)]), "completion")
    assert found.extra == {"request_id": "req_msg_1", "version": "2.1.158"}


def test_cost_that_older_versions_tell() -> None:
    """What an answer cost is kept where the line tells it."""
    lines = [answer("m1", 4, costUSD=0.25), answer("m2", 4, costUSD="much")]
    answers = [e for e in read(ClaudeSession(), lines) if e.event_type == "completion"]
    assert [event.cost_usd for event in answers] == [0.25, None]


@pytest.mark.parametrize(
    ("usage", "split"),
    [
        ({"cache_creation_input_tokens": 9}, (9, 0)),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 4}}, (0, 4)),
        (
            {
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_1h_input_tokens": 4},
            },
            (5, 4),
        ),
        (
            {
                "cache_creation_input_tokens": 3,
                "cache_creation": {"ephemeral_1h_input_tokens": 4},
            },
            (0, 3),
        ),
        ({"cache_creation": None}, (0, 0)),
    ],
)
def test_cache_writes_are_split(usage: dict[str, Any], split: tuple[int, int]) -> None:
    """The total of cache writes holds; what has no duration is kept for five minutes."""
    found = tokens_of(usage)
    assert (found["cache_write_5m_tokens"], found["cache_write_1h_tokens"]) == split


def test_tool_events_are_those_of_the_hooks() -> None:
    """A call seen by hooks and in the file has the same agent, event ids and times of the call."""
    events = read(ClaudeSession(), [call(0), result(1.5)])
    hook = {"session_id": SESSION, "tool_name": "Bash", "tool_use_id": CALL}
    for kind, name in (("tool_start", "PreToolUse"), ("tool_execute", "PostToolUse")):
        (told,) = events_from_hook({**hook, "hook_event_name": name}, received_at=START)
        found = only(events, kind)
        assert (found.event_id, found.agent_id) == (told.event_id, told.agent_id)
        assert (found.tool_name, found.tool_use_id) == (told.tool_name, told.tool_use_id)
        assert found.status == told.status
    assert only(events, "tool_execute").duration_ms == 1500


def test_failed_tool() -> None:
    """A tool whose result is an error failed; one that was cut off tells so."""
    events = read(ClaudeSession(), [call(0), result(1, is_error=True, told={"interrupted": True})])
    failed = only(events, "tool_error")
    assert (failed.status, failed.extra) == ("error", {"is_interrupt": True})
    assert failed.event_id == f"{CALL}:PostToolUse"


@pytest.mark.parametrize(
    "told",
    [
        {"told": "User rejected tool use"},
        {"content": "The user doesn't want to proceed with this tool use."},
    ],
)
def test_refused_tool_did_not_run(told: dict[str, Any]) -> None:
    """A tool that the user did not let run is neither a tool run nor an error."""
    events = read(ClaudeSession(), [call(0), result(1, is_error=True, **told)])
    assert only(events, "answered").extra == {"decision": "denied"}
    assert not {"tool_execute", "tool_error"} & set(kinds(events))


@pytest.mark.parametrize(
    "text", ["[Request interrupted by user]", "[Request interrupted by user for tool use]"]
)
def test_interrupt_ends_the_turn(text: str) -> None:
    """Both marks of an interrupt end the turn, and no stop follows."""
    events = read(ClaudeSession(), [user("go"), answer("m", 4, 1), user(text, 2)])
    assert kinds(events) == ["session_start", "prompt", "completion", "interrupt"]


def test_turn_ends_once() -> None:
    """A turn ends at its duration line, else where the next begins, else with the file."""
    end = answer("m1", 4, 1, stop_reason="end_turn")
    lines = [
        user("a", 0),
        end,
        record("system", 2, subtype="stop_hook_summary"),
        record("system", 3, subtype="turn_duration", durationMs=2900),
        user("b", 4),
        answer("m2", 4, 5, stop_reason="end_turn"),
        user("c", 6),
        answer("m3", 4, 7, stop_reason="end_turn"),
    ]
    stops = [event for event in read(ClaudeSession(), lines) if event.event_type == "stop"]
    seconds = [(event.timestamp - START).total_seconds() for event in stops if event.timestamp]
    assert seconds == [3, 5, 7]
    assert [event.duration_ms for event in stops] == [2900, None, None]
    assert len({event.event_id for event in stops}) == 3


def test_refused_end_is_no_end() -> None:
    """Where a hook makes the agent go on after an answer that ended the turn, it did not end."""
    lines = [
        answer("m1", 4, 1, stop_reason="end_turn"),
        user("Stop hook feedback", 2, isMeta=True),
        answer("m2", 4, 3),
    ]
    assert "stop" not in kinds(read(ClaudeSession(), lines))


@pytest.mark.parametrize(
    "text",
    [
        "<command-name>/clear</command-name>",
        "<local-command-stdout>x</local-command-stdout>",
        "<bash-input>ls</bash-input>",
    ],
)
def test_not_every_user_line_is_a_prompt(text: str) -> None:
    """Local commands, shell escapes and notices are no prompts."""
    assert kinds(read(ClaudeSession(), [user(text)])) == ["session_start"]


def test_meta_and_summary_lines_are_no_prompts() -> None:
    """What Claude Code puts in itself is no prompt."""
    lines = [user("x", 0, isMeta=True), user("y", 1, isCompactSummary=True)]
    assert kinds(read(ClaudeSession(), lines)) == ["session_start"]


def test_subagent_that_the_parent_waits_for() -> None:
    """The result of an Agent call tells of the child's begin and end."""
    told = {"status": "completed", "agentId": CHILD_ID, "agentType": "Explore"}
    events = read(ClaudeSession(), [call(0, "Agent"), result(9, told=told)])
    start, stop = only(events, "subagent_start"), only(events, "subagent_stop")
    about = {"child_agent_id": CHILD, "agent_type": "Explore"}
    assert (start.agent_id, start.extra, stop.extra) == (MAIN, about, about)
    assert start.timestamp is not None
    assert (start.timestamp - START).total_seconds() == 0
    end = only(events, "session_end")
    assert (end.agent_id, end.parent_agent_id) == (CHILD, MAIN)


def test_shell_tasks_are_no_subagents() -> None:
    """A notice about a task that is no subagent ends none."""
    notice = f"<task-id>{CHILD_ID}</task-id><status>completed</status>"
    events = read(ClaudeSession(), [record("queue-operation", 1, content=notice)])
    assert kinds(events) == ["session_start"]


def test_lines_that_tell_nothing_are_not_parsed() -> None:
    """Lines of other kinds are passed over, broken ones are named."""
    reader = ClaudeSession()
    assert reader.feed(b'{"type":"progress","data":}') == []
    with pytest.raises(InvalidEvent, match="invalid JSON"):
        reader.feed(b'{"type":"progress","da')
    with pytest.raises(InvalidEvent, match="an array"):
        reader.feed(b"[]")
    assert reader.feed(b'{"type":"user"}') == []


def test_session_of_the_file_name() -> None:
    """Lines that name no session belong to the one that the file is named by."""
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
def test_no_record_raises_and_every_event_is_storable(records: list[dict[str, Any]]) -> None:
    """Whatever the objects hold, they are read, and the server would take the events."""
    check(read(ClaudeSession(SESSION), [json.dumps(one).encode() for one in records]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400))
def test_no_bytes_raise_anything_but_invalid_event(noise: bytes, cut: int) -> None:
    """Random bytes and cut lines are read or refused with a clear error."""
    for raw in (noise, answer("m", 4)[:cut], b'{"type":"user",' + noise):
        with suppress(InvalidEvent):
            check(ClaudeSession(SESSION).feed(raw))


ANSWERS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=12
)


@given(ANSWERS, st.randoms(use_true_random=False))
def test_totals_do_not_depend_on_order_or_repetition(
    drawn: list[tuple[int, int, int]], random: Any
) -> None:
    """However lines are ordered or repeated, each answer counts once, with its largest output."""
    lines = [
        answer(f"msg_{key}", output, second, cache_read=output)
        for second, (key, output, _) in enumerate(drawn)
    ]
    expected = {
        key: max(output for other, output, _ in drawn if other == key) for key, _, _ in drawn
    }
    shuffled = [*lines, *random.choices(lines, k=5)]
    random.shuffle(shuffled)
    for order in (lines, shuffled):
        total = tokens(read(ClaudeSession(), order))
        assert total[-1] == total[1] == sum(expected.values())
        assert total[0] == 3 * len(expected)


@given(st.integers(0, 60))
def test_reading_in_parts_is_reading_whole(cut: int) -> None:
    """Feeding a reader in two parts gives the same events as in one."""
    lines = lines_of(PAYLOADS / "claude" / "background-agents.jsonl")
    reader = ClaudeSession()
    parts = [event for one in lines[:cut] for event in reader.feed(one)]
    parts += [event for one in lines[cut:] for event in reader.feed(one)]
    assert parts + reader.finish() == read(ClaudeSession(), lines)


def final(seconds: float, text: str = CONTENT, key: str = "msg_end") -> bytes:
    """Return the line of an answer that ends its turn."""
    return answer(key, 9, seconds, content=[{"type": "text", "text": text}], stop_reason="end_turn")


def notice(seconds: float, task: str) -> bytes:
    """Return the notice of a background task's end in the queue."""
    content = f"<task-notification><task-id>{task}</task-id><status>completed</status>"
    return record("queue-operation", seconds, operation="enqueue", content=content)


def test_quiet_ends_a_turn_that_no_further_line_confirms() -> None:
    """An answer that told why it stopped, and the turn's end, are certain after a short quiet."""
    reader = ClaudeSession()
    assert kinds(reader.feed(user("x", 0))) == ["session_start", "prompt"]
    assert reader.feed(final(1)) == []
    assert reader.on_quiet(TURN_QUIET_S / 2) == []
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion", "stop"]
    assert reader.on_quiet(TURN_QUIET_S) == reader.finish() == []
    # Another block of the same answer is no new work.
    assert reader.feed(final(1.1)) == []
    assert set(kinds(reader.on_quiet(TURN_QUIET_S))) <= {"completion"}


def test_quiet_keeps_an_answer_whose_counts_may_grow() -> None:
    """An answer that did not tell why it stopped is complete only after a long quiet."""
    reader = ClaudeSession()
    reader.feed(answer("msg_1", 5, stop_reason=None))
    assert reader.on_quiet(TURN_QUIET_S) == []
    assert "completion" in kinds(reader.on_quiet(GIVE_UP_AFTER_S))


def test_a_call_is_told_with_its_own_line() -> None:
    """A tool is shown as running while it runs, not once the answer is known to be complete."""
    assert "tool_start" in kinds(ClaudeSession().feed(call()))


@pytest.mark.parametrize(
    ("tool", "extra"),
    [("AskUserQuestion", {"asks": "input"}), ("ExitPlanMode", {"asks": "plan"}), ("Bash", None)],
)
def test_calls_that_ask_a_person(tool: str, extra: dict[str, str] | None) -> None:
    """A call that is a question says so."""
    assert only(ClaudeSession().feed(call(name=tool)), "tool_start").extra == extra


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("Which one do you want?", {"question": True}),
        ("**Which one?**\n", {"question": True}),
        ("Done. Was it hard? No.", None),
    ],
)
def test_turn_that_ends_with_a_question(text: str, extra: dict[str, bool] | None) -> None:
    """The end of a turn says whether its last words are a question, and not which."""
    assert only(read(ClaudeSession(), [user("x", 0), final(1, text)]), "stop").extra == extra


def test_answer_that_nobody_prompted_is_work() -> None:
    """A model that goes on by itself, after a refused end or a command, is at work at once."""
    reader = ClaudeSession()
    assert kinds(reader.feed(final(1))) == ["session_start", "activity"]
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["completion", "stop"]
    assert kinds(reader.feed(final(3, key="msg_more"))) == ["activity"]


def test_prompt_of_a_command_is_a_prompt() -> None:
    """What a command puts into words is a prompt; what it prints is none."""
    lines = [
        user("<command-name>/goal</command-name>", 0),
        user("<local-command-stdout>x</local-command-stdout>", 1),
        user("Do this.", 2, isMeta=True),
    ]
    assert kinds(read(ClaudeSession(), lines)) == ["session_start", "prompt"]
    assert kinds(read(ClaudeSession(), [user("Do this.", 2, isMeta=True)])) == ["session_start"]


@pytest.mark.parametrize("command", ["/exit", "/quit"])
def test_commands_that_end_the_session(command: str) -> None:
    """Whoever leaves by a command has ended the session."""
    line_ = user(f"<command-name>{command}</command-name>", 1)
    assert kinds(read(ClaudeSession(), [user("x", 0), line_]))[-1] == "session_end"


@pytest.mark.parametrize(
    ("began", "task"),
    [
        ({"backgroundTaskId": "b1zlcp11f"}, "b1zlcp11f"),
        ({"status": "async_launched", "taskId": "w8mi56013"}, "w8mi56013"),
        ({"taskId": "m1", "persistent": False}, "m1"),
    ],
)
@pytest.mark.parametrize("queued", [True, False])
def test_background_task_and_its_end(began: dict[str, str], task: str, queued: bool) -> None:
    """A background task runs from the result that names it to the notice of its end."""
    said = f"<task-notification><task-id>{task}</task-id><status>failed</status>"
    ends = [notice(9, task)] if queued else []
    lines = [call(0, "Monitor"), result(1, told=began), final(2), *ends, user(said, 9.5)]
    events = read(ClaudeSession(), lines)
    start, stop = only(events, "task_start"), only(events, "task_stop")
    assert start.extra == stop.extra == {"task_id": task}
    # The notice wakes the agent: it does not rest before it answers it.
    assert kinds(events)[kinds(events).index("task_stop") - 1] == "activity"


@pytest.mark.parametrize(
    ("tool", "told", "ends"),
    [
        ("TaskOutput", {"task": {"task_id": "b1", "status": "completed"}}, True),
        ("TaskOutput", {"task": {"task_id": "b1", "status": "running"}}, False),
        ("BashOutput", {"shellId": "b1", "status": "killed"}, True),
        ("KillShell", {"shell_id": "b1"}, True),
        ("TaskOutput", {"task": {"task_id": "b2", "status": "completed"}}, False),
    ],
)
def test_end_of_a_background_task_by_a_tool(tool: str, told: dict[str, Any], ends: bool) -> None:
    """Tools that ask after a background task, or stop it, tell of its end."""
    other = "toolu_other"
    lines = [
        *(call(0), result(1, told={"backgroundTaskId": "b1"})),
        *(call(2, tool, other), result(3, other, told=told)),
    ]
    assert ("task_stop" in kinds(read(ClaudeSession(), lines))) is ends


def test_task_lists_are_no_background_tasks() -> None:
    """A to-do list has tasks, too, which run nowhere."""
    told = {"success": True, "taskId": "1", "statusChange": {"to": "completed"}}
    assert "task_start" not in kinds(read(ClaudeSession(), [call(0), result(1, told=told)]))


def test_subagent_ends_with_its_answer() -> None:
    """The end of a subagent's own turn is its end, for its parent as for itself."""
    aside = {"isSidechain": True, "agentId": CHILD_ID}
    lines = [
        user("x", 0, **aside),
        answer("msg_1", 5, 1, stop_reason="end_turn", **aside),
    ]
    events = read(ClaudeSession(), lines)
    assert kinds(events) == [
        *("subagent_start", "prompt", "completion", "subagent_stop", "session_end"),
    ]
    assert [event.agent_id for event in events[-2:]] == [MAIN, CHILD]


def test_nameless_subagent_lines_end_nobodys_turn() -> None:
    """Lines of a subagent that older versions wrote among its parent's leave the parent's turn."""
    lines = [
        *(user("x", 0), call(1, "Task")),
        user("y", 2, isSidechain=True),
        answer("msg_1", 5, 3, stop_reason="end_turn", isSidechain=True),
    ]
    found = kinds(read(ClaudeSession(), lines))
    assert found.count("prompt") == 1
    assert "stop" not in found


def test_refused_call_and_interrupt_in_one_line() -> None:
    """The mark of an interrupt counts wherever it stands."""
    block = {"type": "tool_result", "tool_use_id": CALL, "content": "x", "is_error": True}
    mark = {"type": "text", "text": "[Request interrupted by user for tool use]"}
    lines = [user("x", 0), call(1), record("user", 2, message={"content": [block, mark]})]
    assert kinds(read(ClaudeSession(), lines))[-1] == "interrupt"


def test_answer_is_no_answer_to_the_question_about_its_call() -> None:
    """An answer is dated up to its first call, which may be asked about while it goes on."""
    lines = [call(1), answer("msg_call", 9, 3), final(8)]
    events = once(read(ClaudeSession(), lines))
    first = next(event for event in events if event.event_type == "completion")
    assert (first.output_tokens, first.timestamp) == (9, START + timedelta(seconds=1))


def test_turn_of_an_old_version_ends_with_its_duration() -> None:
    """Where no answer tells why it stopped, the line with the turn's duration ends it."""
    end = record("system", 5, subtype="turn_duration", durationMs=5000)
    lines = [user("x", 0), answer("msg_1", 5, 1, stop_reason=None), end]
    assert only(read(ClaudeSession(), lines), "stop").duration_ms == 5000
