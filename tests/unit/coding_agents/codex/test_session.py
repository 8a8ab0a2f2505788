"""Codex's session files are read completely, without content, each completion once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.codex.hooks import events_from_hook
from htmlgraph_nb.coding_agents.codex.session import START_QUIET_S, CodexSession
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.codex_lines import (
    AGENT,
    ID,
    OTHER,
    completions,
    count,
    entry,
    item,
    message,
    meta,
    planned,
    turn,
    used,
)
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
from tests.helpers.strategies import hostile_values

FILES = sorted((PAYLOADS / "codex").glob("*.jsonl"))


BLANK = (0, 0, 0, 0, 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid and contains no content."""
    events = read(CodexSession(), lines_of(path))
    assert kinds(events)[0] == "session_start"
    check(events)


def test_session_reads_a_failed_command() -> None:
    """A recorded session with a failed and a successful command is read correctly."""
    events = read(
        CodexSession(), lines_of(PAYLOADS / "codex/rollout-self-correction-iteration.jsonl")
    )
    failed = ["tool_start", "completion", "tool_error"]
    ran = ["tool_start", "completion", "tool_execute"]
    events = [event for event in events if event.event_type != "quota"]
    assert kinds(events) == ["session_start", "prompt", *failed, *ran, "completion", "stop"]
    error = events[4]
    assert (error.tool_name, error.status, error.duration_ms) == ("Bash", "error", 84)
    assert {event.project for event in events} == {"shop"}
    assert {event.model for event in completions(events)} == {"gpt-5.5"}
    assert events[-1].duration_ms == 5938


def test_session_reports_a_failed_mcp_tool() -> None:
    """The completed item, not the output, says that a tool of an MCP server failed."""
    fields = {"name": "say_it", "namespace": "mcp__demo"}
    done = {"type": "McpToolCall", "server": "demo", "tool": "say_it"}
    events = read(
        CodexSession(),
        [
            meta(),
            message("task_started", 0, turn_id="t1"),
            *(item("function_call", 1, call_id=call, **fields) for call in ("c1", "c2")),
            message("item_completed", 2, item={**done, "id": "c1", "status": "failed"}),
            message("item_completed", 2, item={**done, "id": "c2", "status": "completed"}),
            *(item("function_call_output", 3, call_id=c, output=[{}]) for c in ("c1", "c2")),
            message("task_started", 4, turn_id="t2"),
            item("function_call", 5, call_id="c1", **fields),
            item("function_call_output", 6, call_id="c1", output=[{}]),
        ],
    )
    ends = [event for event in events if event.status is not None]
    assert kinds(ends) == ["tool_error", "tool_execute", "tool_execute"]
    assert [event.tool_use_id for event in ends] == ["c1", "c2", "c1"]


def test_session_completions_have_the_model_of_their_turn() -> None:
    """The model can change between turns."""
    events = read(CodexSession(), lines_of(PAYLOADS / "codex" / "rollout-model-switch.jsonl"))
    assert [event.model for event in completions(events)] == ["gpt-5.4-mini", "gpt-5.2"]


def test_session_reports_an_aborted_turn_as_interrupt() -> None:
    """A turn that was aborted is an interrupt."""
    events = read(CodexSession(), lines_of(PAYLOADS / "codex" / "rollout-interrupted-turn.jsonl"))
    assert kinds(events)[:4] == ["session_start", "prompt", "interrupt", "prompt"]
    assert events[2].extra == {"reason": "interrupted"}


def test_session_fork_counts_only_its_own_lines() -> None:
    """The copy of the parent's history in a fork does not count again."""
    parent = lines_of(PAYLOADS / "codex" / "rollout-parent.jsonl")
    fork = lines_of(PAYLOADS / "codex" / "rollout-fork.jsonl")
    own = read(CodexSession(), fork)
    assert kinds(own) == ["session_start", "prompt", "completion", "stop"]
    assert {event.agent_id for event in own} == {f"codex-{OTHER}"}
    combined = read(CodexSession(), parent) + own
    assert tokens(combined) == (24_918 + 24_774, 33_536 + 4_480, 0, 0, 15)
    # A recorder can join both in one file.
    assert read(CodexSession(), [*parent, *fork]) == combined


