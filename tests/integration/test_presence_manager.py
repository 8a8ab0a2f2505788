"""PresenceManager with a real file, as used by scripts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import CapacityError, InvalidEvent
from htmlgraph_nb.paths import default_db
from htmlgraph_nb.presence import AgentPresence, PresenceManager, PresenceStatus, Publication
from tests.helpers.database_files import history_rows

START = datetime(2025, 1, 14, 14, 50, 30, tzinfo=UTC)
ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    """The clock of the managers."""
    return Clock()


@pytest.fixture
def manager(database: str, clock: Clock) -> Iterator[PresenceManager]:
    """A manager with its own database."""
    with PresenceManager(database, clock=clock) as opened:
        yield opened


def test_presence_manager_uses_the_default_file(own_home: Path) -> None:
    """It is in the user's data folder; agents become idle after five minutes."""
    with PresenceManager() as manager:
        assert manager.db_path == default_db() == str(own_home / "htmlgraph.db")
        assert manager.idle_timeout_seconds == 300
        assert (manager.agents, manager.get_all_presence()) == ({}, [])
        assert manager.get_agent_presence("unknown") is None
        assert repr(manager) == f"PresenceManager({manager.db_path!r}, 0 agents)"
    with PresenceManager(None, 5) as manager:
        assert manager.idle_timeout_seconds == 5
    with PresenceManager(db_path=str(own_home / "x.db"), idle_timeout_seconds=7) as manager:
        assert manager.limits.idle_timeout_s == 7
    with PresenceManager(limits=Limits(idle_timeout_s=8)) as manager:
        assert manager.idle_timeout_seconds == 8


def test_update_presence_returns_tool_feature_session_and_tokens(
    manager: PresenceManager, clock: Clock
) -> None:
    """The fields of the original project, added up over the events."""
    event = {"tool_name": "Bash", "feature_id": "f1", "session_id": "s1", "cost_tokens": 1_000}
    manager.update_presence("claude-1", event)
    clock.advance(3)
    presence = manager.update_presence("claude-1", {"tool_name": "Edit", "cost_tokens": 500})
    assert presence == manager.agents["claude-1"] == manager.get_agent_presence("claude-1")
    assert manager.get_all_presence() == [presence]
    assert isinstance(presence, AgentPresence)
    eight = dict(list(presence.to_dict().items())[:8])
    assert eight == {
        "agent_id": "claude-1",
        "status": "active",
        "current_feature_id": "f1",
        "last_tool_name": "Edit",
        "last_activity": "2025-01-14T14:50:33.000000Z",
        "total_tools_executed": 2,
        "total_cost_tokens": 1_500,
        "session_id": "s1",
    }


def test_update_presence_accepts_every_form_of_event(manager: PresenceManager) -> None:
    """A type, an Event (of any agent), and a dict whose unknown keys are kept."""
    assert manager.update_presence("a", "tool_execute", None).total_tools_executed == 1
    assert manager.update_presence("a", Event(agent_id="b", tool_name="X")).agent_id == "a"
    manager.update_presence("a", {"event_type": "stop", "prompt_id": "p1", "extra": {"k": 1}})
    assert manager.agents.keys() == {"a"}
    assert history_rows(manager.db_path, "event_type, extra")[-1] == (
        "stop",
        '{"prompt_id":"p1","k":1}',
    )


def test_invalid_input_changes_nothing(manager: PresenceManager) -> None:
    """It is rejected before anything is written."""
    for agent_id, event in (("", "prompt"), ("a", None), ("a", {"cost_tokens": -1}), ("a", 1.5)):
        with pytest.raises(InvalidEvent):
            manager.update_presence(agent_id, event)  # type: ignore[arg-type]
    assert (manager.agents, manager.cursor.seq) == ({}, 0)


def test_update_presence_returns_offline_for_unknown_agents(manager: PresenceManager) -> None:
    """After a duplicate or a forget event the agent can be unknown."""
    manager.update_presence("a", {"event_id": "e1", "tool_name": "Bash"})
    removed = manager.update_presence("a", "forget")
    assert (removed.agent_id, removed.status, removed.seq) == ("a", OFFLINE, 0)
    duplicate = manager.update_presence("a", {"event_id": "e1", "tool_name": "Bash"})
    assert (duplicate.status, duplicate.last_tool_name, manager.agents) == (OFFLINE, None, {})


