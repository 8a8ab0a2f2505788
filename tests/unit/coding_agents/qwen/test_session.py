"""Qwen Code's session files give the right events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.qwen import QwenCode
from htmlgraph_nb.coding_agents.qwen.session import RETRY_QUIET_S, TURN_QUIET_S, QwenSession
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

FOLDER = ROOT / "tests/payloads/qwen/projects"
FILES = sorted(FOLDER.rglob("*.jsonl"))
AGENT = "qwen-0b9d6f4e"
USAGE = {
    "promptTokenCount": 100,
    "candidatesTokenCount": 7,
    "cachedContentTokenCount": 40,
    "totalTokenCount": 107,
}


def record(kind: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """Return a line of a session file."""
    common = {
        "uuid": f"{kind}-{seconds}",
        "sessionId": SESSION,
        "timestamp": at(seconds),
        "type": kind,
        "cwd": "/home/user/shop",
        "version": "0.24.4",
        "gitBranch": "feat/checkout",
    }
    return {**common, **fields}


def user(seconds: float, **fields: Any) -> dict[str, Any]:
    """Return a prompt."""
    message = {"role": "user", "parts": [{"text": CONTENT}]}
    return record("user", seconds, message=message, **fields)


def answer(seconds: float, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a response of the model."""
    message = {"role": "model", "parts": list(parts) or [{"text": CONTENT}]}
    common = {"model": "qwen3-coder-plus", "usageMetadata": USAGE, "contextWindowSize": 1_000_000}
    return record("assistant", seconds, message=message, **{**common, **fields})


def call(key: str = "c1") -> dict[str, Any]:
    """Return a part that calls a tool."""
    return {"functionCall": {"id": key, "name": "edit", "args": {"path": CONTENT}}}


def result(seconds: float, status: str | None = "success", key: str = "c1") -> dict[str, Any]:
    """Return the result of a tool."""
    answered = {"id": key, "name": "edit", "response": {"output": CONTENT}}
    message = {"role": "user", "parts": [{"functionResponse": answered}]}
    whole = {} if status is None else {"toolCallResult": {"callId": key, "status": status}}
    return record("tool_result", seconds, message=message, **whole)


def system(subtype: str, seconds: float, **payload: Any) -> dict[str, Any]:
    """Return a system line."""
    return record("system", seconds, subtype=subtype, systemPayload=payload)


def telemetry(name: str, seconds: float, **values: Any) -> dict[str, Any]:
    """Return a system line with telemetry."""
    event = {"event.name": f"qwen-code.{name}", **values}
    return system("ui_telemetry", seconds, uiEvent=event)


