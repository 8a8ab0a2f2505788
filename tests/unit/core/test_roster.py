"""The roster: staging, timers, bounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.errors import CapacityError
from tests.helpers.strategies import T0, at, events

LIMITS = Limits(idle_timeout_s=300, offline_timeout_s=1800, forget_after_s=86_400)


def event(kind: str, agent_id: str = "a", **fields: Any) -> Event:
    """Return an event that happens when it arrives."""
    return Event(agent_id=agent_id, event_type=kind, **fields)


def roster_with(*kinds: str, limits: Limits = LIMITS) -> Roster:
    """Return a roster in which agent "a" did these things at the tests' time 0."""
    roster = Roster(limits)
    for seq, kind in enumerate(kinds, 1):
        roster.apply(event(kind, tool_name="Bash"), seq, at(0))
    roster.commit()
    return roster


def types_due(roster: Roster, seconds: float) -> list[str]:
    """Return the types of the timer events that are due."""
    return [timed.event_type for timed in roster.timers_due(at(seconds))]


def test_apply_returns_the_change() -> None:
    """A change has its seq, its arrival time, its event and the new presence."""
    prompt = event("prompt")
    change = Roster().apply(prompt, 7, at(1))
    assert (change.seq, change.agent_id, change.at) == (7, "a", at(1))
    assert change.event is prompt
    assert change.presence is not None
    assert change.presence.seq == 7


def test_staged_changes_are_visible_to_get_only() -> None:
    """Other readers see them after the commit."""
    roster = Roster()
    roster.apply(event("prompt"), 1, at(0))
    assert roster.agents == {}
    staged = roster.get("a")
    assert staged is not None
    roster.commit()
    assert roster.agents == {"a": staged}
    assert list(roster.staged()) == []


@given(st.lists(events, max_size=5), st.lists(events, max_size=5))
def test_rollback_discards_everything(before: list[Event], lost: list[Event]) -> None:
    """After a rollback the roster is the same as before the transaction."""
    roster = Roster()
    for seq, applied in enumerate(before):
        roster.apply(applied, seq, at(0))
    roster.commit()
    before_transaction = dict(roster.agents)
    for seq, applied in enumerate([*lost, *before]):
        roster.apply(applied, seq, at(9))
    roster.rollback()
    assert roster.agents == before_transaction
    assert list(roster.staged()) == []
    ids = {lost_event.agent_id for lost_event in lost}
    assert all(roster.get(name) == before_transaction.get(name) for name in ids)
    roster.commit()
    assert roster.agents == before_transaction


def test_rollback_frees_capacity() -> None:
    """Agents of a failed transaction do not count."""
    roster = Roster(Limits(max_agents=1))
    roster.apply(event("prompt", "a"), 1, at(0))
    roster.rollback()
    roster.check_capacity(["b"])


def test_later_events_build_on_staged_ones() -> None:
    """In one transaction each event sees the ones before it."""
    roster = Roster()
    for seq in (1, 2, 3):
        roster.apply(event("tool_execute"), seq, at(seq))
    assert [state.total_tools for _, state in roster.staged() if state] == [3]


def test_forget_removes_the_agent() -> None:
    """A forgotten agent is removed at once in its transaction, and for all after the commit."""
    roster = roster_with("prompt")
    change = roster.apply(event("forget"), 2, at(1))
    assert change.presence is None
    assert roster.get("a") is None
    assert "a" in roster.agents
    roster.commit()
    assert roster.agents == {}


def test_forgotten_agent_starts_from_zero() -> None:
    """An agent that comes back after it was forgotten has no history."""
    roster = roster_with("tool_execute", "tool_execute")
    roster.apply(event("forget"), 3, at(1))
    presence = roster.apply(event("tool_execute"), 4, at(2)).presence
    assert presence is not None
    assert presence.total_tools_executed == 1


def test_forget_of_unknown_agent_changes_nothing() -> None:
    """Forgetting an unknown agent does not change the capacity."""
    roster = Roster(Limits(max_agents=1))
    assert roster.apply(event("forget"), 1, at(0)).presence is None
    roster.check_capacity(["b"])
    roster.commit()
    assert roster.agents == {}


def test_put_replaces_the_state() -> None:
    """A state stored by another process replaces the own one; None removes it."""
    stored = roster_with("prompt", "stop").agents["a"]
    roster = roster_with("prompt")
    roster.put("a", stored)
    assert roster.agents["a"] is stored
    roster.put("a", None)
    roster.put("a", None)
    assert roster.agents == {}


