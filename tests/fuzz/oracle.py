"""What must hold for the events and errors of every target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.protocol import (
    Cursor,
    encode_json,
    error_object,
    presence_json,
    presence_message,
    presence_state,
    presence_to_wire,
)
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.errors import ApiError, HtmlgraphError, InvalidEvent

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
"""The time of arrival in all targets."""
MAX_MESSAGE_CHARS = 2_000


def require(condition: object, message: str) -> None:
    """Raise AssertionError unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def check_error(error: HtmlgraphError) -> None:
    """Check that an error can be sent to a client, and is short."""
    field = error.field if isinstance(error, InvalidEvent | ApiError) else None
    message = error.message if isinstance(error, InvalidEvent | ApiError) else str(error)
    text = encode_json(error_object("code", message, field))
    text.encode()
    require(len(text) <= MAX_MESSAGE_CHARS, f"an error message of {len(text)} characters")
    require(message and "\n" not in message, "an error message of no or several lines")


def check_events(events: Sequence[Event], n_bytes: int) -> None:
    """Check that events are valid, can be sent and read again, and are not too many.

    Args:
        n_bytes: size of the input that reported them.
    """
    require(len(events) <= 100 + n_bytes, f"{len(events)} events of {n_bytes} bytes")
    for event in events:
        checked = event.checked()
        text = encode_json(checked.to_dict())
        require(Event.from_dict(json.loads(text)) == checked, f"does not round trip: {text}")
        require(len(text) <= 64_000, f"an event of {len(text)} characters")


def check_roster(events: Sequence[Event]) -> None:
    """Check that valid events change agents, and that a client gets the same agents."""
    roster, mirror = Roster(), Mirror()
    mirror.apply(json.loads(presence_state(Cursor("e", 0), [], [], full=True, at=NOW)[0]))
    for seq, event in enumerate(events, 1):
        change = roster.apply(event, seq, NOW)
        presence = change.presence
        if presence is not None:
            text = presence_json(presence)
            require(text == encode_json(presence_to_wire(presence)), "presence_json differs")
            require(AgentPresence.from_dict(json.loads(text)) == presence, "presence differs")
            mirror.apply(json.loads(encode_json(presence_message(presence, NOW))))
        roster.commit()
    roster.timers_due(NOW)
    roster.implied_ends()
    for agent_id, state in roster.agents.items():
        require(mirror.agents.get(agent_id) == state.presence, "the mirror differs")
