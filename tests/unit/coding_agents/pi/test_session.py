"""Pi's session files give the right events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.pi import Pi
from htmlgraph_nb.coding_agents.pi.session import RETRY_QUIET_S, PiSession
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.helpers.paths import ROOT
from tests.helpers.session_lines import (
    CONTENT,
    SESSION,
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

FILES = sorted((ROOT / "tests/payloads/recordings/pi").rglob("transcript.jsonl"))
HEAD = {
    "type": "session",
    "version": 3,
    "id": SESSION,
    "timestamp": at(0),
    "cwd": "/home/user/shop",
}
USAGE = {
    "input": 100,
    "output": 7,
    "cacheRead": 40,
    "cacheWrite": 9,
    "cacheWrite1h": 4,
    "reasoning": 3,
    "cost": {"total": 0.25},
}


def entry(kind: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """Return an entry of a session file."""
    return {
        "type": kind,
        "id": f"e{seconds}",
        "parentId": None,
        "timestamp": at(seconds),
        **fields,
    }


def user(seconds: float) -> dict[str, Any]:
    """Return a prompt."""
    return entry("message", seconds, message={"role": "user", "content": CONTENT})


def answer(seconds: float, reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """Return a response of the model."""
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": CONTENT}],
        "model": "gpt-5.5",
        "usage": USAGE,
        "stopReason": reason,
        **fields,
    }
    return entry("message", seconds, message=message)


def call(seconds: float) -> dict[str, Any]:
    """Return a response that calls a tool."""
    block = {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"command": CONTENT}}
    return answer(seconds, "toolUse", content=[block])


def result(seconds: float, failed: bool = False, **fields: Any) -> dict[str, Any]:
    """Return the result of the tool."""
    message = {
        "role": "toolResult",
        "toolCallId": "c1",
        "toolName": "bash",
        "content": [{"type": "text", "text": CONTENT}],
        "isError": failed,
        **fields,
    }
    return entry("message", seconds, message=message)


def lines(*records: dict[str, Any]) -> list[bytes]:
    """Return a session file with these entries after its first line."""
    return [line(record) for record in (HEAD, *records)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid and contains no content."""
    events = read(PiSession(), lines_of(path))
    assert kinds(events)[0] == "session_start"
    check(events)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_session_recordings_are_recognized(path: Any) -> None:
    """Each line that is read belongs to Pi and to no other agent."""
    for record in map(json.loads, lines_of(path)[:3]):
        owners = [name for name, agent in AGENTS.items() if agent.is_session_record(record)]
        assert owners == ["pi"]


def test_session_counts_tokens_and_dollars_as_reported() -> None:
    """The input excludes the cache, the output includes reasoning, and the cost is Pi's."""
    events = read(PiSession(), lines(user(1), answer(2)))
    assert kinds(events) == ["session_start", "prompt", "completion", "stop"]
    completion = events[2]
    assert tokens(events) == (100, 40, 5, 4, 7)
    assert completion.cost_usd == 0.25
    assert completion.context_tokens == 149
    assert completion.extra == {"stop_reason": "stop", "reasoning_tokens": 3}
    assert {event.project for event in events} == {"shop"}


def test_session_unknown_price_leaves_the_cost_open() -> None:
    """Pi writes 0 if it knows no price."""
    usage = {**USAGE, "cost": {"total": 0}}
    assert read(PiSession(), lines(answer(1, usage=usage)))[1].cost_usd is None


def test_session_tools_have_hash_duration_and_outcome() -> None:
    """Start and end share the hash of the input; Pi's own duration counts if it has one."""
    reader = PiSession(hash_input=hashed)
    events = read(reader, lines(user(1), call(2), result(5, failed=True, usage=USAGE)))
    start, used, end = events[-3:]
    assert (start.event_type, used.event_type, end.event_type) == (
        "tool_start",
        "completion",
        "tool_error",
    )
    assert start.input_hash == end.input_hash == hashed({"command": CONTENT})
    assert end.duration_ms == 3_000
    assert read(PiSession(), lines(call(2), result(5, durationMs=17)))[-1].duration_ms == 17


def test_session_abandoned_branches_were_billed() -> None:
    """Going back to an earlier entry continues in the same file, and all responses count."""
    path = next(path for path in FILES if "rewind" in path.parent.name)
    events = read(PiSession(), lines_of(path))
    assert kinds(events)[1:] == ["prompt", "completion", "stop"] * 3
    assert sum(tokens(events)) == 8_104 + 14_336 + 99


def test_session_fork_repeats_nothing() -> None:
    """Copies have the ids of the originals, and only responses of a deleted original count."""
    original = read(PiSession(), lines(user(1), call(2), result(3), answer(4)))
    head = {**HEAD, "id": "other", "timestamp": at(10), "parentSession": "/x/1_s.jsonl"}
    records = [head, user(1), call(2), result(3), answer(4), user(11), answer(12)]
    fork = read(PiSession(), [line(record) for record in records])
    known = {event.event_id for event in original}
    new = [event for event in fork if event.event_id not in known]
    assert kinds(new) == ["session_start", "prompt", "completion", "stop"]
    assert {event.session_id for event in fork} == {"other"}
    assert tokens(once([*original, *fork]))[0] == 300


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("401 Incorrect API key provided", "signed_out"),
        ("You have hit your usage limit", "usage_limited"),
        ("insufficient_quota", "usage_limited"),
        ("something odd", None),
    ],
)
def test_session_error_ends_the_turn_at_once(text: str, kind: str | None) -> None:
    """Errors that Pi does not retry end the turn; their text is not kept."""
    events = PiSession().feed(line(HEAD))
    reader = PiSession()
    events = [
        event
        for raw in lines(user(1), answer(2, "error", errorMessage=f"{text} {CONTENT}"))
        for event in reader.feed(raw)
    ]
    check(events)
    assert events[-1].event_type == "error"
    assert (events[-1].extra or {}).get("cannot_work") == kind
    assert reader.finish() == []