def test_session_fork_without_turn_ids_is_recognized_by_a_pause() -> None:
    """A copied history is written in one burst; lines after a pause are the fork's own."""
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


@pytest.mark.parametrize("parent", [{"forked_from_id": ID}, {"parent_thread_id": ID}])
def test_session_fork_may_keep_the_times_of_its_history(parent: dict[str, Any]) -> None:
    """Lines older than the session are copies, in forks and subagents; they may name no turn."""
    lines = [
        meta(OTHER, 100, **parent),
        meta(ID, 0),
        message("user_message", 1, message=CONTENT),
        count((10, 0, 1), (10, 0, 1), 2),
        message("user_message", 50, message=CONTENT),
        count((30, 0, 3), (20, 0, 2), 51),
        message("user_message", 130, message=CONTENT),
        count((35, 0, 4), (5, 0, 1), 140),
    ]
    events = read(CodexSession(), lines)
    assert kinds(events)[1:] == ["prompt", "completion"]
    assert tokens(events) == (5, 0, 0, 0, 1)


def test_session_fork_copied_with_a_pause() -> None:
    """Only the first line of a turn can be the first of a fork's own."""
    lines = [
        meta(OTHER, 100, forked_from_id=ID),
        meta(ID, 100.1, timestamp=at(0)),
        message("user_message", 100.2, message=CONTENT),
        count((10, 0, 1), (10, 0, 1), 101.9),
        count((30, 0, 3), (20, 0, 2), 103.2),
        message("user_message", 130, message=CONTENT),
        count((35, 0, 4), (5, 0, 1), 140),
    ]
    assert tokens(read(CodexSession(), lines)) == (5, 0, 0, 0, 1)


def test_session_fork_ignores_the_copied_total() -> None:
    """A fork that repeats the copied total has used no tokens yet."""
    lines = [
        meta(OTHER, 100, forked_from_id=ID),
        count((10, 0, 1), (10, 0, 1), 100.03),
        count((10, 0, 1), (10, 0, 1), 130),
        count((30, 0, 3), (20, 0, 2), 131),
    ]
    assert tokens(read(CodexSession(), lines)) == (20, 0, 0, 0, 2)


def test_session_sums_the_last_usage() -> None:
    """The tokens of each request are summed, even if the total restarts from 0."""
    lines = [meta(), count((10, 4, 2, 1), (10, 4, 2, 1), 1), count((3, 0, 1), (3, 0, 1), 2)]
    events = read(CodexSession(), lines)
    assert tokens(events) == (9, 4, 0, 0, 3)
    assert completions(events)[0].extra == {"reasoning_tokens": 1}


def test_session_ignores_a_repeated_total() -> None:
    """A token_count with the same total as the previous one is a repetition."""
    same = count((10, 4, 2), (10, 4, 2), 1)
    nothing = message("token_count", 2, info=None)
    assert tokens(read(CodexSession(), [meta(), same, nothing, same])) == (6, 4, 0, 0, 2)


def test_session_counts_the_growth_of_a_total() -> None:
    """Without the usage of the last request, the growth of the total counts."""
    lines = [meta(), count((10, 4, 2), None, 1), count((15, 8, 3), None, 2)]
    assert tokens(read(CodexSession(), lines)) == (7, 8, 0, 0, 3)


def test_session_totals_restart_with_a_second_session() -> None:
    """Equal totals of two sessions in one file are separate requests."""
    token_line = count((10, 0, 2), (10, 0, 2), 1)
    events = read(CodexSession(), [meta(), token_line, meta(OTHER, 5), token_line])
    assert {event.agent_id for event in completions(events)} == {AGENT, f"codex-{OTHER}"}
    assert tokens(events) == (20, 0, 0, 0, 4)


