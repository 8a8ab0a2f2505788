"""The end of a turn counts if no other follows."""

from __future__ import annotations

from datetime import timedelta

from htmlgraph_nb.coding_agents.copilot.turns import FINAL_QUIET_S, OTHER_QUIET_S, Turn
from htmlgraph_nb.core.model import Event
from tests.helpers.session_lines import START

END = Event(agent_id="a", event_type="stop", timestamp=START)


def test_turn_that_follows_cancels_the_end() -> None:
    """The agent was working all the time."""
    turn = Turn()
    assert turn.start()
    turn.respond(True, False)
    turn.hold(END)
    assert turn.until(START + timedelta(milliseconds=80)) == []
    assert not turn.start()
    assert turn.close() == []


def test_turn_end_counts_after_quiet() -> None:
    """Sooner if the response called no tools."""
    for calls_tools, limit in ((True, OTHER_QUIET_S), (False, FINAL_QUIET_S)):
        turn = Turn()
        turn.start()
        turn.respond(calls_tools, False)
        turn.hold(END)
        assert turn.after(limit / 2) == []
        assert turn.until(START + timedelta(seconds=limit)) == [END]
        assert not turn.is_open
        assert turn.start()


def test_turn_failure_is_its_end_unless_a_response_follows() -> None:
    """The request may have been repeated."""
    failure = Event(agent_id="a", event_type="error", timestamp=START)
    turn = Turn(is_open=True, failure=failure)
    turn.hold(END)
    assert turn.close() == [failure]
    turn = Turn(is_open=True, failure=failure)
    turn.respond(False, False)
    turn.hold(END)
    assert turn.close() == [END]
