"""The index shows at any time what was decided up to then."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from htmlgraph_nb.analysis.decisions import silent_families, stored_limits
from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.reducer import KNOWN_TYPES
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.core.validation import MAX_INTEGER
from htmlgraph_nb.replay.index import HistoryIndex
from tests.helpers.strategies import STATUS_EXTRAS, T0
from tests.helpers.ticked_roster import TickedRoster

LIMITS = Limits()
_COLUMNS = (
    "agent_id event_type session_id tool_name tool_use_id feature_id model status input_tokens "
    "cost_tokens cost_usd parent_agent_id project host source"
).split()


def frame_of(events: list[Event]) -> pd.DataFrame:
    """Return a history frame of events in this order, as ``load_history`` has them."""
    rows = [{name: getattr(event, name) for name in _COLUMNS} for event in events]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    frame["timestamp"] = pd.to_datetime([event.timestamp for event in events], utc=True)
    frame["extra"] = [None if one.extra is None else encode_json(one.extra) for one in events]
    frame["seq"] = np.arange(1, len(events) + 1)
    frame["cost_tokens"] = frame["cost_tokens"].astype("Int64")
    frame["input_tokens"] = frame["input_tokens"].astype("Int64")
    return frame.astype({"agent_id": "category", "event_type": "category", "cost_usd": "float64"})


def decided(events: list[Event]) -> tuple[pd.DataFrame, list[AgentState | None]]:
    """Return events as a server stores them, in the order of arrival, and the state after each."""
    roster, states, decisions = Roster(LIMITS), [], []
    for seq, event in enumerate(events, 1):
        change = roster.apply(event, seq, event.timestamp)
        roster.commit()
        states.append(change.state)
        decisions.append(change.decision)
    frame = frame_of(events).assign(
        agent_status=pd.Categorical([one.status.value for one in decisions]),
        agent_detail=[one.detail for one in decisions],
        agent_reason=[one.reason for one in decisions],
        agent_attention=pd.array([one.attention for one in decisions], dtype="boolean"),
    )
    return frame, states


DECIDED_TYPES = KNOWN_TYPES - {"host_seen", "host_lost"}
"""Without the events of hosts, which are always stored with their decision."""
_events = st.fixed_dictionaries(
    {
        "agent_id": st.sampled_from(["a", "a", "a", "b"]),
        "event_type": st.sampled_from([*sorted(DECIDED_TYPES), "activity", "tool_start", "stop"]),
        "session_id": st.sampled_from([None, "s1", "s1", "s1", "s2"]),
        "tool_name": st.sampled_from([None, "Bash", "Edit", "tool", "t1"]),
        "tool_use_id": st.sampled_from([None, "t1", "t2", "Bash"]),
        "feature_id": st.sampled_from([None, "f1", "f2"]),
        "model": st.sampled_from([None, "m1", "m2"]),
        "project": st.sampled_from([None, None, "p"]),
        "parent_agent_id": st.sampled_from([None, None, "b"]),
        "status": st.sampled_from([None, "ok", "error"]),
        "extra": st.sampled_from([None, *STATUS_EXTRAS]),
        "input_tokens": st.sampled_from([None, 7, 1000]),
        "cost_tokens": st.sampled_from([None, None, 11, MAX_INTEGER]),
        "cost_usd": st.sampled_from([None, 0.1, 0.2, 1.7]),
        "step": st.sampled_from([0, 0, 1, 60, 299, 300, 301, 1500, 1800, 40_000, 90_000]),
        "by_clock": st.sampled_from([False, False, True]),
    }
)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 40) -> list[Event]:
    """Draw events of two agents in the order of their arrival, some of them late."""
    moment, found = T0, []
    for row in draw(st.lists(_events, min_size=1, max_size=max_size)):
        moment += timedelta(seconds=row.pop("step"))
        by_clock = row.pop("by_clock")
        event = Event(timestamp=moment, **row)
        if by_clock and event.event_type in ("idle", "offline", "forget"):
            event = Event(
                agent_id=event.agent_id,
                event_type=event.event_type,
                timestamp=moment,
                source="timer",
            )
        found.append(event)
    swaps = draw(st.lists(st.integers(0, len(found) - 1), max_size=3))
    for place in swaps:
        found.append(found.pop(place))
    return found


def moments_of(events: list[Event]) -> list[datetime]:
    """Return the times just before, at and some time after each event."""
    found = {
        event.timestamp + timedelta(seconds=seconds)
        for event in events
        for seconds in (-0.000001, 0, 299.5, 300, 1800, 86_400)
    }
    return sorted(found)


@settings(max_examples=60)
@given(events=histories())
def test_index_shows_stored_decisions(events: list[Event]) -> None:
    """At every event and between them, late events and timers of the server included."""
    frame, states = decided(events)
    # Those families are decided again, by the times of their events.
    assume(not silent_families(frame, stored_limits(frame)).any())
    # After a retry, the stored decision does not say what else is open.
    assume(not any(state and hides_open_work(state) for state in states))
    index = HistoryIndex(frame)
    for when in moments_of(events):
        found = index.presences(index.at(to_micros(when)))
        expected = {}
        for agent_id in {event.agent_id for event in events}:
            own = [row for row, event in enumerate(events) if event.agent_id == agent_id]
            times = list(accumulate((events[row].timestamp for row in own), max))
            n_rows = bisect_right(times, when)
            state = states[own[n_rows - 1]] if n_rows else None
            if state is None:
                continue
            if state.last_signal_at is None:
                found.pop(agent_id, None)
                continue
            # The timer of open work is not inferred: a server that ran has stored its event.
            ticked = TickedRoster(replace(LIMITS, open_work_timeout_s=0.0), state)
            ticked.pass_time(when + timedelta(microseconds=1))
            if presence := ticked.presence(agent_id):
                expected[agent_id] = replace(replayed(presence), since=None)
        found = {name: replace(replayed(one), since=None) for name, one in found.items()}
        assert found == expected, when


def hides_open_work(state: AgentState) -> bool:
    """Return whether an agent that retries stays active when the retry is over."""
    if state.presence.detail != "retrying":
        return False
    ticked = TickedRoster(LIMITS, state)
    ticked.pass_time(state.presence.last_activity + timedelta(seconds=301))
    return ticked.status(state.agent_id) != "idle"


def replayed(presence: AgentPresence) -> AgentPresence:
    """Return the presence without the fields that only a server knows."""
    return replace(
        presence,
        context_source=None,
        compacted_at=None,
        detail_since=None,
        detail_until=None,
        unseen=False,
        alive=False,
    )


def test_index_counts_activity_from_first_sign() -> None:
    """A first event that is no activity, and later than the agent's own, does not count."""
    kinds = (("session_info", 120), ("tool_execute", 60))
    events = [
        Event(agent_id="a", event_type=kind, session_id="s1", timestamp=T0 + timedelta(seconds=s))
        for kind, s in kinds
    ]
    frame, states = decided(events)
    index = HistoryIndex(frame)
    found = index.presences(index.at(to_micros(T0 + timedelta(seconds=130))))
    assert states[-1] is not None
    assert found["a"].last_activity == states[-1].presence.last_activity == events[1].timestamp


