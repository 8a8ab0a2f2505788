"""Codex's session files become the right events, and nothing is counted again."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.codex.hooks import events_from_hook
from htmlgraph_nb.coding_agents.codex.session import CodexSession
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.session_lines import (
    CONTENT,
    PAYLOADS,
    START,
    at,
    check,
    kinds,
    line,
    lines_of,
    read,
    tokens,
)

FILES = sorted((PAYLOADS / "codex").glob("*.jsonl"))
ID = "019e7583-0b33-7912-a209-4c0407cfa243"
OTHER = "019e7584-5201-7901-b1e7-a3f0c990c12f"
AGENT = f"codex-{ID}"
BLANK = (0, 0, 0, 0, 0)


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
    """Return the head of a session."""
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


def answers(events: list[Event]) -> list[Event]:
    """Return the answers."""
    return [event for event in events if event.event_type == "completion"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_files_give_storable_events_without_content(path: Any) -> None:
    """Every event of every recording would be taken by the server and holds no content."""
    events = read(CodexSession(), lines_of(path))
    assert kinds(events)[0] == "session_start"
    check(events)


def test_recorded_session_with_a_failed_command() -> None:
    """A session reads as it was: a command that failed, one that did not, an answer, the end."""
    events = read(
        CodexSession(), lines_of(PAYLOADS / "codex/rollout-self-correction-iteration.jsonl")
    )
    failed = ["tool_start", "completion", "tool_error"]
    ran = ["tool_start", "completion", "tool_execute"]
    assert kinds(events) == ["session_start", "prompt", *failed, *ran, "completion", "stop"]
    error = events[4]
    assert (error.tool_name, error.status, error.duration_ms) == ("Bash", "error", 84)
    assert {event.project for event in events} == {"shop"}
    assert {event.model for event in answers(events)} == {"gpt-5.5"}
    assert events[-1].duration_ms == 5938


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"name": "say_it", "namespace": "mcp__demo"}, "mcp__demo__say_it"),
        ({"name": "mcp__demo__say_it"}, "mcp__demo__say_it"),
        ({"name": "shell_command", "namespace": "functions"}, "Bash"),
        ({"name": "wait_agent", "namespace": "multi_agent_v1"}, "wait_agent"),
        ({"name": "apply_patch", "namespace": ["mcp__"]}, "apply_patch"),
    ],
)
def test_tools_have_the_names_of_hooks(told: dict[str, Any], name: str) -> None:
    """A question that a hook tells is about the tool whose end the file tells."""
    call, output = {"call_id": "c1", **told}, {"call_id": "c1", "output": "done"}
    found = read(
        CodexSession(),
        [meta(), item("function_call", 1, **call), item("function_call_output", 2, **output)],
    )
    assert [event.tool_name for event in found[1:]] == [name, name]
    check(found)


def test_a_tool_of_a_server_that_failed() -> None:
    """Its output is text like any other; what it completed with tells that it failed."""
    told = {"name": "say_it", "namespace": "mcp__demo"}
    done = {"type": "McpToolCall", "server": "demo", "tool": "say_it"}
    found = read(
        CodexSession(),
        [
            meta(),
            message("task_started", 0, turn_id="t1"),
            *(item("function_call", 1, call_id=call, **told) for call in ("c1", "c2")),
            message("item_completed", 2, item={**done, "id": "c1", "status": "failed"}),
            message("item_completed", 2, item={**done, "id": "c2", "status": "completed"}),
            *(item("function_call_output", 3, call_id=c, output=[{}]) for c in ("c1", "c2")),
            message("task_started", 4, turn_id="t2"),
            item("function_call", 5, call_id="c1", **told),
            item("function_call_output", 6, call_id="c1", output=[{}]),
        ],
    )
    ends = [event for event in found if event.status is not None]
    assert kinds(ends) == ["tool_error", "tool_execute", "tool_execute"]
    assert [event.tool_use_id for event in ends] == ["c1", "c2", "c1"]


def test_recorded_model_switch() -> None:
    """Each answer has the model of its turn."""
    events = read(CodexSession(), lines_of(PAYLOADS / "codex" / "rollout-model-switch.jsonl"))
    assert [event.model for event in answers(events)] == ["gpt-5.4-mini", "gpt-5.2"]


def test_recorded_interrupt() -> None:
    """A turn that was aborted is an interrupt."""
    events = read(CodexSession(), lines_of(PAYLOADS / "codex" / "rollout-interrupted-turn.jsonl"))
    assert kinds(events)[:4] == ["session_start", "prompt", "interrupt", "prompt"]
    assert events[2].extra == {"reason": "interrupted"}


def test_recorded_fork_counts_what_is_its_own() -> None:
    """What a forked session copies of its parent is told by the parent alone."""
    parent = lines_of(PAYLOADS / "codex" / "rollout-parent.jsonl")
    fork = lines_of(PAYLOADS / "codex" / "rollout-fork.jsonl")
    own = read(CodexSession(), fork)
    assert kinds(own) == ["session_start", "prompt", "completion", "stop"]
    assert {event.agent_id for event in own} == {f"codex-{OTHER}"}
    whole = read(CodexSession(), parent) + own
    assert tokens(whole) == (24_918 + 24_774, 33_536 + 4_480, 0, 0, 15)
    # Both in one file, as a recorder that joins them writes it.
    assert read(CodexSession(), [*parent, *fork]) == whole


def test_fork_of_a_version_without_turn_ids() -> None:
    """A copied history is written in one go; what follows a pause is the fork's own."""
    lines = [
        meta(OTHER, 100, forked_from_id=ID),
        meta(ID, 100.01, timestamp=at(0)),
        message("user_message", 100.02, message=CONTENT),
        count((10, 0, 1), (10, 0, 1), 100.03),
        message("user_message", 130, message=CONTENT),
        count((30, 0, 3), (20, 0, 2), 131),
    ]
    assert kinds(read(CodexSession(), lines)) == ["session_start", "prompt", "completion"]
    assert tokens(read(CodexSession(), lines)) == (20, 0, 0, 0, 2)