def test_session_continues_when_resumed() -> None:
    """The first line of the same session again changes nothing."""
    token_line = count((10, 0, 2), (10, 0, 2), 1)
    events = read(CodexSession(), [meta(), token_line, meta(ID, 9), token_line])
    assert kinds(events) == ["session_start", "completion"]


def test_session_of_a_subagent_names_its_parent() -> None:
    """A session that another one spawned is its child."""
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


def test_session_tool_events_have_the_ids_of_hooks() -> None:
    """A call has the same agent and event ids as in hooks."""
    lines = [
        meta(),
        item("function_call", 1, name="shell", call_id="call_1", arguments=CONTENT),
        item("function_call_output", 2, call_id="call_1", output=CONTENT),
    ]
    _, start, done = read(CodexSession(), lines)
    hook = {"session_id": ID, "tool_name": "shell", "tool_use_id": "call_1"}
    for event, name in ((start, "PreToolUse"), (done, "PostToolUse")):
        (hook_event,) = events_from_hook({**hook, "hook_event_name": name}, received_at=START)
        assert (event.event_id, event.agent_id) == (hook_event.event_id, hook_event.agent_id)
    assert done.duration_ms == 1000


def test_session_reports_compactions_searches_and_errors() -> None:
    """Compactions, web searches and errors are events."""
    lines = [
        meta(),
        entry("compacted", 1, message=CONTENT),
        item("web_search_call", 2, status="completed"),
        message("error", 3, message=CONTENT, codex_error_info="usage_limit_exceeded"),
    ]
    events = read(CodexSession(), lines)
    assert kinds(events) == ["session_start", "activity", "tool_execute", "error"]
    assert events[1].extra == {"hook_event_name": "PostCompact", "compacted": True}
    assert events[3].extra == {"error": "usage_limit_exceeded", "cannot_work": "usage_limited"}
    check(events)


def test_session_reads_a_prompt_in_either_form() -> None:
    """Newer versions write a prompt as an item, some in both forms: it counts once."""
    item_form = message("item_completed", 2, item={"type": "UserMessage", "content": CONTENT})
    other = message("item_completed", 3, item={"type": "AgentMessage"})
    older = message("user_message", 2, message=CONTENT)
    assert kinds(read(CodexSession(), [meta(), item_form, other])) == ["session_start", "prompt"]
    for both in ([older, item_form], [item_form, older]):
        assert kinds(read(CodexSession(), [meta(), *both])) == ["session_start", "prompt"]


def test_session_counts_the_request_of_a_compaction() -> None:
    """Tokens of a compaction count if no token_count contains them, and never twice."""
    record = entry("token_usage_record", 1, response_id="r", usage=used(50, 10, 4))
    compacted = entry("compacted", 2, compaction_response_id="r")
    events = read(CodexSession(), [meta(), record, compacted])
    assert kinds(events) == ["session_start", "completion", "activity"]
    assert tokens(events) == (40, 10, 0, 0, 4)
    counted = count((50, 10, 4), (50, 10, 4), 1.5)
    assert tokens(read(CodexSession(), [meta(), record, counted, compacted])) == (40, 10, 0, 0, 4)
    other = entry("compacted", 2, compaction_response_id="s")
    assert tokens(read(CodexSession(), [meta(), record, other])) == BLANK


def test_session_ignores_lines_before_its_first() -> None:
    """Without the first line of a session, the agent of a line is unknown."""
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
def test_session_reads_any_record(records: list[dict[str, Any]]) -> None:
    """Any JSON object is read, and all events are valid."""
    lines = [json.dumps(each, separators=(",", ":")).encode() for each in records]
    check(read(CodexSession(), [meta(), *lines]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 300))
