"""The timeline shows what the server decided, and decides what no server did by the same rules."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from htmlgraph_nb.analysis import status_intervals as status_intervals_module
from htmlgraph_nb.analysis.columns import encode_column, timestamp_micros
from htmlgraph_nb.analysis.decisions import silent_families
from htmlgraph_nb.analysis.intervals import concurrency, timeline, waiting_time
from htmlgraph_nb.analysis.overview import summary
from htmlgraph_nb.analysis.status_intervals import (
    StatusDecisions,
    StatusIntervals,
    status_decisions,
    status_intervals,
)
from htmlgraph_nb.analysis.totals import agents, features, sessions
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.reducer import KNOWN_TYPES
from htmlgraph_nb.core.roster import Limits, Roster
from tests.helpers.strategies import STATUS_EXTRAS, T0, at
from tests.helpers.ticked_roster import TickedRoster

MICROSECOND = timedelta(microseconds=1)
LIMITS = Limits(idle_timeout_s=300, offline_timeout_s=1800, forget_after_s=7200)
_NAMES = "agent_id event_type session_id tool_name tool_use_id parent_agent_id source extra".split()


def frame_of(events: list[Event]) -> pd.DataFrame:
    """Return events as a frame without decisions, in the order of their arrival."""
    return pd.DataFrame(
        {
            "seq": range(1, len(events) + 1),
            "timestamp": pd.to_datetime([event.timestamp for event in events], utc=True),
            **{name: [getattr(event, name) for event in events] for name in _NAMES},
        }
    )


def expected(events: list[Event], limits: Limits, end: datetime) -> list[tuple[str, datetime, str]]:
    """Return (agent, moment, status) by the Roster: after each event, and just before the next."""
    ticked, found = TickedRoster(limits), []
    agents: set[str] = set()
    for number, event in enumerate(events):
        assert event.timestamp is not None
        ticked.take(event)
        agents.add(event.agent_id)
        until = events[number + 1].timestamp if number + 1 < len(events) else end
        assert until is not None
        if until == event.timestamp:
            continue
        ticked.pass_time(event.timestamp + MICROSECOND)
        found += [(name, event.timestamp, ticked.status(name)) for name in sorted(agents)]
        ticked.pass_time(until)
        found += [(name, until - MICROSECOND, ticked.status(name)) for name in sorted(agents)]
    return found


def seen(intervals: pd.DataFrame, agent_id: str, moment: datetime) -> str:
    """Return the status of an agent at a moment by the timeline."""
    own = intervals[intervals["agent_id"] == agent_id]
    return str(own[own["start"] <= moment]["status"].iloc[-1])


kinds = st.sampled_from(sorted(KNOWN_TYPES | {"activity"}))
steps = st.tuples(
    st.sampled_from(["a", "b"]),
    kinds,
    st.sampled_from([1, 1, 1, 20, 299, 301, 1801, 9000]),
    st.sampled_from([None, None, "s-1", "s-2"]),
    st.sampled_from([None, "Bash", "Read", "tool"]),
    st.sampled_from([None, "call-1", "call-2", "Bash"]),
    st.sampled_from(STATUS_EXTRAS),
)


def events_of(drawn: list[tuple[Any, ...]]) -> list[Event]:
    """Return drawn steps as events, one after the other."""
    now, events = T0, []
    for agent_id, kind, pause, session_id, tool_name, tool_use_id, extra in drawn:
        now += timedelta(seconds=pause)
        events.append(
            Event(
                agent_id=agent_id,
                event_type=kind,
                timestamp=now,
                session_id=session_id,
                tool_name=tool_name,
                tool_use_id=tool_use_id,
                extra=extra,
            )
        )
    return events


_OPEN = (None, None, None, None)


@settings(max_examples=60)
@given(
    st.lists(steps, min_size=1, max_size=25),
    st.sampled_from(
        [
            LIMITS,
            Limits(idle_timeout_s=0, offline_timeout_s=1800, forget_after_s=7200),
            Limits(idle_timeout_s=300, offline_timeout_s=0, forget_after_s=0),
            Limits(idle_timeout_s=1800, offline_timeout_s=300, forget_after_s=7200),
        ]
    ),
    st.integers(1, 10_000),
)
@example(
    [
        ("a", "session_start", 1, *_OPEN),
        ("a", "notification", 1801, *_OPEN),
        ("a", "notification", 301, *_OPEN),
    ],
    LIMITS,
    1,
)
def test_timeline_equals_ticked_roster(
    drawn: list[tuple[Any, ...]], limits: Limits, more: int
) -> None:
    """After every event and just before the next, both give every agent the same status."""
    events = events_of(drawn)
    end = events[-1].timestamp + timedelta(seconds=more)
    intervals = timeline(frame_of([*events, Event(agent_id="z", timestamp=end)]), limits)
    for agent_id, moment, status in expected(events, limits, end):
        assert seen(intervals, agent_id, moment) == status, (agent_id, moment - T0, limits, drawn)


def lost_subagent_stop() -> list[Event]:
    """A parent whose subagent ends its turn, and nobody reports that to the parent."""
    child = {"parent_agent_id": "parent", "session_id": "s"}
    return [
        Event(agent_id="parent", event_type="prompt", timestamp=at(0), session_id="s"),
        Event(
            agent_id="parent",
            event_type="subagent_start",
            timestamp=at(10),
            session_id="s",
            extra={"child_agent_id": "child"},
        ),
        Event(agent_id="child", event_type="prompt", timestamp=at(11), **child),
        Event(agent_id="child", event_type="stop", timestamp=at(100), **child),
        Event(agent_id="parent", event_type="stop", timestamp=at(110), session_id="s"),
        Event(agent_id="parent", event_type="prompt", timestamp=at(36_000), session_id="s"),
    ]


def active_s(intervals: pd.DataFrame, agent_id: str) -> float:
    """Return how long an agent was active, in seconds."""
    own = intervals[(intervals["agent_id"] == agent_id) & (intervals["status"] == "active")]
    return float(own["duration"].sum().total_seconds())


def test_timeline_ends_lost_subagent_where_it_rests() -> None:
    """A lost subagent_stop does not keep the parent active: its subagent's own end counts."""
    intervals = timeline(frame_of(lost_subagent_stop()))
    assert active_s(intervals, "child") == 89
    assert active_s(intervals, "parent") == 110
    assert active_s(timeline(frame_of(lost_subagent_stop()), LIMITS), "parent") == 110


