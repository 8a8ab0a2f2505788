"""The functions of ``htmlgraph_nb.alerts``: what fires on a server, from a notebook or script."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from ..client.discovery import candidates
from ..client.rest import Rest
from ..core.validation import parse_time
from ..errors import ConfigError
from .fired_alert import FiredAlert
from .rule_file import seconds_of


def list(
    state: str = "firing", *, limit: int = 100, url: str | None = None, token: str | None = None
) -> tuple[FiredAlert, ...]:
    """Return alerts of a server, those that fired last first.

    Args:
        state: "firing" (not acknowledged), "acknowledged", "past" or "all".
        limit: most alerts, at most 1000.
        url: address of the server; None: the one that runs on this machine, or HTMLGRAPH_URL.
        token: its secret; None: look it up.

    Raises:
        ServerNotFound: no server responds.
        ServerRefused: an invalid state or limit, or access was denied.
    """
    query = urlencode({"state": state, "limit": limit})
    answer = _rest(url, token).call("GET", f"/api/alerts?{query}")
    return tuple(FiredAlert.from_dict(row) for row in answer["alerts"])


def acknowledge(
    alert: FiredAlert | str,
    by: str | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
) -> FiredAlert:
    """Note that a person takes care of an alert, and return it.

    Args:
        alert: the alert or its id.
        by: name of the person; None: nobody is named.
        url, token: as for ``list``.

    Raises:
        ServerRefused: the alert is unknown.
        ServerNotFound: as for ``list``.
    """
    alert_id = alert.alert_id if isinstance(alert, FiredAlert) else alert
    path = f"/api/alerts/{quote(alert_id, safe='')}/acknowledge"
    return FiredAlert.from_dict(_rest(url, token).call("POST", path, {"by": by}))


def mute(
    duration: str | float | None = None, *, url: str | None = None, token: str | None = None
) -> datetime | None:
    """Silence all alerts; return until when, UTC, or None if they are not muted any more.

    Args:
        duration: seconds, or a text such as "1h"; 0 or "off": end it; None: until it is ended.
        url, token: as for ``list``.

    Raises:
        ConfigError: an invalid duration.
        ServerNotFound, ServerRefused: as for ``list``.
    """
    seconds = None
    if duration is not None:
        try:
            seconds = 0.0 if duration == "off" else seconds_of(duration)
        except ValueError as error:
            raise ConfigError(f"duration: expected {error}, got {duration!r:.60}") from None
    answer = _rest(url, token).call("POST", "/api/alerts/mute", {"seconds": seconds})
    until = answer["muted_until"]
    return None if until is None else parse_time_or_end(until)


def rules(*, url: str | None = None, token: str | None = None) -> dict[str, Any]:
    """Return the rules in force, their file, its error and the channels, as JSON.

    Args:
        url, token: as for ``list``.

    Raises:
        ServerNotFound, ServerRefused: as for ``list``.
    """
    answer: dict[str, Any] = _rest(url, token).call("GET", "/api/alerts/rules")
    return answer


def parse_time_or_end(text: str) -> datetime:
    """Return the time of a mute, which may be the end of all times."""
    return datetime.fromisoformat(text) if text.startswith("9999") else parse_time(text)


def _rest(url: str | None, token: str | None) -> Rest:
    return Rest(lambda: candidates(url, token))
