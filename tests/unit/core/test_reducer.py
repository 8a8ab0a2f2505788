"""What observe takes into an agent's evidence, and the properties that hold for any evidence."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.agent_state import AgentState, from_json, to_json
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from htmlgraph_nb.core.reducer import counts_as_tool, reduce
from htmlgraph_nb.core.roster import timer_event
from htmlgraph_nb.core.status_rules import update_presence
from htmlgraph_nb.core.validation import MAX_INTEGER
from tests.helpers.strategies import T0, at, events, histories

END = at(10_000_000)
"""A time of arrival after every event."""


def event(kind: str, seconds: float | None = None, **fields: Any) -> Event:
    """Return an event of agent "a", ``seconds`` after T0."""
    moment = None if seconds is None else at(seconds)
    return Event(agent_id="a", event_type=kind, timestamp=moment, **fields)


def fold(
    found: Sequence[Event], now: datetime = END, known: AgentState | None = None
) -> AgentState:
    """Return the judged state after the events, in the order given."""
    state = known or AgentState.new(found[0].agent_id, now)
    for seq, one in enumerate(found, 1):
        state = update_presence(reduce(state, one, now), one, seq)
    return state


def verdict(state: AgentState) -> tuple[Any, ...]:
    """Return what the order of arrival must not change."""
    presence = state.presence
    return presence.status, presence.attention, presence.detail, presence.last_activity


TOOLS: list[tuple[str, str | None, bool]] = [
    ("tool_execute", "Bash", True),
    ("tool_execute", None, True),
    ("tool_call", "Bash", True),
    ("tool_result", "Bash", True),
    ("tool_error", "Bash", True),
    ("my_own_type", "Bash", True),
    ("my_own_type", None, False),
    ("activity", "Bash", True),
    ("tool_start", "Bash", False),
    ("permission_request", "Bash", False),
    ("completion", "Bash", False),
    ("prompt", None, False),
    ("session_end", "Bash", False),
]


@pytest.mark.parametrize(("kind", "tool", "counts"), TOOLS)
def test_what_counts_as_a_tool(kind: str, tool: str | None, counts: bool) -> None:
    """A finished call counts, and a tool under a type without another meaning."""
    assert counts_as_tool(event(kind, tool_name=tool)) is counts
    assert fold([event(kind, 1, tool_name=tool)]).presence.total_tools_executed == counts


def test_facts_are_kept() -> None:
    """What an event names stays known until another one names something else."""
    named = {"session_id": "s", "feature_id": "f", "tool_name": "Bash", "model": "m"}
    where = {"project": "p", "host": "h", "parent_agent_id": "b"}
    presence = fold([event("tool_execute", 1, **named, **where), event("prompt", 2)]).presence
    assert presence.session_id == "s"
    assert presence.current_feature_id == "f"
    assert presence.last_tool_name == "Bash"
    assert (presence.model, presence.project, presence.host) == ("m", "p", "h")
    assert presence.parent_agent_id == "b"


def test_late_facts_do_not_replace_newer_ones() -> None:
    """A late event tells what was not known, and changes nothing that is."""
    found = [event("prompt", 5, feature_id="new"), event("prompt", 3, feature_id="old", model="m")]
    presence = fold(found).presence
    assert (presence.current_feature_id, presence.model) == ("new", "m")


def test_cost_stays_unknown_until_told() -> None:
    """The cost is None without a price, and the sum of what was reported."""
    assert fold([event("completion", 1, input_tokens=5)]).presence.cost_usd is None
    found = [event("completion", 1, cost_usd=0.0), event("completion", 2, cost_usd=0.5)]
    assert fold(found[:1]).presence.cost_usd == 0.0
    assert fold(found).presence.cost_usd == 0.5


def test_totals_stay_exact_integers_of_javascript() -> None:
    """Totals stop at 2^53-1 instead of growing out of what stores and browsers hold."""
    big = event("completion", 1, cost_tokens=MAX_INTEGER)
    assert fold([big, big, big]).presence.total_cost_tokens == MAX_INTEGER


def test_new_session_counts_tools_anew() -> None:
    """Another session_id resets the tool count but not the tokens."""
    found = [
        event("tool_execute", 1, session_id="s1", cost_tokens=10),
        event("tool_execute", 2, session_id="s1", cost_tokens=10),
        event("tool_execute", 3, session_id="s2", cost_tokens=10),
    ]
    presence = fold(found).presence
    assert presence.total_tools_executed == 1
    assert presence.total_cost_tokens == 30
    assert presence.session_id == "s2"


def test_first_session_id_is_no_change_of_session() -> None:
    """Events that named no session before the first one that does stay counted."""
    found = [event("tool_execute", 1), event("tool_execute", 2, session_id="s1")]
    assert fold(found).presence.total_tools_executed == 2
    assert fold(found[::-1]).presence.total_tools_executed == 2


def test_new_session_drops_old_evidence() -> None:
    """What was open in one session is not open in the next."""
    found = [
        event("tool_start", 1, session_id="s1", tool_name="Bash"),
        event("permission_request", 2, session_id="s1", tool_name="Bash"),
        event("subagent_start", 3, session_id="s1"),
        event("session_start", 4, session_id="s2"),
    ]
    state = fold(found)
    assert not state.has_open_work
    assert (state.presence.status, state.presence.detail) == (PresenceStatus.IDLE, "done")


def test_late_event_of_an_old_session_counts_tokens_only() -> None:
    """A late event of a session that is over adds its tokens, not its tool or its session."""
    found = [
        event("tool_execute", 5, session_id="s2", cost_tokens=1),
        event("tool_start", 3, session_id="s1", cost_tokens=2, tool_name="Bash"),
    ]
    state = fold(found)
    assert (state.session_id, state.total_tools, state.total_tokens) == ("s2", 1, 3)
    assert not state.open_tools


def test_errors_are_counted_by_session() -> None:
    """A failed tool and a failed turn count, whatever says so; a new session begins at 0."""
    found = [
        event("tool_error", 1, tool_name="Bash", session_id="s1"),
        event("tool_execute", 2, tool_name="Bash", status="error"),
        event("tool_execute", 3, tool_name="Bash", status="ok"),
        event("error", 4),
    ]
    assert fold(found).presence.total_errors == 3
    assert fold([*found, event("prompt", 5, session_id="s2")]).presence.total_errors == 0


def test_end_of_another_session_ends_nothing() -> None:
    """The old session's end, stamped just after the new one's start, does not end the new one."""
    found = [
        event("prompt", 1, session_id="s1"),
        event("session_start", 2, session_id="s2"),
        event("session_end", 2.005, session_id="s1", cost_tokens=3),
    ]
    presence = fold(found).presence
    assert (presence.status, presence.session_id) == (PresenceStatus.IDLE, "s2")
    assert presence.total_cost_tokens == 3


def test_future_counts_as_now() -> None:
    """A sender's fast clock does not put the agent's last sign into the future."""
    state = fold([event("prompt", 500)], now=at(10))
    assert state.presence.last_activity == at(10)


def test_missing_time_is_the_arrival() -> None:
    """An event without a timestamp happened when it arrived."""
    assert fold([event("prompt")], now=at(10)).presence.last_activity == at(10)


BATCHES = [
    (["stop", "prompt"], PresenceStatus.ACTIVE, False),
    (["prompt", "stop"], PresenceStatus.IDLE, False),
    (["session_end", "prompt"], PresenceStatus.ACTIVE, False),
    (["prompt", "session_end"], PresenceStatus.OFFLINE, False),
    (["permission_request", "tool_execute"], PresenceStatus.ACTIVE, False),
    (["tool_start", "permission_request"], PresenceStatus.ACTIVE, True),
    (["tool_execute", "stop", "prompt", "stop", "stop"], PresenceStatus.IDLE, False),
]


@pytest.mark.parametrize(("kinds", "status", "attention"), BATCHES)
def test_one_instant_counts_in_order(
    kinds: list[str], status: PresenceStatus, attention: bool
) -> None:
    """Events of one request that carry no time count in the order in which they were sent."""
    presence = fold([event(kind, tool_name="Bash") for kind in kinds], now=at(1)).presence
    assert (presence.status, presence.attention) == (status, attention)
    assert presence.last_activity == at(1)


def test_calls_of_one_instant_close_in_order() -> None:
    """Of calls without ids in one request, the one that began last is the one that runs."""
    kinds = ["tool_start", "tool_execute", "tool_start"]
    state = fold([event(kind, tool_name="Bash") for kind in kinds], now=at(1))
    assert list(state.open_tools) == ["Bash"]
    assert not fold([event("tool_execute", tool_name="Bash")], at(1), state).open_tools


@pytest.mark.parametrize(
    ("start", "done"),
    [
        ({"tool_use_id": "t1"}, {"tool_use_id": "t1"}),
        ({"tool_use_id": "t1", "tool_name": "Bash"}, {"tool_use_id": "t1"}),
        ({"tool_name": "Bash"}, {"tool_name": "Bash"}),
        ({"tool_name": "Bash"}, {"tool_use_id": "t1", "tool_name": "Bash"}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("kind", ["tool_execute", "tool_call", "tool_result", "tool_error"])
def test_call_is_closed_by_its_end(kind: str, start: dict[str, Any], done: dict[str, Any]) -> None:
    """A call closes by its id, else by its tool's name, also if its start arrives after its end."""
    begin, end = event("tool_start", 1, **start), event(kind, 2, **done)
    assert fold([begin]).open_tools
    assert not fold([begin, end]).open_tools
    assert not fold([end, begin]).open_tools


