"""The reducer: facts, counters, evidence, and properties that hold for any events."""

from __future__ import annotations

import copy
import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.agent_state import AgentState, to_json
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.reducer import counts_as_tool, is_from_agent, reduce
from htmlgraph_nb.core.roster import timer_event
from htmlgraph_nb.core.status_rules import update_presence
from htmlgraph_nb.core.validation import MAX_INTEGER
from tests.helpers.states import END, fold, has_open_work
from tests.helpers.strategies import T0, at, events, histories


def event(kind: str, seconds: float | None = None, **fields: Any) -> Event:
    """Return an event of agent "a", ``seconds`` after T0."""
    timestamp = None if seconds is None else at(seconds)
    return Event(agent_id="a", event_type=kind, timestamp=timestamp, **fields)


def status_of(state: AgentState) -> tuple[Any, ...]:
    """Return the fields that do not depend on the order of arrival."""
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
def test_counts_as_tool(kind: str, tool: str | None, counts: bool) -> None:
    """A finished call counts, and a tool name in an event type without a meaning of its own."""
    assert counts_as_tool(event(kind, tool_name=tool)) is counts
    assert fold([event(kind, 1, tool_name=tool)]).presence.total_tools_executed == counts


def test_facts_are_kept() -> None:
    """A fact is kept until another event changes it."""
    named = {"session_id": "s", "feature_id": "f", "tool_name": "Bash", "model": "m"}
    where = {"project": "p", "host": "h", "parent_agent_id": "b"}
    presence = fold([event("tool_execute", 1, **named, **where), event("prompt", 2)]).presence
    assert presence.session_id == "s"
    assert presence.current_feature_id == "f"
    assert presence.last_tool_name == "Bash"
    assert (presence.model, presence.project, presence.host) == ("m", "p", "h")
    assert presence.parent_agent_id == "b"


def test_late_facts_do_not_replace_newer_ones() -> None:
    """A late event adds missing facts and changes no others."""
    history = [
        event("prompt", 5, feature_id="new"),
        event("prompt", 3, feature_id="old", model="m"),
    ]
    presence = fold(history).presence
    assert (presence.current_feature_id, presence.model) == ("new", "m")


def test_cost_is_none_until_reported() -> None:
    """The cost is None without a price, else the sum of the reported costs."""
    assert fold([event("completion", 1, input_tokens=5)]).presence.cost_usd is None
    history = [event("completion", 1, cost_usd=0.0), event("completion", 2, cost_usd=0.5)]
    assert fold(history[:1]).presence.cost_usd == 0.0
    assert fold(history).presence.cost_usd == 0.5


def test_totals_are_limited_to_safe_integers() -> None:
    """Totals stop at 2^53-1, which stores and browsers represent exactly."""
    big = event("completion", 1, cost_tokens=MAX_INTEGER)
    assert fold([big, big, big]).presence.total_cost_tokens == MAX_INTEGER


def test_new_session_resets_the_tool_count() -> None:
    """Another session_id resets the tool count but not the tokens."""
    history = [
        event("tool_execute", 1, session_id="s1", cost_tokens=10),
        event("tool_execute", 2, session_id="s1", cost_tokens=10),
        event("tool_execute", 3, session_id="s2", cost_tokens=10),
    ]
    presence = fold(history).presence
    assert presence.total_tools_executed == 1
    assert presence.total_cost_tokens == 30
    assert presence.session_id == "s2"


def test_first_session_id_keeps_the_tool_count() -> None:
    """Events without a session before the first session_id still count."""
    history = [event("tool_execute", 1), event("tool_execute", 2, session_id="s1")]
    assert fold(history).presence.total_tools_executed == 2
    assert fold(history[::-1]).presence.total_tools_executed == 2


def test_new_session_drops_old_evidence() -> None:
    """Open work of one session is not open in the next."""
    history = [
        event("tool_start", 1, session_id="s1", tool_name="Bash"),
        event("permission_request", 2, session_id="s1", tool_name="Bash"),
        event("subagent_start", 3, session_id="s1"),
        event("session_start", 4, session_id="s2"),
    ]
    state = fold(history)
    assert not has_open_work(state)
    assert (state.presence.status, state.presence.detail) == (PresenceStatus.IDLE, "done")


def test_late_event_of_an_old_session_counts_tokens_only() -> None:
    """A late event of a previous session adds its tokens, not its tool or its session."""
    history = [
        event("tool_execute", 5, session_id="s2", cost_tokens=1),
        event("tool_start", 3, session_id="s1", cost_tokens=2, tool_name="Bash"),
    ]
    state = fold(history)
    assert (state.session_id, state.total_tools, state.total_tokens) == ("s2", 1, 3)
    assert not state.open_tools


