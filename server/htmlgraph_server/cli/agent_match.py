"""Finds the agent that a person means by a part of its id or title."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence

from htmlgraph_nb.client.agent_view import agent_name, short_agent_id, visible_text
from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError

_SHOWN = 5


def add_agent_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument AGENT, for ``matching_agent``."""
    parser.add_argument("agent", metavar="AGENT", help="agent id, or a part of its id or title")


def matching_agent(text: str, agents: Iterable[AgentPresence]) -> str:
    """Return the id of the only agent that ``text`` means, in upper or lower case.

    It is the id or its short form, its start (with or without the kind of agent), a part of it, its
    start and end (``codex-6486`` for ``codex-019eec26-793d-7ed6-f1cf-d99216df6486``), or a part of
    the title, or of project and branch if there is no title. The first of these that fits an agent
    decides.

    Raises:
        ConfigError: there is none, or several; the message names similar ids, or some of them.
    """
    known = sorted(agents, key=lambda agent: agent.agent_id)
    part = text.casefold()
    for fits in (_is_id, _is_start, _is_in_id, _is_cut_id, _is_in_name):
        matches = [agent for agent in known if fits(part, agent)]
        if len(matches) == 1:
            return matches[0].agent_id
        if matches:
            raise _ambiguous(text, matches)
    ids = [agent.agent_id for agent in known]
    near = difflib.get_close_matches(text, ids, _SHOWN, 0.4)
    hint = f"; similar ids: {', '.join(map(visible_text, near))}" if near else ""
    raise ConfigError(f"unknown agent {shorten(text)}{hint}")


def _is_id(part: str, agent: AgentPresence) -> bool:
    known = agent.agent_id.casefold()
    return part in (known, short_agent_id(known))


def _is_start(part: str, agent: AgentPresence) -> bool:
    known = agent.agent_id.casefold()
    return any(each.startswith(part) for each in (known, known.partition("-")[2]))


def _is_in_id(part: str, agent: AgentPresence) -> bool:
    return part in agent.agent_id.casefold()


def _is_cut_id(part: str, agent: AgentPresence) -> bool:
    known = agent.agent_id.casefold()
    start, _, end = part.rpartition("-")
    return bool(start and end) and known.startswith(f"{start}-") and known.endswith(end)


def _is_in_name(part: str, agent: AgentPresence) -> bool:
    return bool(part.strip()) and part in agent_name(agent).casefold()


def _ambiguous(text: str, matches: Sequence[AgentPresence]) -> ConfigError:
    more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
    shown = ", ".join(map(_described, matches[:_SHOWN]))
    return ConfigError(f"agent: {shorten(text)} fits {len(matches)} agents: {shown}{more}")


def _described(agent: AgentPresence) -> str:
    name = agent_name(agent)
    is_named = name not in (agent.agent_id, short_agent_id(agent.agent_id))
    title = f" ({visible_text(name, 40)})" if is_named else ""
    return f"{visible_text(agent.agent_id)}{title}"
