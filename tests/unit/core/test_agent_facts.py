"""Labels, context, limits and processes in the state of an agent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from htmlgraph_nb.core.agent_facts import (
    CANNOT_WORK,
    VIEWABLE_FOR,
    assignment,
    facts_of_duplicate,
)
from htmlgraph_nb.core.agent_state import AgentState, from_json, to_json
from htmlgraph_nb.core.model import NO_LABELS, Event
from htmlgraph_nb.core.reducer import reduce
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.core.status_rules import update_presence
from tests.helpers.states import fold
from tests.helpers.strategies import at

NOW = at(3_600)


def event(seconds: float, event_type: str = "activity", **fields: Any) -> Event:
    fields = {"session_id": "s1", "source": "claude-session", **fields}
    return Event(agent_id="claude-1", event_type=event_type, timestamp=at(seconds), **fields)


def test_labels_keep_the_latest_value() -> None:
    """A late event fills gaps only; a new session drops the labels of the old one."""
    presence = fold(
        [
            event(1, "prompt", title="first", branch="main"),
            event(5, "completion", title="second"),
            event(3, "completion", title="late", cwd="/work/shop"),
        ],
        NOW,
    ).presence
    assert (presence.title, presence.branch, presence.cwd) == ("second", "main", "/work/shop")
    assert presence.agent_kind == "claude"
    state = fold([event(1, title="first", branch="main"), event(9, session_id="s2")], NOW)
    assert (state.presence.title, state.presence.branch) == (None, "main")


def test_labels_session_info_is_no_activity() -> None:
    """Facts about a session neither change its status nor its last activity."""
    before = fold([event(1, "prompt"), event(2, "stop")], NOW)
    info = event(900, "session_info", title="shop", context_tokens=7, context_window=10)
    after = update_presence(reduce(before, info, NOW), info, 3).presence
    assert (after.status, after.last_activity) == (before.presence.status, at(2))
    assert (after.title, after.context_tokens, after.context_window) == ("shop", 7, 10)
    assert after.total_tools_executed == 0


@pytest.mark.parametrize(
    ("model", "used", "window", "source"),
    [
        ("small", 100, 200, "table"),
        ("small", 201, 1_000_000, "raised"),
        ("small", 1_000_001, 1_000_001, "raised"),
        ("small[1m]", 100, 1_000_000, "marked"),
        ("unknown", 100, None, None),
        (None, 100, None, None),
    ],
)
def test_context_window_of_model(
    model: str | None, used: int, window: int | None, source: str | None
) -> None:
    """Without a reported window it comes from the name or the table, or is raised."""
    state = AgentState.new("claude-1", NOW)
    answer = event(1, "completion", model=model, context_tokens=used)
    state = reduce(state, answer, NOW, window={"small": 200}.get)
    assert (state.context_tokens, state.context_window, state.context_source) == (
        used,
        window,
        source,
    )


def test_context_reported_window_stays_until_the_model_changes() -> None:
    """A window that the agent reported is exact; another model has another one."""
    windows = {"small": 200, "large": 1_000}.get
    state = AgentState.new("claude-1", NOW)
    for change in (
        event(1, "completion", model="small", context_tokens=10),
        event(2, "session_info", context_window=300),
        event(3, "completion", model="small", context_tokens=250),
    ):
        state = reduce(state, change, NOW, window=windows)
    assert (state.context_window, state.context_source) == (300, "reported")
    change = event(4, "completion", model="large", context_tokens=250)
    state = reduce(state, change, NOW, window=windows)
    assert (state.context_window, state.context_source) == (1_000, "table")


def test_context_compaction_is_dated() -> None:
    """The last compaction of the session counts."""
    presence = fold([event(5, extra={"compacted": True}), event(6, "prompt")], NOW).presence
    assert presence.compacted_at == at(5)


def test_blocked_agent_cannot_work_until_it_works() -> None:
    """An error with a reason blocks the agent; its next work ends that."""
    extra = {"cannot_work": "usage_limited", "until": at(9_000).isoformat()}
    history = [event(1, "prompt"), event(2, "error", extra=extra)]
    presence = fold(history, NOW).presence
    assert (presence.status.value, presence.detail) == ("idle", "usage_limited")
    assert (presence.detail_since, presence.detail_until) == (at(2), at(9_000))
    assert not presence.attention
    presence = fold([*history, event(3, "prompt")], NOW).presence
    assert (presence.status.value, presence.detail) == ("active", "working")
    assert presence.detail_until is None


def test_blocked_retry_is_work() -> None:
    """An agent that retries is active; its turn's end ends the retries."""
    extra = {"cannot_work": "overloaded", "attempt": 3, "max_attempts": 10}
    history = [event(1, "prompt"), event(2, "retry", extra=extra)]
    presence = fold(history, NOW).presence
    assert (presence.status.value, presence.detail) == ("active", "retrying")
    assert presence.reason == "retries after an error of the API (attempt 3 of 10)"
    assert fold([*history, event(3, "stop")], NOW).presence.detail == "done"
    assert fold([*history, event(3, "completion")], NOW).presence.detail == "working"


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"cannot_work": "tired"},
        {"cannot_work": ["rate_limited"]},
        {"cannot_work": "rate_limited", "until": "soon", "attempt": -1, "max_attempts": "9"},
        {"cannot_work": "rate_limited", "until": {}, "attempt": 10**9},
    ],
)
def test_blocked_ignores_invalid_values(extra: dict[str, Any] | None) -> None:
    """Unknown reasons leave an ordinary error; invalid times and numbers are left out."""
    presence = fold([event(1, "prompt"), event(2, "error", extra=extra)], NOW).presence
    known = extra is not None and extra.get("cannot_work") == "rate_limited"
    assert presence.detail == ("rate_limited" if known else "error")
    assert presence.detail_until is None
    assert presence.reason == (CANNOT_WORK["rate_limited"] if known else presence.reason)


