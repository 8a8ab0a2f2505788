"""The simulated agents: deterministic, consistent, and each shows its pattern."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_nb.pricing.genai_table import model_price_of
from htmlgraph_nb.simulation.demo_agents import (
    CLAUDE_QUOTA,
    CODEX_QUOTA,
    simulated_agent,
    simulated_events,
)

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
WARM_UP_S = 1_500.0


def time_of(seconds: float) -> datetime:
    """Return a simulated second as a time of that day."""
    return START + timedelta(seconds=seconds)


def events_until(seconds: float, count: int = 9, seed: int = 1) -> list[Event]:
    """Return the events of all agents up to a simulated second."""
    events = simulated_events(count, seed, time_of, WARM_UP_S)
    end = time_of(seconds)
    return list(itertools.takewhile(lambda event: (event.timestamp or end) < end, events))


def presences_after(events: list[Event]) -> dict[str, AgentPresence]:
    """Return the presence of each agent, by the real reducer and status rules."""
    roster = Roster(Limits())
    for seq, event in enumerate(events, 1):
        roster.apply(event, seq, event.timestamp or START)
        roster.commit()
    return {agent_id: state.presence for agent_id, state in roster.agents.items()}


def agent_id_at(number: int, seed: int = 1) -> str:
    """Return the id of the agent with this number."""
    return simulated_agent(number, seed, time_of).agent.agent_id


@pytest.fixture(scope="module")
def first_view() -> dict[str, AgentPresence]:
    """The agents as they are when the demo starts."""
    return presences_after(events_until(0))


def test_simulated_events_depend_on_the_seed() -> None:
    """The same seed gives the same events, another seed gives others."""
    assert events_until(-1_000) == events_until(-1_000)
    assert events_until(-1_000) != events_until(-1_000, seed=2)


def test_simulated_events_of_more_agents() -> None:
    """More agents do not change the events of the first ones."""
    first = {agent_id_at(number) for number in range(3)}
    few, many = (
        [event for event in events_until(-900, count) if event.agent_id in first]
        for count in (3, 20)
    )
    assert few == many
    assert few


def test_simulated_events_are_in_time_order() -> None:
    """Every event has a timestamp, none is earlier than the one before."""
    times = [event.timestamp for event in events_until(600)]
    assert all(times)
    assert times == sorted(time for time in times if time)


def test_simulated_events_are_valid() -> None:
    """Every event passes the checks of the server."""
    for event in events_until(0):
        assert event.checked() == event


def test_simulated_agents_have_ids_like_real_ones() -> None:
    """Eight digits of a random UUID, or a whole UUID in order of time for Codex."""
    ids = [agent_id_at(number) for number in range(100)]
    assert len(set(ids)) == 100
    for agent_id in ids:
        kind, _, rest = agent_id.partition("-")
        assert len(rest) == (36 if kind == "codex" else 8), agent_id
    kinds = Counter(agent_id.partition("-")[0] for agent_id in ids)
    assert min(kinds.values()) > 10
    assert set(kinds) == {"claude", "codex", "gemini"}


def test_simulated_models_have_prices() -> None:
    """No event uses a model that the price table does not know."""
    models = {event.model for event in events_until(300, count=40)}
    assert len(models) > 4
    assert [model for model in models if model is None or model_price_of(model) is None] == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_simulated_calls_end_once(seed: int) -> None:
    """Each call that ends was started, and at the end few are open."""
    running: set[tuple[str, str | None]] = set()
    for event in events_until(3_000, seed=seed):
        call = (event.agent_id, event.tool_use_id)
        if event.event_type == "tool_start":
            assert call not in running
            running.add(call)
        elif event.event_type in ("tool_execute", "tool_error"):
            running.remove(call)
    assert len(running) < 20


def test_simulated_agents_show_each_situation(first_view: dict[str, AgentPresence]) -> None:
    """One waits for minutes, one is blocked by a limit, one retries, one repeats itself."""
    waiting = first_view[agent_id_at(2)]
    assert waiting.attention
    assert waiting.detail_since is not None
    assert START - waiting.detail_since > timedelta(minutes=3)
    limited = first_view[agent_id_at(5)]
    assert limited.detail == "usage_limited"
    assert limited.detail_until == START + timedelta(minutes=40)
    assert first_view[agent_id_at(7)].detail == "retrying"
    calls = [
        event.tool_name
        for event in events_until(0)
        if event.agent_id == agent_id_at(6) and event.event_type == "tool_error"
    ]
    assert len(calls) > 20
    assert len(set(calls)) == 1


def test_simulated_agents_have_labels(first_view: dict[str, AgentPresence]) -> None:
    """Half have a feature, most a title, all a branch; one is known from its file only."""
    main = [agent for agent in first_view.values() if agent.parent_agent_id is None]
    assert len(main) == 9
    features = [agent for agent in main if agent.current_feature_id]
    assert 3 <= len(features) <= 6
    assert all(a.branch and a.cwd and a.project and a.user and a.agent_kind for a in main)
    assert sum(agent.title is not None for agent in main) >= 5
    assert any(agent.pr for agent in main)
    assert any(agent.worktree for agent in main)
    assert [agent.agent_id for agent in main if agent.hooks is False] == [agent_id_at(4)]
    assert first_view[agent_id_at(4)].status.value != "offline"
    # The limit of one account does not stop the agents of another.
    assert first_view[agent_id_at(1)].user != first_view[agent_id_at(5)].user
    assert all(agent.total_cost_tokens for agent in main)


def test_simulated_subagents_start_and_end(first_view: dict[str, AgentPresence]) -> None:
    """Subagents have a title and a cheaper model, and most have ended."""
    children = [agent for agent in first_view.values() if agent.parent_agent_id]
    assert len(children) >= 3
    assert {agent.parent_agent_id for agent in children} <= set(first_view)
    assert all(agent.title and agent.model == "claude-haiku-4-5" for agent in children)
    assert any(agent.status.value == "offline" for agent in children)


def test_simulated_contexts_fill_and_are_compacted() -> None:
    """The context grows, stays below the window, and becomes small after a compaction."""
    events = [event for event in events_until(1_200) if event.agent_id == agent_id_at(8)]
    tokens = [event.context_tokens for event in events if event.context_tokens is not None]
    assert max(tokens) <= 200_000
    compacted = [event for event in events if (event.extra or {}).get("compacted")]
    assert compacted
    assert all((event.context_tokens or 0) < 40_000 for event in compacted)


def test_simulated_quotas_of_two_accounts() -> None:
    """Both accounts report their windows, one of which is used up."""
    events = [event for event in events_until(0) if event.event_type == "quota"]
    by_account = {(event.extra or {})["account"]: event.extra for event in events}
    assert set(by_account) == {"claude", "codex"}
    codex = by_account["codex"]
    assert codex is not None
    five_hours, week = codex["windows"]
    assert (five_hours["window"], five_hours["used_percent"]) == ("5h", 100)
    assert (week["window"], week["used_percent"]) == ("weekly", 71)


def test_quota_rises_to_its_limit_and_starts_again() -> None:
    """A window is full after its time, and empty at its reset."""
    assert CODEX_QUOTA.used_percent(-521) == 99
    assert CODEX_QUOTA.used_percent(0) == 100
    assert CODEX_QUOTA.used_percent(2_401) == 0
    assert CLAUDE_QUOTA.used_percent(0) == 61


def test_simulated_agents_reach_every_status() -> None:
    """Within an hour, agents are active, idle, offline, failed, and need attention."""
    roster, seen = Roster(Limits()), Counter[str]()
    for seq, event in enumerate(events_until(3_600, count=20), 1):
        change = roster.apply(event, seq, event.timestamp or START)
        roster.commit()
        assert change.presence is not None
        seen[change.presence.status.value] += 1
        seen[change.presence.detail] += 1
        seen["attention"] += change.presence.attention
    assert {"active", "idle", "offline", "attention", "error"} <= set(seen)
