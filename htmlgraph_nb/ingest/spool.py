"""Convert spooled lines, which the hook and the SDK wrote while no server was running, to Events.

Pure functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..coding_agents.registry import AGENTS, DEFAULT_AGENT
from ..core.model import Event
from ..errors import InvalidEvent

OnHook = Callable[[str, Mapping[str, Any]], object]
"""Called with the agent (``"claude"`` …) and the JSON object of a hook call."""


def events_from_spool(
    text: bytes, received_at: datetime, on_hook: OnHook | None = None, first_line: int = 1
) -> tuple[list[Event], list[int]]:
    """Return the events of a part of a spool file and the numbers of its broken lines.

    A line is the JSON object that the hook would have sent, or an event of the SDK. A truncated
    line, as after a full disk, does not affect the others. Reading a line twice is harmless, as it
    contains its event id.

    Args:
        text: whole lines of the file; its last one may be cut off.
        received_at: the timestamp of events without a timestamp.
        on_hook: called for each line that holds a hook call.
        first_line: number of the first line.
    """
    events: list[Event] = []
    broken: list[int] = []
    for number, line in enumerate(text.split(b"\n"), first_line):
        if not line.strip():
            continue
        try:
            payload = json.loads(line)
            if isinstance(payload, dict) and "event" in payload:
                events.append(Event.from_dict(payload["event"]))
                continue
            agent = _agent_of_hook(payload)
            events += AGENTS[agent].events_from_hook(payload, received_at=received_at)
        except (InvalidEvent, ValueError, RecursionError):
            broken.append(number)
        else:
            if on_hook is not None:
                on_hook(agent, payload)
    return events, broken


def spool_line(event: Event) -> bytes:
    """Return the spool line of an SDK event, without a line end."""
    return json.dumps({"event": event.to_dict()}, separators=(",", ":")).encode()


def _agent_of_hook(payload: object) -> str:
    added = payload.get("htmlgraph") if isinstance(payload, dict) else None
    agent = added.get("hook") if isinstance(added, dict) else None
    # Lines of early versions name no agent: they supported Claude Code only.
    return agent if isinstance(agent, str) and agent in AGENTS else DEFAULT_AGENT
