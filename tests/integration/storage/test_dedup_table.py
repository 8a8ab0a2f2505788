"""Hooks, session file and telemetry of one session count once, in any order of arrival.

Each example is a session of one of the three agents, stored in a database on disk.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.otel.signals import Point
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.ids import agent_id_of
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.transaction import Transaction
from tests.helpers.counters import Counters
from tests.helpers.simulated_session import (
    SESSION,
    SIMULATED,
    SOURCES,
    STEP_S,
    SimulatedSession,
    simulate_session,
)

TURNS = st.lists(st.lists(st.booleans(), max_size=2), min_size=1, max_size=3)
SUBSETS = st.sets(st.sampled_from(SOURCES), min_size=1).map(sorted)
TOTALS = ("tool_names", "tools", "tokens", "ends", "prompt", "completion", "session_start")
COUNTED = ("prompt", "tool_start", "completion", "session_start")


def ingest_all(
    session: SimulatedSession, events: Sequence[Event], restart_at: int = -1, at_once: int = 1
) -> dict[str, Any]:
    """Ingest events and return the state of the session.

    Args:
        restart_at: index of the event near which the database is closed and reopened.
        at_once: number of events per call.
    """
    now = session.end + timedelta(seconds=STEP_S)
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "h.db")
        manager = PresenceManager(path, clock=lambda: now)
        try:
            for index in range(0, len(events), at_once):
                if index <= restart_at < index + at_once:
                    manager.close()
                    manager = PresenceManager(path, clock=lambda: now)
                manager.ingest(events[index : index + at_once])
            (presence,) = manager.agents.values()
        finally:
            manager.close()
        with closing(sqlite3.connect(path)) as db:
            query = "SELECT event_type, count(*) FROM history GROUP BY 1"
            kinds = dict(db.execute(query).fetchall())
            names = db.execute("SELECT DISTINCT tool_name FROM history WHERE tool_name IS NOT NULL")
            tool_names = {row[0] for row in names.fetchall()}
    return {
        "agent": presence.agent_id,
        "status": presence.status.value,
        "detail": presence.detail,
        "attention": presence.attention,
        "tools": presence.total_tools_executed,
        "tokens": presence.total_cost_tokens,
        "session": presence.session_id,
        "tool_names": tool_names,
        "ends": kinds.get("tool_execute", 0) + kinds.get("tool_error", 0),
        **{kind: kinds.get(kind, 0) for kind in COUNTED},
    }


def interleaved(streams: Sequence[Sequence[Event]], chance: random.Random) -> list[Event]:
    """Return the events of several sources, each in its own order."""
    left = [list(stream) for stream in streams if stream]
    state = []
    while left:
        stream = chance.choice(left)
        state.append(stream.pop(0))
        left = [each for each in left if each]
    return state


@settings(max_examples=60)
@given(
    agent=st.sampled_from(SIMULATED),
    turns=TURNS,
    sources=SUBSETS,
    same_counts=st.booleans(),
    over=st.booleans(),
    ids=st.lists(st.sampled_from(["Bash:0", "call_0", "ocgo"]), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_drop_duplicates_in_any_order_gives_same_state(
    agent: str,
    turns: list[list[bool]],
    sources: list[str],
    same_counts: bool,
    over: bool,
    ids: list[str],
    seed: int,
) -> None:
    """Sources at any speed, repetitions and a restart give the state of one ordered source.

    So do ids of answers and calls that are repeated at will.
    """
    # Two requests of a conversation never have the same input, so a relay cannot report it.
    same_counts = same_counts and not ids
    session = simulate_session(agent, turns, same_counts=same_counts, ended=over, ids=ids)
    events = session.events(sources)
    in_order = ingest_all(session, events)
    chance = random.Random(seed)
    mixed = interleaved([getattr(session, name) for name in sources], chance)
    mixed += chance.sample(events, len(events) // 3)
    assert ingest_all(session, mixed, chance.randrange(len(mixed))) == in_order
    assert (
        ingest_all(session, mixed, chance.randrange(len(mixed)), chance.randint(2, 60)) == in_order
    )
    if ids:
        # Hooks from the time without a server arrive later than newer ones.
        hooks = session.hooks
        first, last = sorted(chance.sample(range(len(hooks) + 1), 2))
        late = [*hooks[:first], *hooks[last:], *hooks[first:last]]
        streams = [late if name == "hooks" else getattr(session, name) for name in sources]
        mixed = interleaved(streams, chance)
    else:
        chance.shuffle(mixed)
    state = ingest_all(session, mixed, chance.randrange(len(mixed)))
    assert {name: state[name] for name in TOTALS} == {name: in_order[name] for name in TOTALS}
    assert in_order["tools"] == in_order["ends"] == session.n_calls
    assert in_order["tool_names"] <= {"Bash"}
    assert in_order["prompt"] == len(turns)
    reports_tokens = sources != ["hooks"]
    assert in_order["completion"] == session.n_answers * reports_tokens
    assert in_order["tokens"] == session.n_tokens * reports_tokens


@pytest.mark.parametrize("agent", SIMULATED)
@pytest.mark.parametrize("first", [("hooks", "file"), ("file", "otlp"), ("otlp", "hooks")])
def test_drop_duplicates_merges_incomplete_sources(agent: str, first: tuple[str, str]) -> None:
    """Two sources that each miss other events give the complete state."""
    session = simulate_session(agent, [[False], [True], [False]], same_counts=False, ended=False)
    first_source, other = (getattr(session, name) for name in first)
    half = len(first_source) // 2
    some = ingest_all(session, [*first_source[:half], *other])
    assert some["tools"] == session.n_calls
    assert some["prompt"] == 3


def test_agent_alias_applies_to_all_sources() -> None:
    """A name from ``HTMLGRAPH_AGENT`` in the hooks applies to all sources."""
    session = simulate_session("claude", [[False]], same_counts=False, ended=False)
    named = [replace(event, agent_id="ada") for event in session.hooks]
    for events in (
        [*named, *session.file],
        [*session.file, *named],
        [*session.otlp, *named, *session.file],
    ):
        state = ingest_all(session, events)
        assert state["agent"] == "ada"
        assert state["tools"] == 1


@pytest.mark.parametrize("ended_by", ["file", "otlp"])
def test_codex_permission_is_resolved_by_any_source(ended_by: str) -> None:
    """Hooks call the tool "Bash" that file and telemetry call "exec_command"."""
    session = simulate_session("codex", [[False]], same_counts=False, ended=False)
    begin = next(event for event in session.hooks if event.event_type == "tool_start")
    assert begin.timestamp is not None
    payload = {
        "session_id": SESSION,
        "hook_event_name": "PermissionRequest",
        "tool_name": "Bash",
        "htmlgraph": {"event_id": "asked", "timestamp": begin.timestamp.isoformat()},
    }
    request = AGENTS["codex"].events_from_hook(payload, received_at=session.end)
    ends = [event for event in getattr(session, ended_by) if event.event_type == "tool_execute"]
    assert ingest_all(session, [begin, *request])["attention"]
    assert not ingest_all(session, [begin, *request, *ends])["attention"]


def test_token_sources_count_tokens_once() -> None:
    """Token counters and completions of one session do not both count."""
    session = simulate_session("claude", [[]], same_counts=False, ended=False)
    completions = [event for event in session.file if event.event_type == "completion"]
    counter = replace(
        completions[-1],
        event_id="metric:1",
        source="otlp",
        extra=None,
        timestamp=session.end + timedelta(seconds=30),
        input_tokens=session.n_tokens,
        cache_read_tokens=0,
        output_tokens=0,
    )
    assert ingest_all(session, [*completions, counter])["tokens"] == session.n_tokens
    assert ingest_all(session, [counter, *completions])["tokens"] == session.n_tokens


def test_token_sources_of_two_exporting_processes_count_once() -> None:
    """The counters of two processes of a session add up to its completions."""
    session = simulate_session("claude", [[], []], same_counts=False, ended=False)
    completions = [event for event in session.file if event.event_type == "completion"]
    end_ns = round((session.end + timedelta(seconds=30)).timestamp() * 1e9)
    counters, exported = Counters(), []
    for at, process, share in ((1, 0, 0.5), (2, 1, 0.5), (3, 0, 0.5), (4, 1, 1.0), (5, 0, 1.0)):
        value = round(session.n_tokens / 2 * share)
        value += process * (session.n_tokens % 2) if share == 1.0 else 0
        values = {"session.id": SESSION, "type": "input", "model": "m"}
        start_ns, at_ns = end_ns - 600 * 10**9 + process, end_ns + at * 10**9
        point = Point({}, "", "claude_code.token.usage", values, value, start_ns, at_ns, False)
        exported += counters.stage([point])
        counters.commit()
    assert ingest_all(session, exported)["tokens"] == session.n_tokens
    assert ingest_all(session, [*completions, *exported])["tokens"] == session.n_tokens
    assert ingest_all(session, [*exported, *completions])["tokens"] == session.n_tokens


def test_token_sources_of_another_process_count(database: str) -> None:
    """A token counter stored by another process excludes later completions."""
    session = simulate_session("claude", [[]], same_counts=False, ended=False)
    completion_event = next(event for event in session.file if event.event_type == "completion")
    late, early = (
        replace(
            completion_event,
            timestamp=session.end + timedelta(seconds=s),
            event_id=f"a{s}",
            extra=None,
        )
        for s in (90, 60)
    )
    early = replace(early, output_tokens=4_321)
    counter = replace(
        completion_event,
        event_id="metric:1",
        source="otlp",
        extra=None,
        timestamp=session.end + timedelta(seconds=30),
    )
    path, after = database, session.end + timedelta(seconds=99)
    with PresenceManager(path, clock=lambda: after) as first_source, PresenceManager(path) as other:
        assert first_source.ingest([late]).accepted == 1
        assert other.ingest([counter]).accepted == 1
        assert first_source.ingest([early]).accepted == 0


def test_token_sources_of_failed_transaction_do_not_count(database: str) -> None:
    """A rolled-back token counter excludes no completion."""
    session = simulate_session("claude", [[]], same_counts=False, ended=False)
    completion_event = next(event for event in session.file if event.event_type == "completion")
    counter = replace(completion_event, event_id="metric:1", source="otlp", extra=None)
    with PresenceManager(database) as manager:
        listener = manager.store._listener
        flush = listener.flush

        def fail(tx: Transaction) -> None:
            raise OSError("disk removed")

        listener.flush = fail  # type: ignore[method-assign]
        with pytest.raises(OSError, match="disk removed"):
            manager.ingest([counter])
        listener.flush = flush  # type: ignore[method-assign]
        assert manager.ingest([completion_event]).accepted == 1


def test_subagent_of_two_sources_counts_once(database: str) -> None:
    """Start and end of a subagent count once from hooks and file."""
    main, child = (agent_id_of(name, "claude") for name in (SESSION, "ab12cd34ef567890"))
    payload = {"session_id": SESSION, "agent_id": "ab12cd34ef567890", "agent_type": "Explore"}
    session = simulate_session("claude", [[]], same_counts=False, ended=False)
    hooks = [
        event
        for n, name in enumerate(("SubagentStart", "SubagentStop"))
        for event in events_from_hook(
            {**payload, "hook_event_name": name, "htmlgraph": {"event_id": name}},
            received_at=session.end + timedelta(seconds=n),
        )
    ]
    filed = [
        replace(event, source="claude-session", event_id=f"f{index}")
        for index, event in enumerate(hooks)
    ]
    with PresenceManager(database) as manager:
        assert manager.ingest(hooks).accepted == 4
        assert manager.ingest(filed).accepted == 0
        assert {main, child} == set(manager.agents)