def test_total_that_a_fork_takes_over_is_no_request_of_its_own() -> None:
    """A forked session that tells the copied total again has used nothing yet."""
    lines = [
        meta(OTHER, 100, forked_from_id=ID),
        count((10, 0, 1), (10, 0, 1), 100.03),
        count((10, 0, 1), (10, 0, 1), 130),
        count((30, 0, 3), (20, 0, 2), 131),
    ]
    assert tokens(read(CodexSession(), lines)) == (20, 0, 0, 0, 2)


def test_last_usage_is_summed() -> None:
    """What each request used is summed, also where the total begins anew."""
    lines = [meta(), count((10, 4, 2, 1), (10, 4, 2, 1), 1), count((3, 0, 1), (3, 0, 1), 2)]
    events = read(CodexSession(), lines)
    assert tokens(events) == (9, 4, 0, 0, 3)
    assert answers(events)[0].extra == {"reasoning_tokens": 1}


def test_repeated_total_is_no_new_request() -> None:
    """A token_count whose total is that of the one before it repeats it."""
    same = count((10, 4, 2), (10, 4, 2), 1)
    nothing = message("token_count", 2, info=None)
    assert tokens(read(CodexSession(), [meta(), same, nothing, same])) == (6, 4, 0, 0, 2)


def test_total_alone_counts_by_its_growth() -> None:
    """Where only the total is told, its growth is what the request used."""
    lines = [meta(), count((10, 4, 2), None, 1), count((15, 8, 3), None, 2)]
    assert tokens(read(CodexSession(), lines)) == (7, 8, 0, 0, 3)


def test_second_session_of_a_file_begins_anew() -> None:
    """Totals that are equal in two sessions of one file are not the same request."""
    one = count((10, 0, 2), (10, 0, 2), 1)
    events = read(CodexSession(), [meta(), one, meta(OTHER, 5), one])
    assert {event.agent_id for event in answers(events)} == {AGENT, f"codex-{OTHER}"}
    assert tokens(events) == (20, 0, 0, 0, 4)


def test_resumed_session_goes_on() -> None:
    """The head of the same session again changes nothing."""
    one = count((10, 0, 2), (10, 0, 2), 1)
    events = read(CodexSession(), [meta(), one, meta(ID, 9), one])
    assert kinds(events) == ["session_start", "completion"]


def test_subagent() -> None:
    """A session that another one spawned is its child, in its session."""
    source = {"subagent": {"thread_spawn": {"parent_thread_id": ID, "depth": 1}}}
    lines = [
        meta(OTHER, 10, source=source),
        message("task_started", 12, turn_id="t", started_at=int(START.timestamp()) + 12),
        message("user_message", 12, message=CONTENT),
    ]
    start, prompt = read(CodexSession(), lines)
    assert (start.event_type, start.agent_id) == ("subagent_start", AGENT)
    assert start.extra == {"child_agent_id": f"codex-{OTHER}"}
    assert (prompt.event_type, prompt.agent_id) == ("prompt", f"codex-{OTHER}")
    assert (prompt.parent_agent_id, prompt.session_id) == (AGENT, ID)