def test_calls_beside_each_other() -> None:
    """The end of one call leaves the other one open."""
    starts = [event("tool_start", i, tool_use_id=f"t{i}", tool_name="Bash") for i in (1, 2)]
    state = fold([*starts, event("tool_execute", 3, tool_use_id="t1", tool_name="Bash")])
    assert list(state.open_tools) == ["t2"]


def test_open_marks_are_bounded() -> None:
    """A sender that never closes anything does not grow the state without end."""
    kinds = ("tool_start", "tool_execute", "subagent_start", "subagent_stop", "permission_request")
    found = [
        event(kind, i, tool_name=f"{kind}{i}", tool_use_id=f"{kind}{i}")
        for kind in kinds
        for i in range(200)
    ]
    state = fold(found)
    for marks in (state.open_tools, state.closed, state.children, state.stopped, state.questions):
        assert len(marks) <= 64
    assert len(to_json(state)) < 40_000


def test_a_question_ends_with_its_turn_though_its_call_is_made_again() -> None:
    """A later call of the same id asks nothing: the end that arrives last closes the question."""
    asks = event("tool_start", 1, tool_use_id="t1", extra={"asks": "plan"})
    failed, again = event("error", 2), event("tool_start", 3, tool_use_id="t1")
    for order in permutations([asks, failed, again]):
        presence = fold(order).presence
        assert (presence.detail, presence.attention) == ("tool", False)


