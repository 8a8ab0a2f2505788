"""Turns: what each prompt led to, against a state machine that takes one event after the other."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from htmlgraph_nb import analysis
from htmlgraph_nb.core.agent_state import WORKED
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.reducer import NOT_FIRST_TYPES, is_error, is_from_agent, signals_of
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.event_frames import START, event_frame, event_rows, in_time
from tests.unit.analysis.test_totals import Rows, is_tool, roots_of, sessions_of

ENDS = {
    **dict.fromkeys(("stop", "idle"), "done"),
    **dict.fromkeys(("session_end", "process_exit", "offline"), "ended"),
    "error": "error",
    "interrupt": "interrupted",
}


@dataclass
class Turn:
    """A turn of the reference."""

    agent: str
    session: str | None
    prompted: bool
    start: float
    end: float
    outcome: str | None = None
    rows: list[int] = field(default_factory=list)


def leading_sessions(rows: Rows) -> list[str | None]:
    """Return the session of each row; those before an agent's first session belong to it."""
    found, order = sessions_of(rows), in_time(rows)
    firsts: dict[str, str] = {}
    for number in order:
        if found[number] is not None:
            firsts.setdefault(rows[number]["agent_id"], str(found[number]))
    return [found[n] or firsts.get(row["agent_id"]) for n, row in enumerate(rows)]


def outcome_of(row: dict[str, Any], children: set[str]) -> str:
    """Return how an event ends a turn."""
    outcome = ENDS[row["event_type"]]
    if outcome == "error" and "cannot_work" in (row["extra"] or ""):
        return "cannot_work"
    is_child_end = row["event_type"] == "session_end" and row["agent_id"] in children
    return "done" if is_child_end and row["source"] != "family" else outcome


def reference(rows: Rows) -> list[Turn]:
    """Return the turns of all agents, ordered by start."""
    sessions = leading_sessions(rows)
    children = {row["agent_id"] for row in rows if row["parent_agent_id"]}
    open_turns: dict[Any, Turn] = {}
    last_turns: dict[Any, Turn] = {}
    ended_at: dict[Any, float] = {}
    current: dict[str, Any] = {}
    last: dict[str, Any] = {}
    turns: list[Turn] = []
    for number in in_time(rows):
        row = rows[number]
        key = (row["agent_id"], sessions[number])
        at, kind, by_timer = row["at"], row["event_type"], row["source"] == "timer"
        spends = row["tokens"] > 0 or kind == "completion"
        works = spends or is_tool(row) or (WORKED in signals_of(kind) and not by_timer)
        prompt = kind == "prompt" and not by_timer
        ends = kind in ENDS and not by_timer
        sign = is_from_agent(Event(agent_id="a", event_type=kind, source=row["source"]))
        last[row["agent_id"]] = key[1]
        if sign and kind not in NOT_FIRST_TYPES:
            current[row["agent_id"]] = key[1]
        turn = open_turns.get(key)
        is_late = kind == "completion" and key in ended_at and at - ended_at[key] <= 1
        if turn is None and works and not prompt and is_late and key in last_turns:
            last_turns[key].rows.append(number)
            continue
        if prompt or (turn is None and works):
            if turn is not None:
                turn.outcome = "continued"
            turn = Turn(row["agent_id"], key[1], prompt, at, at)
            turns.append(turn)
            open_turns[key] = last_turns[key] = turn
        if prompt:
            ended_at.pop(key, None)
        if turn is not None:
            turn.rows.append(number)
            turn.end = at if sign else turn.end
        if ends:
            ended_at[key] = at
            if turn is not None:
                turn.outcome, turn.end = outcome_of(row, children), at
                del open_turns[key]
    for turn in turns:
        is_current = current.get(turn.agent, last[turn.agent]) == turn.session
        turn.outcome = turn.outcome or ("open" if is_current else "ended")
    return sorted(turns, key=lambda turn: turn.start)


def owners(rows: Rows, turns: list[Turn]) -> list[Turn]:
    """Return for each turn the one in which it began, of its topmost agent, else itself."""
    roots = roots_of(rows)
    found = []
    for turn in turns:
        root = roots[turn.agent]
        before = [one for one in turns if one.agent == root and one.start <= turn.start]
        found.append(before[-1] if root != turn.agent and before else turn)
    return found


