"""Convert features, spikes and tracks of the older HtmlGraph project to resource events.

Pure functions; see ``rows`` for the format.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, NamedTuple

from ..coding_agents.fields import count, identifier, safe_keyword, string, without_none
from ..core.ids import shorten_id
from ..core.model import Event
from ..core.timestamps import to_rfc3339
from ..ingest.session_origin import LEGACY_SOURCE
from .rows import LegacyRow, parse_legacy_time, required_id, required_time

_STATUSES = {
    "todo": "todo",
    "in-progress": "in_progress",
    "in_progress": "in_progress",
    "active": "in_progress",
    "blocked": "blocked",
    "done": "done",
    "ended": "done",
}


class LegacyResource(NamedTuple):
    """A feature, spike or track: its event, its status and its fields."""

    event: Event
    status: str | None
    payload: dict[str, Any]


def resources_from_row(
    row: LegacyRow, kind: str, agent_id: str | None = None, *, project: str | None = None
) -> list[LegacyResource]:
    """Return the resource of a row of features or tracks, as a list of one element.

    Args:
        kind: "feature" or "track"; a feature of type spike becomes a "spike".
        agent_id: the agent that worked on it last; None: the assignee.
        project: the project's name.

    Raises:
        InvalidEvent: the row has no id or no timestamp.
    """
    resource_id = required_id(row, "id")
    at = parse_legacy_time(row.get("updated_at")) or required_time(row, "created_at")
    if kind == "feature" and row.get("type") == "spike":
        kind = "spike"
    status = _STATUSES.get(str(row.get("status")))
    payload = without_none(
        title=string(row.get("title"), 1_000),
        type=safe_keyword(row.get("type")),
        priority=safe_keyword(row.get("priority")),
        status=status or safe_keyword(row.get("status")),
        steps_total=count(row.get("steps_total")),
        steps_completed=count(row.get("steps_completed")),
        track_id=identifier(row.get("track_id")),
        updated_at=to_rfc3339(at),
    )
    state = f"{project}:{json.dumps(payload, sort_keys=True)}"
    digest = sha256(state.encode()).hexdigest()[:24]
    event = Event(
        agent_id=agent_id
        or string(row.get("assigned_to"))
        or string(row.get("assignee"))
        or LEGACY_SOURCE,
        event_type=f"{kind}_updated",
        timestamp=at,
        event_id=shorten_id(f"{kind}:{resource_id}:{digest}"),
        feature_id=resource_id if kind == "feature" else None,
        project=project,
        source=LEGACY_SOURCE,
        extra={"resource_type": kind, "resource_id": resource_id, "payload": payload},
    )
    return [LegacyResource(event, status, payload or {})]
