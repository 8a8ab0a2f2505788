"""Session files of Kiro CLI 2 are read completely and without content."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.kiro import KiroCli
from htmlgraph_nb.coding_agents.kiro.session import INTERRUPTED, KiroSession, tool_name
from htmlgraph_nb.coding_agents.kiro.sidecar import Sidecar
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
    read,
)
from tests.helpers.strategies import hostile_values

FILES = sorted((ROOT / "tests/payloads/recordings/kiro-cli").rglob("transcript.jsonl"))
MAIN = "kiro-0b9d6f4e"
PARENT = "1a2b3c4d-0000-4000-8000-000000000000"
NAME = f"{SESSION}.json"


def record(kind: str, key: str, **data: Any) -> dict[str, Any]:
    """Return a line."""
    return {"version": "v1", "kind": kind, "data": {"message_id": key, **data}}


def text(content: str = CONTENT) -> dict[str, Any]:
    """Return a part of a message."""
    return {"kind": "text", "data": content}


def prompt(key: str, seconds: int, content: str = CONTENT) -> dict[str, Any]:
    """Return a prompt; only they have a time."""
    meta = {"timestamp": int(START.timestamp()) + seconds}
    return record("Prompt", key, content=[text(content)], meta=meta)


def answer(key: str, *calls: str, content: str = CONTENT, tool: str = "shell") -> dict[str, Any]:
    """Return a message of the model that calls tools."""
    uses = [
        {"kind": "toolUse", "data": {"toolUseId": call, "name": tool, "input": {"x": CONTENT}}}
        for call in calls
    ]
    return record("AssistantMessage", key, content=[text(content), *uses])


def results(key: str, call: str, status: str = "success", result: Any = None) -> dict[str, Any]:
    """Return the result of a tool call."""
    content = [{"kind": "toolResult", "data": {"toolUseId": call, "status": status}}]
    return record("ToolResults", key, content=content, results={call: {"result": result}})


def sidecar(**fields: Any) -> bytes:
    """Return the file beside a session file."""
    return json.dumps({"created_at": at(0), "cwd": "/home/user/shop", **fields}).encode()


def turns(*ended: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the file that describes the turns."""
    return {"conversation_metadata": {"user_turn_metadatas": list(ended)}}


def reader_of(data: bytes = sidecar()) -> KiroSession:
    """Return a reader of a session with a file beside it."""
    return KiroSession(SESSION, Sidecar.of(data) or Sidecar(), hashed)