def test_session_raises_only_invalid_event(noise: bytes, cut: int) -> None:
    """Random bytes and truncated lines are read or raise InvalidEvent."""
    for raw in (noise, meta()[:cut], b'{"type":"event_msg",' + noise):
        with suppress(InvalidEvent):
            check(CodexSession().feed(raw))


@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), min_size=1, max_size=9), st.data()
)
def test_session_totals_ignore_repetition(
    drawn: list[tuple[int, int]], data: st.DataObject
) -> None:
    """A token_count that is written again with an unchanged total counts once."""
    lines, total_input, total_output = [meta()], 0, 0
    for second, (n_input, n_output) in enumerate(drawn):
        total_input, total_output = total_input + n_input, total_output + n_output
        counted = count((total_input, 0, total_output), (n_input, 0, n_output), second)
        lines += [counted] * data.draw(st.integers(1, 3))
    assert tokens(read(CodexSession(), lines)) == (total_input, 0, 0, 0, total_output)


def test_session_plan_waits_for_approval() -> None:
    """A turn that made a plan ends with the question whether to carry it out."""
    lines = [meta(), turn("task_started", 1), planned(2), turn("task_complete", 3)]
    events = read(CodexSession(), [*lines, turn("task_started", 9), turn("task_complete", 10)])
    assert kinds(events)[1:] == ["activity", "stop", "permission_request", "activity", "stop"]
    assert events[3].extra == {"asks": "plan"}


def test_session_plan_of_an_aborted_turn_does_not_wait() -> None:
    """After an interrupt Codex does not ask about the plan."""
    lines = [meta(), turn("task_started", 1), planned(2), turn("turn_aborted", 3)]
    assert kinds(read(CodexSession(), lines)) == ["session_start", "activity", "interrupt"]


@pytest.mark.parametrize(("text", "asks"), [("May I go on?", True), ("Done.", False)])
def test_session_turn_end_flags_a_question(text: str, asks: bool) -> None:
    """The end of a turn is flagged if its last text is a question; the text is dropped."""
    end = turn("task_complete", 3, last_agent_message=text)
    stop = read(CodexSession(), [meta(), turn("task_started", 1), end])[-1]
    assert stop.extra == ({"question": True} if asks else None)


def test_session_flags_tools_that_wait_for_the_user() -> None:
    """A call that waits for the user is flagged."""
    payload = {"type": "function_call", "name": "request_user_input", "call_id": "c1"}
    asked = line({"timestamp": at(1), "type": "response_item", "payload": payload})
    assert read(CodexSession(), [meta(), asked])[-1].extra == {"asks": "input"}


def prompted(seconds: float, key: str = "t1") -> list[bytes]:
    """Return the start of a turn and its prompt."""
    start = message("task_started", seconds, turn_id=key)
    return [start, message("user_message", seconds, message=CONTENT)]


def test_session_error_ends_its_turn() -> None:
    """No stop follows an error."""
    error = message("error", 2, message=CONTENT, codex_error_info="usage_limit_exceeded")
    lines = [meta(), *prompted(1), error, turn("task_complete", 3)]
    assert kinds(read(CodexSession(), lines)) == ["session_start", "prompt", "error"]
    again = [*lines, *prompted(4), turn("task_complete", 5)]
    assert kinds(read(CodexSession(), again))[2:] == ["error", "prompt", "stop"]


@pytest.mark.parametrize(
    "info", ["thread_rollback_failed", {"active_turn_not_steerable": {"turn_kind": "review"}}]
)
def test_session_error_of_a_request_does_not_end_the_turn(info: Any) -> None:
    """Codex could not go back or steer; the turn continues."""
    error = message("error", 2, message=CONTENT, codex_error_info=info)
    lines = [meta(), *prompted(1), error]
    assert kinds(read(CodexSession(), lines)) == ["session_start", "prompt"]
    ended = read(CodexSession(), [*lines, turn("task_complete", 3)])
    assert kinds(ended)[-1] == "stop"


