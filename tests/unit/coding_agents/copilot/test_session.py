"""Copilot CLI's session files are read completely and without content, each completion once."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.copilot import CopilotCli
from htmlgraph_nb.coding_agents.copilot.lines import TYPES
from htmlgraph_nb.coding_agents.copilot.session import WORKSPACE_FILE, CopilotSession
from htmlgraph_nb.coding_agents.copilot.turns import FINAL_QUIET_S, OTHER_QUIET_S
from htmlgraph_nb.coding_agents.titles import drop_generated_titles
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.paths import ROOT
from tests.helpers.session_lines import (
    CONTENT,
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
    tokens,
)
from tests.helpers.strategies import hostile_values

RECORDED = ROOT / "tests/payloads/recordings/copilot"
FILES = sorted(RECORDED.rglob("transcript.jsonl"))
NEWER = sorted((ROOT / "tests/payloads/coverage/copilot").rglob("events.jsonl"))
MAIN = "copilot-0b9d6f4e"
CHILD = "5f3c1b2a-0000-4000-8000-000000000001"


def record(
    kind: str, seconds: float, data: dict[str, Any] | None = None, agent: str | None = None
) -> dict[str, Any]:
    """Return a line of an agent."""
    ids = {"id": f"{kind}-{seconds}", "parentId": None, **({"agentId": agent} if agent else {})}
    return {"type": kind, "data": data or {}, "timestamp": at(seconds), **ids}


def start(seconds: float = 0, **data: Any) -> dict[str, Any]:
    """Return the first line of a session."""
    context = {"cwd": "/home/user/shop", "branch": "main"}
    return record("session.start", seconds, {"sessionId": SESSION, "context": context, **data})


def user(seconds: float, content: str = CONTENT, **data: Any) -> dict[str, Any]:
    """Return a prompt."""
    return record("user.message", seconds, {"content": content, **data})


def answer(seconds: float, *calls: str, **data: Any) -> dict[str, Any]:
    """Return a response that calls tools."""
    requests = [{"toolCallId": call, "name": "bash"} for call in calls]
    counts = {"model": "gpt-5-mini", "messageId": f"m{seconds}", "outputTokens": 7}
    content = {"content": CONTENT, "toolRequests": requests}
    return record("assistant.message", seconds, {**counts, **content, **data})


def call(seconds: float, key: str = "c1", tool: str = "bash") -> dict[str, Any]:
    """Return the start of a tool call."""
    data = {"toolCallId": key, "toolName": tool, "arguments": {"command": CONTENT}}
    return record("tool.execution_start", seconds, data)


def result(seconds: float, key: str = "c1", **data: Any) -> dict[str, Any]:
    """Return the end of a tool call."""
    end = {"toolCallId": key, "success": True, "result": {"content": CONTENT}, **data}
    return record("tool.execution_complete", seconds, end)


def metrics(**counts: int) -> dict[str, Any]:
    """Return the data of a ``session.shutdown``."""
    model = {"requests": {"count": 2, "cost": 1}, "usage": counts}
    return {"shutdownType": "routine", "modelMetrics": {"gpt-5-mini": model}}


def usage(seconds: float, number: int, agent: str | None = None, **data: Any) -> dict[str, Any]:
    """Return the record of one request."""
    counts = {"inputTokens": 100, "cacheReadTokens": 40, "cacheWriteTokens": 10, "outputTokens": 5}
    accounting = {"sourceSessionId": SESSION, "sequence": number}
    values = {"model": "gpt-5-mini", "accounting": accounting, "maxPromptTokens": 128_000}
    return record("session.usage_record", seconds, {"usage": {**counts, **values, **data}}, agent)


def lines(*records: dict[str, Any]) -> list[bytes]:
    """Return a session file with these records after its first line."""
    return [line(each) for each in (start(), *records)]


def events_of(*records: dict[str, Any]) -> list[Event]:
    """Return the events of a session after its start."""
    events = read(CopilotSession(), lines(*records))
    check(events)
    return events[1:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid and contains no content."""
    events = read(CopilotSession(), lines_of(path))
    assert kinds(events)[0] == "session_start"
    assert kinds(events)[-1] == "session_end"
    check(events)
    totals = json.loads((path.parent / "tokens.json").read_text())
    counted = [e for e in events if not (e.extra or {}).get("compaction")]
    fresh, read_, *written, output = tokens(counted)
    assert fresh + read_ + sum(written) == totals["input_tokens"]
    assert (output, read_) == (totals["output_tokens"], totals.get("cache_read_tokens", 0))


