"""When a failed delivery is repeated. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from htmlgraph_nb.alerts.fired_alert import Delivery

from .outcome import Outcome

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 120.0
LONGEST_RETRY_AFTER_S = 3_600.0
MAX_AGE_S = 86_400.0
"""An older alert is not sent any more."""
_TRANSIENT = frozenset({408, 425, 429})


def retry_delay(failures: int, random: float, retry_after_s: float | None = None) -> float:
    """Return the seconds until a channel is tried again.

    The delay doubles from 1 s to 2 minutes, minus up to half at random, so that many senders do not
    repeat at the same time. It is at least what the receiver asked for, but at most an hour.

    Args:
        failures: failed attempts in a row, at least 1.
        random: at least 0, less than 1.
        retry_after_s: what the receiver asked for; None: nothing.
    """
    longest = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 30))
    delay = longest * (1 - random / 2)
    return max(delay, min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))


def gives_up(delivery: Delivery, outcome: Outcome, now: datetime) -> bool:
    """Return whether a failed delivery is not repeated."""
    alert = delivery.alert
    age_s = (now - (alert.resolved_at or alert.fired_at)).total_seconds()
    return outcome.final or age_s > MAX_AGE_S


def outcome_of_status(status: int, headers: Mapping[str, str], now: datetime) -> Outcome:
    """Return the outcome of an HTTP response.

    Success is 2xx. 408, 425, 429 and 5xx are repeated; other statuses mean that the request itself
    is refused.

    Args:
        status: HTTP status.
        headers: of the response.
        now: the current time, for a ``Retry-After`` that is a date.
    """
    if 200 <= status < 300:
        return Outcome()
    transient = status in _TRANSIENT or status >= 500
    retry_after_s = parse_retry_after(headers.get("Retry-After", ""), now) if transient else None
    return Outcome(f"the receiver answered HTTP {status}", not transient, retry_after_s)


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` header (RFC 9110 section 10.2.3); None if invalid."""
    value = text.strip()
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        seconds = (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        # Not a date, or one without a time zone.
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
