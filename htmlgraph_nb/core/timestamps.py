"""UTC datetimes and their two formats: microseconds since 1970 in the store, RFC 3339 in JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(UTC)


def to_utc(timestamp: datetime) -> datetime:
    """Return ``timestamp`` in UTC; a naive datetime is in local time."""
    return timestamp.astimezone(UTC) if timestamp.tzinfo is not UTC else timestamp


def to_micros(timestamp: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC."""
    return (timestamp - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the UTC datetime of ``micros`` microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def to_rfc3339(timestamp: datetime) -> str:
    """Return ``timestamp`` as an RFC 3339 string in UTC with six decimals and ``Z``."""
    t = timestamp if timestamp.tzinfo is UTC else to_utc(timestamp)
    parts = (t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond)
    # Twice as fast as isoformat(), and each message has three timestamps.
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % parts  # noqa: UP031