@pytest.mark.parametrize(
    ("reason", "ends"),
    [
        ("interrupted", ["interrupt"]),
        ("replaced", ["interrupt", "activity"]),
        ("review_ended", ["stop"]),
        ("budget_limited", ["stop"]),
        (None, ["interrupt"]),
    ],
)
def test_session_aborted_turn_says_why(reason: str | None, ends: list[str]) -> None:
    """Only the user interrupts; a turn that replaces another one starts at once."""
    events = read(CodexSession(), [meta(), *prompted(1), turn("turn_aborted", 5, reason=reason)])
    check(events)
    assert kinds(events)[2:] == ends
    assert events[2].extra == (None if reason is None else {"reason": reason})
    assert {event.timestamp for event in events[2:]} == {START + timedelta(seconds=5)}


def test_session_turn_without_a_prompt_is_work() -> None:
    """The user's own command, a compaction or a goal starts a turn; it is seen after a moment."""
    reader = CodexSession()
    reader.feed(meta())
    assert reader.feed(turn("task_started", 1)) == []
    assert reader.on_quiet(START_QUIET_S / 2) == []
    (start,) = reader.on_quiet(START_QUIET_S)
    check([start])
    assert (start.event_type, start.timestamp) == ("activity", START + timedelta(seconds=1))
    assert reader.on_quiet(START_QUIET_S) == reader.finish() == []
    assert kinds(reader.feed(turn("task_complete", 9))) == ["stop"]
    in_one = read(CodexSession(), [meta(), turn("task_started", 1), turn("task_complete", 9)])
    assert kinds(in_one) == ["session_start", "activity", "stop"]
    running = read(CodexSession(), [meta(), turn("task_started", 1)])
    assert kinds(running) == ["session_start", "activity"]


def test_session_turn_with_a_prompt_starts_once() -> None:
    """Some versions write the prompt before the start of its turn."""
    prompt = message("user_message", 1, message=CONTENT)
    for start in ([turn("task_started", 1), prompt], [prompt, turn("task_started", 1)]):
        events = read(CodexSession(), [meta(), *start, turn("task_complete", 9)])
        assert kinds(events) == ["session_start", "prompt", "stop"]


def test_session_of_a_subagent_that_works_again_starts_again() -> None:
    """A message to a subagent that was done starts another turn; its parent has work again."""
    source = {"subagent": {"thread_spawn": {"parent_thread_id": ID, "depth": 1}}}
    own = int(START.timestamp())
    lines = [meta(OTHER, 10, source=source)]
    for number, seconds in enumerate((12, 60), 1):
        turn_id, started = f"t{number}", own + seconds
        lines.append(message("task_started", seconds, turn_id=turn_id, started_at=started))
        lines.append(message("user_message", seconds, message=CONTENT))
        lines.append(message("task_complete", seconds + 9, turn_id=turn_id))
    events = read(CodexSession(), lines)
    starts = [event for event in events if event.event_type == "subagent_start"]
    assert [event.timestamp for event in starts] == [START + timedelta(seconds=s) for s in (10, 60)]
    assert {event.agent_id for event in starts} == {AGENT}
    assert len({event.event_id for event in events}) == len(events)
    assert kinds(events).count("stop") == 2


def test_session_ignores_the_late_end_of_an_earlier_turn() -> None:
    """It must not end the turn that has started since."""
    lines = [meta(), *prompted(1, "a"), *prompted(5, "b")]
    for kind in ("task_complete", "turn_aborted"):
        late = message(kind, 6, turn_id="a")
        events = read(CodexSession(), [*lines, late])
        assert kinds(events) == ["session_start", "prompt", "prompt"]
        events = read(CodexSession(), [*lines, late, message(kind, 7, turn_id="b")])
        assert kinds(events)[3:] == ["stop" if kind == "task_complete" else "interrupt"]