def measures(rows: Rows, numbers: list[int]) -> tuple[int, int, int]:
    """Return the calls, failed calls and tokens of rows."""
    chosen = [rows[number] for number in numbers]
    calls = [row for row in chosen if is_tool(row)]
    failed = [
        row
        for row in calls
        if is_error(Event(agent_id="a", event_type=row["event_type"], status=row["status"]))
    ]
    tokens = sum(4 * row["tokens"] + 7 * ("output_tokens" in row) for row in chosen)
    return len(calls), len(failed), tokens


@settings(max_examples=60)
@given(event_rows())
def test_turns_equal_reference(rows: Rows) -> None:
    """Starts, ends, outcomes, calls, answers and tokens of each turn, apart and included."""
    frame, expected = event_frame(rows), reference(rows)
    table = analysis.turns(frame).astype({"agent_id": object, "session_id": object})
    seconds = (table["start"] - START).dt.total_seconds()
    ends = (table["end"] - START).dt.total_seconds()
    sessions = table["session_id"].where(table["session_id"].notna(), None)
    seen = [table["agent_id"], sessions, table["prompted"], seconds, ends, table["outcome"]]
    numbers = [table["tools"], table["tool_errors"], table["tokens"]]
    found = sorted(zip(*seen, *numbers, strict=True), key=str)
    wanted = sorted(
        (
            (
                *(turn.agent, turn.session, turn.prompted, turn.start, turn.end, turn.outcome),
                *measures(rows, turn.rows),
            )
            for turn in expected
        ),
        key=str,
    )
    assert found == wanted
    assert seconds.is_monotonic_increasing
    assert table["tokens"].sum() == analysis.token_costs(frame, by=())["total"].sum()
    assert table["tools"].sum() == analysis.tool_counts(frame, by=())["count"].sum()


@settings(max_examples=40)
@given(event_rows())
def test_turns_include_subagents(rows: Rows) -> None:
    """Work of a subagent counts to the turn of its topmost agent in which it began."""
    frame, expected = event_frame(rows), reference(rows)
    ambiguous = len({(turn.agent, turn.start) for turn in expected}) < len(expected)
    included: dict[int, list[int]] = {}
    helpers: dict[int, set[str]] = {}
    for turn, owner in zip(expected, owners(rows, expected), strict=True):
        included.setdefault(id(owner), []).extend(turn.rows)
        if turn is not owner:
            helpers.setdefault(id(owner), set()).add(turn.agent)
    table = analysis.turns(frame, subagents="include")
    assert len(table) == len(included)
    assert table["tokens"].sum() == analysis.token_costs(frame, by=())["total"].sum()
    if not ambiguous:
        values = zip(
            *(table["agent_id"], (table["start"] - START).dt.total_seconds(), table["subagents"]),
            *(table["tools"], table["tool_errors"], table["tokens"]),
            strict=True,
        )
        assert sorted(values) == sorted(
            (
                *(turn.agent, turn.start, len(helpers.get(id(turn), ()))),
                *measures(rows, included[id(turn)]),
            )
            for turn in expected
            if id(turn) in included
        )


def turns_of(*events: tuple[float, str], **fields: Any) -> pd.DataFrame:
    """Return the turns of one agent with these events: (seconds, type)."""
    rows = [{"agent_id": "a", "event_type": kind, "at": at, **fields} for at, kind in events]
    return analysis.turns(event_frame(rows))


def test_turns_queued_prompt_continues_turn() -> None:
    """A prompt before the end of a turn begins the next one; each prompt is a row."""
    table = turns_of((0, "prompt"), (5, "completion"), (9, "prompt"), (20, "stop"))
    assert table["outcome"].tolist() == ["continued", "done"]
    assert table["duration"].dt.total_seconds().tolist() == [5, 11]


def test_turns_work_without_prompt_is_a_turn() -> None:
    """An agent that works after its stop, or that only a schedule wakes, has turns, too."""
    table = turns_of((0, "prompt"), (5, "stop"), (900, "activity"), (960, "stop"))
    assert table["prompted"].tolist() == [True, False]
    assert table["outcome"].tolist() == ["done", "done"]
    assert turns_of((0, "session_start"), (5, "session_info"), (6, "stop")).empty


def test_turns_late_answer_counts_to_ended_turn() -> None:
    """Telemetry dates an answer after the stop: up to a second it belongs to the turn."""
    table = turns_of((0, "prompt"), (5, "stop"), (5.9, "completion"), input_tokens=10)
    assert table["answers"].tolist() == [3]
    assert table["end"].tolist() == [START + pd.Timedelta("5s")]
    assert len(turns_of((0, "prompt"), (5, "stop"), (6.1, "completion"), input_tokens=10)) == 2