@pytest.mark.parametrize("source", ["list", "csv", "numpy"])
def test_status_functions_end_lost_subagent_where_it_rests(source: str) -> None:
    """All functions that show statuses apply the rules for subagents to undecided events."""
    frame = frame_of(lost_subagent_stop())
    if source == "csv":
        frame["extra"] = frame["extra"].map(lambda extra: extra and json.dumps(extra))
        text = io.StringIO(frame.drop(columns=["seq", "source"]).to_csv(index=False))
        frame = pd.read_csv(text)
    elif source == "numpy":
        frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
        frame[["agent_status", "agent_attention"]] = None
    active = pd.Timedelta(seconds=110)
    assert agents(frame).set_index("agent_id")["active"]["parent"] == active
    by_session = sessions(frame).set_index("agent_id")["active"]
    assert by_session["parent"] == active
    both = active + pd.Timedelta(seconds=89)
    assert summary(frame)["active"].sum() == both
    assert features(frame.assign(feature_id="f"))["active"].sum() == both
    assert concurrency(frame, "1h")["active"].sum() * 3600 == pytest.approx(199)


def test_waiting_now_is_false_after_answer() -> None:
    """A wait that ends with the newest event of the frame is over."""
    events = [
        Event(agent_id="a", event_type="permission_request", tool_name="Bash", timestamp=at(0)),
        Event(agent_id="a", event_type="tool_execute", tool_name="Bash", timestamp=at(60)),
    ]
    assert waiting_time(frame_of(events))["waiting_now"].tolist() == [False]
    assert waiting_time(frame_of(events[:1]))["waiting_now"].tolist() == [True]


def stored_frame(events: list[Event]) -> pd.DataFrame:
    """Return events as a frame with the decisions of a Roster, in the order of their arrival."""
    roster = Roster(LIMITS)
    decisions = [roster.apply(event, 1, event.timestamp or T0).decision for event in events]
    return frame_of(events).assign(
        agent_status=[decision.status.value for decision in decisions],
        agent_detail=[decision.detail for decision in decisions],
        agent_attention=[decision.attention for decision in decisions],
    )