@pytest.mark.parametrize("path", NEWER, ids=lambda path: path.parent.name)
def test_session_of_version_1_0_102_counts_each_request(path: Any) -> None:
    """Its records and its totals agree; permissions and subagents are seen."""
    events = read(CopilotSession(), lines_of(path))
    check(events)
    last = json.loads(lines_of(path)[-1])["data"]["modelMetrics"].values()
    totals = [each["usage"] for each in last]
    fresh, read_, *written, output = tokens(events)
    assert output == sum(each["outputTokens"] for each in totals)
    assert fresh + read_ + sum(written) == sum(each["inputTokens"] for each in totals)
    assert {"permission_request", "subagent_start"} & {*kinds(events)}
    assert kinds(events)[-2:] == ["stop", "session_end"]


@pytest.mark.parametrize("path", [*FILES, *NEWER], ids=lambda path: path.parent.name)
def test_session_recordings_in_halves_give_the_same_events(path: Any) -> None:
    """What is held back does not depend on how often the file is looked at."""
    whole = read(CopilotSession(), lines_of(path))
    reader = CopilotSession()
    events = []
    for each in lines_of(path):
        events += [*reader.feed(each), *reader.on_quiet(0)]
    assert events + reader.finish() == whole


def test_session_turns_after_tool_calls_do_not_end_the_work() -> None:
    """Each response ends a turn; only that of the last response counts."""
    events = events_of(
        user(1),
        record("assistant.turn_start", 1.1),
        answer(2, "c1"),
        call(2.1),
        result(5.1),
        record("assistant.turn_end", 5.2),
        record("assistant.turn_start", 5.25),
        answer(7),
        record("assistant.turn_end", 7.1),
    )
    used = ["completion", "tool_start", "tool_execute", "completion", "stop"]
    assert kinds(events) == ["prompt", *used]
    done = events[3]
    assert (done.tool_name, done.status, done.duration_ms) == ("Bash", "ok", 3000)
    assert (done.agent_id, done.session_id) == (MAIN, SESSION)
    assert (events[0].cwd, events[0].project, events[0].branch) == (
        *("/home/user/shop", "shop"),
        "main",
    )


def test_session_end_of_a_turn_is_held_back_until_it_is_quiet() -> None:
    """After tool calls longer than after an answer."""
    for called, limit in ((("c1",), OTHER_QUIET_S), ((), FINAL_QUIET_S)):
        reader = CopilotSession()
        for each in lines(user(1), answer(2, *called), record("assistant.turn_end", 3)):
            reader.feed(each)
        assert reader.on_quiet(limit - 0.1) == []
        (stop,) = reader.on_quiet(limit)
        assert (stop.event_type, stop.timestamp) == ("stop", START + timedelta(seconds=3))
        assert reader.on_quiet(limit) == reader.finish() == []


def test_session_question_at_the_end_of_a_turn() -> None:
    """An answer that ends with a question waits for the user."""
    events = events_of(user(1), answer(2, content="Which one?"), record("assistant.turn_end", 3))
    assert events[-1].extra == {"question": True}


def test_session_tokens_at_shutdown_are_those_not_reported_before() -> None:
    """Input includes the cache; output of messages is not counted again."""
    counts = {"inputTokens": 100, "cacheReadTokens": 60, "cacheWriteTokens": 10, "outputTokens": 20}
    events = events_of(answer(1), answer(2), record("session.shutdown", 3, metrics(**counts)))
    assert tokens(events) == (30, 60, 10, 0, 20)
    assert [event.output_tokens for event in events if event.event_type == "completion"] == [
        *(7, 7),
        6,
    ]
    assert all(event.cost_usd is None for event in events)


