"""The copied history of a forked session is recognized in each of the forms that Codex wrote."""

from __future__ import annotations

from datetime import timedelta

from htmlgraph_nb.coding_agents.codex.forks import Fork
from tests.helpers.session_lines import START

LATER = START + timedelta(seconds=30)


def test_fork_copies_lines_before_the_first_own_ordinal() -> None:
    """Later versions number the lines."""
    fork = Fork.of_meta({"subagent_history_start_ordinal": 5}, START)
    assert [fork.copied({"ordinal": n}, {}, START, LATER) for n in (4, 5)] == [True, False]


def test_fork_copies_turns_that_started_before_it() -> None:
    """A turn has the time of its start; the lines after it belong to it."""
    fork = Fork.of_meta({}, START)
    start = int(START.timestamp())
    assert fork.copied({}, {"started_at": start - 9}, None, LATER)
    assert fork.copied({}, {}, START, LATER)
    assert not fork.copied({}, {"started_at": start + 9}, START, LATER)
    assert not fork.copied({}, {}, LATER, LATER), "the copy has ended"


def test_fork_without_turns_ends_with_a_pause() -> None:
    """A copied history is written in one burst."""
    fork = Fork.of_meta({}, START)
    assert fork.copied({}, {}, None, START)
    assert fork.copied({}, {}, START, START + timedelta(milliseconds=20))
    assert not fork.copied({}, {}, START, LATER)


def test_fork_of_another_session_copies_nothing() -> None:
    """A session that is no fork has only lines of its own."""
    assert not Fork.of_meta({"subagent_history_start_ordinal": 5}, None).copied({}, {}, None, START)
