"""The timeline gives the verdicts that the Roster draws from the same events."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.analysis.intervals import timeline
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.reducer import KNOWN_TYPES
from htmlgraph_nb.core.roster import Limits, Roster
from tests.helpers.strategies import T0

MICROSECOND = timedelta(microseconds=1)
LIMITS = Limits(idle_timeout_s=300, offline_timeout_s=1800, forget_after_s=7200)


def frame_of(events: list[Event]) -> pd.DataFrame:
    """Return events as a frame, in the order of their arrival."""
    return pd.DataFrame(
        {
            "seq": range(1, len(events) + 1),
            "timestamp": pd.to_datetime([event.timestamp for event in events], utc=True),
            **{
                name: [getattr(event, name) for event in events]
                for name in (
                    "agent_id",
                    "event_type",
                    "session_id",
                    "tool_name",
                    "tool_use_id",
                    "source",
                    "extra",
                )
            },
        }
    )


def status_of(presence: AgentPresence | None) -> str:
    """Return the word of the timeline for a presence; None: forgotten."""
    if presence is None:
        return "offline"
    return "waiting" if presence.attention else str(presence.status)


def let_pass(roster: Roster, agent_id: str, until: datetime) -> None:
    """Apply what the clock makes due before ``until``, at the very moment at which it is due."""
    while (state := roster.get(agent_id)) is not None:
        limits = roster.limits
        timers = (limits.idle_timeout_s, limits.offline_timeout_s, limits.forget_after_s)
        edges = [state.presence.last_activity + timedelta(seconds=s) for s in timers if s]
        due = [
            (edge, event)
            for edge in sorted(edges)
            if edge < until
            for event in roster.expired_timers(edge)
            if event.agent_id == agent_id
        ]
        if not due:
            return
        edge, event = due[0]
        roster.apply(event, 0, edge)
        roster.commit()


def expected(events: list[Event], limits: Limits, end: datetime) -> list[tuple[str, datetime, str]]:
    """Return (agent, moment, status) by the Roster: after each event, and just before the next."""
    found = []
    for agent_id in sorted({event.agent_id for event in events}):
        roster = Roster(limits)
        own = [event for event in events if event.agent_id == agent_id]
        for number, event in enumerate(own):
            assert event.timestamp is not None
            roster.apply(event, number + 1, event.timestamp)
            roster.commit()
            until = own[number + 1].timestamp if number + 1 < len(own) else end
            assert until is not None
            if until == event.timestamp and number + 1 < len(own):
                continue
            for moment in (event.timestamp, until - MICROSECOND):
                if moment < event.timestamp:
                    continue
                let_pass(roster, agent_id, moment + MICROSECOND)
                state = roster.get(agent_id)
                found.append((agent_id, moment, status_of(state and state.presence)))
            let_pass(roster, agent_id, until)
    return found


def seen(intervals: pd.DataFrame, agent_id: str, moment: datetime) -> str:
    """Return the status of an agent at a moment by the timeline."""
    own = intervals[intervals["agent_id"] == agent_id]
    return str(own[own["start"] <= moment]["status"].iloc[-1])


kinds = st.sampled_from(sorted(KNOWN_TYPES | {"activity"}))
extras: st.SearchStrategy[dict[str, Any] | None] = st.sampled_from(
    [
        None,
        {"notification_type": "permission_prompt"},
        {"notification_type": "idle_prompt"},
        {"notification_type": "agent_needs_input"},
        {"background_tasks": 2},
        {"asks": "plan"},
        {"asks": "input"},
        {"question": True},
        {"task_id": "b1"},
        {"background_tasks": 0},
        {"child_agent_id": "child-1"},
        {"child_agent_id": "child-2"},
    ]
)
steps = st.tuples(
    st.sampled_from(["a", "b"]),
    kinds,
    st.sampled_from([1, 1, 1, 20, 299, 301, 1801, 9000]),
    st.sampled_from([None, None, "s-1", "s-2"]),
    st.sampled_from([None, "Bash", "Read", "tool"]),
    st.sampled_from([None, "call-1", "call-2", "Bash"]),
    extras,
)


@settings(max_examples=150)
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
def test_the_verdicts_are_those_of_the_roster(
    drawn: list[tuple[Any, ...]], limits: Limits, more: int
) -> None:
    """After every event and just before the next, both call every agent the same."""
    now = T0
    events = []
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
    end = now + timedelta(seconds=more)
    events.append(Event(agent_id="z", timestamp=end))
    intervals = timeline(frame_of(events), limits)
    for agent_id, moment, status in expected(events[:-1], limits, end):
        assert seen(intervals, agent_id, moment) == status, (agent_id, moment - T0, limits, drawn)
