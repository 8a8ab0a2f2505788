"""The tables of agents on the page are those that the agents declare."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.coverage.declaration import SOURCES
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.coverage_page import COMMAND, LETTERS, PAGE, replace_sections, sections


def test_page_is_up_to_date() -> None:
    """The file is what the command writes."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == replace_sections(text, sections()), f"run {COMMAND}"


def test_page_has_all_agents_and_sources() -> None:
    """Each agent has a row in each table, each source a letter of its own."""
    for label in (agent.label for agent in AGENTS.values()):
        assert (
            sum(f"| {label} |" in line for line in "".join(sections().values()).splitlines()) == 3
        )
    assert set(LETTERS) == set(SOURCES)
    assert len(set(LETTERS.values())) == len(LETTERS)


def test_replace_sections_needs_its_marks() -> None:
    """A page without marks is not changed silently."""
    assert replace_sections("a\n<!-- x -->\nold<!-- end of x -->\nb", {"x": "new\n"}) == (
        "a\n<!-- x -->\nnew\n<!-- end of x -->\nb"
    )
    with pytest.raises(ValueError, match="expected the marks of x"):
        replace_sections("text", {"x": ""})