def test_session_retries_are_no_end_until_they_stop() -> None:
    """An overload is retried; the fourth failure, or a long silence, ends the turn."""
    failed = {"errorMessage": "529 overloaded_error"}
    reader = PiSession()
    for raw in lines(user(1), answer(2, "error", **failed)):
        events = reader.feed(raw)
    assert kinds(events) == ["completion", "retry"]
    assert events[-1].extra == {"cannot_work": "overloaded", "attempt": 1, "max_attempts": 3}
    assert reader.on_quiet(RETRY_QUIET_S - 1) == []
    assert kinds(reader.on_quiet(RETRY_QUIET_S)) == ["error"]
    assert reader.finish() == []
    reader = PiSession()
    raws = lines(user(1), *(answer(second, "error", **failed) for second in range(2, 6)))
    events = [event for raw in raws for event in reader.feed(raw)]
    assert [kind for kind in kinds(events) if kind in ("retry", "error")] == [
        *["retry"] * 3,
        "error",
    ]
    assert reader.finish() == []


def test_session_answer_after_a_retry_continues_the_turn() -> None:
    """The failure is forgotten once the repeated request succeeds."""
    raws = lines(user(1), answer(2, "error", errorMessage="fetch failed"), answer(4))
    assert kinds(read(PiSession(), raws))[-3:] == ["retry", "completion", "stop"]


def test_session_abort_is_an_interrupt() -> None:
    """The user stopped the response."""
    assert kinds(read(PiSession(), lines(user(1), answer(2, "aborted"))))[-1] == "interrupt"


def test_session_compaction_at_the_prompt_ends_idle() -> None:
    """The agent works for it and then waits at its prompt again; within a turn it goes on."""
    compaction = entry("compaction", 5, summary=CONTENT, tokensBefore=9_000, usage=USAGE)
    events = read(PiSession(), lines(user(1), answer(2), compaction))
    check(events)
    assert kinds(events)[-3:] == ["completion", "activity", "idle"]
    assert events[-2].extra == {"compacted": True, "pre_tokens": 9_000}
    events = read(PiSession(), lines(user(1), call(2), compaction))
    assert kinds(events)[-2:] == ["completion", "activity"]


def test_session_reports_names_and_models() -> None:
    """The name that a user gave is the title; only later changes of the model are reported."""
    model = entry("model_change", 0.5, provider="openai", modelId="gpt-5.5")
    later = entry("model_change", 3, provider="openai", modelId="gpt-5.4")
    name = entry("session_info", 4, name=" Check\nout ")
    events = read(PiSession(), lines(model, user(1), later, name))
    assert [(event.event_type, event.model, event.title) for event in events[2:]] == [
        ("session_info", "gpt-5.4", None),
        ("session_info", None, "Check out"),
    ]


def test_session_shell_commands_of_the_user_are_no_work() -> None:
    """A command after ``!`` runs without the model."""
    shell = {"role": "bashExecution", "command": CONTENT, "output": CONTENT}
    assert kinds(read(PiSession(), lines(entry("message", 1, message=shell)))) == ["session_start"]


def test_session_without_its_first_line_is_named_after_its_file() -> None:
    """A file whose start is lost belongs to the session in its name."""
    reader = Pi().session_reader(f"/x/2026-05-30T17-00-00-000Z_{SESSION}.jsonl")
    assert read(reader, [line(user(1))])[0].session_id == SESSION


def test_session_chunks_make_no_difference() -> None:
    """The same lines give the same events, whenever they are read."""
    raws = lines(user(1), call(2), result(3), answer(4), user(5), answer(6))
    whole = read(PiSession(), raws)
    reader, parts = PiSession(), []
    for raw in raws:
        parts += reader.feed(raw)
        parts += reader.on_quiet(1.0)
    assert [*parts, *reader.finish()] == whole


values = hostile_values("stop", "error", "assistant", "toolResult", "2026-05-30T17:00:00Z")


@settings(max_examples=150)
@given(data=st.lists(values, min_size=8, max_size=8))
def test_session_accepts_hostile_values(data: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    key, when, cwd, content, usage, count, reason, name = data
    records = [
        {**HEAD, "id": key, "timestamp": when, "cwd": cwd, "parentSession": name},
        entry("session_info", 1, name=name),
        entry("model_change", 1, modelId=name),
        {**user(2), "id": key},
        answer(3, reason, content=content, usage=usage, errorMessage=name, model=key),
        answer(4, "stop", usage=dict.fromkeys(USAGE, count), timestamp=count, durationMs=count),
        answer(5, "toolUse", content=[{"type": "toolCall", "id": key, "name": name}]),
        result(6, durationMs=count, toolCallId=key, usage=usage),
        {**entry("compaction", 7, usage=usage, tokensBefore=count), "timestamp": when},
        entry("usage", 8, usage={"input": count, "cost": cwd}),
        {"type": "message", "message": content, "timestamp": when},
    ]
    reader = PiSession(hash_input=hashed)
    for record in records:
        try:
            raw = line(record)
        except UnicodeEncodeError:
            continue
        check(reader.feed(raw))
    check(reader.finish())
