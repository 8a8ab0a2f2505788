"""What the index finds at any time is what folding everything up to then finds."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.reducer import KNOWN_TYPES
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.core.validation import MAX_INTEGER
from htmlgraph_nb.replay.index import HistoryIndex
from tests.helpers.strategies import T0

LIMITS = Limits(300.0, 1800.0, 86_400.0)
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


def folded(events: list[Event], when: datetime, limits: Limits) -> dict[str, AgentPresence]:
    """Fold all events up to a time through the Roster, then let its timers run."""
    roster = Roster(limits)
    in_order = sorted(enumerate(events, 1), key=lambda pair: (pair[1].timestamp, pair[0]))
    for seq, event in in_order:
        if event.timestamp <= when:
            roster.apply(event, seq, event.timestamp)
    roster.commit()
    timeouts = [limits.idle_timeout_s, limits.offline_timeout_s, limits.forget_after_s]
    moments = {
        state.presence.last_activity + timedelta(seconds=seconds)
        for state in roster.agents.values()
        for seconds in timeouts
        if seconds
    }
    for moment in sorted(moment for moment in moments if moment <= when):
        for event in roster.expired_timers(moment):
            roster.apply(event, roster.get(event.agent_id).presence.seq, moment)
        roster.commit()
    return {name: state.presence for name, state in sorted(roster.agents.items())}


_EXTRAS = [
    None,
    None,
    {"background_tasks": 2},
    {"asks": "plan"},
    {"asks": "input"},
    {"question": True},
    {"task_id": "b1"},
    {"background_tasks": 0},
    {"child_agent_id": "child-1"},
    {"child_agent_id": "child-2"},
    {"notification_type": "permission_prompt"},
    {"notification_type": "idle_prompt"},
    {"notification_type": "agent_needs_input"},
    {"notification_type": "elicitation_dialog"},
    {"notification_type": "auth_success"},
]
_events = st.fixed_dictionaries(
    {
        "agent_id": st.sampled_from(["a", "a", "a", "b"]),
        "event_type": st.sampled_from([*sorted(KNOWN_TYPES), "activity", "tool_start", "stop"]),
        "session_id": st.sampled_from([None, "s1", "s1", "s1", "s2"]),
        "tool_name": st.sampled_from([None, "Bash", "Edit", "tool", "t1"]),
        "tool_use_id": st.sampled_from([None, "t1", "t2", "Bash"]),
        "feature_id": st.sampled_from([None, "f1", "f2"]),
        "model": st.sampled_from([None, "m1", "m2"]),
        "project": st.sampled_from([None, None, "p"]),
        "parent_agent_id": st.sampled_from([None, None, "b"]),
        "status": st.sampled_from([None, "ok", "error"]),
        "extra": st.sampled_from(_EXTRAS),
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


@settings(max_examples=300)
@given(events=histories(), limits=st.sampled_from([LIMITS, Limits(0, 0, 0), Limits(300, 100, 0)]))
def test_any_time_equals_folding_from_the_start(events: list[Event], limits: Limits) -> None:
    """Every field of every agent, at every event and between them, to the last digit."""
    index = HistoryIndex(frame_of(events), limits)
    for when in moments_of(events):
        found = index.presences(index.at(to_micros(when)))
        assert found == folded(events, when, limits), when