def events_of(*records: dict[str, Any], data: bytes = sidecar()) -> list[Event]:
    """Return the events of a session after those of its start."""
    events = read(reader_of(data), map(line, records))
    check(events)
    assert kinds(events)[0] in ("session_start", "subagent_start")
    return [event for event in events[1:] if event.event_type != "session_info"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_session_recordings_give_valid_events_without_content(path: Path) -> None:
    """Every event of every recording is valid, none has tokens or a cost."""
    events = read(KiroSession(SESSION), lines_of(path))
    check(events)
    assert kinds(events)[:2] == ["session_start", "prompt"]
    assert kinds(events)[-1] in ("stop", "interrupt")
    assert {event.event_type for event in events} & {"completion"} == set()
    assert len({event.event_id for event in events}) == len(events)
    assert all(KiroCli().is_session_record(json.loads(each)) for each in lines_of(path))


def test_session_turn_ends_with_a_message_without_tools() -> None:
    """A message that calls tools is followed by their results."""
    events = events_of(prompt("p", 1), answer("a", "c1"), results("r", "c1"), answer("b"))
    assert kinds(events) == ["prompt", "tool_start", "tool_execute", "stop"]
    done = events[2]
    assert (done.tool_name, done.status, done.duration_ms) == ("shell", "ok", None)
    assert (done.agent_id, done.session_id, done.project) == (MAIN, SESSION, "shop")
    assert done.input_hash == events[1].input_hash == hashed({"x": CONTENT})
    assert events_of(prompt("p", 1), answer("b", content="Which?"))[-1].extra == {"question": True}


def test_session_old_names_of_tools_are_the_new_ones() -> None:
    """So that they are one tool in statistics."""
    assert [tool_name(name) for name in ("fs_read", "read", "@mcp/x")] == ["read", "read", "@mcp/x"]


@pytest.mark.parametrize(
    ("status", "result", "kind"),
    [("error", None, "tool_error"), ("success", "Cancelled", "answered")],
)
def test_session_tool_that_failed_or_was_cancelled(status: str, result: Any, kind: str) -> None:
    """A call that the user denied did not run."""
    events = events_of(prompt("p", 1), answer("a", "c1"), results("r", "c1", status, result))
    assert kinds(events)[-1] == kind


def test_session_interrupt() -> None:
    """A broken response has a message in its place; a cancelled prompt has a line."""
    assert kinds(events_of(prompt("p", 1), answer("a", content=INTERRUPTED)))[-1] == "interrupt"
    assert kinds(events_of(prompt("p", 1), record("CancelledPrompt", "x")))[-1] == "interrupt"


def test_session_compaction() -> None:
    """At the prompt the user has requested it; in a turn the agent goes on to work."""
    compacted = record("Compaction", "k", summary=CONTENT)
    events = events_of(prompt("p", 1), answer("a"), compacted)
    assert (events[-1].event_type, events[-1].extra) == (
        "idle",
        {"hook_event_name": "PostCompact", "compacted": True},
    )
    assert kinds(events_of(prompt("p", 1), compacted))[-1] == "activity"


def test_session_times_of_messages() -> None:
    """The last message of a turn has its end, others the time of the line before."""
    ended = {"message_ids": ["p", "a", "b"], "end_timestamp": at(9.5)}
    events = events_of(
        *(prompt("p", 1), answer("a", "c1"), results("r", "c1"), answer("b")),
        data=sidecar(session_state=turns(ended)),
    )
    seconds = [(event.timestamp or START) - START for event in events]
    assert seconds == [*[timedelta(seconds=1)] * 3, timedelta(seconds=9.5)]


def test_session_followed_file_gives_the_times_of_its_lines() -> None:
    """The last line has the time at which the file was written, and calls have durations."""
    records = [prompt("p", 1), answer("a", "c1"), results("r", "c1"), answer("b")]
    written = [1.25, 3, 7, 8]
    size, state = 0, (START, 0)

    def file_state() -> tuple[datetime, int]:
        return state

    reader, events = KiroSession(SESSION, Sidecar(), hashed, file_state), []
    for each, seconds in zip(map(line, records), written, strict=True):
        size += len(each) + 1
        state = START + timedelta(seconds=seconds), size
        events += reader.feed(each)
    assert [(event.timestamp or START) - START for event in events[1:]] == [
        timedelta(seconds=seconds) for seconds in written
    ]
    assert events[3].duration_ms == 4000


def test_session_information_of_the_file_beside_it() -> None:
    """Model, folder and context; the title is the first prompt, which is not kept."""
    model = {"model_info": {"model_id": "claude-sonnet-4.5", "context_window_tokens": 200_000}}
    state = {"rts_model_state": {**model, "context_usage_percentage": 12.5}}
    data = sidecar(title="Please fix the shop", session_state=state)
    reader = reader_of()
    read(reader, [line(prompt("p", 1, "Please fix the shop, quickly"))])
    (event,) = reader.feed_sidecar(NAME, data)
    assert (event.event_type, event.title, event.model) == (
        *("session_info", None),
        "claude-sonnet-4.5",
    )
    assert (event.context_tokens, event.context_window) == (25_000, 200_000)
    assert reader.feed_sidecar(NAME, data) == [], "nothing has changed"
    assert reader.feed_sidecar(NAME, data[:40]) == [], "half written"
    (event,) = reader.feed_sidecar(NAME, sidecar(title="Shop repair", session_state=state))
    assert (event.title, event.extra) == ("Shop repair", {"title_generated": True})


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        ({"end_reason": "UserCancelled"}, "interrupt"),
        ({"result": {"Err": "The request was throttled: 429"}}, "error"),
        ({"result": {"Ok": {}}}, "stop"),
    ],
)
def test_session_turn_without_a_last_message(ended: dict[str, Any], kind: str) -> None:
    """The file beside it says how the turn ended; a message has said it already."""
    report = {"message_ids": ["p"], "end_timestamp": at(4), **ended}
    reader = reader_of()
    read(reader, [line(prompt("p", 1))])
    events = reader.feed_sidecar(NAME, sidecar(session_state=turns(report)))
    assert (events[0].event_type, events[0].timestamp) == (kind, START + timedelta(seconds=4))
    check(events)
    answered = reader_of()
    read(answered, [line(prompt("p", 1)), line(answer("a"))])
    again = answered.feed_sidecar(NAME, sidecar(session_state=turns(report)))
    assert [event for event in again if event.event_type != "session_info"] == []


