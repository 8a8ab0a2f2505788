"""The registry is the only list of coding agents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS, DEFAULT_AGENT, PROJECT_VARIABLES
from tests.helpers.paths import ROOT

FOLDERS = (ROOT / "htmlgraph_nb", ROOT / "server/htmlgraph_server")
CODING_AGENTS = ROOT / "htmlgraph_nb/coding_agents"
USERS_OF_CLAUDE = {"claude_messages.py", "claude_agent_sdk.py", "token_usage.py"}
"""Modules of the Claude Agent SDK, which runs Claude Code and has its formats."""


def modules_outside(agent: str) -> Iterator[Path]:
    """Yield the modules of the product outside of the folder of an agent and the registry.

    Modules that simulate agents name those that they simulate. The one that reads the input of
    Claude Code's status line imports no registry, because it starts with each line. The palette
    has colors of many kinds, also of those that have no reader here. Models have prefixes of
    gateways, one of which has the name of an agent.
    """
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            exempt = ("sample", "status_input", "palette", "model_names")
            is_exempt = path.parent.name == "simulation" or path.stem in exempt
            is_own = CODING_AGENTS / agent in path.parents or path.stem == "registry"
            if not is_own and not is_exempt:
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
        # Gateways have names of agents.
        if path.name != "model_names.py"
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
    } <= (USERS_OF_CLAUDE if agent == DEFAULT_AGENT else set())


def test_project_variables_are_those_of_the_agents() -> None:
    """The hook knows them without importing the agents."""
    own = [agent.project_variable for agent in AGENTS.values() if agent.project_variable]
    assert list(PROJECT_VARIABLES) == own
