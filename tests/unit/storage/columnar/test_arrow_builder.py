"""ArrowBuilder returns each event once, sorted by time, with all its values."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.ids import call_key
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.columnar.arrow_builder import ArrowBuilder
from htmlgraph_nb.storage.columnar.arrow_schema import HISTORY_SCHEMA
from tests.helpers.claude_lines import CALL

START = datetime(2026, 5, 30, tzinfo=UTC)


def rows(*events: Event) -> list[dict[str, Any]]:
    """Return the rows of a table of these events."""
    table = ArrowBuilder()
    table.extend(events)
    made = table.to_arrow()
    assert made.schema == HISTORY_SCHEMA
    table_rows: list[dict[str, Any]] = made.to_pylist()
    return table_rows


def completion(key: str | None, output: int, second: int = 0, **fields: Any) -> Event:
    """Return a completion."""
    common = {"agent_id": "a", "event_type": "completion", "event_id": key}
    at = START + timedelta(seconds=second)
    return Event(**{**common, "output_tokens": output, "timestamp": at, **fields})


def test_to_arrow_has_every_field() -> None:
    """All fields of an event are kept; missing ones are null."""
    event = Event(
        agent_id="a",
        event_type="tool_execute",
        timestamp=START,
        event_id="e",
        session_id="s",
        tool_name="Bash",
        tool_use_id="t",
        feature_id="f",
        model="m",
        status="ok",
        input_tokens=0,
        cache_read_tokens=1,
        cache_write_5m_tokens=2,
        cache_write_1h_tokens=3,
        output_tokens=4,
        cost_tokens=5,
        cost_usd=0.5,
        duration_ms=6,
        parent_agent_id="p",
        project="shop",
        host="h",
        source="x",
        extra={"ä": [1]},
        title="Fix it",
        branch="main",
        cwd="/work",
        worktree="w",
        agent_kind="claude",
        user="u",
        pr="#1",
        context_tokens=7,
        context_window=8,
        context_source="table",
        speed="fast",
        service_tier="flex",
        inference_geo="us",
        web_searches=9,
        input_hash=2**53 - 1,
    )
    assert all(getattr(event, field.name) is not None for field in fields(Event))
    full, bare = rows(event, Event(agent_id="b", timestamp=START))
    values = {**event.to_dict(), "timestamp": START, "seq": 1, "extra": '{"ä":[1]}'}
    values["root_agent_id"] = "p"
    expected = {**dict.fromkeys(HISTORY_SCHEMA.names), **values}
    assert full == expected
    values = {"agent_id": "b", "event_type": "activity", "timestamp": START, "seq": 2}
    values["root_agent_id"] = "b"
    assert bare == {**dict.fromkeys(HISTORY_SCHEMA.names), **values}


def test_to_arrow_finds_root_of_subagents() -> None:
    """All rows of an agent have its root, also those before a row that names its parent."""
    found = rows(
        completion("1", 1, 1, agent_id="grandchild"),
        completion("2", 1, 2, agent_id="grandchild", parent_agent_id="child"),
        completion("3", 1, 3, agent_id="child", parent_agent_id="main"),
        completion("4", 1, 4, agent_id="loop", parent_agent_id="loop"),
        completion("5", 1, 5, agent_id="main"),
    )
    roots = [row["root_agent_id"] for row in found]
    assert roots == ["main", "main", "main", "loop", "main"]


def test_to_arrow_without_events() -> None:
    """An empty table has all columns."""
    assert rows() == []


def test_to_arrow_sorts_by_time() -> None:
    """Events with equal timestamps keep their order of arrival."""
    table_rows = rows(completion("late", 1, 9), completion("b", 1, 3), completion("a", 1, 3))
    assert [row["event_id"] for row in table_rows] == ["b", "a", "late"]
    assert [row["seq"] for row in table_rows] == [1, 2, 3]


def test_extend_ignores_events_without_timestamp() -> None:
    """An event without a timestamp is not part of history."""
    assert rows(Event(agent_id="a")) == []


def test_extend_final_completion_replaces_row() -> None:
    """The completion with the most output tokens replaces all values of the row."""
    table_rows = rows(
        completion("m", 3, 1, model="x", extra={"n": 1}), completion("m", 9, 2, input_tokens=4)
    )
    assert [(row["output_tokens"], row["input_tokens"], row["model"]) for row in table_rows] == [
        (9, 4, None)
    ]
    assert table_rows[0]["extra"] is None


def test_extend_prefers_completion_of_parent() -> None:
    """A copy in the file of a subagent never replaces the completion of the parent."""
    own, copy = completion("m", 3), completion("m", 9, parent_agent_id="p")
    assert [row["output_tokens"] for row in rows(own, copy)] == [3]
    assert [row["output_tokens"] for row in rows(copy, own)] == [3]


def test_extend_keeps_first_event_of_id() -> None:
    """Of other events with one id the first counts; events without an id all count."""
    first = Event(agent_id="a", event_id="e", timestamp=START, tool_name="x")
    again = Event(agent_id="a", event_id="e", timestamp=START, tool_name="y")
    assert [row["tool_name"] for row in rows(first, again)] == ["x"]
    nameless = Event(agent_id="a", timestamp=START)
    assert len(rows(nameless, nameless)) == 2


def test_extend_finds_copies_of_answers_with_repeated_ids() -> None:
    """A copy has the time and input of the original, or the id of its line."""

    def answer(key: str, **fields: Any) -> Event:
        return completion(f"claude:relay@{key}", 1, **{"input_tokens": 10, **fields})

    first, second = answer("1000:aaaa"), answer("2000:bbbb")
    copies = [answer("1000:cccc"), answer("3000:bbbb"), answer("1000:dddd:iteration:0")]
    others = [answer("1000:eeee", input_tokens=11), answer("4000:")]
    assert len(rows(first, second, *copies[:2])) == 2
    assert len(rows(first, second, *copies, *others)) == 5


def test_extend_counts_call_of_forked_session_once() -> None:
    """A forked Claude session repeats the calls of its parent under its own id."""
    calls = [
        Event(
            agent_id=f"claude-{session}",
            session_id=session,
            event_type="tool_execute",
            tool_use_id=CALL,
            event_id=call_key(session, CALL, "PostToolUse"),
            timestamp=START,
        )
        for session in ("one", "two")
    ]
    assert [row["agent_id"] for row in rows(*calls)] == ["claude-one"]


DRAWN = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12)


@given(DRAWN, st.randoms(use_true_random=False))
def test_extend_totals_do_not_depend_on_order(drawn: list[tuple[int, int]], random: Any) -> None:
    """In any order each completion counts once, with its largest output."""
    events = [completion(f"m{key}", output) for key, output in drawn]
    random.shuffle(events)
    expected = {key: max(out for other, out in drawn if other == key) for key, _ in drawn}
    assert sum(row["output_tokens"] for row in rows(*events)) == sum(expected.values())


@given(st.text(max_size=20).filter(lambda text: "\0" not in text))
def test_to_arrow_stores_extra_as_json(text: str) -> None:
    """The extra of an event is a JSON string."""
    text = text.encode("utf-8", "replace").decode()
    (row,) = rows(Event(agent_id="a", timestamp=START, extra={"text": text}))
    assert json.loads(row["extra"]) == {"text": text}
