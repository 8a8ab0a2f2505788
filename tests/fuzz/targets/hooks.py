"""Hook inputs of every agent: as they arrive at the server, and as agents write them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.protocol import decode_json
from htmlgraph_nb.errors import InvalidEvent, WireError
from htmlgraph_nb.hook.command import MAX_TEXT_CHARS, redact, session_files, session_title
from tests.fuzz.oracle import NOW, check_error, check_events, check_roster, require
from tests.fuzz.targets import split_variant

_VARIANTS = tuple(
    f"{name}{suffix}"
    for name, agent in AGENTS.items()
    if agent.has_hooks
    for suffix in ("", "-input")
)


def run(data: bytes) -> None:
    """Translate an input, and check its events."""
    variant, body = split_variant(data, _VARIANTS)
    agent = AGENTS[variant.removesuffix("-input")]
    try:
        payload = decode_json(body, "body")
        if variant.endswith("-input") and isinstance(payload, dict):
            payload = _sent(agent.name, payload)
        events = agent.events_from_hook(payload, received_at=NOW)
    except (InvalidEvent, WireError) as error:
        check_error(error)
        return
    check_events(events, len(body))
    check_roster([event.checked() for event in events])


def _sent(name: str, payload: Mapping[str, object]) -> Mapping[str, object]:
    """Return what htmlgraph-hook would send of an input."""
    agent = AGENTS[name]
    fields = redact(agent, payload)
    for value in fields.values():
        require(not isinstance(value, list | dict), "the hook sends a list or an object")
        require(len(str(value)) <= MAX_TEXT_CHARS or not isinstance(value, str), "a long text")
    fields |= session_title(payload) | session_files(agent, payload)
    sent: Mapping[str, object] = json.loads(json.dumps(fields))
    return sent
