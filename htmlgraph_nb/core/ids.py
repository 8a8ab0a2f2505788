"""Ids of agents and events that every source derives in the same way, and ids of ancestors."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

from .validation import MAX_ID_CHARS

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I)
_HEX = re.compile(r"[0-9a-f]{12,}", re.I)
_ISSUED = re.compile(r"(?:msg|req|toolu)_(?:bdrk_|vrtx_)?([0-9A-Za-z]{20,})")
"""Ids of Anthropic's API, also on Amazon Bedrock and Google's Vertex AI."""
_PREFIX_CHARS = 8
_MIN_DISTINCT_CHARS = 6
_DIGEST_CHARS = 16
_MAX_ANCESTORS = 64


def shorten_id(identifier: str, limit: int = MAX_ID_CHARS) -> str:
    """Return ``identifier``, replacing the end of one that is too long with a hash of it.

    Args:
        limit: maximum number of characters of the result.
    """
    if len(identifier) <= limit:
        return identifier
    digest = sha256(identifier.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{identifier[: limit - _DIGEST_CHARS - 1]}-{digest}"


def agent_id_of(identifier: str, agent: str) -> str:
    """Return the agent id derived from the identifier of a session or subagent.

    A random identifier (a UUID version 4, or at least 12 hexadecimal digits) is cut to its first 8
    characters, unless these have fewer than four distinct characters (``00000000-…``). Any other
    identifier (``session-1``, ``agent-abc123``, a time-ordered UUID) may share its first characters
    with others, so it is kept whole.

    Args:
        agent: name of the kind of agent, the prefix of the id.
    """
    random = _UUID4.fullmatch(identifier) or _HEX.fullmatch(identifier)
    if random and len(set(identifier[:_PREFIX_CHARS].lower())) > 3:
        return f"{agent}-{identifier[:_PREFIX_CHARS]}"
    return f"{agent}-{shorten_id(identifier, MAX_ID_CHARS - len(agent) - 1)}"


def is_issued_id(identifier: str) -> bool:
    """Return whether Anthropic's API issued the id of an answer, request or tool call.

    Such ids are globally unique. Gateways, relays and other models repeat theirs (``Bash:0``,
    ``msg_proxy_stream``), so they identify nothing outside of their session.
    """
    match = _ISSUED.fullmatch(identifier)
    return match is not None and len(set(match[1])) >= _MIN_DISTINCT_CHARS


def call_key(session: str, call: str, step: str) -> str:
    """Return the event id of a step of a tool call; every source of the event derives the same id.

    A forked session repeats the calls of the original under its own session id, so the session is
    not part of the key if the id of the call is globally unique.

    Args:
        call: id of the call.
        step: "PreToolUse", "PostToolUse" (success or failure) or "PermissionDenied".
    """
    return shorten_id(f"{call}:{step}" if is_issued_id(call) else f"{session}:{call}:{step}")


def topmost_ancestor(
    agent_id: str, parent: str | None, parent_of: Callable[[str], str | None]
) -> str:
    """Return the id of the topmost known ancestor of an agent; without a parent its own id.

    An agent whose ancestors form a loop is its own ancestor. At most 64 levels are followed.

    Args:
        parent: id of its parent; None: it has none.
        parent_of: returns the id of the parent of another agent; None: it has none, or is unknown.
    """
    known = {agent_id}
    topmost = agent_id
    while parent is not None and len(known) <= _MAX_ANCESTORS:
        if parent in known:
            return agent_id
        known.add(parent)
        topmost, parent = parent, parent_of(parent)
    return topmost
