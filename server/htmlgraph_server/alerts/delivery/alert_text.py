"""The texts of an alert in a notification. Pure functions.

An alert's message and names come from agents in part, so they are cut, and control characters are
removed.
"""

from __future__ import annotations

import re

from htmlgraph_nb.alerts.fired_alert import FiredAlert

MAX_TITLE = 120
MAX_PLACE = 80
"""Longest part of the line that says where."""
# Also the characters that change the direction of text, and those that are invisible.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


def visible(text: str | None, limit: int) -> str:
    """Return one line of text with at most ``limit`` characters."""
    line = _UNSEEN.sub(" ", text or "").strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def alert_title(alert: FiredAlert) -> str:
    """Return the title of a notification: the message of the alert."""
    text = visible(alert.message, MAX_TITLE)
    return visible(f"Resolved: {text}", MAX_TITLE) if alert.state == "resolved" else text


def alert_body(alert: FiredAlert) -> str:
    """Return the text below the title: where it happened, and whether it was sent before."""
    values = (alert.agent_kind, alert.project, alert.branch, alert.host)
    parts = [alert.severity.capitalize(), *(visible(value, MAX_PLACE) for value in values)]
    place = " · ".join(part for part in parts if part)
    return f"{place}\nThis may have been sent before." if alert.repeat else place


def plain(text: str) -> str:
    """Return a text in which no chat service finds a mention such as ``@everyone``."""
    return text.replace("@", "@\u200b")
