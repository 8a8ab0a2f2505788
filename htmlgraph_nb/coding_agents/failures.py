"""Why an error keeps an agent from working, and until when: the code that all agents share. Pure.

Of the text of an error, only these two facts leave this module. Sources: the messages of Claude
Code ("You've hit your session limit · resets 6:30pm (Europe/Dublin)", "Claude AI usage limit
reached|1760000000"), Codex ("You've hit your usage limit. … try again at Aug 8th, 2026 8:16 AM.")
and Gemini CLI ("Your quota will reset after 20h6m40s.").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..core.timestamps import to_rfc3339
from .fields import count, time_after, timestamp, timestamp_of_seconds, without_none

_MAX_CHARS = 2_000
"""Limit messages are short; what follows in a longer text is something else."""
_LIMIT = re.compile(
    r"(?<!rate )\blimit reached\b|\bhit your (?:[\w-]+ ){0,3}limit\b|\bout of (?:extra )?usage\b"
    r"|\bexhausted your (?:[\w-]+ ){0,3}(?:quota|capacity)\b|\bquota exceeded\b"
    r"|\bexceeded your (?:[\w-]+ ){0,3}quota\b",
    re.I,
)
_EPOCH = re.compile(r"\blimit reached\|(\d{10})\b")
_CLOCK = re.compile(
    r"\b(?:resets?|try again)\s+(?:at\s+)?"
    r"(?:(?P<month>[A-Z][a-z]{2})[a-z]*\s+(?P<day>\d{1,2})(?:[a-z]{2})?"
    r"(?:,?\s+(?P<year>20\d\d))?,?\s+(?:at\s+)?)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d))?\s*(?P<half>[ap])\.?m\b"
    r"(?:\s*\((?P<zone>[\w+/-]{1,64})\))?",
    re.I,
)
_DURATION = re.compile(
    r"\b(?:resets?|try again)\s+(?:after|in)\s+"
    r"(?=\d)(?:(?P<days>\d{1,3})\s*d(?:ays?)?\s*)?(?:(?P<hours>\d{1,3})\s*h(?:ours?)?\s*)?"
    r"(?:(?P<minutes>\d{1,4})\s*m(?:in(?:ute)?s?)?\s*)?(?:(?P<seconds>\d{1,6})\s*s)?",
    re.I,
)
_STATUS_KINDS = {401: "signed_out", 402: "account_on_hold", 403: "signed_out", 429: "rate_limited"}
_TEXT_KINDS = (
    (
        "usage_limited",
        r"usage.?limit|UsageLimitError|insufficient_quota|out of budget|quota (?:is )?exceeded"
        r"|(?:daily|weekly|monthly|quota) limit|credit balance|insufficient (?:credits?|balance)",
    ),
    ("rate_limited", r"rate.?limit|too many requests|resource.?exhausted|(?<![\w.])429(?![\w.])"),
    (
        "signed_out",
        r"(?<![\w.])40[13](?![\w.])|unauthori[sz]ed|unauthenticated|authentication.?(?:error|failed)"
        r"|(?:invalid|incorrect|missing|no|valid) (?:\w+ )?api.?key"
        r"|api.?key (?:is )?(?:not|invalid)"
        r"|(?:token|credentials?|session|sign-in) (?:has |have )?expired|log in again"
        r"|not (?:logged|signed) in|please (?:log|sign) in",
    ),
    ("account_on_hold", r"billing|payment required|account (?:is )?(?:on hold|suspended|disabled)"),
    (
        "overloaded",
        r"overloaded|at capacity|high demand|server.?(?:busy|error)|internal.?error|unavailable"
        r"|(?<![\w.])5(?:00|02|03|04|20|24|29)(?![\w.])|fetch failed|network.?error|getaddrinfo"
        r"|connection.?(?:error|refused|lost|closed|reset)|ECONN[A-Z]+|ETIMEDOUT|timed? ?out",
    ),
)
_TEXT_PATTERNS = [(kind, re.compile(pattern, re.I)) for kind, pattern in _TEXT_KINDS]
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


def kind_of_status(status: int | None) -> str | None:
    """Return why a response with an HTTP status keeps an agent from working; None: it does not."""
    if status is None:
        return None
    return "overloaded" if 500 <= status < 600 else _STATUS_KINDS.get(status)


def kind_of_text(text: object) -> str | None:
    """Return why an error keeps an agent from working, by the words of its text; None: unknown.

    For agents whose errors have no code: they pass on what each provider says.
    """
    if not isinstance(text, str):
        return None
    head = text[:_MAX_CHARS]
    return next((kind for kind, pattern in _TEXT_PATTERNS if pattern.search(head)), None)


def failure_extra(
    kind: str | None, text: object, at: datetime, zone: object = None
) -> dict[str, Any]:
    """Return ``cannot_work`` and ``until`` of an error, as far as they are known.

    Args:
        kind: why the agent cannot work, by the keyword of the error; None: unknown.
        text: its text, which can report a usage limit and its end.
        at, zone: as for ``reset_time``.
    """
    if kind in (None, "rate_limited") and reports_limit(text):
        kind = "usage_limited"
    until = reset_time(text, at, zone) if kind in ("usage_limited", "rate_limited") else None
    return without_none(cannot_work=kind, until=_text_of(until)) or {}


def retry_extra(
    kind: str | None, attempt: object, max_attempts: object, until: datetime | None
) -> dict[str, Any]:
    """Return the ``extra`` of an event of the type ``retry``.

    Args:
        kind: why the request failed; None: the provider cannot be reached.
        until: when the agent repeats the request; None: unknown.
    """
    facts = without_none(
        cannot_work=kind or "overloaded",
        attempt=count(attempt),
        max_attempts=count(max_attempts),
        until=_text_of(until),
    )
    return facts or {}


def limit_of(
    texts: Iterable[object], reported: object, until: object, at: datetime
) -> dict[str, Any]:
    """Return ``usage_limited`` and ``until`` of a failed turn.

    Args:
        texts: texts of the error.
        reported: True if the sender found a usage limit in the texts.
        until: when it ends according to the sender, an RFC 3339 string.
        at: when the turn failed.
    """
    limit = next((text for text in texts if reports_limit(text)), None)
    if limit is None and reported is not True:
        return {}
    end = timestamp(until) if limit is None else reset_time(limit, at)
    return without_none(usage_limited=True, until=_text_of(end)) or {}


def after_ms(at: datetime, delay_ms: object) -> datetime | None:
    """Return the time ``delay_ms`` milliseconds after ``at``; None if it is no such number."""
    return time_after(at, milliseconds=delay_ms)


def reports_limit(text: object) -> bool:
    """Return whether a text says that the usage limit or quota of an account is reached."""
    return isinstance(text, str) and _LIMIT.search(text[:_MAX_CHARS]) is not None


def reset_time(text: object, at: datetime, zone: object = None) -> datetime | None:
    """Return when a limit ends, according to the text of an error; UTC, None: not reported.

    Args:
        at: when the text was written; a time of day without a date is the next one after it.
        zone: name of the time zone of times without a zone; None: such times count as unknown.
    """
    if not isinstance(text, str):
        return None
    text = text[:_MAX_CHARS]
    if match := _EPOCH.search(text):
        return timestamp_of_seconds(int(match[1]))
    try:
        if match := _CLOCK.search(text):
            return _next_time(match, at, match["zone"] or zone)
        if match := _DURATION.search(text):
            parts = {name: int(value) for name, value in match.groupdict().items() if value}
            return time_after(at, **parts) if parts else None
    except (ValueError, OverflowError, KeyError, OSError):
        # No such day or time zone: ZoneInfo raises all of these.
        return None
    return None


def _text_of(at: datetime | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _next_time(match: re.Match[str], at: datetime, zone: object) -> datetime | None:
    if not isinstance(zone, str):
        return None
    # It reads the configuration of Python when it is imported, so few programs need to.
    from zoneinfo import ZoneInfo

    now = at.astimezone(ZoneInfo(zone))
    hour = int(match["hour"]) % 12 + (12 if match["half"].lower() == "p" else 0)
    if int(match["hour"]) > 12:
        return None
    clock = now.replace(hour=hour, minute=int(match["minute"] or 0), second=0, microsecond=0)
    if match["month"] is None:
        return (clock if clock > now else clock + timedelta(days=1)).astimezone(UTC)
    year = int(match["year"] or now.year)
    month = _MONTHS.index(match["month"].lower()) + 1
    day = clock.replace(year=year, month=month, day=int(match["day"]))
    if match["year"] is None and day < now - timedelta(days=1):
        day = day.replace(year=year + 1)
    return day.astimezone(UTC)