def context(total: int, last: int, at_s: float, window: Any = 258_400) -> bytes:
    """Return a token_count with the size of the context."""
    last_usage = {**used(last, 0, 0, 0), "total_tokens": last}
    info = {"total_token_usage": used(total, 0, 0, 0), "last_token_usage": last_usage}
    return message("token_count", at_s, info={**info, "model_context_window": window})


def test_session_reports_the_size_of_the_context() -> None:
    """Each completion has it, with the window as Codex knows it; a compaction changes only it."""
    lines = [meta(), context(900, 900, 1), context(2_000, 1_100, 2), context(2_000, 300, 3)]
    events = read(CodexSession(), [*lines, context(2_000, 300, 4)])
    check(events)
    sizes = [(e.event_type, e.context_tokens, e.context_window) for e in events[1:]]
    assert sizes == [
        ("completion", 900, 258_400),
        ("completion", 1_100, 258_400),
        ("session_info", 300, 258_400),
    ]
    without = read(CodexSession(), [meta(), context(900, 900, 1, None)])
    assert (without[1].context_tokens, without[1].context_window) == (900, None)


def test_session_of_a_subagent_has_no_size_of_the_context() -> None:
    """Only the main conversation counts."""
    source = {"subagent": {"thread_spawn": {"parent_thread_id": OTHER}}}
    events = read(CodexSession(), [meta(source=source), context(900, 900, 60)])
    assert [event.context_tokens for event in completions(events)] == [None]


def test_session_has_branch_and_folder() -> None:
    """The branch is that of the start; the folder can change with each turn."""
    lines = [
        meta(git={"branch": "main", "commit_hash": "a" * 40}),
        message("user_message", 1, message=CONTENT),
        entry("turn_context", 2, cwd="/home/user/shop/api", model="gpt-5"),
        message("user_message", 3, message=CONTENT),
    ]
    events = read(CodexSession(), lines)
    check(events)
    assert {event.branch for event in events} == {"main"}
    folders = ["/home/user/shop", "/home/user/shop", "/home/user/shop/api"]
    assert [event.cwd for event in events] == folders
    assert {event.project for event in events} == {"shop"}


def test_session_title_is_its_name() -> None:
    """A person or a model named it, so it counts as generated."""
    names = ["Fix the cart", "Fix the cart", " Fix\nall ", "", 7]
    lines = [message("thread_name_updated", n, thread_name=name) for n, name in enumerate(names)]
    events = read(CodexSession(), [meta(), *lines])
    titles = [(e.title, e.extra) for e in events if e.event_type == "session_info"]
    generated = {"title_generated": True}
    assert titles == [("Fix the cart", generated), ("Fix all", generated)]


def test_session_title_of_a_subagent_is_its_nickname() -> None:
    """Codex shows the nickname and the role of a subagent."""
    spawn = {"parent_thread_id": OTHER, "agent_nickname": "Ada", "agent_role": "explorer"}
    events = read(CodexSession(), [meta(source={"subagent": {"thread_spawn": spawn}})])
    assert kinds(events) == ["subagent_start", "session_info"]
    assert (events[1].agent_id, events[1].title) == (AGENT, "Ada [explorer]")
    assert (events[0].branch, events[0].cwd) == (None, None)


@pytest.mark.parametrize(
    ("info", "error", "kind"),
    [
        ("usage_limit_exceeded", "usage_limit_exceeded", "usage_limited"),
        ("session_budget_exceeded", "session_budget_exceeded", "usage_limited"),
        ("unauthorized", "unauthorized", "signed_out"),
        ("server_overloaded", "server_overloaded", "overloaded"),
        ("context_window_exceeded", "context_window_exceeded", None),
        (
            {"http_connection_failed": {"http_status_code": None}},
            "http_connection_failed",
            "overloaded",
        ),
        (
            {"response_too_many_failed_attempts": {"http_status_code": 429}},
            "response_too_many_failed_attempts",
            "rate_limited",
        ),
        (None, None, None),
        ({}, None, None),
        (["x"], None, None),
    ],
)
@pytest.mark.parametrize("form", ["error", "task_complete"])
def test_session_error_says_why_it_cannot_work(
    info: Any, error: str | None, kind: str | None, form: str
) -> None:
    """Older versions write an error of its own, later ones only that of the turn."""
    failure = {"message": CONTENT, "codex_error_info": info}
    raw = (
        message("error", 1, **failure)
        if form == "error"
        else message("task_complete", 1, turn_id="t1", error=failure)
    )
    events = read(CodexSession(), [meta(), raw])
    check(events)
    assert kinds(events) == ["session_start", "error"]
    facts = {"error": error, "cannot_work": kind}
    assert events[1].extra == ({k: v for k, v in facts.items() if v is not None} or None)


