"""Changes of features, tracks, spikes and links as events and as broadcast_event messages."""

from __future__ import annotations

from typing import Any

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.status_rules import Change
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.errors import InvalidEvent

BROADCAST_TYPES = frozenset(
    {"feature_updated", "status_changed", "link_added", "track_updated", "spike_updated"}
)
FEATURE_STATUSES = ("todo", "in_progress", "blocked", "done")
LINK_TYPES = ("depends_on", "blocks", "related")


def resource_event(
    event_type: str,
    resource_type: str,
    resource_id: str,
    agent_id: str,
    session_id: str,
    payload: dict[str, Any],
) -> Event:
    """Return the validated event for a change of a resource.

    Raises:
        InvalidEvent: an id is not a string of 1 to 256 characters, or the payload is too long.
    """
    fields = {
        "agent_id": agent_id,
        "session_id": session_id,
        "event_type": event_type,
        "feature_id": resource_id if resource_type == "feature" else None,
        "source": "broadcast",
        "extra": {
            "resource_type": resource_type,
            "resource_id": resource_id,
            "session_id": session_id,
            "payload": payload,
        },
    }
    try:
        return Event.from_dict(fields)
    except InvalidEvent as error:
        if error.field != "extra":
            raise
        # The sender sent a body, not "extra": name the body in the message.
        raise InvalidEvent(error.message.replace("extra", "body", 1)) from None


def broadcast_event(change: Change) -> str | None:
    """Return the broadcast_event message of a change; None if it is not about a resource."""
    event = change.event
    extra = event.extra
    if event.event_type not in BROADCAST_TYPES or not extra or "resource_id" not in extra:
        return None
    return encode_json(
        {
            "type": "broadcast_event",
            "event_type": event.event_type,
            "resource_id": extra["resource_id"],
            "resource_type": extra.get("resource_type"),
            "agent_id": event.agent_id,
            "session_id": extra.get("session_id"),
            "payload": extra.get("payload"),
            "timestamp": to_rfc3339(change.at),
            "seq": change.seq,
        }
    )