def test_session_totals_go_on_when_it_is_resumed() -> None:
    """The second shutdown reports the sum of both."""
    events = events_of(
        answer(1),
        record("session.shutdown", 2, metrics(inputTokens=100, outputTokens=7)),
        record("session.resume", 10, {"context": {"cwd": "/home/user/shop"}}),
        answer(11),
        record("session.shutdown", 12, metrics(inputTokens=250, outputTokens=14)),
    )
    assert tokens(events) == (250, 0, 0, 0, 14)
    assert kinds(events).count("session_start") == 1
    assert kinds(events).count("session_end") == 2


def test_session_usage_records_replace_messages_and_totals() -> None:
    """Newer versions report each request, also those of subagents, and the context."""
    events = events_of(
        answer(1),
        usage(1.1, 1, outputTokens=7),
        usage(2.1, 2, agent=CHILD, reasoningTokens=3, duration=900),
        record(
            "session.shutdown",
            3,
            metrics(inputTokens=200, cacheReadTokens=80, cacheWriteTokens=20, outputTokens=12),
        ),
    )
    used = [event for event in events if event.event_type == "completion"]
    assert [event.output_tokens for event in used] == [7, 0, 5]
    own, child = used[1:]
    assert (own.input_tokens, own.cache_read_tokens, own.cache_write_5m_tokens) == (50, 40, 10)
    assert (own.context_tokens, own.context_window) == (100, 128_000)
    assert (child.parent_agent_id, child.duration_ms) == (MAIN, 900)
    assert (child.extra, child.context_tokens) == ({"reasoning_tokens": 3}, None)


def test_session_copied_records_have_the_same_ids() -> None:
    """A fork of the session, which has copies of its records, counts none of them again."""
    first = events_of(usage(1, 1))
    fork = "11111111-0000-4000-8000-000000000000"
    copied = read(CopilotSession(), [line(start(9, sessionId=fork)), line(usage(1, 1))])
    assert first[-1].event_id == copied[-1].event_id
    assert copied[-1].session_id == fork


def test_session_compaction() -> None:
    """Its tokens are in no total; between two responses the agent goes on to work."""
    used = {"inputTokens": 90, "cacheReadTokens": 30, "outputTokens": 4, "model": "gpt-5-mini"}
    data = {"success": True, "conversationTokens": 20, "systemTokens": 30, "tokenLimit": 1000}
    ends = record("session.compaction_complete", 5, {**data, "compactionTokensUsed": used})
    for before, kind in (((), "idle"), ((user(1),), "activity")):
        events = events_of(*before, record("session.compaction_start", 4), ends)
        completion, done = events[-2:]
        assert completion.extra == {"compaction": True}
        assert tokens([completion]) == (60, 30, 0, 0, 4)
        assert (done.event_type, done.context_tokens, done.context_window) == (kind, 50, 1000)
        assert (done.extra or {})["compacted"] is True


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ("rate_limit", 429, "rate_limited"),
        ("quota", 402, "usage_limited"),
        ("authentication", 401, "signed_out"),
        ("query", 500, None),
    ],
)
def test_session_error(error: str, status: int, reason: str | None) -> None:
    """The agent cannot work, for a reason that the user can do something about."""
    data = {"errorType": error, "statusCode": status, "message": CONTENT}
    events = events_of(
        user(1),
        record("assistant.turn_start", 1),
        record("assistant.turn_end", 2),
        record("session.error", 2.1, data),
    )
    assert kinds(events) == ["prompt", "error"]
    extra = events[-1].extra or {}
    assert extra.get("error") == error
    if reason is not None:
        assert extra["cannot_work"] == reason


def test_session_error_before_the_end_of_a_turn_is_its_end() -> None:
    """A request that is repeated with success is no error."""
    failed = record("session.error", 2, {"errorType": "query"})
    ended = record("assistant.turn_end", 3)
    assert kinds(events_of(user(1), failed, ended)) == ["prompt", "error"]
    assert kinds(events_of(user(1), failed, answer(2.5), ended))[-1] == "stop"


def test_session_abort_is_an_interrupt() -> None:
    """The end of the turn before it does not count."""
    events = events_of(
        user(1), record("assistant.turn_end", 2), record("abort", 2.002, {"reason": "user_abort"})
    )
    assert kinds(events) == ["prompt", "interrupt"]
    assert events[-1].extra == {"reason": "user_abort"}


