"""The registry is the only list of coding agents, and each agent is complete."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS, DEFAULT_AGENT
from tests.helpers.paths import ROOT
from tests.helpers.simulated_session import simulate_session

FOLDERS = (ROOT / "htmlgraph_nb", ROOT / "server/htmlgraph_server")
CODING_AGENTS = ROOT / "htmlgraph_nb/coding_agents"
USERS_OF_CLAUDE = {"claude_messages.py", "claude_agent_sdk.py", "token_usage.py"}
"""Modules of the Claude Agent SDK, which runs Claude Code and has its formats."""


def modules_outside(agent: str) -> Iterator[Path]:
    """Yield the modules of the product outside of the folder of an agent and the registry."""
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            if CODING_AGENTS / agent not in path.parents and path.stem != "registry":
                yield path


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and value of each string of a module that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_string = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_string and id(node) not in docstrings:
            assert isinstance(node, ast.Constant)
            yield node.lineno, node.value


@pytest.mark.parametrize("agent", AGENTS)
def test_registry_is_the_only_list(agent: str) -> None:
    """No string outside of its folder is an agent's name, alias, source or prefix."""
    names = "|".join(map(re.escape, (agent, *AGENTS[agent].aliases)))
    pattern = re.compile(rf"({names})(-hook|-session|-|\.|:)?")
    assert [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in modules_outside(agent)
        for line, text in literals(path)
        if any(pattern.fullmatch(word) for word in text.split())
    ] == []


def test_registry_check_sees_literals_and_skips_docstrings(tmp_path: Path) -> None:
    """Names in tuples and f-strings are found, those in docstrings are not."""
    module = tmp_path / "module.py"
    lines = (
        '"""codex"""',
        'A = ("codex", "b")',
        "def f(x):",
        '    """codex"""',
        '    f"codex-{x}"',
    )
    module.write_text("\n".join(lines))
    assert list(literals(module)) == [(2, "codex"), (2, "b"), (5, "codex-")]


@pytest.mark.parametrize("agent", AGENTS)
def test_registry_alone_imports_the_folders_of_agents(agent: str) -> None:
    """Other modules reach an agent through the registry; the Claude Agent SDK uses its formats."""
    importing = re.compile(rf"^\s*from [\w.]*\b(coding_agents|\.)\.?{agent}\b", re.M)
    assert {
        path.name
        for path in modules_outside(agent)
        if importing.search(path.read_text(encoding="utf-8"))
    } <= (USERS_OF_CLAUDE if agent == DEFAULT_AGENT.name else set())


@pytest.mark.parametrize("agent", AGENTS)
def test_agent_is_named_like_its_folder(agent: str) -> None:
    """The folder of an agent is found by its name, and its members fit together."""
    chosen = AGENTS[agent]
    assert chosen.name == agent
    assert (CODING_AGENTS / agent / "__init__.py").exists()
    assert chosen.label
    assert chosen.demo_models
    assert chosen.hook_source == f"{agent}-hook"
    assert chosen.session_source == f"{agent}-session"
    assert chosen.hooks_after_write <= set(chosen.hook_settings().events)
    assert all(root.agent == agent for root in chosen.session_roots())
    assert all(root.path.startswith(chosen.sessions_dir()) for root in chosen.session_roots())


@pytest.mark.parametrize("agent", AGENTS)
def test_agent_events_have_the_sources_of_the_agent(agent: str) -> None:
    """Hooks, session files and telemetry of a session are read under the agent's name."""
    simulated = simulate_session(agent, [[False]], same_counts=False, ended=True)
    assert {event.source for event in simulated.hooks} == {AGENTS[agent].hook_source}
    assert {event.source for event in simulated.file} == {AGENTS[agent].session_source}
    assert simulated.otlp
    names = {event.agent_id for event in (*simulated.hooks, *simulated.file, *simulated.otlp)}
    assert len(names) == 1
    assert names.pop().startswith(f"{agent}-")


@pytest.mark.parametrize("agent", AGENTS)
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
    telemetry = [agent.telemetry() for agent in AGENTS.values()]
    prefixes = [each.log_prefix for each in telemetry]
    assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)
    metrics = [name for each in telemetry for name in each.token_metrics]
    assert len(metrics) == len(set(metrics))