def test_subagent_that_was_given_its_parents_history() -> None:
    """Where the head tells at which line a subagent's own history begins, all before is a copy."""
    head = json.loads(meta(OTHER, 10, parent_thread_id=ID, subagent_history_start_ordinal=3))
    told = [json.loads(count((n, 0, n), (n, 0, n), 11)) for n in (7, 8, 9)]
    lines = [line({**one, "ordinal": place}) for place, one in enumerate([head, *told])]
    assert tokens(read(CodexSession(), lines)) == (9, 0, 0, 0, 9)


def test_tool_events_are_those_of_the_hooks() -> None:
    """A call seen by hooks and in the file has the same agent and event ids."""
    lines = [
        meta(),
        item("function_call", 1, name="shell", call_id="call_1", arguments=CONTENT),
        item("function_call_output", 2, call_id="call_1", output=CONTENT),
    ]
    _, start, done = read(CodexSession(), lines)
    hook = {"session_id": ID, "tool_name": "shell", "tool_use_id": "call_1"}
    for found, name in ((start, "PreToolUse"), (done, "PostToolUse")):
        (told,) = events_from_hook({**hook, "hook_event_name": name}, received_at=START)
        assert (found.event_id, found.agent_id) == (told.event_id, told.agent_id)
    assert done.duration_ms == 1000


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("Exit code: 0\nWall time: 0.1 seconds\nOutput:\nExit code: 1", "ok"),
        ("Exit code: 2\nOutput:\n", "error"),
        ("Chunk ID: 1\nProcess exited with code 127\nOutput:\n", "error"),
        ('{"output":"x","metadata":{"exit_code":1}}', "error"),
        ('{"output":"x","metadata":{"exit_code":0}}', "ok"),
        ('{"not json', "ok"),
        ({"content": "x", "success": False}, "error"),
        ([{"type": "input_image"}], "ok"),
        (None, "ok"),
    ],
)
def test_exit_status(output: Any, status: str) -> None:
    """A tool failed where its output tells so at its head, not where it printed so."""
    lines = [meta(), item("custom_tool_call_output", 1, call_id="c", output=output)]
    done = read(CodexSession(), lines)[-1]
    assert done.status == status
    assert done.event_type == ("tool_error" if status == "error" else "tool_execute")


def test_compaction_search_and_error() -> None:
    """Compactions, searches of the web and errors are told."""
    lines = [
        meta(),
        entry("compacted", 1, message=CONTENT),
        item("web_search_call", 2, status="completed"),
        message("error", 3, message=CONTENT, codex_error_info="usage_limit_exceeded"),
    ]
    events = read(CodexSession(), lines)
    assert kinds(events) == ["session_start", "activity", "tool_execute", "error"]
    assert events[1].extra == {"hook_event_name": "PostCompact"}
    assert events[3].extra == {"error": "usage_limit_exceeded"}
    check(events)


def test_prompt_as_an_item() -> None:
    """Newer versions write a prompt as an item, some in both forms: it is one prompt."""
    item_form = message("item_completed", 2, item={"type": "UserMessage", "content": CONTENT})
    other = message("item_completed", 3, item={"type": "AgentMessage"})
    older = message("user_message", 2, message=CONTENT)
    assert kinds(read(CodexSession(), [meta(), item_form, other])) == ["session_start", "prompt"]
    for both in ([older, item_form], [item_form, older]):
        assert kinds(read(CodexSession(), [meta(), *both])) == ["session_start", "prompt"]


def test_request_behind_a_compaction() -> None:
    """What a compaction used counts where no token_count tells of it, and once where one does."""
    record = entry("token_usage_record", 1, response_id="r", usage=used(50, 10, 4))
    compacted = entry("compacted", 2, compaction_response_id="r")
    events = read(CodexSession(), [meta(), record, compacted])
    assert kinds(events) == ["session_start", "completion", "activity"]
    assert tokens(events) == (40, 10, 0, 0, 4)
    told = count((50, 10, 4), (50, 10, 4), 1.5)
    assert tokens(read(CodexSession(), [meta(), record, told, compacted])) == (40, 10, 0, 0, 4)
    other = entry("compacted", 2, compaction_response_id="s")
    assert tokens(read(CodexSession(), [meta(), record, other])) == BLANK


def test_lines_before_the_head_are_ignored() -> None:
    """Without the head of a session nobody knows whose the lines are."""
    assert read(CodexSession(), [count((1, 0, 1), (1, 0, 1), 1)]) == []


