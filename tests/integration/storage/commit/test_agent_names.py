"""Names from hooks: any number of managers of a file give each session's events one agent."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.otel.metrics import readings_of
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import CapacityError
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.commit import agent_names
from tests.helpers.otlp_signals import point

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSIONS = ("0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f", "7c1e8a52-1f0b-4d7e-8a3c-5b6d7e8f9a01")


def default_id(session: str) -> str:
    """Return the id of the main agent of a session without a name."""
    return f"claude-{session[:8]}"


def event(kind: str, source: str, session: str = SESSIONS[0], **fields: Any) -> Event:
    """Return an event of the main agent of a session."""
    values = {"agent_id": default_id(session), "session_id": session, "timestamp": AT, **fields}
    return Event(event_type=kind, source=source, agent_kind="claude", **values)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "names.db")


def hook(name: str, kind: str = "prompt", **fields: Any) -> Event:
    """Return an event of a hook with HTMLGRAPH_AGENT."""
    return event(kind, "claude-hook", agent_id=name, **fields)


def answer(tokens: int, number: int, **fields: Any) -> Event:
    """Return an answer from a session file."""
    event_id = f"answer:msg_01{number:022d}"
    return event("completion", "claude-session", input_tokens=tokens, event_id=event_id, **fields)


def test_names_of_hooks_reach_the_other_manager(path: str) -> None:
    """The hook's event reaches one server, the session file another: one agent."""
    with PresenceManager(path) as first, PresenceManager(path) as second:
        second.ingest([answer(5, 1)])
        first.ingest([hook("my-name")])
        second.ingest([answer(6, 2)])
        for manager in (first, second):
            assert list(manager.agents) == ["my-name"]
            assert manager.agents["my-name"].total_cost_tokens == 11


def test_names_of_hooks_outlive_their_agents(path: str) -> None:
    """Later events of a removed agent return it by its name, also at a server of later."""
    with PresenceManager(path) as first:
        first.ingest([hook("my-name")])
        first.forget("my-name")
        first.ingest([answer(5, 1)])
        assert list(first.agents) == ["my-name"]
        first.forget("my-name")
    with PresenceManager(path) as later:
        later.ingest([answer(6, 2)])
        assert list(later.agents) == ["my-name"]


def test_names_of_a_rejected_request_are_not_kept(path: str) -> None:
    """The agent is renamed with the next event that there is room for."""
    with PresenceManager(path, limits=Limits(max_agents=1)) as manager:
        manager.ingest([answer(5, 1)])
        with pytest.raises(CapacityError):
            manager.ingest([hook("my-name"), hook("other", session=SESSIONS[1])])
        assert list(manager.agents) == [default_id(SESSIONS[0])]
    with PresenceManager(path) as manager:
        manager.ingest([hook("my-name")])
        assert list(manager.agents) == ["my-name"]
        assert manager.agents["my-name"].total_cost_tokens == 5


def test_names_of_a_failed_transaction_are_read_again(path: str) -> None:
    """The manager does not use a name that is not in the file."""
    with PresenceManager(path) as manager:
        manager.ingest([answer(5, 1)])
        with sqlite3.connect(path) as db:
            db.execute(
                "CREATE TRIGGER fail BEFORE INSERT ON events WHEN NEW.event_id = 'bad' "
                "BEGIN SELECT raise(ABORT, 'no'); END"
            )
        with pytest.raises(Exception, match="no"):
            manager.ingest([hook("my-name", event_id="bad")])
        manager.ingest([answer(6, 2)])
        assert list(manager.agents) == [default_id(SESSIONS[0])]
        assert manager.agents[default_id(SESSIONS[0])].total_cost_tokens == 11
        manager.ingest([hook("my-name", event_id="good")])
        assert list(manager.agents) == ["my-name"]


def test_names_publish_a_renamed_agent_whose_event_is_a_duplicate(path: str) -> None:
    """Other managers and dashboards see the totals under the new name."""
    with PresenceManager(path) as first, PresenceManager(path) as second:
        first.ingest([answer(5, 1), event("tool_execute", "claude-session", event_id="t:end")])
        seen = []
        for manager in (first, second):
            manager.subscribe(lambda batch: seen.extend(c.agent_id for c in batch.changes))
        late = hook("my-name", "subagent_start", extra={"child_agent_id": "claude-c"})
        first.ingest([event("subagent_start", "claude-session", extra=late.extra)])
        second.ingest([late])
        assert first.agents == second.agents
        assert list(first.agents) == ["my-name"]
        assert first.agents["my-name"].total_cost_tokens == 5
        assert seen.count("my-name") >= 2


