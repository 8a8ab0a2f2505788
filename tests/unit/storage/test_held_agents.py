"""merge_states: the state of an agent that two processes have changed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.held_agents import HeldAgents, merge_states
from tests.helpers.states import fold
from tests.helpers.strategies import at

TOTALS = (
    *("total_tools_executed", "total_errors", "total_cost_tokens", "session_tokens"),
    *("unpriced_tokens", "cost_usd", "session_cost_usd"),
)


def event(number: int, **fields: object) -> Event:
    """Return an event of one session."""
    values = {"event_type": "tool_execute", "tool_name": "Bash", "session_id": "s", **fields}
    return Event(agent_id="a", timestamp=at(number), **values)  # type: ignore[arg-type]


def completion(number: int, tokens: int, cost: float | None) -> Event:
    """Return a completion, with or without a known cost."""
    return event(number, event_type="completion", output_tokens=tokens, cost_usd=cost)


def totals(state: AgentState) -> list[object]:
    """Return the totals of a state, as they are stored."""
    return [
        round(value, 6) if isinstance(value := getattr(state.presence, name), float) else value
        for name in TOTALS
    ]


events = st.lists(
    st.one_of(
        st.builds(event, st.integers(0, 100)),
        st.builds(
            completion, st.integers(0, 100), st.integers(1, 9), st.sampled_from([None, 0.5, 1.0])
        ),
    ),
    min_size=1,
    max_size=8,
)


@given(events, events, events)
def test_merge_states_counts_all_events_once(
    first: list[Event], own: list[Event], others: list[Event]
) -> None:
    """The totals are those of one process that got all events."""
    whole = fold([*first, *own, *others])
    base = fold(first)
    merged = merge_states(fold(own, before=base), fold(others, before=base), base)
    assert totals(merged) == totals(whole)
    assert totals(merge_states(fold(own), fold(others), None)) == totals(fold([*own, *others]))


def test_merge_states_takes_the_evidence_of_the_later_activity() -> None:
    """The status is that of the state with the later event."""
    early, late = fold([event(1)]), fold([event(9, event_type="stop", tool_name=None)])
    for own, stored in ((early, late), (late, early)):
        assert merge_states(own, stored, None).presence.reason == "the turn is over"


def test_merge_states_of_different_sessions() -> None:
    """Totals of a session are not mixed with those of another."""
    old = fold([completion(1, 7, 1.0), event(2)])
    new = fold([replace(completion(5, 5, None), session_id="t")])
    merged = merge_states(old, new, None).presence
    assert (merged.session_id, merged.total_tools_executed) == ("t", 0)
    assert (merged.session_tokens, merged.total_cost_tokens) == (5, 12)
    assert (merged.cost_usd, merged.session_cost_usd) == (1.0, None)


def test_held_agents_are_hidden_until_they_are_released() -> None:
    """Staged changes of a failed transaction are undone."""
    held, state = HeldAgents(), fold([event(1)])
    held.hold("new", None)
    held.hold("known", state)
    held.hold("known", None)
    assert (held.hides("new"), held.rebuilds("new")) == (True, True)
    assert (held.hides("known"), held.rebuilds("known")) == (True, False)
    held.rollback()
    assert not held.hides("new")
    held.hold("new", None)
    held.hold("known", state)
    held.commit()
    held.release({"new", "known"})
    # Nobody else knows the new one, so that there is nothing to remove.
    assert (held.hides("new"), held.hides("known")) == (True, False)
    held.rollback()
    assert held.names() == ["new", "known"]
    held.release(set())
    assert held.released == ["new", "known"]
    held.commit()
    assert (held.names(), held.released) == ([], [])


def test_held_agents_discard_returns_the_stored_states() -> None:
    """After a failed import the roster gets the states of before."""
    held, state = HeldAgents(), fold([event(1)])
    held.hold("new", None)
    held.hold("known", state)
    held.commit()
    assert held.discard() == {"new": None, "known": state}
    assert held.names() == []