@settings(max_examples=60)
@given(
    st.lists(st.tuples(steps, st.sampled_from([0, 0, 0, 400, 5_000])), min_size=1, max_size=30),
    st.sampled_from([1, 7, 1_000]),
    st.booleans(),
)
def test_status_intervals_equal_decisions_of_each_row(
    drawn: list[tuple[tuple[Any, ...], int]], part_rows: int, shuffle: bool
) -> None:
    """Also with late events and sessions, and if only a few agents are computed at a time."""
    events = [
        replace(event, timestamp=event.timestamp and event.timestamp - timedelta(seconds=late))
        for event, (_, late) in zip(events_of([step for step, _ in drawn]), drawn, strict=True)
    ]
    df = stored_frame(events)
    df = df.sample(frac=1, random_state=1) if shuffle else df
    decided = status_decisions(df)
    groups = encode_column(df, "session_id").codes.astype("int64")
    until = int(timestamp_micros(df).max())
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(status_intervals_module, "PART_ROWS", part_rows)
        for ids in (None, groups):
            found = status_intervals(df, groups=ids)
            assert durations(found, ids) == expected_durations(decided, until, ids)


def durations(found: StatusIntervals, groups: Any) -> list[tuple[int, int, int, int, int]]:
    """Return agent, group, status, start and end of each interval, by agent and time."""
    ids = [0] * len(found.rows) if groups is None else groups[found.rows].tolist()
    columns = (part.tolist() for part in (found.agents, found.status, found.start, found.end))
    agents, status, start, end = columns
    return sorted(zip(agents, ids, status, start, end, strict=True), key=lambda i: (i[0], i[3:]))


def expected_durations(
    decided: StatusDecisions, until: int, groups: Any
) -> list[tuple[int, int, int, int, int]]:
    """Return the same by a loop over all decisions."""
    events = decided.events
    rows = decided.rows.tolist()
    found: list[list[int]] = []
    for index, row in enumerate(rows):
        start = int(decided.at[index])
        following = rows[index + 1] if index + 1 < len(rows) else None
        is_last = following is None or events.agents[following] != events.agents[row]
        end = until if is_last or decided.at[index + 1] > until else int(decided.at[index + 1])
        is_last = is_last or decided.at[index + 1] > until
        if start > until or (end <= start and not is_last):
            continue
        group = 0 if groups is None else int(groups[events.rows[row]])
        key = [int(events.agents[row]), group, int(decided.statuses[index])]
        if found and found[-1][:3] == key:
            found[-1][4] = end
        else:
            found.append([*key, start, end])
    return sorted(((a, b, c, d, e) for a, b, c, d, e in found), key=lambda i: (i[0], i[3:]))


@pytest.mark.parametrize(
    ("details", "silent"),
    [
        # After the last row of the child, no member of the family reports for an hour.
        (("background", "working"), True),
        (("background", "done"), True),
        (("background", "tool"), False),
        (("background", "waiting_permission"), False),
        (("working", "working"), False),
    ],
)
def test_silent_families_are_those_that_wait_for_silent_subagents(
    details: tuple[str, str], silent: bool
) -> None:
    """An open call of a subagent is work, however long it takes; other agents do not matter."""
    parent, child = details
    rows = [
        ("parent", None, 0, "working"),
        ("other", None, 5, "background"),
        ("parent", None, 10, parent),
        ("child", "parent", 20, child),
        ("other", None, 3_000, "working"),
        ("parent", None, 3_600, "done"),
    ]
    frame = frame_of(
        [
            Event(agent_id=agent, parent_agent_id=above, timestamp=at(seconds), session_id="s")
            for agent, above, seconds, _ in rows
        ]
    )
    frame["agent_detail"] = [detail for *_, detail in rows]
    frame["agent_status"] = ["idle" if row[3] == "done" else "active" for row in rows]
    mask = silent_families(frame, Limits())
    assert [*mask] == [silent and agent != "other" for agent, *_ in rows]
    assert not silent_families(frame, Limits(idle_timeout_s=0)).any()
    assert not silent_families(frame, Limits(idle_timeout_s=3_600)).any()
    assert not silent_families(frame.drop(columns="extra"), Limits()).any()
    assert not silent_families(frame.head(0), Limits()).any()
