"""The coding agents that the project supports: the only list of them.

``htmlgraph-hook`` loads this on every tool call; see ``agent`` for what may be imported here. The
package of an agent is imported when the agent is first used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .agent import CodingAgent

_CLASSES = {
    "claude": "ClaudeCode",
    "codex": "Codex",
    "gemini": "GeminiCli",
}
"""Name of an agent and of its folder → the class in it, in the order of all lists of agents."""
DEFAULT_AGENT = "claude"
"""Name of the agent of a hook, spool line or request that does not name its agent."""
PROJECT_VARIABLES = ("CLAUDE_PROJECT_DIR", "GEMINI_PROJECT_DIR")
"""``project_variable`` of the agents above, so that the hook need not import them."""


class AgentRegistry(Mapping[str, "CodingAgent"]):
    """Name → agent; each is imported on its first use."""

    def __init__(self) -> None:
        self._loaded: dict[str, CodingAgent] = {}

    def __getitem__(self, name: str) -> CodingAgent:
        agent = self._loaded.get(name)
        if agent is None:
            cls = _CLASSES[name]
            module = import_module(f"{__package__}.{name}")
            agent = self._loaded[name] = getattr(module, cls)()
        return agent

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


AGENTS = AgentRegistry()
"""Name → agent."""
