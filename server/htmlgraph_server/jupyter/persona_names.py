"""Names of Jupyter AI's personas: kind of agent, session and agent id. Pure functions.

The id of a persona is ``jupyter-ai-personas::PACKAGE::CLASS``. A persona that runs an agent over
the Agent Client Protocol has a session of that agent in each chat, whose id is in the chat's
metadata (``acp_session_ids``). Claude Code (claude-agent-acp 0.101), Codex (codex-acp 2.6) and
others use that id for their own session files and hooks as well, so an agent that two sources
report is one agent.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from htmlgraph_nb.coding_agents.fields import identifier
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.ids import agent_id_of

JUPYTER_AI = "jupyter-ai"
"""The ``source`` of the events, and the kind of a persona that runs no known coding agent."""

_CLASS = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_SUFFIX = re.compile(r"(?:acp)?(?:persona)?$")
_KINDS = {
    **{
        name.replace("-", ""): agent.name
        for agent in AGENTS.values()
        for name in (agent.name, *agent.aliases)
    },
    **{name: name for name in ("kilo",)},
}
"""Class of a persona, in small letters and without its suffix → its kind of agent."""
_DIGEST_CHARS = 32


class PersonaName(NamedTuple):
    """Which agent a persona is in one chat.

    Attributes:
        agent_id: its id here.
        session_id: the id of its agent's session, or one derived from the chat.
        kind: its kind of agent, such as "claude".
    """

    agent_id: str
    session_id: str
    kind: str


def persona_class(persona_id: str) -> str:
    """Return the name of the class in the id of a persona; "" if it has none."""
    name = persona_id.rpartition("::")[2]
    return name if _CLASS.fullmatch(name) else ""


def name_persona(chat_id: str, persona_id: str, session: object) -> PersonaName:
    """Return which agent a persona is in a chat.

    Args:
        chat_id: the stable id of the chat.
        session: id of its session in the Agent Client Protocol; None: it has none.
    """
    prefix = _SUFFIX.sub("", persona_class(persona_id).lower()) or JUPYTER_AI
    kind = _KINDS.get(prefix, JUPYTER_AI)
    prefix = prefix if kind == JUPYTER_AI else kind
    session_id = identifier(session)
    if session_id is None:
        own = f"{chat_id}\n{persona_id}".encode("utf-8", "replace")
        session_id = sha256(own).hexdigest()[:_DIGEST_CHARS]
    return PersonaName(agent_id_of(session_id, prefix), session_id, kind)