def test_hooks_tell_how_a_session_is_known() -> None:
    """One hook suffices; other sources say nothing."""
    assert fold([event(1)], NOW).presence.hooks is False
    assert fold([event(1), event(2, source="claude-hook"), event(3)], NOW).presence.hooks is True
    assert fold([event(1, source="sdk")], NOW).presence.hooks is None


def viewed(seconds: float) -> Event:
    return event(seconds, "viewed", source="person", session_id=None)


def test_viewable_turn_is_unseen_until_somebody_looks() -> None:
    """The end of a turn is unseen until it is viewed or the agent works again."""
    turn = [event(1, "prompt"), event(2, "stop")]
    assert fold(turn, NOW).presence.unseen
    assert not fold([*turn, viewed(3)], NOW).presence.unseen
    assert not fold([*turn, event(3, "prompt")], NOW).presence.unseen
    assert fold([*turn, viewed(3), event(4, "prompt"), event(5, "stop")], NOW).presence.unseen
    assert not fold(turn, NOW + VIEWABLE_FOR).presence.unseen
    assert not fold([event(1, "prompt"), event(2, "interrupt")], NOW).presence.unseen
    children = [event(1, "prompt", parent_agent_id="p"), event(2, "stop")]
    assert not fold(children, NOW).presence.unseen


def due(roster: Roster, now: datetime) -> list[str]:
    return [timer.event_type for timer in roster.timers_due(now)]


def test_alive_agent_is_never_offline_by_a_timer() -> None:
    """A running process keeps an agent in the roster; its exit ends that."""
    roster = Roster(Limits())
    for seq, change in enumerate(
        [event(1, "prompt"), event(2, "stop"), event(2, "process_start", source="process")], 1
    ):
        roster.apply(change, seq, NOW)
    roster.commit()
    assert roster.agents["claude-1"].presence.alive
    assert due(roster, at(2) + timedelta(days=3)) == []
    roster.apply(event(9, "process_exit", source="process"), 4, NOW)
    roster.commit()
    presence = roster.agents["claude-1"].presence
    assert (presence.alive, presence.status.value) == (False, "offline")
    assert due(roster, at(2) + timedelta(days=3)) == ["forget"]


def test_alive_revives_an_agent_that_a_timer_ended() -> None:
    """A process that is found later shows that the silent agent has not ended."""
    quiet = [event(1, "prompt"), event(2, "stop"), event(1_900, "offline", source="timer")]
    assert fold(quiet, NOW).presence.status.value == "offline"
    presence = fold([*quiet, event(2_000, "process_start", source="process")], NOW).presence
    assert (presence.status.value, presence.detail) == ("idle", "done")


def test_totals_of_the_session_and_unpriced_tokens() -> None:
    """Totals of the session begin with it; unpriced tokens count for the agent's life."""
    presence = fold(
        [
            event(1, "completion", input_tokens=10, cost_usd=1.5),
            event(2, "completion", output_tokens=5),
            event(3, "completion", session_id="s2", input_tokens=7, cost_usd=0.5),
        ],
        NOW,
    ).presence
    assert (presence.total_cost_tokens, presence.cost_usd) == (22, 2.0)
    assert (presence.session_tokens, presence.session_cost_usd) == (7, 0.5)
    assert presence.unpriced_tokens == 5


def test_state_is_restored_from_its_json() -> None:
    """The facts survive a restart."""
    extra = {"cannot_work": "rate_limited", "until": at(9_000).isoformat(), "attempt": 2}
    state = fold(
        [
            event(1, "prompt", title="shop", branch="main", context_tokens=9, context_window=20),
            event(2, "process_start", source="process"),
            event(3, "error", extra=extra),
        ],
        NOW,
    )
    assert from_json(state.presence, to_json(state)) == state


