"""Sequences of events that agents send at the edges of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import AgentPresence, PresenceManager

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the manager."""
    return Clock()


@pytest.fixture
def manager(database: str, clock: Clock) -> Iterator[PresenceManager]:
    """A manager with its own file."""
    with PresenceManager(database, clock=clock) as opened:
        yield opened


def hook(manager: PresenceManager, clock: Clock, name: str, **fields: object) -> AgentPresence:
    """Send a hook a second after the last, and return the agent."""
    clock.now += timedelta(seconds=1)
    payload = {"hook_event_name": name, "session_id": "s-1", "cwd": "/w/api", **fields}
    events = events_from_hook(payload, received_at=clock.now)
    manager.ingest(events)
    return manager.snapshot()[events[0].agent_id]


def test_reduce_ignores_a_clock_that_is_a_day_ahead(manager: PresenceManager, clock: Clock) -> None:
    """Events of the future count as now, so that later ones still change the status."""
    ahead = Event(agent_id="a", event_type="prompt", timestamp=NOW + timedelta(days=1))
    manager.ingest([ahead])
    assert manager.snapshot()["a"].last_activity == NOW
    clock.now += timedelta(minutes=1)
    manager.ingest([Event(agent_id="a", event_type="stop", timestamp=clock.now)])
    presence = manager.snapshot()["a"]
    assert (str(presence.status), presence.last_activity) == ("idle", clock.now)


def test_background_shell_ends_with_its_session(manager: PresenceManager, clock: Clock) -> None:
    """A resumed session does not inherit it."""
    hook(manager, clock, "UserPromptSubmit")
    running = hook(manager, clock, "Stop", background_tasks=1)
    assert (str(running.status), running.detail) == ("active", "background")
    assert str(hook(manager, clock, "SessionEnd", reason="prompt_input_exit").status) == "offline"
    resumed = hook(manager, clock, "SessionStart", source="resume")
    assert (str(resumed.status), resumed.detail) == ("idle", "done")


def test_compaction_in_a_turn_does_not_end_it(manager: PresenceManager, clock: Clock) -> None:
    """PreCompact and SessionStart come in the middle of the work."""
    hook(manager, clock, "UserPromptSubmit")
    hook(manager, clock, "PreCompact", trigger="auto")
    hook(manager, clock, "SessionStart", source="compact")
    running = hook(manager, clock, "PreToolUse", tool_name="Bash", tool_use_id="toolu_1")
    assert (str(running.status), running.detail) == ("active", "tool")
    assert str(hook(manager, clock, "Stop").status) == "idle"