def test_session_permission_is_a_wait_until_it_is_answered() -> None:
    """A denied call has an answer and no result."""
    wanted = {"permissionRequest": {"kind": "shell", "toolCallId": "c1", "intention": CONTENT}}
    asked = [
        user(1),
        answer(2, "c1"),
        call(2.1),
        record("permission.requested", 2.2, wanted),
    ]
    events = events_of(*asked)
    assert (events[-1].event_type, events[-1].tool_name) == ("permission_request", "Bash")
    denied = result(9, success=False, error={"code": "denied", "message": CONTENT})
    events = events_of(*asked, record("permission.completed", 8.9), denied)
    assert kinds(events)[-2:] == ["answered", "answered"]
    assert events[-1].extra == {"decision": "denied"}


def test_session_question_tool_waits_for_the_user() -> None:
    """The tool that asks a question runs until it is answered."""
    events = events_of(user(1), answer(2, "c1"), call(2, tool="ask_user"))
    assert (events[-1].tool_name, events[-1].extra) == ("AskUserQuestion", {"asks": "input"})


def test_session_command_of_the_user_is_no_tool_call() -> None:
    """The agent waits at its prompt while a command runs that the user typed."""
    asked = record("tool.user_requested", 1, {"toolCallId": "c1", "toolName": "bash"})
    assert events_of(asked, call(1), result(2, isUserRequested=True)) == []


def test_session_autopilot_continues_with_its_own_prompt() -> None:
    """Hidden messages are no prompts of a person."""
    events = events_of(user(1, isAutopilotContinuation=True), user(2, source="skill-x"))
    assert kinds(events) == ["prompt", "activity"]
    assert events[0].extra == {"source": "autopilot"}


@pytest.mark.parametrize("name", [CHILD, "call_1"])
def test_session_subagent_starts_works_and_ends(name: str) -> None:
    """Its lines are in the file of the session; its end is not that of the turn."""
    started = {"toolCallId": "call_1", "agentName": "task", "agentDisplayName": "Task Agent"}
    events = events_of(
        user(1),
        record("subagent.started", 2, started, name),
        record("user.message", 2.1, {"content": CONTENT, "source": "agent-x"}, name),
        record("assistant.turn_end", 3, agent=name),
        record("subagent.completed", 4, {"toolCallId": "call_1", "durationMs": 2000}, name),
    )
    assert kinds(events) == [
        *("prompt", "subagent_start", "session_info", "prompt", "stop"),
        *("subagent_stop", "session_end"),
    ]
    spawned, info, prompt = events[1:4]
    child = (spawned.extra or {})["child_agent_id"]
    assert {event.agent_id for event in (info, prompt, events[-1])} == {child}
    assert {event.parent_agent_id for event in (info, prompt, events[-1])} == {MAIN}
    assert (info.title, info.extra) == ("Task Agent", {"title_default": True})
    assert events[-1].duration_ms == 2000


def test_session_lines_of_another_session_begin_another() -> None:
    """Files that were put together are several sessions."""
    other = "11111111-0000-4000-8000-000000000000"
    events = events_of(
        user(1), record("assistant.turn_end", 2), start(9, sessionId=other), user(10)
    )
    assert kinds(events) == ["prompt", "stop", "session_start", "prompt"]
    assert {event.session_id for event in events[2:]} == {other}


def test_session_repeated_call_ids_are_different_calls() -> None:
    """Gateways number the calls of each answer from 0."""
    events = events_of(*(call(1), result(2), call(3), result(4)))
    assert len({event.event_id for event in events}) == 4


def test_session_model_is_the_chosen_one() -> None:
    """ "auto" is none."""
    events = events_of(
        record("session.model_change", 1, {"newModel": "auto"}),
        record("session.auto_mode_resolved", 2, {"chosenModel": "gpt-5-mini"}),
        record("session.model_change", 3, {"newModel": "gpt-5-mini"}),
    )
    assert [(event.event_type, event.model) for event in events] == [("session_info", "gpt-5-mini")]


