"""Fields of presences that programs assign, as with the plain dataclass of the older project."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.presence import AgentPresence, PresenceManager, PresenceStatus, Publication

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE
VALUES = {
    "status": IDLE,
    "current_feature_id": "feat-1",
    "last_tool_name": "Grep",
    "last_activity": START - timedelta(hours=3),
    "total_tools_executed": 41,
    "total_cost_tokens": 9_000,
    "session_id": "s-9",
}


@pytest.fixture
def manager(database: str) -> Iterator[PresenceManager]:
    """A manager with its own file and the clock of the machine."""
    with PresenceManager(database) as opened:
        yield opened


def test_cleanup_stale_agents_reads_an_assigned_naive_time(manager: PresenceManager) -> None:
    """Naive times are local; only the agent that is too old is removed."""
    for name in ("agent-old", "agent-new"):
        manager.update_presence(name, {"event_type": "tool_execute", "tool_name": "Bash"})
    manager.agents["agent-old"].last_activity = datetime.now() - timedelta(hours=25)
    manager.agents["agent-new"].last_activity = datetime.now() - timedelta(hours=23)
    assert manager.cleanup_stale_agents(max_age_hours=24) == ["agent-old"]
    assert manager.agents.keys() == {"agent-new"}


def test_mark_idle_reads_an_assigned_time(manager: PresenceManager) -> None:
    """As code of the older project simulates inactivity; a held object shows the new status."""
    presence = manager.update_presence("a", "tool_execute")
    manager.update_presence("b", "tool_execute")
    held = manager.get_agent_presence("a")
    presence.last_activity = datetime.now(UTC) - timedelta(seconds=400)
    assert manager.mark_idle() == ["a"]
    assert held is not None
    assert held.status is manager.agents["a"].status is IDLE
    assert manager.agents["b"].status is ACTIVE


@pytest.mark.parametrize("name", VALUES)
def test_assignment_is_stored_and_published(
    manager: PresenceManager, tmp_path: Path, name: str
) -> None:
    """Later reads, subscribers and other processes see each field of the older class."""
    batches: list[Publication] = []
    manager.update_presence("a", {"event_type": "tool_start", "tool_name": "Bash"})
    manager.subscribe(batches.append)
    seq = manager.cursor.seq
    setattr(manager.agents["a"], name, VALUES[name])
    everywhere = [manager.agents["a"], manager.get_agent_presence("a"), *manager.get_all_presence()]
    assert [getattr(one, name) for one in everywhere] == [VALUES[name]] * 3
    assert manager.cursor.seq == seq + 1
    [change] = batches[0].changes
    assert getattr(change.presence, name) == VALUES[name]
    with PresenceManager(manager.db_path) as other:
        assert getattr(other.agents["a"], name) == VALUES[name]
        assert other.agents == manager.agents


@pytest.mark.parametrize("status", PresenceStatus)
def test_assigned_status_holds_until_the_next_event(
    manager: PresenceManager, status: PresenceStatus
) -> None:
    """Also while a call is open; work makes the agent active again."""
    manager.update_presence("a", {"event_type": "tool_start", "tool_name": "Bash"})
    presence = manager.agents["a"]
    presence.status = status
    presence.last_activity = datetime.now(UTC)
    assert manager.agents["a"].status is status
    manager.update_presence("a", {"event_type": "tool_execute", "tool_name": "Read"})
    assert presence.status is ACTIVE


def test_agents_behave_as_a_mapping(manager: PresenceManager) -> None:
    """As far as code for the older project uses it."""
    for name in ("a", "b"):
        manager.update_presence(name, "prompt")
    agents = manager.agents
    assert (len(agents), list(agents), "a" in agents, agents.get("c")) == (
        2,
        ["a", "b"],
        True,
        None,
    )
    assert [presence.agent_id for presence in agents.values()] == [
        name for name, _ in agents.items()
    ]
    manager.update_presence("a", {"event_type": "tool_execute", "tool_name": "Bash"})
    assert agents["a"].last_tool_name == "Bash"
    for presence in agents.values():
        presence.current_feature_id = None


def test_update_presence_returns_the_state_after_its_event(manager: PresenceManager) -> None:
    """It shows no later event, so that two results can be compared, but can be assigned."""
    first = manager.update_presence("a", "tool_execute")
    second = manager.update_presence("a", "tool_execute")
    assert (first.total_tools_executed, second.total_tools_executed) == (1, 2)
    first.total_tools_executed = 7
    assert (first.total_tools_executed, manager.agents["a"].total_tools_executed) == (7, 7)


def test_live_presence_is_an_agent_presence(manager: PresenceManager) -> None:
    """Equality, copies and JSON are those of the dataclass."""
    manager.update_presence("a", {"event_type": "tool_execute", "model": "m"})
    live, fixed = manager.agents["a"], manager.snapshot()["a"]
    assert isinstance(live, AgentPresence)
    assert live == fixed == live
    assert (repr(live), live.to_dict()) == (repr(fixed), fixed.to_dict())
    copies = [copy.copy(live), copy.deepcopy(live), pickle.loads(pickle.dumps(live)), replace(live)]
    live.total_cost_tokens = 5
    assert copies == [fixed] * 4
    assert live != fixed


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("agent_id", "b", AttributeError, "agent_id: cannot be assigned, expected one of status"),
        ("model", "m", AttributeError, "model: cannot be assigned"),
        ("no_field", 1, AttributeError, "no_field: cannot be assigned"),
        (
            "status",
            "asleep",
            InvalidEvent,
            "status: expected active, idle or offline, got 'asleep'",
        ),
        ("total_cost_tokens", -1, InvalidEvent, "total_cost_tokens: expected an integer from 0"),
        ("last_activity", "soon", InvalidEvent, "last_activity: expected an RFC 3339 string"),
        ("session_id", 7, InvalidEvent, "session_id: expected a string, got 7"),
    ],
)
def test_assignment_rejects_other_fields_and_values(
    manager: PresenceManager, name: str, value: object, error: type[Exception], message: str
) -> None:
    """Nothing is stored then."""
    manager.update_presence("a", "prompt")
    before = manager.cursor, manager.snapshot()
    with pytest.raises(error, match=message):
        setattr(manager.agents["a"], name, value)
    assert (manager.cursor, manager.snapshot()) == before


def test_assignment_to_a_removed_agent_changes_only_the_object(manager: PresenceManager) -> None:
    """It does not bring the agent back."""
    manager.update_presence("a", "prompt")
    presence = manager.agents["a"]
    manager.forget("a")
    presence.status = OFFLINE
    assert presence.status is OFFLINE
    assert manager.agents == {}


def test_assignment_is_thread_safe(manager: PresenceManager) -> None:
    """Assignments of two fields and updates from several threads are all kept."""
    manager.update_presence("a", "prompt")

    def assign(name: str, value: Any) -> None:
        for _ in range(20):
            setattr(manager.agents["a"], name, value)

    jobs = [
        threading.Thread(target=assign, args=("current_feature_id", "f")),
        threading.Thread(target=assign, args=("total_cost_tokens", 3)),
        *(
            threading.Thread(target=lambda: manager.update_presence("a", "tool_execute"))
            for _ in range(10)
        ),
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    presence = manager.agents["a"]
    assert (presence.current_feature_id, presence.total_cost_tokens) == ("f", 3)
    assert presence.total_tools_executed == 10


def test_session_info_ignores_invalid_assignments(manager: PresenceManager) -> None:
    """Any program can send such an event."""
    manager.update_presence("a", "prompt")
    before = manager.snapshot()["a"]
    for assigned in ("x", ["status"], {"status": 5, "total_cost_tokens": "9", "other": 1}):
        manager.update_presence(
            "a", {"event_type": "session_info", "extra": {"assigned": assigned}}
        )
    assert replace(manager.snapshot()["a"], seq=before.seq) == before


@dataclass
class PlainPresence:
    """The class of the older project."""

    agent_id: str
    status: PresenceStatus = OFFLINE
    current_feature_id: str | None = None
    last_tool_name: str | None = None
    last_activity: datetime = START
    total_tools_executed: int = 0
    total_cost_tokens: int = 0
    session_id: str | None = None


class PlainManager:
    """What a manager of plain, mutable objects does."""

    def __init__(self) -> None:
        self.now = START
        self.agents: dict[str, PlainPresence] = {}

    def update_presence(self, agent_id: str, event: dict[str, Any]) -> None:
        """Apply an event."""
        presence = self.agents.setdefault(agent_id, PlainPresence(agent_id))
        presence.status, presence.last_activity = ACTIVE, self.now
        if event["event_type"] == "tool_execute":
            presence.total_tools_executed += 1
            presence.last_tool_name = event["tool_name"]
        presence.current_feature_id = event.get("feature_id") or presence.current_feature_id
        presence.total_cost_tokens += event.get("cost_tokens", 0)

    def mark_idle(self) -> list[str]:
        """Mark active agents after five minutes."""
        late = self.now - timedelta(seconds=300)
        idle = [
            name
            for name, one in self.agents.items()
            if one.status is ACTIVE and one.last_activity <= late
        ]
        for name in idle:
            self.agents[name].status = IDLE
        return idle

    def mark_offline(self, agent_id: str) -> bool:
        """Mark an agent now."""
        if agent_id in self.agents:
            self.agents[agent_id].status = OFFLINE
        return agent_id in self.agents

    def cleanup_stale_agents(self, max_age_hours: float) -> list[str]:
        """Remove inactive agents."""
        oldest = self.now - timedelta(hours=max_age_hours)
        stale = [name for name, one in self.agents.items() if one.last_activity <= oldest]
        for name in stale:
            del self.agents[name]
        return stale


_names = st.sampled_from(["a", "b", "c"])
_optional = {"feature_id": st.sampled_from(["f-1", "f-2"]), "cost_tokens": st.integers(1, 1_000)}
_updates = st.one_of(
    st.fixed_dictionaries({"event_type": st.just("prompt")}, optional=_optional),
    st.fixed_dictionaries(
        {"event_type": st.just("tool_execute"), "tool_name": st.sampled_from(["Bash", "Read"])},
        optional=_optional,
    ),
)
_assignments = st.one_of(
    st.tuples(st.just("status"), st.sampled_from(PresenceStatus)),
    st.tuples(
        st.sampled_from(["current_feature_id", "last_tool_name", "session_id"]),
        st.sampled_from([None, "x", "y"]),
    ),
    st.tuples(
        st.sampled_from(["total_tools_executed", "total_cost_tokens"]), st.integers(0, 10**9)
    ),
    st.tuples(
        st.just("last_activity"), st.integers(0, 48 * 60).map(lambda m: timedelta(minutes=m))
    ),
)
_steps = st.one_of(
    st.tuples(st.just("update"), _names, _updates),
    st.tuples(st.just("assign"), _names, _assignments, st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 100_000)),
    st.tuples(st.sampled_from(["idle", "reopen"])),
    st.tuples(st.just("offline"), _names),
    st.tuples(st.just("cleanup"), st.sampled_from([1.0, 24.0])),
)


@settings(max_examples=150)
@given(st.lists(_steps, max_size=25))
def test_assignments_behave_as_with_plain_objects(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """Any assignments between updates, timers, removals and restarts."""
    path = str(tmp_path_factory.mktemp("plain") / "h.db")
    plain = PlainManager()

    def opened() -> PresenceManager:
        return PresenceManager(path, clock=lambda: plain.now)

    manager = opened()
    held = dict[str, AgentPresence]()
    try:
        for step, *arguments in steps:
            plain.now += timedelta(seconds=1)
            if step == "update":
                name, event = arguments
                plain.update_presence(name, event)
                manager.update_presence(name, event)
                held.setdefault(name, manager.agents[name])
            elif step == "assign" and arguments[0] in plain.agents:
                name, (field, value), by_held = arguments
                if field == "last_activity":
                    value = plain.now - value
                setattr(plain.agents[name], field, value)
                setattr(held[name] if by_held else manager.agents[name], field, value)
            elif step == "wait":
                plain.now += timedelta(seconds=arguments[0])
            elif step == "idle":
                assert sorted(manager.mark_idle()) == sorted(plain.mark_idle())
            elif step == "offline":
                assert manager.mark_offline(*arguments) == plain.mark_offline(*arguments)
            elif step == "cleanup":
                removed = manager.cleanup_stale_agents(*arguments)
                assert sorted(removed) == sorted(plain.cleanup_stale_agents(*arguments))
                held = {name: one for name, one in held.items() if name not in removed}
            elif step == "reopen":
                manager.close()
                manager = opened()
                held = manager.agents
            seen = {
                name: PlainPresence(
                    **{field: getattr(one, field) for field in vars(plain.agents[name])}
                )
                for name, one in manager.agents.items()
            }
            assert seen == plain.agents
            assert held == manager.agents
    finally:
        manager.close()
