"""Routes of alerts: what fired, acknowledging, muting, and the rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from htmlgraph_nb.alerts.alert_table import STATES, read_alerts
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.core.validation import format_value, shorten, validate_string
from htmlgraph_nb.errors import ApiError

from .json_api import JsonHandler

DEFAULT_ALERTS = 100
MAX_ALERTS_PAGE = 1_000
MAX_MUTE_S = 365 * 86_400
_MAX_NAME_CHARS = 100


class AlertsHandler(JsonHandler):
    """``GET /api/alerts``: stored alerts, those that fired last first."""

    async def get(self) -> None:
        self.allow_parameters("state", "limit", "before")
        state = self.choice_parameter("state", tuple(STATES), "firing")
        limit = self.int_parameter("limit", DEFAULT_ALERTS, 1, MAX_ALERTS_PAGE)
        before = self.time_parameter("before")
        alerts = await self.service.history.run(lambda db: read_alerts(db, state, limit, before))
        facts = self.service.hub.alerts.state()
        self.send_json(
            {
                "alerts": [alert.to_dict() for alert in alerts],
                "muted_until": facts["muted_until"],
                "rules_error": facts["rules_error"],
            }
        )

    head = get


class AcknowledgeHandler(JsonHandler):
    """``POST /api/alerts/{alert_id}/acknowledge``: note that a person takes care of it."""

    async def post(self, alert_id: str) -> None:
        self.allow_parameters()
        by = (await _optional_object(self, "by")).get("by")
        name = None if by is None else validate_string(by, "by", _MAX_NAME_CHARS)
        alert = await self.service.alerts.acknowledge(validate_string(alert_id, "alert_id"), name)
        if alert is None:
            raise ApiError(404, "unknown_alert", f"unknown alert {shorten(alert_id)}", "alert_id")
        self.send_json(alert.to_dict())


class MuteHandler(JsonHandler):
    """``POST /api/alerts/mute``: silence all alerts, or end that."""

    async def post(self) -> None:
        self.allow_parameters()
        body = await self.json_object()
        if set(body) != {"seconds"}:
            raise ApiError(400, "invalid", 'body: expected {"seconds": N}, 0 or null', "seconds")
        until = await self.service.alerts.mute(_mute_seconds(body["seconds"]))
        self.send_json({"muted_until": None if until is None else to_rfc3339(until)})


class AlertRulesHandler(JsonHandler):
    """``GET /api/alerts/rules``: the rules in force."""

    def get(self) -> None:
        self.allow_parameters()
        rules = self.service.alerts.rules
        self.send_json(
            {
                "file": rules.path,
                "error": rules.error,
                "rules": [asdict(rule) for rule in rules.content.rules],
                "channels": self.service.alerts.sender.states(),
            }
        )

    head = get


class AlertTestHandler(JsonHandler):
    """``POST /api/alerts/test``: send a test alert on a channel."""

    async def post(self) -> None:
        self.allow_parameters()
        name = (await _optional_object(self, "channel")).get("channel")
        name = validate_string(name, "channel", _MAX_NAME_CHARS)
        sender = self.service.alerts.sender
        error = await sender.test(name)
        if error is None:
            names = ", ".join(row["name"] for row in sender.states()) or "a channel of the file"
            message = f"channel: expected {names}, got {shorten(name)}"
            raise ApiError(404, "unknown_channel", message, "channel")
        self.send_json({"channel": name, "error": error or None})


async def _optional_object(handler: JsonHandler, *names: str) -> dict[str, Any]:
    """Return the JSON object of a body, which may be empty, with no other members than these."""
    body = await handler.json_object() if handler.body else {}
    for name in body:
        if name not in names:
            expected = ", ".join(names)
            raise ApiError(
                400, "invalid", f"unknown field {shorten(name)}; expected {expected}", name[:60]
            )
    return body


def _mute_seconds(value: object) -> float | None:
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= MAX_MUTE_S
    ):
        raise ApiError(
            400,
            "invalid",
            f"seconds: expected 0 to {MAX_MUTE_S} or null, got {format_value(value)}",
            "seconds",
        )
    return float(value)
