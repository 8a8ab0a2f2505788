"""The coding agents that the project supports, and those that other packages add.

``htmlgraph-hook`` loads this on every tool call; see ``agent`` for what may be imported here. The
package of an agent is imported when the agent is first used. Entry points are read when all agents
are listed, or an unknown one is asked for; see ``plugins/discovery.py``.
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
    "pi": "Pi",
    "qwen": "QwenCode",
    "vibe": "MistralVibe",
    "opencode": "OpenCode",
    "goose": "Goose",
    "copilot": "CopilotCli",
    "kiro": "KiroCli",
}
"""Name of an agent and of its folder → the class in it, in the order of all lists of agents."""
DEFAULT_AGENT = "claude"
"""Name of the agent of a hook, spool line or request that does not name its agent."""
PROJECT_VARIABLES = (
    *("CLAUDE_PROJECT_DIR", "GEMINI_PROJECT_DIR", "QWEN_PROJECT_DIR"),
    "COPILOT_PROJECT_DIR",
)
"""``project_variable`` of the agents above, so that the hook need not import them."""


class AgentRegistry(Mapping[str, "CodingAgent"]):
    """Name → agent, those of other packages last; each is imported on its first use."""

    def __init__(self) -> None:
        self._loaded: dict[str, CodingAgent] = {}
        self._plugins: dict[str, CodingAgent] | None = None

    def __getitem__(self, name: str) -> CodingAgent:
        agent = self._loaded.get(name)
        if agent is None:
            cls = _CLASSES.get(name)
            if cls is None:
                return self._of_other_packages()[name]
            module = import_module(f"{__package__}.{name}")
            agent = self._loaded[name] = getattr(module, cls)()
        return agent

    def __iter__(self) -> Iterator[str]:
        return iter([*_CLASSES, *self._of_other_packages()])

    def __len__(self) -> int:
        return len(_CLASSES) + len(self._of_other_packages())

    def is_built_in(self, name: str) -> bool:
        """Return whether an agent is part of htmlgraph-nb."""
        return name in _CLASSES

    def _of_other_packages(self) -> dict[str, CodingAgent]:
        if self._plugins is None:
            # A plugin that lists the agents while it is imported sees the built-in ones.
            self._plugins = {}
            from .plugins.discovery import plugin_agents

            names = [other for name in _CLASSES for other in (name, *self[name].aliases)]
            self._plugins = plugin_agents(names)
        return self._plugins


AGENTS = AgentRegistry()
"""Name → agent."""