def test_names_of_an_older_file_are_those_of_its_agents(path: str) -> None:
    """It did not store names, so they are taken from the agents once."""
    with PresenceManager(path) as manager:
        manager.ingest([hook("my-name")])
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM session_names")
        db.execute("DELETE FROM meta WHERE key = ?", (agent_names.FILLED,))
    with PresenceManager(path) as manager:
        manager.ingest([answer(5, 1)])
        assert list(manager.agents) == ["my-name"]
        manager.ingest([event("prompt", "claude-hook", SESSIONS[1], agent_id="other")])
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM session_names")
    with PresenceManager(path) as manager:
        manager.ingest([answer(6, 2, session=SESSIONS[1])])
        assert sorted(manager.agents) == [default_id(SESSIONS[1]), "my-name", "other"]


STEPS = st.one_of(
    st.tuples(st.just("hook"), st.sampled_from(["a", "b", None]), st.integers(0, 1)),
    st.tuples(st.just("answer"), st.integers(1, 6), st.integers(0, 1)),
    st.tuples(st.just("child"), st.integers(1, 6), st.integers(0, 1)),
    st.tuples(st.just("call"), st.sampled_from(["claude-hook", "claude-session"]), st.just(0)),
    st.tuples(st.just("forget"), st.sampled_from(["a", "b", None]), st.integers(0, 1)),
    st.tuples(st.just("meter"), st.integers(1, 9), st.integers(0, 1)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)


def run(path: str, steps: list[tuple[Any, ...]], chosen: list[int]) -> tuple[object, ...]:
    """Run the steps at the chosen managers; return agents, names and counters at the end."""
    now = [AT]
    managers = [PresenceManager(path, clock=lambda: now[0]) for _ in set(chosen)]
    numbers = {name: index for index, name in enumerate(sorted(set(chosen)))}
    for at, ((kind, value, which), choice) in enumerate(zip(steps, chosen, strict=True), 2):
        now[0] = AT + timedelta(seconds=at)
        index, session = numbers[choice], SESSIONS[which]
        manager = managers[index]
        common: dict[str, Any] = {"timestamp": now[0]}
        if kind == "hook":
            name = value or default_id(session)
            manager.ingest([event("prompt", "claude-hook", session, agent_id=name, **common)])
        elif kind == "answer":
            manager.ingest([answer(value, value, session=session, **common)])
        elif kind == "child":
            child = {"agent_id": f"claude-c{value}", "parent_agent_id": default_id(session)}
            manager.ingest([event("tool_execute", "claude-session", session, **child, **common)])
        elif kind == "call":
            call = {"tool_use_id": "toolu_1", "event_id": "toolu_1:PostToolUse"}
            manager.ingest([event("tool_execute", value, session, **call, **common)])
        elif kind == "forget":
            manager.forget(value or default_id(session))
        elif kind == "meter":
            sent = point(value, at, delta=False)
            attributes = {**sent.attributes, "session.id": session}
            readings = readings_of([replace(sent, attributes=attributes)])
            manager.submit_readings([*readings], time.monotonic()).result(30)
        else:
            manager.close()
            managers[index] = PresenceManager(path, clock=lambda: now[0])
    ends = [manager.agents for manager in managers]
    assert all(end == ends[0] for end in ends)
    agents = {name: agent.to_dict() for name, agent in ends[0].items()}
    for manager in managers:
        manager.close()
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT * FROM session_names ORDER BY id").fetchall()
        counters = db.execute("SELECT * FROM counter_streams ORDER BY stream").fetchall()
        events = db.execute("SELECT * FROM history ORDER BY seq").fetchall()
    return agents, names, counters, events


@given(st.lists(STEPS, min_size=1, max_size=14), st.data())
def test_names_are_those_of_one_manager(steps: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """One to three managers, whichever gets an event, end as one manager alone would."""
    chosen = data.draw(st.lists(st.integers(0, 2), min_size=len(steps), max_size=len(steps)))
    with tempfile.TemporaryDirectory() as folder:
        alone = run(f"{folder}/alone.db", steps, [0] * len(steps))
        assert run(f"{folder}/shared.db", steps, chosen) == alone