def named(reader: CopilotSession, *values: str) -> list[Event]:
    """Return the events of a file with the name of the session."""
    return reader.feed_sidecar(WORKSPACE_FILE, "\n".join(values).encode())


def test_session_title_of_a_model_can_be_dropped() -> None:
    """That of a person stays."""
    reader = CopilotSession()
    read(reader, lines(user(1, "Please fix the shop")))
    (event,) = named(reader, "name: Fix the till", "user_named: false")
    assert (event.title, event.extra) == ("Fix the till", {"title_generated": True})
    assert named(reader, "name: Fix the till", "user_named: false") == []
    assert [each.title for each in drop_generated_titles([event])] in ([], [None])
    (event,) = named(reader, 'name: "Mine"', "user_named: true")
    assert (event.title, event.extra) == ("Mine", None)


def test_session_title_that_is_a_part_of_the_prompt_is_not_kept() -> None:
    """Copilot CLI names a session after its first prompt until a model has named it."""
    reader = CopilotSession()
    read(reader, lines(user(1, "Please fix the shop, quickly")))
    assert named(reader, "name: Please fix the shop\u2026") == []
    assert named(reader, "name: |", "  several lines") == []
    early = CopilotSession()
    read(early, lines())
    assert named(early, "name: Please fix the shop") == [], "the prompt is written later"
    assert kinds(early.feed(line(user(1, "Please fix the shop")))) == ["prompt"]
    assert named(early, "name: Shop repair")[0].title == "Shop repair"
    other = CopilotSession()
    read(other, lines())
    assert named(other, "name: Shop repair") == []
    assert other.feed(line(user(1, "Please fix the shop")))[1].title == "Shop repair"
    assert reader.feed_sidecar(WORKSPACE_FILE, b"\xff\xfe") == []


def test_session_hashes_inputs() -> None:
    """The input of a call is a hash at its start and at its end."""
    events = read(CopilotSession(hashed), lines(call(1), result(2)))
    expected = hashed({"command": CONTENT})
    assert [event.input_hash for event in events[1:]] == [expected, expected]


def test_session_agent_knows_its_files() -> None:
    """Lines and paths of Copilot CLI are recognized, and no folder of the project is searched."""
    agent = CopilotCli()
    assert all(
        agent.is_session_record(json.loads(each)) for path in FILES for each in lines_of(path)
    )
    assert agent.session_place(start()) == (SESSION, "/home/user/shop")
    assert agent.session_place(user(1)) == (None, None)
    path = "/home/user/.copilot/session-state/x/events.jsonl"
    assert agent.sidecars(path) == ("/home/user/.copilot/session-state/x/workspace.yaml",)


fields = st.dictionaries(
    st.sampled_from(
        "sessionId context cwd branch startTime content source toolRequests model messageId "
        "outputTokens usage accounting inputTokens cacheReadTokens toolCallId toolName success "
        "error permissionRequest modelMetrics compactionTokensUsed tokenLimit agentName "
        "agentDisplayName parentId errorType statusCode message newModel sequence".split()
    ),
    hostile_values(SESSION, "c1", "gpt-5-mini", "auto", "denied"),
)


@settings(max_examples=150)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(TYPES), "data": hostile_values(nested=fields)},
            optional={
                "timestamp": st.sampled_from([at(3), at(1)]) | hostile_values(),
                "id": hostile_values("x"),
                "agentId": hostile_values(CHILD, "call_1"),
            },
        ),
        max_size=12,
    )
)
def test_session_hostile_lines_give_valid_events(records: list[dict[str, Any]]) -> None:
    """Whatever the values are, each event is valid."""
    reader, events = CopilotSession(), []
    for each in [line(start()), *map(line, records), b"{", b"[]", b"\xff"]:
        with suppress(InvalidEvent):
            events += reader.feed(each)
        events += reader.on_quiet(0.5)
    for event in events + reader.finish():
        event.checked()
    assert kinds(once(events))[0] == "session_start"


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"name: {text}".encode()))
def test_session_hostile_workspace_files_give_valid_events(data: bytes) -> None:
    """The file can be half written."""
    reader = CopilotSession()
    read(reader, lines(user(1)))
    for event in reader.feed_sidecar(WORKSPACE_FILE, data):
        event.checked()
