"""A clock that was ahead for a while, as before NTP has set it, leaves no agent behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.presence import AgentPresence, PresenceManager

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits(idle_timeout_s=60, offline_timeout_s=600, forget_after_s=0)
Event = dict[str, Any]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the managers."""
    return Clock()


def report(manager: PresenceManager, agent: str, kind: str, **fields: Any) -> AgentPresence:
    """Report an event of the agent's session."""
    return manager.update_presence(agent, {"event_type": kind, "session_id": f"{agent}-1"} | fields)


def seen(presence: AgentPresence | None) -> tuple[str, bool]:
    """Return the status and whether the agent waits."""
    assert presence is not None
    return str(presence.status), presence.attention


ENDS: dict[str, tuple[Callable[[PresenceManager, str], Any], tuple[str, bool]]] = {
    "end": (lambda m, a: report(m, a, "session_end"), ("offline", False)),
    "stop": (lambda m, a: report(m, a, "stop"), ("idle", False)),
    "question": (lambda m, a: report(m, a, "permission_request"), ("active", True)),
    "offline": (lambda m, a: m.mark_offline(a), ("offline", False)),
    "exit": (lambda m, a: report(m, a, "process_exit"), ("offline", False)),
    "session": (
        lambda m, a: m.update_presence(a, {"event_type": "session_start", "session_id": "s-2"}),
        ("idle", False),
    ),
}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("ahead_s", [5, 1_200, 10_800, 315_360_000])
@pytest.mark.parametrize("last", ENDS)
def test_events_after_clock_was_ahead_count(
    tmp_path: Path, clock: Clock, last: str, ahead_s: int, restart: bool
) -> None:
    """Events, also of other sessions, count at once, and no time lies in the future."""
    path = str(tmp_path / "h.db")
    act, expected = ENDS[last]
    manager = PresenceManager(path, limits=LIMITS, clock=clock)
    report(manager, "a", "prompt")
    clock.now += timedelta(seconds=ahead_s)
    manager.tick(resumed=True)
    report(manager, "a", "process_start")
    report(manager, "a", "tool_start", tool_name="Bash", tool_use_id="t1")
    clock.now += timedelta(seconds=1)
    report(manager, "a", "tool_execute", tool_name="Bash", tool_use_id="t1")
    clock.now = START + timedelta(seconds=2)
    if restart:
        manager.close()
        manager = PresenceManager(path, limits=LIMITS, clock=clock)
    act(manager, "a")
    presence = manager.get_agent_presence("a")
    assert seen(presence) == expected
    assert presence is not None
    assert presence.last_activity <= clock.now
    assert (presence.since or clock.now) <= clock.now
    manager.close()


@pytest.mark.parametrize("ahead_s", [1_200, 315_360_000])
def test_timers_after_clock_was_ahead_expire(tmp_path: Path, clock: Clock, ahead_s: int) -> None:
    """An agent without further events becomes idle and offline in time; ended ones stay so."""
    with PresenceManager(str(tmp_path / "h.db"), limits=LIMITS, clock=clock) as manager:
        clock.now += timedelta(seconds=ahead_s)
        report(manager, "busy", "prompt")
        report(manager, "ended", "prompt")
        clock.now += timedelta(seconds=1)
        report(manager, "ended", "session_end")
        clock.now = START
        manager.tick()
        assert seen(manager.get_agent_presence("busy")) == ("active", False)
        assert seen(manager.get_agent_presence("ended")) == ("offline", False)
        clock.now += timedelta(seconds=61)
        manager.tick()
        assert seen(manager.get_agent_presence("busy")) == ("idle", False)
        clock.now += timedelta(seconds=600)
        manager.tick()
        assert seen(manager.get_agent_presence("busy")) == ("offline", False)


def test_agents_ended_while_clock_was_ahead_come_back(tmp_path: Path, clock: Clock) -> None:
    """Their end was dated by the wrong clock, which must not hide what they do now."""
    with PresenceManager(str(tmp_path / "h.db"), limits=LIMITS, clock=clock) as manager:
        report(manager, "a", "prompt")
        clock.now += timedelta(hours=3)
        manager.tick()
        assert seen(manager.get_agent_presence("a")) == ("offline", False)
        report(manager, "a", "session_end")
        clock.now = START + timedelta(seconds=5)
        assert seen(report(manager, "a", "prompt")) == ("active", False)


def test_other_manager_corrects_what_one_with_a_wrong_clock_stored(tmp_path: Path) -> None:
    """The one whose clock is right sets the times back."""
    path, clock, wrong = str(tmp_path / "h.db"), Clock(), Clock()
    wrong.now += timedelta(hours=3)
    with PresenceManager(path, limits=LIMITS, clock=clock) as right:
        with PresenceManager(path, limits=LIMITS, clock=wrong) as other:
            report(other, "a", "prompt")
        right.tick()
        assert seen(report(right, "a", "stop")) == ("idle", False)


def test_failed_write_keeps_states_to_be_set_back(tmp_path: Path, clock: Clock) -> None:
    """A transaction that is rolled back has corrected nothing, so the next one does."""
    with PresenceManager(str(tmp_path / "h.db"), limits=LIMITS, clock=clock) as manager:
        clock.now += timedelta(hours=3)
        report(manager, "a", "prompt")
        clock.now = START

        def failing(tx: Any) -> None:
            manager._sync.apply(tx, [], 0.0)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            manager.store.write(failing)
        assert seen(report(manager, "a", "stop")) == ("idle", False)