class Sessions:
    """A sync websocket manager like that of the original project."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def broadcast_to_all_sessions(self, message: dict[str, Any]) -> None:
        """Record the message."""
        self.messages.append(message)


class AsyncSessions(Sessions):
    """The same, async."""

    async def broadcast_to_all_sessions(self, message: dict[str, Any]) -> None:  # type: ignore[override]
        """Record the message in the next iteration of the loop."""
        await asyncio.sleep(0)
        self.messages.append(message)


@pytest.mark.parametrize("kind", [Sessions, AsyncSessions])
def test_websocket_manager_receives_the_message(
    manager: PresenceManager, kind: type[Sessions]
) -> None:
    """Without a running loop it has been called when update_presence returns."""
    sessions = kind()
    presence = manager.update_presence("a", {"tool_name": "Bash"}, sessions)
    (message,) = sessions.messages
    assert {name: message[name] for name in ("type", "event_type", "agent_id", "presence")} == {
        "type": "presence_update",
        "event_type": "presence_update",
        "agent_id": "a",
        "presence": presence.to_dict(),
    }
    assert message["timestamp"] == "2025-01-14T14:50:30.000000Z"
    mirror = Mirror()
    mirror.apply(message)
    assert mirror.agents == {"a": presence}


def test_websocket_manager_is_called_in_a_task_in_a_running_loop(manager: PresenceManager) -> None:
    """The call does not block the loop, and the task is kept until it is done."""
    sessions = AsyncSessions()

    async def work() -> None:
        manager.update_presence("a", "prompt", sessions)
        assert sessions.messages == []
        while not sessions.messages:
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(work())
    assert [message["agent_id"] for message in sessions.messages] == ["a"]
    assert manager._broadcast._tasks == set()


class Failing:
    """A websocket manager that fails."""

    def broadcast_to_all_sessions(self, message: dict[str, Any]) -> None:
        """Fail at once."""
        raise ConnectionError("closed")


class AsyncFailing:
    """A websocket manager that fails when it is awaited."""

    async def broadcast_to_all_sessions(self, message: dict[str, Any]) -> None:
        """Fail later."""
        raise ConnectionError("closed")


@pytest.mark.parametrize("sessions", [Failing(), AsyncFailing(), object()])
@pytest.mark.parametrize("in_loop", [False, True])
def test_failing_broadcast_is_logged_and_the_event_stays(
    manager: PresenceManager, caplog: pytest.LogCaptureFixture, sessions: object, in_loop: bool
) -> None:
    """A failing dashboard must not fail the agent."""

    async def work() -> None:
        manager.update_presence("a", "prompt", sessions)
        await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR, "htmlgraph_nb.broadcast_adapter"):
        if in_loop:
            asyncio.run(work())
        else:
            manager.update_presence("a", "prompt", sessions)
    assert "broadcast_to_all_sessions failed" in caplog.text
    assert manager.get_agent_presence("a") is not None


def test_mark_idle_marks_inactive_agents(manager: PresenceManager, clock: Clock) -> None:
    """All or one of them; busy, idle and offline agents are unchanged."""
    for name in ("a", "b", "ended", "idle"):
        manager.update_presence(name, {"event_type": "prompt"})
    manager.mark_offline("ended")
    manager.update_presence("idle", "stop")
    manager.update_presence("busy", {"event_type": "tool_start", "tool_name": "Bash"})
    clock.advance(299)
    assert manager.mark_idle() == []
    clock.advance(1)
    assert manager.mark_idle("b") == ["b"]
    assert manager.mark_idle("unknown") == []
    assert manager.mark_idle() == ["a"]
    assert manager.mark_idle() == []
    statuses = {name: presence.status for name, presence in manager.agents.items()}
    assert statuses == {"a": IDLE, "b": IDLE, "ended": OFFLINE, "idle": IDLE, "busy": ACTIVE}


def test_mark_idle_after_hours_of_inactivity(manager: PresenceManager, clock: Clock) -> None:
    """Without a server no other timer changes the status in the meantime."""
    manager.update_presence("a", "prompt")
    clock.advance(5 * 3_600)
    assert manager.mark_idle() == ["a"]
    assert manager.agents["a"].status is IDLE
    assert manager.agents["a"].last_activity == START


def test_tick_leads_from_active_to_forgotten(manager: PresenceManager, clock: Clock) -> None:
    """Each step is a change of its own, stored and published."""
    published: list[tuple[int, str | None]] = []

    def record(batch: Publication) -> None:
        for change in batch.changes:
            presence = change.presence
            published.append((change.seq, None if presence is None else presence.status.value))

    manager.subscribe(record)
    manager.update_presence("a", "prompt")
    for seconds in (300, 1_500, 84_600):
        assert manager.tick() == []
        clock.advance(seconds)
        assert manager.tick() == ["a"]
    assert published == [(1, "active"), (2, "idle"), (3, "offline"), (4, None)]
    assert manager.agents == {}
    assert manager.forgotten_seq == 4
    assert history_rows(manager.db_path, "event_type, source") == [
        ("prompt", None),
        ("idle", "timer"),
        ("offline", "timer"),
        ("forget", "timer"),
    ]


def test_mark_offline(manager: PresenceManager, clock: Clock) -> None:
    """It returns False for an unknown agent; activity makes the agent active again."""
    assert manager.mark_offline("a") is False
    manager.update_presence("a", {"tool_name": "Bash"})
    assert manager.mark_offline("a") is True
    assert manager.agents["a"].status is OFFLINE
    seq = manager.cursor.seq
    assert manager.mark_offline("a") is True
    assert manager.cursor.seq == seq
    clock.advance(1)
    assert manager.update_presence("a", "prompt").status is ACTIVE
    assert manager.submit_offline("a", 0.0).result(10) is True
    assert manager.agents["a"].status is OFFLINE


def test_cleanup_removes_stale_agents_and_keeps_history(
    manager: PresenceManager, clock: Clock
) -> None:
    """The age is that of the last activity; the presence row is deleted, the history kept."""
    manager.update_presence("old", "prompt")
    clock.advance(3_600)
    manager.update_presence("young", "prompt")
    assert manager.cleanup_stale_agents() == []
    assert manager.cleanup_stale_agents(max_age_hours=1) == ["old"]
    assert manager.agents.keys() == {"young"}
    assert history_rows(manager.db_path, "agent_id, event_type") == [
        ("old", "prompt"),
        ("young", "prompt"),
        ("old", "forget"),
    ]
    with PresenceManager(manager.db_path, clock=clock) as other:
        assert other.agents.keys() == {"young"}
    clock.advance(24 * 3_600)
    assert manager.cleanup_stale_agents(24) == ["young"]


def test_agents_is_a_copy(manager: PresenceManager) -> None:
    """Modifying it does not change the manager."""
    manager.update_presence("a", "prompt")
    manager.agents.clear()
    manager.get_all_presence().clear()
    manager.snapshot().clear()
    assert manager.agents.keys() == {"a"}


def test_state_survives_a_restart(manager: PresenceManager, clock: Clock) -> None:
    """Presence and evidence: an open call still prevents timers."""
    manager.update_presence("a", {"event_type": "tool_start", "tool_name": "Bash"})
    manager.update_presence("b", {"tool_name": "Edit", "cost_usd": 0.5, "model": "m"})
    before = manager.snapshot()
    manager.close()
    with PresenceManager(manager.db_path, clock=clock) as manager:
        assert manager.agents == before
        clock.advance(1_000)
        assert manager.tick() == ["b"]


def test_snapshot_is_consistent_during_writes(manager: PresenceManager) -> None:
    """A reader in another thread never sees a dict change during iteration."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event as Flag

    enough = Flag()

    def write() -> set[str]:
        alive: set[str] = set()
        n = 0
        while n < 300 or not enough.is_set():
            agent_id, n = f"a{n % 400}", n + 1
            manager.update_presence(agent_id, "forget" if n % 3 == 0 else "prompt")
            (alive.discard if n % 3 == 0 else alive.add)(agent_id)
        return alive

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for _ in range(10):
                for presence in manager.snapshot().values():
                    assert presence.seq <= manager.cursor.seq
                manager.tick()
        finally:
            enough.set()
        alive = writing.result()
    assert set(manager.snapshot()) == alive