KINDS = st.sampled_from(
    "session_meta turn_context event_msg response_item compacted token_usage_record token_count "
    "user_message item_completed "
    "function_call function_call_output task_started task_complete turn_aborted error".split()
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [ID, OTHER, at(3), "\ud800", "a\0b", "x" * 300, '{"metadata":{"exit_code":"a"}}']
    )
    | KINDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "input_tokens cached_input_tokens output_tokens total_token_usage subagent "
                "last_token_usage thread_spawn parent_thread_id exit_code success".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)
PAYLOAD = st.dictionaries(
    st.sampled_from(
        "id type timestamp forked_from_id source cwd model turn_id started_at info output call_id "
        "name duration_ms reason codex_error_info cli_version".split()
    ),
    VALUES,
    max_size=8,
)
ENTRIES = st.fixed_dictionaries(
    {"type": KINDS, "payload": PAYLOAD | VALUES}, optional={"timestamp": VALUES}
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ENTRIES, max_size=6))
def test_no_record_raises_and_every_event_is_storable(records: list[dict[str, Any]]) -> None:
    """Whatever the objects hold, they are read, and the server would take the events."""
    lines = [json.dumps(one, separators=(",", ":")).encode() for one in records]
    check(read(CodexSession(), [meta(), *lines]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 300))
def test_no_bytes_raise_anything_but_invalid_event(noise: bytes, cut: int) -> None:
    """Random bytes and cut lines are read or refused with a clear error."""
    for raw in (noise, meta()[:cut], b'{"type":"event_msg",' + noise):
        with suppress(InvalidEvent):
            check(CodexSession().feed(raw))


@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), min_size=1, max_size=9), st.data()
)
def test_repetition_changes_no_total(drawn: list[tuple[int, int]], data: st.DataObject) -> None:
    """A token_count that is written again, with its total unchanged, counts once."""
    lines, total_input, total_output = [meta()], 0, 0
    for second, (n_input, n_output) in enumerate(drawn):
        total_input, total_output = total_input + n_input, total_output + n_output
        told = count((total_input, 0, total_output), (n_input, 0, n_output), second)
        lines += [told] * data.draw(st.integers(1, 3))
    assert tokens(read(CodexSession(), lines)) == (total_input, 0, 0, 0, total_output)


def turn(kind: str, seconds: float, **fields: Any) -> bytes:
    """Return the begin or end of a turn."""
    return message(kind, seconds, turn_id="t1", **fields)


def planned(seconds: float) -> bytes:
    """Return the line of a plan that is ready to be approved."""
    return message("item_completed", seconds, item={"type": "Plan", "id": "p1", "text": CONTENT})


def test_plan_waits_for_approval_after_its_turn() -> None:
    """A turn that made a plan ends with the question whether to carry it out."""
    lines = [meta(), turn("task_started", 1), planned(2), turn("task_complete", 3)]
    events = read(CodexSession(), [*lines, turn("task_started", 9), turn("task_complete", 10)])
    assert kinds(events) == ["session_start", "stop", "permission_request", "stop"]
    assert events[2].extra == {"asks": "plan"}


def test_plan_of_an_aborted_turn_waits_for_nobody() -> None:
    """Who interrupts a turn is not asked about its plan."""
    lines = [meta(), turn("task_started", 1), planned(2), turn("turn_aborted", 3)]
    assert kinds(read(CodexSession(), lines)) == ["session_start", "interrupt"]


@pytest.mark.parametrize(("text", "asks"), [("Shall I go on?", True), ("Done.", False)])
def test_turn_that_ends_with_a_question(text: str, asks: bool) -> None:
    """The end of a turn says whether its last words are a question, and not which."""
    end = turn("task_complete", 3, last_agent_message=text)
    stop = read(CodexSession(), [meta(), turn("task_started", 1), end])[-1]
    assert stop.extra == ({"question": True} if asks else None)


def test_call_that_asks_a_person() -> None:
    """A call that is a question says so."""
    payload = {"type": "function_call", "name": "request_user_input", "call_id": "c1"}
    asked = line({"timestamp": at(1), "type": "response_item", "payload": payload})
    assert read(CodexSession(), [meta(), asked])[-1].extra == {"asks": "input"}


def test_error_is_the_end_of_its_turn() -> None:
    """A turn that an error ended is not told to have ended well after it."""
    error = message("error", 2, message=CONTENT, codex_error_info="usage_limit_exceeded")
    lines = [meta(), turn("task_started", 1), error, turn("task_complete", 3)]
    assert kinds(read(CodexSession(), lines)) == ["session_start", "error"]
    again = [*lines, turn("task_started", 4), turn("task_complete", 5)]
    assert kinds(read(CodexSession(), again)) == ["session_start", "error", "stop"]
