"""Agents of the registry by what they have, for parametrized tests."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.registry import AGENTS

WITH_HOOKS = [name for name, agent in AGENTS.items() if agent.has_hooks]
CONNECTABLE = [name for name, agent in AGENTS.items() if agent.hook_settings() is not None]
WITH_FILES = [name for name, agent in AGENTS.items() if agent.session_pattern]