def test_turn_end_clears_the_memory_of_closed_calls() -> None:
    """What closed before a turn's end need not be remembered: the end closes it anyway."""
    found = [event("tool_execute", i, tool_name="Bash", tool_use_id=f"t{i}") for i in range(9)]
    assert list(fold([*found, event("stop", 7.5)]).closed) == ["Bash", "t8"]


def test_nothing_holds_a_session_active_that_is_over() -> None:
    """A notification that comes after the end of its session opens no question."""
    about = {"notification_type": "permission_prompt"}
    state = fold([event("session_end", 1), event("notification", 2, extra=about)])
    assert not state.has_open_work
    assert state.presence.status is PresenceStatus.OFFLINE


@pytest.mark.parametrize("n", [-1, 0, True, 1.5, "2", None, [1], 2**53])
def test_background_tasks_that_are_no_count(n: object) -> None:
    """Only a positive integer says that tasks run on after the turn."""
    assert not fold([event("stop", 1, extra={"background_tasks": n})]).has_open_work


@pytest.mark.parametrize("extra", [{"child_agent_id": {"x": ["y" * 9000]}}, {"child_agent_id": 0}])
def test_child_id_of_any_kind(extra: dict[str, Any]) -> None:
    """Whatever names the child is kept short, and closes what it opened."""
    state = fold([event("subagent_start", 1, extra=extra)])
    assert [len(key) <= 256 for key in state.children] == [True]
    assert not fold([event("subagent_stop", 2, extra=extra)], known=state).children


def test_timers_do_not_touch_last_activity() -> None:
    """The server's clock is no sign of the agent."""
    state = fold([event("prompt", 1)])
    for kind in ("idle", "offline"):
        state = fold([timer_event("a", kind, at(4000), 300)], known=state)
        assert state.presence.last_activity == at(1)