def events_of(*records: dict[str, Any]) -> list[Any]:
    """Return all events of a file with these lines."""
    return read(QwenSession(), map(line, records))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[:20])
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid, and its lines belong to Qwen Code only."""
    check(read(QwenCode().session_reader(str(path)), lines_of(path)))
    for raw in lines_of(path):
        owners = [name for name, each in AGENTS.items() if each.is_session_record(json.loads(raw))]
        assert owners in (["qwen"], [])
    assert owners == ["qwen"]


def test_session_recording_has_tools_with_durations() -> None:
    """Telemetry in the file times requests and calls."""
    path = next(path for path in FILES if path.stem.startswith("7ca48c22"))
    events = read(QwenSession(), lines_of(path))
    step = ["completion", "tool_start", "tool_execute"]
    assert kinds(events) == ["session_start", "prompt", *step * 2, "completion", "stop"]
    assert [event.duration_ms for event in events if event.event_type == "completion"] == [
        *(910, 323, 330),
    ]
    assert [event.duration_ms for event in events if event.event_type == "tool_execute"] == [88, 26]
    assert tokens(events) == (180, 120, 0, 0, 21)
    assert events[2].context_tokens == 100
    assert events[2].context_window == 1_000_000


def test_session_subagent_has_its_own_file() -> None:
    """Its lines name no model; ``meta.json`` names its task and its end."""
    path = next(path for path in FILES if path.stem.startswith("agent-"))
    reader: Any = QwenCode().session_reader(str(path))
    events = [event for raw in lines_of(path) for event in reader.feed(raw)]
    assert kinds(reader.on_quiet(TURN_QUIET_S)) == ["stop"]
    (sidecar,) = QwenCode().sidecars(str(path))
    with open(sidecar, "rb") as file:
        events += reader.feed_sidecar("meta.json", file.read())
    check(events)
    assert kinds(events) == [
        *("subagent_start", "prompt", "completion", "tool_start", "tool_execute", "completion"),
        *("session_info", "subagent_stop", "session_end"),
    ]
    child = events[1].agent_id
    assert {event.parent_agent_id for event in events if event.agent_id == child} == {
        "qwen-004af7b8"
    }
    assert {event.model for event in events if event.event_type == "completion"} == {
        "qwen3-coder-plus"
    }
    assert (events[6].title, events[6].extra) == ("Look around", {"title_generated": True})
    assert reader.feed_sidecar("meta.json", b"{") == []


def test_session_response_written_again_counts_once() -> None:
    """The counts of the second line include those of the first."""
    more = {**USAGE, "candidatesTokenCount": 20, "totalTokenCount": 120}
    events = events_of(user(1), answer(2), answer(3, usageMetadata=more))
    assert tokens(events) == (60, 40, 0, 0, 20)
    separate = events_of(user(1), answer(2, call()), result(3), answer(4))
    assert tokens(separate) == (120, 80, 0, 0, 14)


def test_session_branch_repeats_nothing() -> None:
    """Copies name the original line, whose event id they have."""
    original = events_of(user(1), answer(2, call()), result(3), answer(4))
    copies = []
    for each in (user(1), answer(2, call()), result(3), answer(4)):
        origin = {"sessionId": SESSION, "messageUuid": each["uuid"]}
        changed = {"sessionId": "other", "uuid": f"x{each['uuid']}", "forkedFrom": origin}
        copies.append({**each, **changed})
    fork = events_of(*copies, user(5, sessionId="other"), answer(6, sessionId="other"))
    known = {event.event_id for event in original}
    new = [event for event in fork if event.event_id not in known]
    assert kinds(new) == ["session_start", "prompt", "completion", "stop"]
    assert tokens(once([*original, *fork])) == (180, 120, 0, 0, 21)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("success", ["tool_execute"]),
        ("error", ["tool_error"]),
        ("cancelled", ["answered", "interrupt"]),
        (None, ["tool_execute"]),
    ],
)
def test_session_tool_results_have_an_outcome(status: str | None, expected: list[str]) -> None:
    """A call that the user cancelled ends the turn."""
    events = events_of(user(1), answer(2, call()), result(3, status))
    assert kinds(events)[4:] == expected
    check(events)


def test_session_tool_events_have_the_hash_of_their_input() -> None:
    """Start and end share it."""
    raws = map(line, (user(1), answer(2, call()), result(3)))
    events = read(QwenSession(hash_input=hashed), raws)
    assert {event.input_hash for event in events[-2:]} == {hashed({"path": CONTENT})}


@pytest.mark.parametrize(
    ("values", "kind", "cannot_work"),
    [
        ({"status_code": 401, "error_type": "AuthenticationError"}, "error", "signed_out"),
        (
            {"status_code": 429, "error_message": "You exceeded your current quota"},
            "error",
            "usage_limited",
        ),
        ({"status_code": 429, "error_message": "Rate limit reached"}, "retry", "rate_limited"),
        ({"status_code": 503}, "retry", "overloaded"),
        ({"error_message": f"fetch failed {CONTENT}"}, "retry", "overloaded"),
    ],
)
def test_session_failed_requests_say_why(
    values: dict[str, Any], kind: str, cannot_work: str
) -> None:
    """Qwen Code repeats some of them; if no line follows, the turn has failed."""
    reader = QwenSession()
    events = [
        each
        for raw in (user(1), telemetry("api_error", 2, **values))
        for each in reader.feed(line(raw))
    ]
    check(events)
    assert events[-1].event_type == kind
    assert (events[-1].extra or {})["cannot_work"] == cannot_work
    assert kinds(reader.on_quiet(RETRY_QUIET_S)) == (["error"] if kind == "retry" else [])
    assert reader.finish() == []


def test_session_answer_after_a_retry_continues_the_turn() -> None:
    """The failure is forgotten."""
    events = events_of(user(1), telemetry("api_error", 2, status_code=503), answer(3))
    assert kinds(events)[2:] == ["retry", "completion", "stop"]


def test_session_turns_without_a_person_are_no_prompts() -> None:
    """Schedules and notifications start them."""
    assert kinds(events_of(user(1, subtype="cron"), user(2, subtype="notification")))[1:] == [
        *["activity"] * 2
    ]
    assert kinds(events_of(user(1, subtype="mid_turn_user_message")))[1:] == ["prompt"]


def test_session_titles_say_who_gave_them() -> None:
    """Qwen Code repeats the title in the file; a model may have written it."""
    title = system("custom_title", 2, customTitle="Checkout", titleSource="auto")
    again = system("custom_title", 3, customTitle="Checkout", titleSource="auto")
    own = system("custom_title", 4, customTitle="Mine", titleSource="manual")
    events = events_of(user(1), title, again, own)[2:]
    assert [(event.title, event.extra) for event in events] == [
        ("Checkout", {"title_generated": True}),
        ("Mine", None),
    ]


def test_session_ends_with_a_command() -> None:
    """``/quit`` is in the file, before the process exits."""
    events = events_of(user(1), system("slash_command", 2, rawCommand="/quit", phase="invocation"))
    assert kinds(events)[-1] == "session_end"


def test_session_compression_is_reported() -> None:
    """With the tokens before it."""
    info = {"originalTokenCount": 9_000, "newTokenCount": 100}
    events = events_of(user(1), answer(2), system("chat_compression", 3, info=info))
    assert events[-1].extra == {"compacted": True, "pre_tokens": 9_000}


values = hostile_values("user", "assistant", "success", "2026-05-30T17:00:00Z")


@settings(max_examples=150)
@given(data=st.lists(values, min_size=7, max_size=7))
def test_session_accepts_hostile_values(data: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    key, when, parts, number, usage, payload, text = data
    records = [
        {**user(1), "uuid": key, "sessionId": key, "timestamp": when, "cwd": text},
        {**user(2), "gitBranch": text, "version": text, "subtype": text, "message": parts},
        {**answer(3), "message": {"parts": parts}, "usageMetadata": usage, "model": text},
        answer(4, call(), usageMetadata=dict.fromkeys(USAGE, number), contextWindowSize=number),
        answer(5, {"functionCall": {"id": key, "name": text, "args": text}}),
        {**result(6), "toolCallResult": payload},
        {**result(7), "toolCallResult": {"status": text, "durationMs": number, "callId": key}},
        telemetry("api_response", 8, duration_ms=number),
        telemetry("tool_call", 8, duration_ms=number, call_id=key),
        telemetry("api_error", 8, status_code=number, error_message=text, error_type=text),
        system("custom_title", 9, customTitle=text, titleSource=text),
        {**system("chat_compression", 9), "systemPayload": payload},
        {**user(10), "isSidechain": True, "agentId": key, "agentName": text, "forkedFrom": payload},
    ]
    reader = QwenSession(hash_input=hashed)
    for each in records:
        try:
            raw = line(each)
        except UnicodeEncodeError:
            continue
        check(reader.feed(raw))
    meta = {"description": text, "agentType": text, "status": "completed", "lastUpdatedAt": when}
    check(reader.feed_sidecar("meta.json", json.dumps(meta).encode()))
    check(reader.on_quiet(TURN_QUIET_S))
    check(reader.finish())
