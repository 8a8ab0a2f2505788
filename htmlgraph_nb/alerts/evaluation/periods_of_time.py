"""The periods of budgets: hours, days, weeks and months in a time zone. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo


def period_bounds(period: str, now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the begin of a period that contains ``now``, and the begin of the next one, UTC.

    Args:
        period: "hour", "day", "week" (from Monday) or "month".
        zone: days begin at midnight of this zone; those on which the clock is set are shorter or
            longer.
    """
    if period == "hour":
        start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return start, start + timedelta(hours=1)
    day = now.astimezone(zone).date()
    if period == "day":
        return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return _midnight(monday, zone), _midnight(monday + timedelta(days=7), zone)
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return _midnight(first, zone), _midnight(following, zone)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
