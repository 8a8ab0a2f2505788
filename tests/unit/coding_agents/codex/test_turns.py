"""The turns in Codex's session files start and end once."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.codex.turns import Turns, abort_event_type
from tests.helpers.session_lines import START


def test_turns_without_a_prompt_are_reported_once() -> None:
    """A prompt before or after the start of a turn belongs to it."""
    turns = Turns()
    turns.start({"turn_id": "a"}, START)
    assert turns.pop_unprompted() == START
    assert turns.pop_unprompted() is None
    turns.end({"turn_id": "a"})
    turns.on_prompt()
    turns.start({"turn_id": "b"}, START)
    assert turns.pop_unprompted() is None
    turns.end({"turn_id": "b"})
    turns.start({"turn_id": "c"}, START)
    turns.on_prompt()
    assert turns.pop_unprompted() is None


def test_turns_ignore_the_late_end_of_a_finished_turn() -> None:
    """The next turn finishes the one before; an unknown turn or none is the current one."""
    turns = Turns()
    assert [turns.start({"turn_id": turn}, START) for turn in ("a", "b")] == [1, 2]
    assert [turns.end({"turn_id": turn}) for turn in ("a", "x", "b")] == [False, True, True]
    assert turns.end({})


def test_turns_remember_a_limited_number() -> None:
    """The oldest finished turns are forgotten."""
    turns = Turns()
    for number in range(100):
        turns.start({"turn_id": str(number)}, START)
    assert turns.end({"turn_id": "0"})
    assert not turns.end({"turn_id": "98"})


def test_turns_start_again_without_the_facts_of_the_last_one() -> None:
    """A plan, an error and a limit belong to their turn."""
    turns = Turns(planned=True, failed=True, limited=True)
    turns.start({}, START)
    assert (turns.current, turns.planned, turns.failed, turns.limited) == (
        None,
        False,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("interrupted", "interrupt"),
        ("budget_limited", "stop"),
        (None, "interrupt"),
        ({}, "interrupt"),
    ],
)
def test_abort_event_type_is_that_of_its_reason(reason: object, kind: str) -> None:
    """Only ends that nobody caused are no interrupt."""
    assert abort_event_type(reason) == kind