def test_labels_have_times_of_their_own() -> None:
    """Sources report late: a newer title counts even if other events are newer still."""
    history = [
        event(1, "prompt", title="One", branch="main"),
        event(9, "tool_start", tool_name="Bash"),
        event(5, "session_info", title="Two", branch="feat"),
        event(3, "session_info", title="Late", branch="old"),
    ]
    presence = fold(history, NOW).presence
    assert (presence.title, presence.branch) == ("Two", "feat")


def test_labels_default_title_stands_in() -> None:
    """The type of a subagent is its title until a source reports a better one, even a late one."""
    default = event(5, "prompt", title="Explore", extra={"title_default": True})
    own = event(4, "session_info", title="Count the tests")
    assert fold([default], NOW).presence.title == "Explore"
    assert fold([default, own], NOW).presence.title == "Count the tests"
    assert fold([own, default], NOW).presence.title == "Count the tests"


def test_labels_are_cleared() -> None:
    """An agent that leaves its worktree has none, unless it has entered another one since."""
    history = [event(1, "session_info", worktree="cart", pr="#1")]
    leave = event(5, "session_info", extra={"cleared": ["worktree", "nonsense", 7]})
    presence = fold([*history, leave], NOW).presence
    assert (presence.worktree, presence.pr) == (None, "#1")
    again = event(6, "session_info", worktree="pay")
    assert fold([*history, again, leave], NOW).presence.worktree == "pay"
    for other in ("worktree", {"worktree": 1}, 7):
        odd = event(5, "session_info", extra={"cleared": other})
        assert fold([*history, odd], NOW).presence.worktree == "cart"


def test_context_has_a_time_of_its_own() -> None:
    """The size of the context is read from files, often after a hook reported later events."""
    history = [
        event(1, "completion", context_tokens=10),
        event(9, "stop"),
        event(5, "completion", context_tokens=50),
        event(3, "completion", context_tokens=30),
    ]
    assert fold(history, NOW).presence.context_tokens == 50


def test_facts_of_duplicate_are_what_is_new() -> None:
    """Equal, older and unrelated facts add nothing."""
    state = fold([event(5, "completion", title="One", branch="main", context_tokens=7)], NOW)
    same = event(6, "completion", title="One", branch="main", context_tokens=7)
    assert facts_of_duplicate(state, same) is None
    assert facts_of_duplicate(state, event(5, "completion", branch="feat")) is None
    assert facts_of_duplicate(state, event(6, "completion")) is None
    stands_in = event(6, "prompt", title="Explore", extra={"title_default": True})
    assert facts_of_duplicate(state, stands_in) is None
    extra = {"title_generated": True, "request_id": "r"}
    new = event(6, "completion", title="Two", branch="main", context_tokens=9, extra=extra)
    fact = facts_of_duplicate(state, new)
    assert fact is not None
    assert (fact.event_type, fact.title, fact.branch) == ("session_info", "Two", None)
    assert (fact.context_tokens, fact.extra) == (9, {"title_generated": True})
    assert (fact.total_tokens, fact.checked()) == (0, fact)


@pytest.mark.parametrize("late_clear", [False, True])
def test_update_labels_clears_in_any_order(late_clear: bool) -> None:
    """An older title that arrives later does not bring back what a later event cleared."""
    common: dict[str, Any] = {"agent_id": "a", "event_type": "session_info", "session_id": "s"}
    named = Event(**common, timestamp=at(1), title="A", branch="m")
    cleared = Event(**common, timestamp=at(2), extra={"cleared": ["title", "branch"]})
    state = AgentState.new("a", at(0))
    for event in (named, cleared) if late_clear else (cleared, named):
        state = reduce(state, event, at(3))
    assert state.labels == NO_LABELS


def test_assignment_replaces_the_evidence() -> None:
    """An agent that is assigned idle has no open call, question or subagent left."""
    events = [
        event(1, "tool_start", tool_name="Bash", tool_use_id="t1"),
        event(2, "permission_request", tool_name="Bash"),
        event(3, "subagent_start", extra={"child_agent_id": "child"}),
    ]
    state = fold(events)
    assert state.presence.status == "active"
    assigned = assignment("claude-1", "status", "idle")
    after = update_presence(reduce(state, assigned, NOW), assigned, 4)
    assert (after.presence.status, after.presence.attention) == ("idle", False)
    assert (after.open_tools, after.questions, after.children) == ({}, {}, {})
    assert after.last_activity == state.last_activity


def test_assignment_survives_the_stored_form() -> None:
    """A time before the last signal, too."""
    state = fold([event(50, "prompt")])
    assigned = assignment("claude-1", "last_activity", at(10))
    after = update_presence(reduce(state, assigned, NOW), assigned, 2)
    assert (after.last_activity, after.last_signal_at) == (at(10), at(50))
    assert from_json(after.presence, to_json(after)) == after
