"""Routes of features, tracks and spikes: each change is stored and broadcast."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.core.validation import shorten, validate_string
from htmlgraph_nb.errors import ApiError

from ..hub.broadcast_messages import FEATURE_STATUSES, LINK_TYPES, resource_event
from .json_api import JsonHandler


class ResourceHandler(JsonHandler):
    """``POST /api/broadcast/…``: features, tracks and spikes."""

    async def record(
        self,
        event_type: str,
        resource: tuple[str, str],
        payload: dict[str, Any],
        status: str | None = None,
        merge: bool = True,
    ) -> tuple[str | None, dict[str, Any]]:
        """Store and broadcast a change.

        Args:
            resource: type and id.
            payload: the changed fields.
            status: the new status; None: unchanged.
            merge: whether to merge ``payload`` into the stored fields.

        Returns:
            The previous status, and the fields common to all responses.
        """
        received = time.monotonic()
        self.allow_parameters()
        resource_type, resource_id = resource
        validate_string(resource_id, f"{resource_type}_id")
        agent_id, session_id = self.id_header("X-Agent-ID"), self.id_header("X-Session-ID")
        self.identity.check_agents([agent_id])
        event = resource_event(
            event_type, resource_type, resource_id, agent_id, session_id, payload
        )
        future = self.service.manager.submit_resource(
            event, received, status, payload if merge else {}
        )
        old_status = await self.committed(future)
        reads = self.identity.reads
        return old_status if reads else None, {
            "success": True,
            f"{resource_type}_id": resource_id,
            "clients_notified": len(self.service.hub.clients) if reads else None,
            "timestamp": to_rfc3339(datetime.now(UTC)),
        }


class FeatureHandler(ResourceHandler):
    """``POST /api/broadcast/features/{feature_id}``: change fields of a feature."""

    async def post(self, feature_id: str) -> None:
        payload = await self.json_object()
        status = payload.get("status")
        if status is not None and status not in FEATURE_STATUSES:
            raise _invalid_choice("status", status, FEATURE_STATUSES)
        _, response = await self.record("feature_updated", ("feature", feature_id), payload, status)
        self.send_json(response)


class FeatureStatusHandler(ResourceHandler):
    """``POST /api/broadcast/features/{feature_id}/status``: change the status of a feature."""

    async def post(self, feature_id: str) -> None:
        status = (await self.json_object()).get("new_status")
        if status not in FEATURE_STATUSES:
            raise _invalid_choice("new_status", status, FEATURE_STATUSES)
        payload = {"new_status": status}
        old_status, response = await self.record(
            "status_changed", ("feature", feature_id), payload, status, merge=False
        )
        self.send_json({**response, "old_status": old_status, "new_status": status})


class FeatureLinkHandler(ResourceHandler):
    """``POST /api/broadcast/features/{feature_id}/links``: link a feature to another."""

    async def post(self, feature_id: str) -> None:
        body = await self.json_object()
        linked_id = validate_string(body.get("linked_feature_id"), "linked_feature_id")
        link_type = body.get("link_type")
        if link_type not in LINK_TYPES:
            raise _invalid_choice("link_type", link_type, LINK_TYPES)
        link = {"linked_feature_id": linked_id, "link_type": link_type}
        _, response = await self.record("link_added", ("feature", feature_id), link, merge=False)
        self.send_json({**response, **link})


class TrackHandler(ResourceHandler):
    """``POST /api/broadcast/tracks/{track_id}``: change fields of a track."""

    async def post(self, track_id: str) -> None:
        _, response = await self.record(
            "track_updated", ("track", track_id), await self.json_object()
        )
        self.send_json(response)


class SpikeHandler(ResourceHandler):
    """``POST /api/broadcast/spikes/{spike_id}``: change fields of a spike."""

    async def post(self, spike_id: str) -> None:
        _, response = await self.record(
            "spike_updated", ("spike", spike_id), await self.json_object()
        )
        self.send_json(response)


def _invalid_choice(field: str, value: object, choices: tuple[str, ...]) -> ApiError:
    shown = shorten(value) if isinstance(value, str) else type(value).__name__
    return ApiError(
        400, "invalid", f"{field}: expected one of {', '.join(choices)}, got {shown}", field
    )
