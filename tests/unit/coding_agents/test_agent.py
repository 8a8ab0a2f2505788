"""Each agent of the registry is complete, and its members agree."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.agent_lists import CONNECTABLE
from tests.helpers.paths import ROOT
from tests.helpers.simulated_session import SIMULATED, simulate_session


@pytest.mark.parametrize("agent", AGENTS)
def test_agent_is_named_like_its_folder(agent: str) -> None:
    """The folder of an agent is found by its name, and its members fit together."""
    chosen = AGENTS[agent]
    assert chosen.name == agent
    assert (ROOT / "htmlgraph_nb/coding_agents" / agent / "__init__.py").exists()
    assert chosen.label
    assert chosen.hook_source == f"{agent}-hook"
    assert chosen.session_source == f"{agent}-session"
    settings = chosen.hook_settings()
    assert chosen.hooks_after_write <= set(() if settings is None else settings.events)
    assert all(root.agent == agent for root in chosen.session_roots())
    assert all(root.path.startswith(tuple(chosen.homes())) for root in chosen.session_roots())


@pytest.mark.parametrize("agent", SIMULATED)
def test_agent_events_have_the_sources_of_the_agent(agent: str) -> None:
    """Hooks, session files and telemetry of a session are read under the agent's name."""
    simulated = simulate_session(agent, [[False]], same_counts=False, ended=True)
    assert {event.source for event in simulated.hooks} == {AGENTS[agent].hook_source}
    assert {event.source for event in simulated.file} == {AGENTS[agent].session_source}
    assert simulated.otlp
    names = {event.agent_id for event in (*simulated.hooks, *simulated.file, *simulated.otlp)}
    assert len(names) == 1
    assert names.pop().startswith(f"{agent}-")


@pytest.mark.parametrize("agent", SIMULATED)
def test_agent_session_records_belong_to_one_agent(agent: str) -> None:
    """Of all agents only the one that wrote a line recognizes it."""
    simulated = simulate_session(agent, [[False]], same_counts=False, ended=True)
    owners = [
        [each.name for each in AGENTS.values() if each.is_session_record(json.loads(line))]
        for line in simulated.lines
    ]
    assert [agent] in owners
    assert all(names in ([], [agent]) for names in owners)


def test_agent_telemetry_names_differ() -> None:
    """A log event, a metric and a tool that waits for the user each belong to one agent."""
    telemetry = [each for agent in AGENTS.values() if (each := agent.telemetry()) is not None]
    prefixes = [each.log_prefix for each in telemetry]
    assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)
    metrics = [name for each in telemetry for name in each.token_metrics]
    assert len(metrics) == len(set(metrics))


@pytest.mark.parametrize(
    ("agent", "path"),
    [
        ("claude", "projects/-home-shop/4d5611e5-241a-462a-8d15-5122611a9569.jsonl"),
        ("claude", "projects/-home-shop/agent-a1b2.jsonl"),
        ("claude", "projects/-home-shop/4d5611e5/subagents/workflows/wf_1/agent-a1b2.jsonl"),
        ("codex", "sessions/2026/09/01/rollout-2026-09-01T10-00-00-0199.jsonl"),
        ("codex", "archived_sessions/rollout-2026-09-01T10-00-00-0199.jsonl"),
        ("gemini", ".gemini/tmp/shop/chats/session-2026.jsonl"),
        ("gemini", ".gemini/tmp/shop/chats/parent/session-2026.json"),
    ],
)
def test_agent_session_pattern_is_that_of_one_agent(agent: str, path: str) -> None:
    """Where an agent writes a session file, no other agent writes one."""
    owners = [each.name for each in AGENTS.values() if re.fullmatch(each.session_pattern, path)]
    assert owners == [agent]


@pytest.mark.parametrize(
    ("agent", "path"),
    [
        ("claude", "projects/-home-shop/notes.jsonl"),
        ("claude", "projects/4d5611e5-241a-462a-8d15-5122611a9569.jsonl"),
        ("codex", "sessions/2026/rollout-0199.jsonl"),
        ("codex", "archived_sessions/history.jsonl"),
        ("gemini", "tmp/shop/chats/session-2026.jsonl"),
        ("gemini", ".gemini/tmp/shop/logs.json"),
    ],
)
def test_agent_session_pattern_excludes_other_files(agent: str, path: str) -> None:
    """Other files in an agent's folder, and lookalikes elsewhere, do not match."""
    assert re.fullmatch(AGENTS[agent].session_pattern, path) is None


def test_agent_with_defaults_has_neither_hooks_nor_files() -> None:
    """A name and a label are enough; what is missing says so."""

    class Bare(CodingAgent):
        name = "bare"
        label = "Bare"

    bare = Bare()
    assert (bare.homes(), bare.session_roots(), bare.sidecars("/x.jsonl")) == ([], [], ())
    assert (bare.telemetry(), bare.hook_settings(), bare.settings_paths({}, None)) == (
        None,
        None,
        [],
    )
    assert (bare.hook_fields, bare.hooks_after_write) == ({}, frozenset())
    assert not bare.is_session_record({"type": "x"})
    assert bare.session_place({}) == (None, None)
    with pytest.raises(InvalidEvent, match="Bare has no hooks"):
        bare.events_from_hook({}, received_at=datetime.now(UTC))
    with pytest.raises(NotImplementedError, match="Bare has no session files"):
        bare.session_reader("/x.jsonl")


def test_agent_hook_session_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    """A path that is no file names no session, and the hook goes on."""
    path = tmp_path / "session-2026-aaaaaaaa.jsonl"
    os.mkfifo(path)
    payload = {"transcript_path": str(path), "session_id": "bbbbbbbb-1"}
    assert AGENTS["gemini"].hook_session(payload) is None


GRID = ROOT / "htmlgraph_nb/static/grid"


def test_agent_labels_are_those_of_the_grid() -> None:
    """The grid names the kinds of agents as the commands do."""
    text = (GRID / "model/names.js").read_text(encoding="utf-8").partition("KIND_LABELS")[2]
    shown = dict(re.findall(r'"?([\w-]+)"?: "([^"]+)"', text.partition("});")[0]))
    assert {name: shown.get(name) for name in AGENTS} == {
        name: agent.label for name, agent in AGENTS.items()
    }


def test_agents_to_connect_are_those_of_the_grid() -> None:
    """The banner offers to connect each agent that has hooks."""
    text = (GRID / "view/server_bar.js").read_text(encoding="utf-8")
    (listed,) = re.findall(r"CONNECTABLE = \[(.*?)\]", text, re.S)
    assert re.findall(r'"([\w-]+)"', listed) == CONNECTABLE
