"""The routes of features, tracks and spikes: each change is stored, broadcast and activity."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.core.validation import shorten, validate_string

from ..hub.broadcast_messages import FEATURE_STATUSES, LINK_TYPES, resource_event
from .base import ApiError, committed
from .json_api import Api


class Resource(Api):
    """``POST /api/broadcast/…``: features, tracks and spikes."""

    async def record(
        self,
        event_type: str,
        resource: tuple[str, str],
        payload: dict[str, Any],
        status: str | None = None,
        merge: bool = True,
    ) -> tuple[str | None, dict[str, Any]]:
        """Store and broadcast a change; return the status before and the common answer."""
        received = time.monotonic()
        self.known_parameters()
        kind, name = resource
        validate_string(name, f"{kind}_id")
        agent_id, session_id = self.header("X-Agent-ID"), self.header("X-Session-ID")
        event = resource_event(event_type, kind, name, agent_id, session_id, payload)
        future = self.service.manager.submit_resource(
            event, received, status, payload if merge else {}
        )
        before = await committed(future)
        return before, {
            "success": True,
            f"{kind}_id": name,
            "clients_notified": len(self.service.hub.clients),
            "timestamp": to_rfc3339(datetime.now(UTC)),
        }


class Feature(Resource):
    """``POST /api/broadcast/features/{feature_id}``: fields of a feature."""

    async def post(self, feature_id: str) -> None:
        payload = self.json_object()
        status = payload.get("status")
        if status is not None and status not in FEATURE_STATUSES:
            raise _bad_choice("status", status, FEATURE_STATUSES)
        _, answer = await self.record("feature_updated", ("feature", feature_id), payload, status)
        self.send_json(answer)


class FeatureStatus(Resource):
    """``POST /api/broadcast/features/{feature_id}/status``: another status."""

    async def post(self, feature_id: str) -> None:
        status = self.json_object().get("new_status")
        if status not in FEATURE_STATUSES:
            raise _bad_choice("new_status", status, FEATURE_STATUSES)
        payload = {"new_status": status}
        before, answer = await self.record(
            "status_changed", ("feature", feature_id), payload, status, merge=False
        )
        self.send_json({**answer, "old_status": before, "new_status": status})


class FeatureLink(Resource):
    """``POST /api/broadcast/features/{feature_id}/links``: a link to another feature."""

    async def post(self, feature_id: str) -> None:
        body = self.json_object()
        other = validate_string(body.get("linked_feature_id"), "linked_feature_id")
        link_type = body.get("link_type")
        if link_type not in LINK_TYPES:
            raise _bad_choice("link_type", link_type, LINK_TYPES)
        link = {"linked_feature_id": other, "link_type": link_type}
        _, answer = await self.record("link_added", ("feature", feature_id), link, merge=False)
        self.send_json({**answer, **link})


class Track(Resource):
    """``POST /api/broadcast/tracks/{track_id}``: fields of a track."""

    async def post(self, track_id: str) -> None:
        _, answer = await self.record("track_updated", ("track", track_id), self.json_object())
        self.send_json(answer)


class Spike(Resource):
    """``POST /api/broadcast/spikes/{spike_id}``: fields of a spike."""

    async def post(self, spike_id: str) -> None:
        _, answer = await self.record("spike_updated", ("spike", spike_id), self.json_object())
        self.send_json(answer)


def _bad_choice(field: str, seen: object, choices: tuple[str, ...]) -> ApiError:
    shown = shorten(seen) if isinstance(seen, str) else type(seen).__name__
    return ApiError(
        400, "invalid", f"{field} is {shown}, expected one of {', '.join(choices)}", field
    )
