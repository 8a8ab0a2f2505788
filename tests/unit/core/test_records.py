"""Records that are built fast are those that their classes build."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given

from htmlgraph_nb.core.model import AgentPresence, Event, new_event, new_presence
from tests.helpers.strategies import events


@given(events)
def test_an_event_is_the_one_of_its_class(one: Event) -> None:
    """All fields, equality, hash of the type and text are alike."""
    values = {f.name: getattr(one, f.name) for f in fields(Event)}
    made = new_event(**values)
    assert type(made) is Event
    assert made == one == Event(**values)
    assert repr(made) == repr(one)


def test_what_is_left_out_has_its_default() -> None:
    """Defaults, those that are made anew each time included."""
    assert new_event(agent_id="a") == Event(agent_id="a")
    one, other = new_presence("a"), AgentPresence("a")
    assert (one.status, one.detail, one.seq) == (other.status, other.detail, other.seq)
    assert one.last_activity <= other.last_activity


def test_a_record_is_frozen_and_wants_its_fields() -> None:
    """It cannot be changed, and neither a missing nor a wrong field passes."""
    with pytest.raises(FrozenInstanceError):
        new_event(agent_id="a").agent_id = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="agent_id"):
        new_event()
    with pytest.raises(TypeError, match="no_field"):
        new_presence("a", no_field=1)
