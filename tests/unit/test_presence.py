"""The state that a manager keeps around a transaction, driven without a file."""

from __future__ import annotations

from datetime import timedelta

import pytest

from htmlgraph_nb.core.changes import coerce_event
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.presence import AgentPresence
from tests.helpers.strategies import T0, at


def test_the_names_of_the_older_module_are_here() -> None:
    """Scripts import all three from htmlgraph_nb.presence."""
    from htmlgraph_nb import presence

    assert {"AgentPresence", "PresenceManager", "PresenceStatus"} <= set(presence.__all__)
    assert AgentPresence("a").status is PresenceStatus.OFFLINE


@pytest.mark.parametrize("given", ["tool_execute", {"event_type": "tool_execute"}])
def test_a_bare_type_is_an_event(given: object) -> None:
    """The same as a dict with it alone."""
    assert coerce_event("a", given) == Event(agent_id="a", event_type="tool_execute")  # type: ignore[arg-type]


def test_unknown_keys_are_kept() -> None:
    """In extra, beside what is there; the agent is the one that was named."""
    event = coerce_event(
        "a", {"agent_id": "b", "prompt_id": 7, "extra": {"k": 1}, "tool_name": None}
    )
    assert event == Event(agent_id="a", extra={"prompt_id": 7, "k": 1})


def test_an_event_built_by_hand_is_checked() -> None:
    """Its class checks nothing; what is stored must fit all the same."""
    assert coerce_event("a", Event(agent_id="b", tool_name="Bash")).agent_id == "a"
    for field, value in (("tool_name", "\ud800"), ("input_tokens", -1), ("extra", {"x": object()})):
        with pytest.raises(InvalidEvent, match=field):
            coerce_event("a", Event(agent_id="a", **{field: value}))


@pytest.mark.parametrize(
    ("agent_id", "event", "says"),
    [
        ("", "prompt", "agent_id: expected 1 to 256 characters, got 0"),
        ("a" * 257, {}, "agent_id: expected 1 to 256 characters, got 257"),
        (None, "prompt", "agent_id: expected a string, got null"),
        (7, {}, "agent_id: expected a string, got 7"),
        ("a", "", "event_type: expected 1 to 64 characters, got 0"),
        ("a", None, "event: expected a dict, an Event or an event type such as .*, got null"),
        ("a", 7, "event: expected a dict, .*, got 7"),
        ("a", [{}], "event: expected a dict, .*, got an array of 1"),
        ("a", {"cost_tokens": "many"}, "cost_tokens: expected an integer from .*, got 'many'"),
        (
            "a",
            {"timestamp": "yesterday"},
            "timestamp: expected an RFC 3339 string .*, got 'yesterday'",
        ),
        ("a", {"when": T0}, "extra: cannot be encoded as JSON"),
    ],
)
def test_bad_input_is_named(agent_id: object, event: object, says: str) -> None:
    """What was seen, and what was expected instead."""
    with pytest.raises(InvalidEvent, match=says):
        coerce_event(agent_id, event)  # type: ignore[arg-type]


def test_timers_may_be_judged_by_other_limits() -> None:
    """An agent that is silent long enough to be offline can be asked about as idle."""
    roster = Roster(Limits(idle_timeout_s=60, offline_timeout_s=120, forget_after_s=600))
    roster.apply(Event(agent_id="a", event_type="prompt"), 1, T0)
    roster.commit()
    only_idle = Limits(idle_timeout_s=60, offline_timeout_s=0, forget_after_s=0)
    assert [event.event_type for event in roster.expired_timers(at(59))] == []
    for seconds, kind in ((60, "idle"), (120, "offline"), (600, "forget")):
        assert [event.event_type for event in roster.expired_timers(at(seconds))] == [kind]
        assert [event.event_type for event in roster.expired_timers(at(seconds), only_idle)] == [
            "idle"
        ]


def test_a_sign_of_life_in_the_running_transaction_counts() -> None:
    """Whoever is asked for stale agents meanwhile must not name this one."""
    roster = Roster()
    roster.apply(Event(agent_id="a", event_type="prompt"), 1, T0)
    roster.commit()
    later = T0 + timedelta(days=2)
    assert roster.inactive_since(["a"], later, 3_600) == ["a"]
    roster.apply(Event(agent_id="a", event_type="prompt"), 2, later)
    assert roster.inactive_since(["a"], later, 3_600) == []
    roster.rollback()
    assert roster.inactive_since(["a", "unknown"], later, 3_600) == ["a"]
