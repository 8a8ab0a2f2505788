"""Conversion of timestamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given

from htmlgraph_nb.core.timestamps import (
    EPOCH,
    from_micros,
    latest_in,
    set_back,
    to_micros,
    to_rfc3339,
    to_utc,
    utc_now,
)
from htmlgraph_nb.core.validation import parse_time
from tests.helpers.strategies import timestamps


@given(timestamps)
def test_timestamp_formats_round_trip(timestamp: datetime) -> None:
    """RFC 3339 strings and microseconds since 1970 keep every microsecond."""
    text = to_rfc3339(timestamp)
    assert len(text) == 27
    assert text.endswith("Z")
    assert parse_time(text) == timestamp
    assert from_micros(to_micros(timestamp)) == timestamp


def test_to_utc_converts_the_offset() -> None:
    """The result is the same instant; a UTC datetime is returned unchanged."""
    local = datetime(2025, 1, 14, 16, 50, 30, tzinfo=timezone(timedelta(hours=2)))
    assert to_utc(local) == local
    assert to_utc(local).tzinfo is UTC
    now = utc_now()
    assert to_utc(now) is now


def test_set_back_keeps_order_and_other_values() -> None:
    """Times after the limit become a microsecond apart; everything else stays."""
    latest = EPOCH + timedelta(hours=1)
    values = {
        "a": latest + timedelta(hours=2),
        "b": ("x", latest + timedelta(hours=5)),
        "c": {"k": ("y", latest + timedelta(hours=1)), "l": EPOCH},
        "d": None,
        "e": 7,
    }
    assert latest_in(values) == latest + timedelta(hours=5)
    moved = set_back(values, latest)
    assert moved == {
        "a": latest - timedelta(microseconds=1),
        "b": ("x", latest),
        "c": {"k": ("y", latest - timedelta(microseconds=2)), "l": EPOCH},
    }
    assert set_back(values | moved, latest) == {}
    assert latest_in({"d": None, "e": 7}) == EPOCH
