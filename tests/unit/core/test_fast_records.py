"""fast_constructor: instances equal those of the class."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given

from htmlgraph_nb.core.model import AgentPresence, Event, new_event, new_presence
from tests.helpers.strategies import events


@given(events)
def test_fast_constructor_equals_the_class(event: Event) -> None:
    """Fields, equality and repr are those of an instance of the class."""
    values = {f.name: getattr(event, f.name) for f in fields(Event)}
    built = new_event(**values)
    assert type(built) is Event
    assert built == event == Event(**values)
    assert repr(built) == repr(event)


def test_fast_constructor_applies_defaults() -> None:
    """Default factories are called for each instance."""
    assert new_event(agent_id="a") == Event(agent_id="a")
    first, second = new_presence("a"), AgentPresence("a")
    assert (first.status, first.detail, first.seq) == (second.status, second.detail, second.seq)
    assert first.last_activity <= second.last_activity


def test_fast_constructor_keeps_the_class_frozen() -> None:
    """Instances are immutable; missing and unknown fields raise TypeError."""
    with pytest.raises(FrozenInstanceError):
        new_event(agent_id="a").agent_id = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="agent_id"):
        new_event()
    with pytest.raises(TypeError, match="no_field"):
        new_presence("a", no_field=1)