def test_full_roster_removes_offline_agents_first(database: str, clock: Clock) -> None:
    """New agents find room, those that work stay, and the removal is an event like any other."""
    changes: list[Publication] = []
    with PresenceManager(database, limits=Limits(max_agents=100), clock=clock) as manager:
        manager.ingest([Event(agent_id=f"gone{n}", event_type="session_end") for n in range(99)])
        manager.update_presence("works", "prompt")
        manager.subscribe(changes.append)
        clock.advance(1)
        manager.ingest([Event(agent_id=f"new{n}", event_type="prompt") for n in range(30)])
        agents = manager.snapshot()
        assert len(agents) == 100
        assert {"works", *(f"new{n}" for n in range(30))} <= set(agents)
        removed = [change.agent_id for change in changes[0].changes if change.state is None]
        assert len(removed) == 30
        assert not set(removed) & set(agents)


def test_full_roster_of_working_agents_has_room_for_other_sources(
    database: str, clock: Clock
) -> None:
    """A program that reports many agents cannot keep out the hooks of coding agents."""
    limits = Limits(max_agents=90)
    with PresenceManager(database, limits=limits, clock=clock) as manager:
        manager.ingest([Event(agent_id=f"p{n}", event_type="prompt") for n in range(90)])
        for n in range(30):
            event = {"event_type": "prompt", "source": "claude-hook"}
            assert manager.update_presence(f"h{n}", event).status is ACTIVE
        with pytest.raises(CapacityError, match="agents: at most 90 allowed"):
            manager.update_presence("h30", {"event_type": "prompt", "source": "claude-hook"})
        with pytest.raises(CapacityError, match="agents: at most 90 allowed"):
            manager.update_presence("p90", "prompt")
    with PresenceManager(database, limits=limits, clock=clock) as manager:
        assert len(manager.snapshot()) == 90