def limits(used_percent: float, at_s: float, end: int = 1_780_200_000) -> bytes:
    """Return a token_count with the usage windows only."""
    primary = {"used_percent": used_percent, "window_minutes": 300, "resets_at": end}
    return message("token_count", at_s, info=None, rate_limits={"primary": primary})


def test_session_usage_limit_ends_with_its_window() -> None:
    """The end of the full window is exact; without one the text tells the minute."""
    text = f"You've hit your usage limit. {CONTENT} or try again at 8:16 PM."
    failure = message("error", 3, message=text, codex_error_info="usage_limit_exceeded")
    zone = entry("turn_context", 1, timezone="Europe/Berlin")
    events = read(CodexSession(), [meta(), zone, limits(100, 2), failure])
    check(events)
    assert (events[-1].extra or {})["until"] == "2026-05-31T04:00:00.000000Z"
    events = read(CodexSession(), [meta(), zone, limits(12, 2), failure])
    assert (events[-1].extra or {})["until"] == "2026-05-30T18:16:00.000000Z"


def test_session_usage_limit_can_have_no_error() -> None:
    """Versions around 0.130 write only the full window and an end without a message."""
    end = turn("task_complete", 4, last_agent_message=None)
    events = read(CodexSession(), [meta(), *prompted(1), limits(100, 2), end])
    assert kinds(events) == ["session_start", "prompt", "quota", "error"]
    assert events[-1].extra == {
        "error": "usage_limit_exceeded",
        "cannot_work": "usage_limited",
        "until": "2026-05-31T04:00:00.000000Z",
    }
    answered = [limits(100, 2), count((10, 0, 1), (10, 0, 1), 3)]
    assert kinds(read(CodexSession(), [meta(), *prompted(1), *answered, end]))[-1] == "stop"
    said = turn("task_complete", 4, last_agent_message="Done.")
    assert kinds(read(CodexSession(), [meta(), *prompted(1), limits(100, 2), said]))[-1] == "stop"


_HOSTILE = hostile_values(
    "HEAD",
    nested=st.dictionaries(
        st.sampled_from("primary secondary used_percent window_minutes resets_at branch".split()),
        st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=9)),
    ),
)


@settings(max_examples=300)
@given(values=st.lists(_HOSTILE, min_size=13, max_size=13))
def test_session_accepts_hostile_values_in_its_facts(values: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    v = iter(values)
    window = {"used_percent": next(v), "window_minutes": next(v), "resets_at": next(v)}
    last = {**used(9, 0, 0, 0), "total_tokens": next(v)}
    info = {"last_token_usage": last, "model_context_window": next(v)}
    rates = {"primary": window, "secondary": next(v), "plan_type": next(v), "limit_id": next(v)}
    try:
        lines = [
            meta(git=next(v), cwd=next(v)),
            entry("turn_context", 1, timezone=next(v), cwd=CONTENT[:0]),
            message("thread_name_updated", 2, thread_name=next(v)),
            message("token_count", 3, info=info, rate_limits=rates),
            message("error", 4, message=CONTENT, codex_error_info=next(v)),
        ]
    except UnicodeEncodeError:
        return
    reader = CodexSession()
    for raw in lines:
        with suppress(InvalidEvent):
            check(reader.feed(raw))
