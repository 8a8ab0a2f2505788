"""Spooled lines to Event, pure: what the hook and the SDK kept on disk while no server answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..coding_agents.registry import AGENTS, DEFAULT_AGENT
from ..core.model import Event
from ..errors import InvalidEvent

OnHook = Callable[[str, Mapping[str, Any]], object]


def events_from_spool(
    text: bytes, received_at: datetime, hear: OnHook | None = None
) -> tuple[list[Event], int]:
    """Return the events of a spool file and the number of lines that hold none.

    A line is the JSON object that the hook would have sent, or an event of the SDK. A line that was
    cut off, as by a full disk, costs itself alone. Reading the same line twice is harmless: its
    event id is in it.

    Args:
        text: the bytes of the file; one that is still written to may end in half a line.
        received_at: the time of events that carry none.
        hear: called with the kind of agent and the JSON object of each line that was read.
    """
    events: list[Event] = []
    broken = 0
    for line in text.split(b"\n"):
        if not line.strip():
            continue
        try:
            payload = json.loads(line)
            if isinstance(payload, dict) and "event" in payload:
                events.append(Event.from_dict(payload["event"]))
                continue
            agent = _agent(payload)
            events += AGENTS[agent].events_from_hook(payload, received_at=received_at)
        except (InvalidEvent, ValueError, RecursionError):
            broken += 1
        else:
            if hear is not None:
                hear(agent, payload)
    return events, broken


def spool_line(event: Event) -> bytes:
    """Return the line of an event, without its end."""
    return json.dumps({"event": event.to_dict()}, separators=(",", ":")).encode()


def _agent(payload: object) -> str:
    added = payload.get("htmlgraph") if isinstance(payload, dict) else None
    agent = added.get("hook") if isinstance(added, dict) else None
    # Lines without a name are from the time when there was one kind of agent.
    return agent if isinstance(agent, str) and agent in AGENTS else DEFAULT_AGENT.name