def test_session_of_a_subagent_belongs_to_its_parent() -> None:
    """Only the file beside it says so."""
    data = sidecar(parent_session_id=PARENT, session_created_reason="subagent")
    events = read(reader_of(data), [line(prompt("p", 1)), line(answer("a"))])
    check(events)
    started = events[0]
    assert (started.event_type, started.agent_id) == ("subagent_start", "kiro-1a2b3c4d")
    assert started.extra == {"child_agent_id": MAIN}
    rest = events[1:]
    assert {event.parent_agent_id for event in rest} == {"kiro-1a2b3c4d"}
    assert {event.session_id for event in events} == {PARENT}


def test_session_continued_from_another_repeats_none_of_its_lines() -> None:
    """What was written before the session was created is a copy."""
    data = sidecar(created_at=at(100), parent_session_id=PARENT, session_created_reason="rewind")
    lines = map(line, [prompt("p", 1), answer("a"), prompt("q", 101), answer("b")])
    events = read(reader_of(data), lines)
    assert kinds(events) == ["session_start", "session_info", "prompt", "stop"]
    assert events[2].parent_agent_id is None


def test_session_agent_reads_the_file_beside_it_first(tmp_path: Path) -> None:
    """The folder of the first event is known, and no link is followed."""
    path = tmp_path / f"{SESSION}.jsonl"
    (tmp_path / NAME).write_bytes(sidecar())
    agent = KiroCli()
    assert agent.sidecars(str(path)) == (str(tmp_path / NAME),)
    path.write_bytes(line(prompt("p", 1)) + b"\n")
    reader = agent.session_reader(str(path), hashed)
    events = read(reader, lines_of(path))
    assert {event.project for event in events} == {"shop"}
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).symlink_to("/dev/zero")
    assert read(agent.session_reader(str(path)), lines_of(path))[0].project is None


fields = st.dictionaries(
    st.sampled_from(
        "message_id content meta timestamp kind data toolUseId name input status results".split()
    ),
    hostile_values(
        "text", "toolUse", "toolResult", nested=st.fixed_dictionaries({"kind": st.just("toolUse")})
    ),
)
KINDS = ["Prompt", "AssistantMessage", "ToolResults", "Compaction", "Clear", "CancelledPrompt"]


@settings(max_examples=150)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(KINDS) | hostile_values(),
                "data": hostile_values(nested=fields),
            }
        ),
        max_size=12,
    ),
    st.dictionaries(
        st.sampled_from(
            "created_at cwd title parent_session_id session_created_reason session_state".split()
        ),
        hostile_values(at(0), "/x", PARENT),
    ),
)
def test_session_hostile_lines_give_valid_events(
    records: list[dict[str, Any]], beside: dict[str, Any]
) -> None:
    """Whatever the values are, each event is valid."""
    data = json.dumps(beside).encode()
    reader = reader_of(data)
    events = reader.feed(line(prompt("p", 1)))
    for each in [*map(line, records), b"{", b"[]", b"\xff"]:
        with suppress(InvalidEvent):
            events += reader.feed(each)
    events += reader.feed_sidecar(NAME, data)
    for event in events + reader.finish():
        event.checked()