def test_check_capacity_counts_existing_staged_and_new_agents() -> None:
    """The limit applies to all of them together; existing agents always fit."""
    roster = Roster(Limits(max_agents=3))
    roster.apply(event("prompt", "a"), 1, at(0))
    roster.commit()
    roster.apply(event("prompt", "b"), 2, at(0))
    roster.check_capacity(["a", "b", "a", "c", "c"])
    with pytest.raises(
        CapacityError, match="agents: at most 3 allowed, no room for 1 more"
    ) as raised:
        roster.check_capacity(["c", "d"])
    assert raised.value.code == "too_many_agents"
    assert "--max-agents" in str(raised.value)


def test_check_capacity_counts_staged_removals() -> None:
    """An agent that is removed in the transaction makes room."""
    roster = Roster(Limits(max_agents=1))
    roster.apply(event("prompt", "a"), 1, at(0))
    roster.commit()
    roster.apply(event("forget", "a"), 2, at(0))
    roster.check_capacity(["b"])
    roster.apply(event("prompt", "b"), 3, at(0))
    with pytest.raises(CapacityError):
        roster.check_capacity(["a"])


@pytest.mark.parametrize(
    ("kinds", "seconds", "expected"),
    [
        (["prompt"], 299.9, []),
        (["prompt"], 300, ["idle"]),
        (["prompt"], 1800, ["offline"]),
        (["prompt"], 86_400, ["forget"]),
        (["prompt", "stop"], 300, []),
        (["prompt", "stop"], 1799.9, []),
        (["prompt", "stop"], 1800, ["offline"]),
        (["session_end"], 1800, []),
        (["session_end"], 86_400, ["forget"]),
        (["tool_start"], 14_399, []),
        (["tool_start"], 14_400, ["offline"]),
        (["tool_start"], 86_400, ["forget"]),
        (["subagent_start", "stop"], 14_400, ["offline"]),
        (["permission_request"], 86_399, []),
        (["permission_request"], 86_400, ["forget"]),
        (["tool_start", "process_start"], 10_000_000, []),
        (["tool_start", "process_start", "process_lost"], 14_400, ["offline"]),
        (["prompt", "process_start"], 10_000_000, ["idle"]),
        (["prompt", "process_start", "process_busy"], 10_000_000, []),
        (["prompt", "process_start", "process_busy", "process_lost"], 300, ["idle"]),
        (["prompt", "process_busy"], 300, ["idle"]),
        (["prompt", "process_start", "process_busy", "stop", "prompt"], 300, ["idle"]),
        (["prompt", "process_start", "process_busy", "process_idle"], 10_000_000, []),
        (["prompt", "process_start", "stop", "process_busy"], 10_000_000, []),
        (["subagent_start", "stop"], 3600, []),
    ],
)
def test_timers_due(kinds: list[str], seconds: float, expected: list[str]) -> None:
    """Inactivity leads to idle, offline and forgotten; work keeps an agent active.

    It does so while its process is known to run, else for a few hours.
    """
    assert types_due(roster_with(*kinds), seconds) == expected


def test_timers_due_start_again_after_a_pause() -> None:
    """Silence counts from the end of a pause, in the same way for each of the timers."""
    roster = roster_with("prompt")
    for seq, resumption in enumerate(roster.resumptions(at(5_000)), 10):
        assert (resumption.event_type, resumption.checked().source) == ("resumed", "server")
        roster.apply(resumption, seq, at(5_000))
    roster.commit()
    before = at(0)
    assert roster.agents["a"].presence.last_activity == before
    assert types_due(roster, 5_299) == []
    assert types_due(roster, 5_300) == ["idle"]
    assert types_due(roster, 6_800) == ["offline"]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["prompt"], 1),
        (["prompt", "stop"], 1),
        (["tool_start"], 1),
        (["session_end"], 0),
        (["stop", "process_start"], 0),
        (["tool_start", "process_start"], 0),
    ],
)
def test_resumptions_concern_running_timers(kinds: list[str], expected: int) -> None:
    """An agent that is offline or whose process runs has no timer to start again."""
    assert len(roster_with(*kinds).resumptions(at(5_000))) == expected


def test_timer_of_open_work_waits_for_subagents() -> None:
    """A subagent that works keeps its parent active, and a parent that runs its subagents."""
    roster = Roster(Limits(forget_after_s=0))
    events = [
        Event(agent_id="p", event_type="subagent_start", extra={"child_agent_id": "c"}),
        Event(agent_id="c", event_type="tool_start", tool_use_id="x", parent_agent_id="p"),
    ]
    for seq, one in enumerate(events, 1):
        roster.apply(replace(one, timestamp=at(seq * 1_000)), seq, at(seq * 1_000))
    roster.commit()
    # The parent is due first, but its subagent still has a call.
    assert [one.agent_id for one in roster.timers_due(at(15_500))] == []
    assert [one.agent_id for one in roster.timers_due(at(16_400))] == ["c"]
    start = Event(agent_id="p", event_type="process_start", timestamp=at(3_000))
    roster.apply(start, 3, at(3_000))
    roster.commit()
    assert roster.timers_due(at(1_000_000)) == []