def test_mark_offline_does_not_touch_last_activity() -> None:
    """A person who marks an agent as offline is no sign of the agent."""
    state = fold([event("prompt", 1), event("offline", 50, source="user")])
    assert state.presence.last_activity == at(1)
    assert state.presence.status is PresenceStatus.OFFLINE
    assert state.presence.since == at(50)


@given(st.lists(events, max_size=6), st.lists(st.integers(0, 5), max_size=6))
def test_no_order_or_repetition_raises(found: list[Event], picks: list[int]) -> None:
    """Any events, in any order and any number of times, end in a state that can be stored."""
    repeated = [found[i] for i in picks if i < len(found)]
    state = AgentState.new("a", T0)
    for seq, one in enumerate([*found, *repeated]):
        state = update_presence(reduce(state, one, END), one, seq)
        presence = state.presence
        assert 0 <= presence.total_cost_tokens <= MAX_INTEGER
        assert presence.attention <= (presence.status is PresenceStatus.ACTIVE)
        assert state.has_open_work <= (presence.status is PresenceStatus.ACTIVE)
        assert json.loads(to_json(state))


@given(histories())
def test_observe_never_edits_its_input(found: list[Event]) -> None:
    """The state before an event is the same after it, down to its dicts."""
    state = AgentState.new("claude-1", T0)
    for seq, one in enumerate(found):
        before, event_before = copy.deepcopy(state), copy.deepcopy(one)
        after = update_presence(reduce(state, one, END), one, seq)
        assert state == before
        assert one == event_before
        state = after


@given(histories(), st.sampled_from(["session_end", "process_exit"]))
def test_session_end_closes_all(found: list[Event], kind: str) -> None:
    """After the end of the session as the latest event nothing is open, and it is offline."""
    end = Event(agent_id="claude-1", session_id="s1", event_type=kind, timestamp=END)
    state = fold([*found, end])
    opened = (state.open_tools, state.asking, state.children, state.questions, state.background)
    assert not any(opened)
    assert not state.has_open_work
    assert state.presence.status is PresenceStatus.OFFLINE
    assert not state.presence.attention


@given(histories(), st.randoms(use_true_random=False))
def test_totals_do_not_depend_on_arrival(found: list[Event], random: Any) -> None:
    """Within one session tools, tokens and cost are the same in any order of arrival."""
    shuffled = random.sample(found, len(found))
    one, other = fold(found).presence, fold(shuffled).presence
    assert one.total_tools_executed == other.total_tools_executed
    assert one.total_cost_tokens == other.total_cost_tokens
    assert one.cost_usd == pytest.approx(other.cost_usd)


@given(histories(), st.randoms(use_true_random=False))
def test_verdict_does_not_depend_on_arrival(found: list[Event], random: Any) -> None:
    """Within one session the verdict and the open evidence are the same in any order."""
    one, other = fold(found), fold(random.sample(found, len(found)))
    assert verdict(one) == verdict(other)
    assert one.has_open_work == other.has_open_work
    assert one.presence.reason == other.presence.reason


@given(histories(), st.data())
def test_late_events_never_move_time_back(found: list[Event], data: st.DataObject) -> None:
    """last_activity is the latest sign seen so far, else the first mark, whatever arrives when."""
    order = data.draw(st.permutations(found))
    state = AgentState.new("claude-1", T0)
    for seq, one in enumerate(order, 1):
        state = update_presence(reduce(state, one, END), one, seq)
        seen = order[:seq]
        signs = [each.timestamp for each in seen if each.event_type != "offline"]
        expected = max(signs) if signs else min(each.timestamp for each in seen)
        assert state.presence.last_activity == expected


@given(histories(), histories(), st.integers(0, 400))
def test_stored_state_goes_on_alike(before: list[Event], after: list[Event], shift_s: int) -> None:
    """A state read back from its record is equal, and judges all that follows alike."""
    state = fold(before)
    text = to_json(state)
    row = json.loads(json.dumps(state.presence.to_dict()))
    restored = from_json(AgentPresence.from_dict(row), text)
    assert restored == state
    idle = timer_event("claude-1", "idle", END, 300.0)
    assert fold([idle], known=restored) == fold([idle], known=state)
    assert fold(after, known=restored) == fold(after, known=state)
