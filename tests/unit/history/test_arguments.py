"""Arguments of load_history: points in time and names."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.history.arguments import build_query, resolve_time

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-14T12:00:00Z",
        "2026-01-14 13:00+01:00",
        NOON,
        NOON.astimezone().replace(tzinfo=None),
        pd.Timestamp(NOON),
        pd.Timestamp(NOON).tz_convert("Asia/Tokyo"),
        np.datetime64(NOON.astimezone().replace(tzinfo=None)),
    ],
)
def test_resolve_time_takes_every_type_of_a_point_in_time(value: Any) -> None:
    """Strings, datetimes and those of pandas and numpy; without a zone they are local."""
    resolved = resolve_time(value, "since")
    assert (resolved, resolved and resolved.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize("value", [date(2026, 1, 14), "2026-01-14", np.datetime64("2026-01-14")])
def test_resolve_time_takes_dates_as_local_midnight(value: Any) -> None:
    """A date is the begin of its day in the local zone."""
    assert resolve_time(value, "since") == datetime(2026, 1, 14).astimezone()


@pytest.mark.parametrize(
    "value",
    [
        *("2h", "120 min", "0 days 02:00:00", timedelta(hours=2), pd.Timedelta("2h")),
        *(np.timedelta64(2, "h"), np.timedelta64(7_200_000, "ms")),
    ],
)
def test_resolve_time_takes_every_type_of_a_time_ago(value: Any) -> None:
    """The result is that long before now."""
    before = datetime.now(UTC)
    resolved = resolve_time(value, "since")
    assert resolved is not None
    assert before <= resolved + timedelta(hours=2) <= datetime.now(UTC)


def test_resolve_time_takes_days_by_name() -> None:
    """Local midnight of today and yesterday."""
    today = resolve_time("today", "since")
    assert today == datetime.combine(date.today(), time()).astimezone()
    yesterday = date.today() - timedelta(days=1)
    assert resolve_time("yesterday", "until") == datetime.combine(yesterday, time()).astimezone()
    assert resolve_time(None, "since") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-14", "2026-01-13T23:00Z"),
        (date(2026, 1, 14), "2026-01-13T23:00Z"),
        ("2026-01-14T12:00+05:00", "2026-01-14T07:00Z"),
        # These times come twice, and not at all.
        ("2026-10-25T02:30", "2026-10-25T00:30Z"),
        ("2026-03-29T02:30", "2026-03-29T01:00Z"),
    ],
)
def test_resolve_time_takes_times_without_a_zone_in_tz(value: Any, expected: str) -> None:
    """Also where the clock of the zone changes; the zone of the machine does not matter."""
    assert resolve_time(value, "since", "Europe/Paris") == datetime.fromisoformat(expected)


def test_resolve_time_takes_days_of_tz_by_name() -> None:
    """The day of another zone, which may not be that of this machine."""
    zone = ZoneInfo("Pacific/Kiritimati")
    today = resolve_time("today", "since", str(zone))
    assert today == datetime.combine(datetime.now(zone).date(), time(), zone)
    assert resolve_time("2h", "since", zone) is not None
    with pytest.raises(InvalidEvent, match="tz: expected a time zone"):
        resolve_time("today", "since", "Mars/Base")


@pytest.mark.parametrize(
    "value",
    [
        *(7, 7.0, True, "7", "-7.5", "", "soon", b"2h", time(12), pd.NaT, np.datetime64("NaT")),
        *(np.timedelta64("NaT"), timedelta(days=10**6), pd.Series([NOON]), [NOON]),
    ],
)
def test_resolve_time_refuses_other_values(value: Any) -> None:
    """The error names the argument, what is expected and what was given."""
    with pytest.raises(InvalidEvent, match="until: expected an ISO time such as 2025") as caught:
        resolve_time(value, "until")
    assert caught.value.field == "until"


def test_build_query_takes_one_name_or_several() -> None:
    """A string is one name; None keeps all."""
    query = build_query(None, None, None, None, models="a", hosts=["b", "c"], branches=None)
    assert (query.models, query.hosts, query.branches) == (["a"], ["b", "c"], None)
    assert query.value_filters == {"model": ["a"], "host": ["b", "c"]}