@pytest.mark.parametrize(
    ("limits", "seconds", "expected"),
    [
        (Limits(idle_timeout_s=0), 1000, []),
        (Limits(idle_timeout_s=0), 1800, ["offline"]),
        (Limits(offline_timeout_s=0), 86_399, ["idle"]),
        (Limits(forget_after_s=0), 10**8, ["offline"]),
        (Limits(0, 0, 0), 10**8, []),
        (Limits(idle_timeout_s=0.5), 0.5, ["idle"]),
    ],
)
def test_timers_due_ignores_a_timer_of_zero(
    limits: Limits, seconds: float, expected: list[str]
) -> None:
    """A timer of 0 never expires, and the others still do."""
    assert types_due(roster_with("prompt", limits=limits), seconds) == expected


@given(st.lists(events, min_size=1, max_size=6), st.integers(0, 10**10))
def test_timers_due_settle(history: list[Event], seconds: int) -> None:
    """An applied timer does not expire again, and after two steps none is left."""
    roster = Roster(LIMITS)
    for seq, applied in enumerate(history):
        roster.apply(applied, seq, at(0))
    roster.commit()
    now = at(seconds)
    for _ in range(2):
        for timed in roster.timers_due(now):
            assert timed.timestamp == now
            roster.apply(timed, 99, now)
            assert timed not in roster.timers_due(now)
        roster.commit()
    assert roster.timers_due(now) == []


def test_timers_due_sees_staged_changes() -> None:
    """Activity in the running transaction resets a timer."""
    roster = roster_with("prompt")
    roster.apply(event("prompt"), 2, at(86_400))
    assert types_due(roster, 86_400) == []
    roster.rollback()
    assert types_due(roster, 86_400) == ["forget"]
    roster.apply(event("forget"), 2, at(86_400))
    assert types_due(roster, 86_400) == []


def test_timers_due_event_fields() -> None:
    """A timer event has the source "timer" and the seconds after which it expired."""
    (timed,) = roster_with("prompt").timers_due(at(400))
    assert (timed.agent_id, timed.event_type, timed.source) == ("a", "idle", "timer")
    assert timed.timestamp == at(400)
    assert timed.extra == {"after_s": 300}


def test_offline_timer_counts_from_the_last_activity() -> None:
    """Not from the time at which the agent became idle."""
    roster = roster_with("prompt")
    for seq, seconds in enumerate((300, 1799, 1800), 2):
        for timed in roster.timers_due(at(seconds)):
            roster.apply(timed, seq, at(seconds))
        roster.commit()
        status = roster.agents["a"].presence.status
        assert status is (PresenceStatus.OFFLINE if seconds == 1800 else PresenceStatus.IDLE)


def test_inactive_since() -> None:
    """It returns the existing agents that are inactive for at least that many seconds."""
    roster = roster_with("prompt")
    roster.apply(event("prompt", "b"), 2, at(50))
    roster.commit()
    assert roster.inactive_since(["a", "b", "unknown"], at(100), 100) == ["a"]
    assert roster.inactive_since(["a", "b"], at(150), 100) == ["a", "b"]
    assert roster.inactive_since([], at(150), 100) == []


def parent_and_child(*steps: tuple[float, str, str]) -> Roster:
    """Return a roster of parent "a" and its subagent "b" after these steps."""
    roster = Roster(LIMITS)
    for seq, (seconds, agent_id, kind) in enumerate(steps, 1):
        extra = {"child_agent_id": "b"} if kind.startswith("subagent") else None
        parent = "a" if agent_id == "b" else None
        roster.apply(event(kind, agent_id, extra=extra, parent_agent_id=parent), seq, at(seconds))
        roster.commit()
    return roster


STARTED = ((0, "a", "prompt"), (1, "a", "subagent_start"), (1, "b", "prompt"))


@pytest.mark.parametrize("end", ["session_end", "process_exit", "offline"])
def test_implied_ends_of_orphans(end: str) -> None:
    """A subagent without further events ends when its parent has ended."""
    roster = parent_and_child(*STARTED, (5, "a", end))
    (end_event,) = roster.implied_ends()
    assert (end_event.agent_id, end_event.event_type) == ("b", "session_end")
    roster.apply(end_event, 9, at(6))
    roster.commit()
    assert roster.agents["b"].presence.status is PresenceStatus.OFFLINE
    assert roster.implied_ends() == []