def test_turns_compaction_does_not_end_a_turn() -> None:
    """Neither does the session_start that follows it."""
    table = turns_of((0, "prompt"), (5, "activity"), (6, "session_start"), (9, "stop"))
    assert table["outcome"].tolist() == ["done"]


def test_turns_end_with_their_session() -> None:
    """Another session of the agent ends the turn; work in it is another turn."""
    rows = [
        {"event_type": "prompt", "session_id": "s1", "at": 0},
        {"event_type": "completion", "at": 5, "context_tokens": 70},
        {"event_type": "completion", "session_id": "s2", "at": 50, "context_tokens": 90},
    ]
    table = analysis.turns(event_frame([{"agent_id": "a", **row} for row in rows]))
    assert table["session_id"].tolist() == ["s1", "s2"]
    assert table["outcome"].tolist() == ["ended", "open"]
    assert table["context_tokens"].tolist() == [70, 90]
    assert (table["first_answer"] - START).dt.total_seconds().tolist() == [5, 50]


def test_turns_notice_at_prompt_ends_a_turn() -> None:
    """A notification that the agent waits at its prompt ends a turn, another does not."""
    waits = turns_of(
        (0, "prompt"), (9, "notification"), extra='{"notification_type": "idle_prompt"}'
    )
    assert waits["outcome"].tolist() == ["done"]
    other = turns_of((0, "prompt"), (9, "notification"), extra='{"notification_type": "x"}')
    assert other["outcome"].tolist() == ["open"]


def test_turns_cannot_work_is_an_outcome() -> None:
    """An error with the reason why the agent cannot work is apart from other errors."""
    extra = json.dumps({"cannot_work": "usage_limited"})
    assert turns_of((0, "prompt"), (9, "error"), extra=extra)["outcome"].tolist() == ["cannot_work"]
    assert turns_of((0, "prompt"), (9, "error"))["outcome"].tolist() == ["error"]


def test_turns_of_subagent_end_with_its_session() -> None:
    """A subagent that ends is done; one whose parent ended first is not."""
    for source, outcome in (("claude-hook", "done"), ("family", "ended")):
        table = turns_of((0, "prompt"), (5, "session_end"), parent_agent_id="p", source=source)
        assert table["outcome"].tolist() == [outcome]


def test_turns_labels_are_last_of_turn() -> None:
    """``labels`` names the columns of which each turn shows the last known value."""
    rows = [
        {"agent_id": "a", "event_type": "prompt", "at": 0, "model": "m1", "title": "t1"},
        {"agent_id": "a", "event_type": "stop", "at": 1, "model": "m2"},
    ]
    table = analysis.turns(event_frame(rows), labels=("model", "title"))
    assert table[["model", "title"]].values.tolist() == [["m2", "t1"]]
    assert "project" not in table
    with pytest.raises(InvalidEvent, match="labels: outcome is a column of the result already"):
        analysis.turns(event_frame(rows).assign(outcome="x"), labels="outcome")


@pytest.mark.parametrize("kind", ["csv", "few", "empty"])
def test_turns_take_frames_with_other_columns(kind: str) -> None:
    """Frames of CSV, of the three columns that are needed, and without rows."""
    rows = [
        {"agent_id": "a", "event_type": "prompt", "at": 0, "session_id": "s"},
        {"agent_id": "a", "event_type": "tool_execute", "at": 3, "tool_name": "Bash"},
        {"agent_id": "a", "event_type": "error", "at": 9, "extra": '{"cannot_work": "x"}'},
    ]
    frame = event_frame(rows)
    if kind == "csv":
        frame = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    elif kind == "few":
        frame = frame[["agent_id", "timestamp", "event_type"]]
    else:
        frame = frame.head(0)
    table = analysis.turns(frame)
    assert table.columns.tolist() == analysis.turns(event_frame(rows)).columns.tolist()
    if kind == "empty":
        assert table.empty
        assert table["start"].dtype == "datetime64[us, UTC]"
    else:
        outcome = "cannot_work" if kind == "csv" else "error"
        assert table["outcome"].tolist() == [outcome]
        assert table["tools"].tolist() == [1]
        assert table["duration"].tolist() == [pd.Timedelta("9s")]