def test_index_keeps_context_and_title_within_a_session() -> None:
    """Both last until the next session, in which nothing of the previous one is left."""
    events = [
        Event(agent_id="a", event_type=kind, timestamp=T0 + timedelta(seconds=n), **fields)
        for n, (kind, fields) in enumerate(
            (
                ("completion", {"session_id": "s1", "title": "t", "branch": "b"}),
                ("completion", {"session_id": "s1", "context_tokens": 7}),
                ("stop", {"session_id": "s1"}),
                ("prompt", {"session_id": "s2"}),
            )
        )
    ]
    frame, states = decided(events)
    names = ("title", "branch", "context_tokens")
    for name in names:
        values = [getattr(event, name) for event in events]
        frame[name] = pd.array(values, dtype="Int64") if name == "context_tokens" else values
    index = HistoryIndex(frame)
    for event, state in zip(events, states, strict=True):
        assert state is not None
        found = index.presences(index.at(to_micros(event.timestamp)))["a"]
        assert [getattr(found, name) for name in names] == [
            getattr(state.presence, name) for name in names
        ]


@settings(max_examples=40)
@given(events=histories(), limits=st.sampled_from([Limits(300, 1800, 0), Limits(0, 0, 0)]))
def test_index_decides_undecided_frame(events: list[Event], limits: Limits) -> None:
    """A frame without decisions shows what a server would have decided whose clock ran."""
    events = [
        # Relations between agents are judged when one of them sends its next event.
        replace(event, parent_agent_id=event.parent_agent_id and "other")
        for event in sorted(events, key=lambda event: event.timestamp)
        if event.source != "timer"
    ]
    if not events:
        return
    index, ticked = HistoryIndex(frame_of(events), limits), TickedRoster(limits)
    for row, event in enumerate(events):
        ticked.take(event, row + 1)
        following = events[row + 1 : row + 2]
        if following and following[0].timestamp == event.timestamp:
            continue
        for when in (event.timestamp, event.timestamp + timedelta(seconds=299.5)):
            if following and when >= following[0].timestamp:
                continue
            ticked.pass_time(when + timedelta(microseconds=1))
            found = index.presences(index.at(to_micros(when)))
            expected = ticked.presences()
            assert {name: replayed(one) for name, one in found.items()} == {
                name: replayed(one) for name, one in expected.items()
            }, when