def test_implied_ends_skips_active_subagents() -> None:
    """A subagent that was active after the end of its parent does not end with it."""
    assert (
        parent_and_child(*STARTED, (5, "a", "session_end"), (6, "b", "tool_start")).implied_ends()
        == []
    )


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((5, "b", "stop"), ["subagent_stop"]),
        ((5, "b", "session_end"), ["subagent_stop"]),
        ((5, "b", "tool_start"), []),
    ],
)
def test_implied_ends_of_idle_subagents(last: tuple[float, str, str], expected: list[str]) -> None:
    """An idle subagent does not keep its parent active."""
    roster = parent_and_child(*STARTED, (4, "a", "stop"), last)
    ends = roster.implied_ends()
    assert [end.event_type for end in ends] == expected
    for end in ends:
        roster.apply(end, 9, at(6))
        roster.commit()
    status = PresenceStatus.IDLE if expected else PresenceStatus.ACTIVE
    assert roster.agents["a"].presence.status is status
    assert roster.implied_ends() == []


def test_implied_ends_skips_subagents_without_prompt() -> None:
    """A subagent that has only started is not idle."""
    roster = parent_and_child((0, "a", "subagent_start"), (1, "b", "session_start"))
    assert roster.implied_ends() == []


def test_timers_due_with_other_limits() -> None:
    """An agent that is due to go offline can be checked for idleness only."""
    roster = Roster(Limits(idle_timeout_s=60, offline_timeout_s=120, forget_after_s=600))
    roster.apply(Event(agent_id="a", event_type="prompt"), 1, T0)
    roster.commit()
    only_idle = Limits(idle_timeout_s=60, offline_timeout_s=0, forget_after_s=0)
    assert [event.event_type for event in roster.timers_due(at(59))] == []
    for seconds, kind in ((60, "idle"), (120, "offline"), (600, "forget")):
        assert [event.event_type for event in roster.timers_due(at(seconds))] == [kind]
        assert [event.event_type for event in roster.timers_due(at(seconds), only_idle)] == ["idle"]


def test_inactive_since_sees_staged_changes() -> None:
    """Activity in the running transaction counts for cleanup."""
    roster = Roster()
    roster.apply(Event(agent_id="a", event_type="prompt"), 1, T0)
    roster.commit()
    later = T0 + timedelta(days=2)
    assert roster.inactive_since(["a"], later, 3_600) == ["a"]
    roster.apply(Event(agent_id="a", event_type="prompt"), 2, later)
    assert roster.inactive_since(["a"], later, 3_600) == []
    roster.rollback()
    assert roster.inactive_since(["a", "unknown"], later, 3_600) == ["a"]


def test_timers_due_before_yields_timers_in_order() -> None:
    """Each timer comes with the time at which it was due, until the next event."""
    roster = roster_with("prompt")
    found = []
    for due, timed in roster.timers_due_before("a", at(5_000)):
        found.append((due, timed.event_type, timed.source))
        roster.apply(timed, 2, due)
    start = roster.agents["a"].presence.last_activity
    assert found == [
        (start + timedelta(seconds=300), "idle", "timer"),
        (start + timedelta(seconds=1800), "offline", "timer"),
    ]
    assert list(roster.timers_due_before("a", at(100))) == []
    assert list(roster.timers_due_before("unknown", at(100))) == []


def test_timers_due_before_ends_if_a_timer_changes_nothing() -> None:
    """An agent of which only others' timers report work is yielded each timer once."""
    roster = Roster()
    for seconds in (0, 400):
        event = Event(agent_id="a", event_type="lint", timestamp=at(seconds), source="timer")
        roster.apply(event, 1, at(seconds))
    seen = []
    for due_at, event in roster.timers_due_before("a", at(4000)):
        roster.apply(event, 2, due_at)
        seen.append((due_at, event.event_type))
        assert len(seen) < 10
    assert len(set(seen)) == len(seen) > 0


def test_merge_into_adds_up_the_totals_of_a_session() -> None:
    """A known cost of nothing stays known."""
    roster = Roster(LIMITS)
    for agent_id in ("a", "b"):
        completion = event(
            "completion", agent_id, session_id="s", output_tokens=3, cost_usd=0.0, timestamp=at(0)
        )
        roster.apply(completion, 1, at(0))
    roster.merge_into("a", "b")
    merged = roster.get("b")
    assert merged is not None
    assert (merged.total_tokens, merged.session_tokens, merged.unpriced_tokens) == (6, 6, 0)
    assert (merged.cost_usd, merged.session_cost_usd) == (0.0, 0.0)
