"""Generated titles can be dropped; those of a person stay. Prompts are no titles."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.titles import (
    drop_generated_titles,
    is_from_prompt,
    start_of_prompt,
)
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


def test_is_from_prompt_compares_words() -> None:
    """White space, case and a mark of what was cut off do not count; an empty title is nothing."""
    prompt = start_of_prompt("Please  fix the\nshop, quickly")
    for title in ("please fix the shop", "Fix the shop,\u2026", "fix the...", ""):
        assert is_from_prompt(title, prompt)
    assert not is_from_prompt("Shop repair", prompt)
    assert start_of_prompt(None) == ""
