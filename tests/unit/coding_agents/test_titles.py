"""Generated titles can be dropped; those of a person stay."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.titles import drop_generated_titles
from htmlgraph_nb.core.model import Event

GENERATED = {"title_generated": True}


def test_drop_generated_titles_keeps_titles_of_a_person() -> None:
    """Only the mark says that a title was generated."""
    events = [
        Event(agent_id="a", event_type="session_info", title="mine"),
        Event(agent_id="a", event_type="prompt", extra={"x": 1}),
        Event(agent_id="a", event_type="prompt", title="mine", extra={"title_generated": False}),
    ]
    assert drop_generated_titles(events) == events


def test_drop_generated_titles_keeps_other_facts() -> None:
    """An event that reports more than the title loses only the title."""
    events = [
        Event(agent_id="a", event_type="session_start", title="t", extra={**GENERATED, "x": 1}),
        Event(agent_id="a", event_type="session_info", title="t", branch="main", extra=GENERATED),
        Event(agent_id="a", event_type="prompt", title="t", extra=GENERATED),
    ]
    assert drop_generated_titles(events) == [
        Event(agent_id="a", event_type="session_start", extra={"x": 1}),
        Event(agent_id="a", event_type="session_info", branch="main"),
        Event(agent_id="a", event_type="prompt"),
    ]


def test_drop_generated_titles_drops_events_of_only_a_title() -> None:
    """A report of nothing but a generated title is left out."""
    event = Event(agent_id="a", event_type="session_info", title="t", event_id="x", extra=GENERATED)
    assert drop_generated_titles([event]) == []
