"""The coding agents that the project supports: the only list of them.

``htmlgraph-hook`` loads this on every tool call; see ``agent`` for what may be imported here.
"""

from __future__ import annotations

from .agent import CodingAgent
from .claude import ClaudeCode
from .codex import Codex
from .gemini import GeminiCli

AGENTS: dict[str, CodingAgent] = {
    agent.name: agent for agent in (ClaudeCode(), Codex(), GeminiCli())
}
"""Name → agent."""
DEFAULT_AGENT: CodingAgent = AGENTS[ClaudeCode.name]
"""The agent of a hook, spool line or request that does not name its agent."""