def test_errors_are_counted_per_session() -> None:
    """Failed tools and turns count; a new session starts at 0."""
    history = [
        event("tool_error", 1, tool_name="Bash", session_id="s1"),
        event("tool_execute", 2, tool_name="Bash", status="error"),
        event("tool_execute", 3, tool_name="Bash", status="ok"),
        event("error", 4),
    ]
    assert fold(history).presence.total_errors == 3
    assert fold([*history, event("prompt", 5, session_id="s2")]).presence.total_errors == 0


def test_end_of_another_session_ends_nothing() -> None:
    """The end of the old session, dated just after the start of the new one, is ignored."""
    history = [
        event("prompt", 1, session_id="s1"),
        event("session_start", 2, session_id="s2"),
        event("session_end", 2.005, session_id="s1", cost_tokens=3),
    ]
    presence = fold(history).presence
    assert (presence.status, presence.session_id) == (PresenceStatus.IDLE, "s2")
    assert presence.total_cost_tokens == 3


def test_future_timestamps_count_as_now() -> None:
    """A fast clock of a sender does not move the last activity into the future."""
    state = fold([event("prompt", 500)], now=at(10))
    assert state.presence.last_activity == at(10)


def test_missing_timestamp_is_the_arrival_time() -> None:
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
def test_equal_timestamps_count_in_order_of_arrival(
    kinds: list[str], status: PresenceStatus, attention: bool
) -> None:
    """Events of one request without timestamps count in the order in which they were sent."""
    presence = fold([event(kind, tool_name="Bash") for kind in kinds], now=at(1)).presence
    assert (presence.status, presence.attention) == (status, attention)
    assert presence.last_activity == at(1)


def test_calls_of_one_instant_close_in_order() -> None:
    """Of calls without ids in one request, the last one started is open."""
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
    """A call is closed by its id, else by its tool name, even by an end that arrives first."""
    start_event, end = event("tool_start", 1, **start), event(kind, 2, **done)
    assert fold([start_event]).open_tools
    assert not fold([start_event, end]).open_tools
    assert not fold([end, start_event]).open_tools


def test_parallel_calls_are_independent() -> None:
    """The end of one call leaves the other one open."""
    starts = [event("tool_start", i, tool_use_id=f"t{i}", tool_name="Bash") for i in (1, 2)]
    state = fold([*starts, event("tool_execute", 3, tool_use_id="t1", tool_name="Bash")])
    assert list(state.open_tools) == ["t2"]


def test_open_work_is_bounded() -> None:
    """A sender that never sends ends does not grow the state without limit."""
    kinds = ("tool_start", "tool_execute", "subagent_start", "subagent_stop", "permission_request")
    history = [
        event(kind, i, tool_name=f"{kind}{i}", tool_use_id=f"{kind}{i}")
        for kind in kinds
        for i in range(200)
    ]
    state = fold(history)
    ends = (state.tool_ends, state.child_ends)
    for entries in (state.open_tools, state.children, state.questions, *ends):
        assert len(entries) <= 64
    assert len(to_json(state)) < 40_000


def test_question_ends_with_its_turn() -> None:
    """A later call with the same id has no question: the end that arrives last closes it."""
    asks = event("tool_start", 1, tool_use_id="t1", extra={"asks": "plan"})
    failed, again = event("error", 2), event("tool_start", 3, tool_use_id="t1")
    for order in permutations([asks, failed, again]):
        presence = fold(order).presence
        assert (presence.detail, presence.attention) == ("tool", False)


def test_turn_end_clears_closed_calls() -> None:
    """Ends before the end of a turn are not kept, because it closes those calls anyway."""
    history = [event("tool_execute", i, tool_name="Bash", tool_use_id=f"t{i}") for i in range(9)]
    assert list(fold([*history, event("stop", 7.5)]).tool_ends) == ["Bash", "t8"]


def test_late_notification_does_not_reopen_a_session() -> None:
    """A notification after the end of its session opens no question."""
    extra = {"notification_type": "permission_prompt"}
    state = fold([event("session_end", 1), event("notification", 2, extra=extra)])
    assert not has_open_work(state)
    assert state.presence.status is PresenceStatus.OFFLINE


