"""Mistral Vibe's session files give the right events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.coding_agents.vibe.meta import Meta
from htmlgraph_nb.coding_agents.vibe.session import NO_META_QUIET_S, VibeSession
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.roster import Roster
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
    tokens,
)
from tests.helpers.strategies import hostile_values

FILES = sorted((ROOT / "tests/payloads/recordings/mistral-vibe").rglob("transcript.jsonl"))
FOLDER = "session_20260530_170000_0b9d6f4e"


def user(key: str = "u1", **fields: Any) -> dict[str, Any]:
    """Return a prompt."""
    return {"role": "user", "content": CONTENT, "injected": False, "message_id": key, **fields}


def answer(key: str = "a1", **fields: Any) -> dict[str, Any]:
    """Return a response of the model."""
    message = {"role": "assistant", "content": CONTENT, "injected": False, "message_id": key}
    return {**message, **fields}


def call(key: str = "a1", name: str = "bash") -> dict[str, Any]:
    """Return a response that calls a tool."""
    arguments = json.dumps({"command": CONTENT})
    function = {"name": name, "arguments": arguments}
    return answer(key, content="", tool_calls=[{"id": "SFIkTXEEz", "function": function}])


def result(content: str = CONTENT) -> dict[str, Any]:
    """Return the result of the tool."""
    message = {"role": "tool", "content": content, "injected": False, "name": "bash"}
    return {**message, "tool_call_id": "SFIkTXEEz"}


def meta(n_messages: int, prompt: int = 0, completion: int = 0, **fields: Any) -> bytes:
    """Return a ``meta.json`` with the tokens so far."""
    stats = {
        "session_prompt_tokens": prompt,
        "session_completion_tokens": completion,
        "last_turn_prompt_tokens": 100,
        "last_turn_completion_tokens": 7,
        "context_tokens": 107,
        "input_price_per_million": 2.0,
        "output_price_per_million": 10.0,
    }
    record = {
        "session_id": SESSION,
        "parent_session_id": None,
        "start_time": at(0),
        "end_time": at(60),
        "git_branch": "feat/checkout",
        "environment": {"working_directory": "/home/user/shop"},
        "title": CONTENT,
        "title_source": "auto",
        "total_messages": n_messages,
        "stats": stats,
        "config": {
            "active_model": "devstral-2",
            "auto_compact_threshold": 200_000,
            "models": [{"alias": "devstral-2", "auto_compact_threshold": 150_000}],
        },
    }
    return json.dumps({**record, **fields}).encode()


def written() -> datetime:
    """Return when the file was written."""
    return START + timedelta(seconds=90)


def reader(**fields: Any) -> VibeSession:
    """Return a reader of a file that was written at a fixed time."""
    return VibeSession(FOLDER, modified=written, **fields)


def read(session: VibeSession, *steps: dict[str, Any] | bytes) -> list[Event]:
    """Return the events of lines and, as bytes, contents of ``meta.json``."""
    events = []
    for step in steps:
        if isinstance(step, bytes):
            events += session.feed_sidecar("meta.json", step)
        else:
            events += session.feed(line(step))
    return [*events, *session.finish()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_session_recordings_give_valid_events_without_content(path: Any) -> None:
    """Every event of every recording is valid and contains no content."""
    session = reader()
    events = [event for raw in lines_of(path) for event in session.feed(raw)] + session.finish()
    assert kinds(events)[0] == "session_start"
    check(events)
    for raw in lines_of(path)[:2]:
        owners = [name for name, each in AGENTS.items() if each.is_session_record(json.loads(raw))]
        assert owners == ["vibe"]


def test_session_waits_for_its_facts() -> None:
    """The id of the session is in ``meta.json``, which is written after the first lines."""
    session = reader()
    assert session.feed(line(user())) == []
    assert session.on_quiet(NO_META_QUIET_S / 2) == []
    events = session.feed_sidecar("meta.json", meta(1))
    check(events)
    assert kinds(events) == ["session_start", "prompt", "session_info"]
    assert {event.session_id for event in events} == {SESSION}
    assert {event.branch for event in events} == {"feat/checkout"}
    assert events[0].timestamp == START
    assert events[1].timestamp == START + timedelta(seconds=60)
    assert events[2].title is None


def test_session_without_facts_is_named_after_its_folder() -> None:
    """A file without ``meta.json`` is read all the same."""
    session = reader()
    session.feed(line(user()))
    events = session.on_quiet(NO_META_QUIET_S)
    assert kinds(events) == ["session_start", "prompt", "idle"]
    assert {event.session_id for event in events} == {FOLDER}
    assert {event.timestamp for event in events} == {written()}


def test_session_counts_each_answer_as_it_is_written() -> None:
    """The growth of the counts belongs to the response that was written with it."""
    events = read(
        reader(),
        *(user(), call(), result(), meta(3, 100, 7)),
        *(answer("a2"), meta(4, 250, 20)),
    )
    check(events)
    used = [event for event in events if event.event_type == "completion"]
    assert [(event.input_tokens, event.output_tokens) for event in used] == [(100, 7), (150, 13)]
    assert [event.cost_usd for event in used] == pytest.approx([0.00027, 0.00043])
    assert [event.context_tokens for event in used] == [107, 107]
    assert {event.context_window for event in used} == {150_000}
    assert {event.model for event in used} == {"devstral-2"}


def test_session_counts_after_a_turn_are_no_work() -> None:
    """They are written after the last message of the turn."""
    roster = Roster()
    for seq, event in enumerate(read(reader(), user(), answer(), meta(2, 100, 7)), 1):
        shown = roster.apply(event, seq, written()).presence
    assert shown is not None
    assert (shown.status, shown.detail) == (PresenceStatus.IDLE, "done")
    assert shown.total_cost_tokens == 107


def test_session_import_shares_the_counts_exactly() -> None:
    """Without the counts of each answer the sum is right, and a second reading adds nothing."""
    live = read(
        reader(),
        *(user(), call(), result(), meta(3, 101, 8)),
        *(answer("a2"), meta(4, 251, 20)),
        *(user("u2"), answer("a3"), meta(6, 351, 27)),
    )
    again = read(reader(), user(), call(), result(), answer("a2"), user("u2"), answer("a3"))
    assert tokens(again) == (0,) * 5
    again = read(
        reader(),
        *(user(), call(), result(), answer("a2"), user("u2"), answer("a3"), meta(6, 351, 27)),
    )
    assert tokens(live) == tokens(again) == (351, 0, 0, 0, 27)
    known = {event.event_id for event in live}
    assert [event for event in again if event.event_id not in known] == []
    marks = [event.extra for event in again if event.event_type == "completion"]
    assert marks == [{"tokens_shared": True}, {"tokens_shared": True}, None]


def test_session_counts_only_what_a_compaction_added() -> None:
    """The session after a compaction goes on counting from the totals of the one before."""
    parent = Meta(session="p", prompt_tokens=1_000, completion_tokens=100)
    session = reader(parent_meta=lambda name: parent if name == "p" else None)
    events = read(session, user(injected=True), meta(1, 1_050, 110, parent_session_id="p"))
    assert events[0].extra == {"source": "compact", "compacted": True}
    events += read(session, user("u2"), answer("a2"), meta(3, 1_200, 120, parent_session_id="p"))
    assert tokens(events) == (200, 0, 0, 0, 20)


def test_session_of_a_fork_counts_from_zero() -> None:
    """Its first message is a copy, with the id of the original."""
    original = read(reader(), user(), answer(), meta(2, 100, 7))
    parent = Meta(session=SESSION, prompt_tokens=100, completion_tokens=7)
    fork = read(
        reader(parent_meta=lambda _: parent),
        *(user(), answer(), user("u2"), answer("a2")),
        meta(4, 120, 9, session_id="fork", parent_session_id=SESSION),
    )
    assert sum(tokens(once([*original, *fork]))) == 107 + 107


def test_session_results_say_how_a_tool_ended() -> None:
    """Tags mark failures and what the user cancelled."""
    session = reader(hash_input=hashed)
    events = read(session, user(), call(), result(), meta(3))
    (end,) = (each for each in events if each.event_type.startswith("tool"))
    assert end.input_hash == hashed({"command": CONTENT})
    assert (end.tool_name, end.status) == ("bash", "ok")
    failed = read(reader(), user(), call(), result(f"<tool_error>{CONTENT}</tool_error>"))
    assert kinds(failed)[-1] == "tool_error"
    stopped = read(reader(), user(), call(), result(f"<user_cancellation>{CONTENT}"))
    check(stopped)
    assert kinds(stopped)[-2:] == ["answered", "interrupt"]


def test_session_calls_without_a_result_are_still_running() -> None:
    """They are reported once no result has followed for a while."""
    session = reader()
    session.feed_sidecar("meta.json", meta(0))
    assert kinds(session.feed(line(user()))) == []
    session.on_quiet(NO_META_QUIET_S)
    assert session.feed(line(call())) == []
    assert kinds(session.on_quiet(NO_META_QUIET_S)) == ["tool_start"]
    assert kinds(session.feed(line(result()))) == ["tool_execute"]
    assert session.finish() == []


def test_session_questions_wait_for_the_user() -> None:
    """A tool asks, or the answer ends with a question."""
    asked = read(reader(), user(), call(name="ask_user_question"))
    assert asked[-1].extra == {"asks": "input"}
    assert read(reader(), user(), answer(content="Which one?"))[-1].extra == {"question": True}


def test_session_prompt_without_an_answer_has_ended() -> None:
    """Vibe writes the prompt with the answer, or alone when the turn failed or was cancelled."""
    session = reader()
    session.feed_sidecar("meta.json", meta(0))
    session.feed(line(user()))
    assert kinds(session.on_quiet(NO_META_QUIET_S))[-1] == "idle"
    assert kinds(session.feed(line(user("u2")))) == ["prompt"]
    assert kinds(session.feed(line(answer()))) == ["stop"]
    assert session.on_quiet(NO_META_QUIET_S) == []


def test_session_notes_of_vibe_are_no_prompts() -> None:
    """Vibe adds results of commands and warnings as messages of the user."""
    assert kinds(read(reader(), user(), answer(), user("n", injected=True)))[-1] == "stop"


def test_session_of_a_subagent_starts_its_parent() -> None:
    """The parent's file is written after that of its subagent."""
    session = VibeSession("explore_20260530_170000_caf6c66f", "explore", FOLDER, written)
    events = read(session, user(), answer(), meta(2, 50, 5, session_id="c", parent_session_id="p"))
    check(events)
    assert kinds(events)[:4] == ["session_start", "subagent_start", "session_info", "prompt"]
    assert [event.agent_id for event in events[:4]] == ["vibe-p", "vibe-p", "vibe-c", "vibe-c"]
    assert {event.session_id for event in events} == {"p"}
    assert events[1].extra == {"child_agent_id": "vibe-c", "agent_type": "explore"}


