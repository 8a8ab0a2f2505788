"""The alerts that dashboards get: those that are firing after they connect, then each change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.timestamps import to_rfc3339

from ..connections.frames import encode_frame

MAX_FIRING = 200
"""Most alerts of the message ``alert_state``, those that fired last."""


class AlertFeed:
    """The firing alerts, and the messages about them.

    Attributes:
        firing: the alerts that are firing, by id.
        muted_until: until when alerts are muted, UTC; None: they are not.
        rules_error: what is wrong with the file of rules; None: nothing.
        is_used: whether there was anything to report since the start of the server.
    """

    def __init__(self) -> None:
        self.firing: dict[str, FiredAlert] = {}
        self.muted_until: datetime | None = None
        self.rules_error: str | None = None
        self.is_used = False
        self._frame: bytes | None = None

    def update(self, alerts: Iterable[FiredAlert]) -> list[bytes]:
        """Take new states of alerts; return the messages about them."""
        frames = []
        for alert in alerts:
            if alert.state == "firing":
                self.firing[alert.alert_id] = alert
            else:
                self.firing.pop(alert.alert_id, None)
            frames.append(encode_frame(encode_json({"type": "alert", "alert": alert.to_dict()})))
            self._frame, self.is_used = None, True
        return frames

    def set_facts(self, muted_until: datetime | None, rules_error: str | None) -> list[bytes]:
        """Take what holds for all alerts; return the message about it if it has changed."""
        if (muted_until, rules_error) == (self.muted_until, self.rules_error):
            return []
        self.muted_until, self.rules_error, self._frame = muted_until, rules_error, None
        self.is_used = True
        return [self.state_frame]

    @property
    def state_frame(self) -> bytes:
        """The message ``alert_state``."""
        if self._frame is None:
            self._frame = encode_frame(encode_json({"type": "alert_state", **self.state()}))
        return self._frame

    def state(self) -> dict[str, Any]:
        """Return the firing alerts and what holds for all as a JSON object."""
        latest = sorted(self.firing.values(), key=lambda alert: alert.fired_at, reverse=True)
        return {
            "alerts": [alert.to_dict() for alert in latest[:MAX_FIRING]],
            "count": len(latest),
            "muted_until": None if self.muted_until is None else to_rfc3339(self.muted_until),
            "rules_error": self.rules_error,
        }