@pytest.mark.parametrize("n", [-1, 0, True, 1.5, "2", None, [1], 2**53])
def test_background_tasks_must_be_a_positive_integer(n: object) -> None:
    """Any other value means that no tasks continue after the turn."""
    assert not has_open_work(fold([event("stop", 1, extra={"background_tasks": n})]))


@pytest.mark.parametrize("extra", [{"child_agent_id": {"x": ["y" * 9000]}}, {"child_agent_id": 0}])
def test_task_key_of_any_value(extra: dict[str, Any]) -> None:
    """The key of a child is truncated, and its end has the same key."""
    state = fold([event("subagent_start", 1, extra=extra)])
    assert [len(key) <= 256 for key in state.children] == [True]
    assert not fold([event("subagent_stop", 2, extra=extra)], before=state).children


def test_timers_do_not_touch_last_activity() -> None:
    """Timer events are not activity of the agent."""
    state = fold([event("prompt", 1)])
    for kind in ("idle", "offline"):
        state = fold([timer_event("a", kind, at(4000), 300)], before=state)
        assert state.presence.last_activity == at(1)


def test_mark_offline_does_not_touch_last_activity() -> None:
    """Marking an agent as offline is not activity of the agent."""
    state = fold([event("prompt", 1), event("offline", 50, source="user")])
    assert state.presence.last_activity == at(1)
    assert state.presence.status is PresenceStatus.OFFLINE
    assert state.presence.since == at(50)


@given(st.lists(events, max_size=6), st.lists(st.integers(0, 5), max_size=6))
def test_reduce_accepts_any_order_and_repetition(history: list[Event], picks: list[int]) -> None:
    """Any events, in any order and number, lead to a state that can be stored."""
    repeated = [history[i] for i in picks if i < len(history)]
    state = AgentState.new("a", T0)
    for seq, event_ in enumerate([*history, *repeated]):
        state = update_presence(reduce(state, event_, END), event_, seq)
        presence = state.presence
        assert 0 <= presence.total_cost_tokens <= MAX_INTEGER
        assert presence.attention <= (presence.status is PresenceStatus.ACTIVE)
        assert has_open_work(state) <= (presence.status is PresenceStatus.ACTIVE)
        assert json.loads(to_json(state))


@given(histories())
def test_reduce_never_modifies_its_input(history: list[Event]) -> None:
    """The state before an event is unchanged, including its dicts."""
    state = AgentState.new("claude-1", T0)
    for seq, event_ in enumerate(history):
        before, event_before = copy.deepcopy(state), copy.deepcopy(event_)
        after = update_presence(reduce(state, event_, END), event_, seq)
        assert state == before
        assert event_ == event_before
        state = after


@given(histories(), st.randoms(use_true_random=False))
def test_totals_do_not_depend_on_order(history: list[Event], random: Any) -> None:
    """Within one session tools, tokens and cost are the same in any order of arrival."""
    shuffled = random.sample(history, len(history))
    first, second = fold(history).presence, fold(shuffled).presence
    assert first.total_tools_executed == second.total_tools_executed
    assert first.total_cost_tokens == second.total_cost_tokens
    assert first.cost_usd == pytest.approx(second.cost_usd)


@given(histories(), st.randoms(use_true_random=False))
def test_status_does_not_depend_on_order(history: list[Event], random: Any) -> None:
    """Within one session the status and the open work are the same in any order of arrival."""
    first, second = fold(history), fold(random.sample(history, len(history)))
    assert status_of(first) == status_of(second)
    assert has_open_work(first) == has_open_work(second)
    assert first.presence.reason == second.presence.reason


@given(histories(), st.data())
def test_last_activity_never_moves_back(history: list[Event], data: st.DataObject) -> None:
    """It is the latest activity so far, else the first mention, in any order of arrival."""
    order = data.draw(st.permutations(history))
    state = AgentState.new("claude-1", T0)
    for seq, event_ in enumerate(order, 1):
        state = update_presence(reduce(state, event_, END), event_, seq)
        seen = order[:seq]
        signs = [each.timestamp for each in seen if is_from_agent(each)]
        expected = max(signs) if signs else min(each.timestamp for each in seen)
        assert state.presence.last_activity == expected


@given(st.permutations(range(4)))
def test_turn_end_is_not_replaced_by_the_idle_timer(order: list[int]) -> None:
    """A timer event that is stored after a reported end of the turn does not change its reason."""
    history = [
        event("prompt", 0),
        event("completion", 1),
        event("stop", 2),
        event("idle", 302, source="timer"),
    ]
    state = fold([history[n] for n in order])
    assert (state.presence.status, state.presence.detail) == (PresenceStatus.IDLE, "done")