def test_session_keeps_only_titles_that_a_person_gave() -> None:
    """Vibe's own title is the start of the first prompt."""
    titled = read(reader(), user(), meta(1, title="Checkout", title_source="manual"))
    assert [event.title for event in titled if event.title is not None] == ["Checkout"]


values = hostile_values("user", "assistant", "tool", "manual", "2026-05-30T17:00:00Z")


@settings(max_examples=150)
@given(data=st.lists(values, min_size=6, max_size=6))
def test_session_accepts_hostile_values(data: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    key, role, content, calls, number, facts = data
    session = reader(hash_input=hashed)
    function = {"name": content, "arguments": content}
    steps = [
        {"role": role, "content": content, "message_id": key, "injected": number},
        user(key, content=content),
        answer(key, tool_calls=calls),
        answer(key, tool_calls=[{"id": key, "function": function}, {"function": number}]),
        {"role": "tool", "content": content, "tool_call_id": key, "name": number},
    ]
    record = json.loads(meta(4, 10, 1))
    metas = [
        {**record, "stats": facts, "config": facts, "environment": facts},
        {**record, "session_id": key, "parent_session_id": key, "title": content},
        {**record, "total_messages": number, "stats": dict.fromkeys(record["stats"], number)},
    ]
    for step, later in zip(steps, [*metas, *metas], strict=False):
        try:
            raw = line(step)
        except UnicodeEncodeError:
            continue
        check(session.feed(raw))
        check(session.feed_sidecar("meta.json", json.dumps(later).encode()))
    check(session.finish())


def test_time_of_lines_never_goes_back() -> None:
    """A file that was touched does not date later lines before earlier ones."""
    times = iter([START + timedelta(seconds=n) for n in (90, 50, 95)])
    session = VibeSession(FOLDER, modified=lambda: next(times, START))
    events = read(session, user(), answer())
    stamps = [event.timestamp or datetime.now(UTC) for event in events]
    assert stamps == sorted(stamps)
