"""Validation of event fields: accepted and rejected values."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.validation import (
    MAX_EXTRA_BYTES,
    MAX_EXTRA_DEPTH,
    MAX_INTEGER,
    format_value,
    parse_time,
)
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.strategies import T0


def nested(depth: int) -> dict[str, Any]:
    """Return an object of ``depth`` levels."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


ACCEPTED: list[tuple[str, object, object]] = [
    ("agent_id", "a" * 256, "a" * 256),
    ("agent_id", "Ägent 🤖", "Ägent 🤖"),
    ("event_type", "x" * 64, "x" * 64),
    ("input_tokens", 0, 0),
    ("input_tokens", MAX_INTEGER, MAX_INTEGER),
    ("input_tokens", 12.0, 12),
    ("duration_ms", None, None),
    ("cost_usd", 3, 3.0),
    ("cost_usd", 0.25, 0.25),
    ("status", "error", "error"),
    ("extra", {}, {}),
    ("extra", {"a": [1, None, {"b": "ü"}]}, {"a": [1, None, {"b": "ü"}]}),
    ("extra", {"pair": (1, 2)}, {"pair": [1, 2]}),
    ("extra", nested(MAX_EXTRA_DEPTH), nested(MAX_EXTRA_DEPTH)),
    ("extra", {"flat": [[]] * 200}, {"flat": [[]] * 200}),
    ("extra", {"t": "x" * (MAX_EXTRA_BYTES - 8)}, {"t": "x" * (MAX_EXTRA_BYTES - 8)}),
    ("timestamp", "2025-01-14T14:50:30Z", T0),
    ("timestamp", "2025-01-14T14:50:30.123456Z", T0 + timedelta(microseconds=123456)),
    ("timestamp", "2025-01-14T15:50:30+01:00", T0),
    ("timestamp", "2025-01-14T09:20:30-05:30", T0),
    ("timestamp", T0.astimezone(timezone(timedelta(hours=9))), T0),
    ("timestamp", "2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(
    ("name", "value", "kept"), ACCEPTED, ids=[f"{row[0]}-{i}" for i, row in enumerate(ACCEPTED)]
)
def test_validators_accept(name: str, value: object, kept: object) -> None:
    """A valid value is stored in its canonical form."""
    event = Event.from_dict({"agent_id": "a", name: value})
    assert getattr(event, name) == kept


REJECTED: list[tuple[str, object, str]] = [
    ("agent_id", "", "expected 1 to 256 characters, got 0"),
    ("agent_id", "a" * 257, "expected 1 to 256 characters, got 257"),
    ("agent_id", 7, "expected a string, got 7"),
    ("agent_id", True, "expected a string, got true"),
    ("agent_id", ["a"], "expected a string, got an array of 1"),
    ("agent_id", {"a": 1}, "expected a string, got an object"),
    ("agent_id", "a\0b", "NUL characters are not allowed"),
    ("session_id", "\ud800", "lone surrogates are not allowed, got one at index 0"),
    ("event_type", "x" * 65, "expected 1 to 64 characters, got 65"),
    ("input_tokens", True, "expected an integer from 0 to 2^53-1, got true"),
    ("input_tokens", -1, "expected an integer from 0 to 2^53-1, got -1"),
    ("input_tokens", 2**53, "expected an integer from 0 to 2^53-1, got 9007199254740992"),
    (
        "input_tokens",
        10**5000,
        "expected an integer from 0 to 2^53-1, got an integer of 16610 bits",
    ),
    ("input_tokens", 1.5, "expected an integer from 0 to 2^53-1, got 1.5"),
    ("input_tokens", float("nan"), "expected an integer from 0 to 2^53-1, got nan"),
    ("input_tokens", float("inf"), "expected an integer from 0 to 2^53-1, got inf"),
    ("input_tokens", "12", "expected an integer from 0 to 2^53-1, got '12'"),
    ("cost_usd", False, "expected a number from 0 to 2^53-1, got false"),
    ("cost_usd", -0.01, "expected a number from 0 to 2^53-1, got -0.01"),
    ("cost_usd", float("nan"), "expected a number from 0 to 2^53-1, got nan"),
    ("cost_usd", float("inf"), "expected a number from 0 to 2^53-1, got inf"),
    ("cost_usd", "0.5", "expected a number from 0 to 2^53-1, got '0.5'"),
    ("status", "failed", 'expected "ok" or "error", got \'failed\''),
    ("status", ["ok"], 'expected "ok" or "error", got an array of 1'),
    ("extra", [1], "expected an object, got an array of 1"),
    ("extra", {"x": float("nan")}, "cannot be encoded as JSON"),
    ("extra", {"x": object()}, "cannot be encoded as JSON"),
    ("extra", {"x": "\ud83e"}, "lone surrogates are not allowed"),
    ("extra", {"t": "x" * MAX_EXTRA_BYTES}, "at most 16384 bytes allowed, got 16392"),
    ("extra", nested(MAX_EXTRA_DEPTH + 1), "at most 64 levels of nesting allowed"),
    ("extra", nested(50_000), "extra: cannot be encoded as JSON"),
    (
        "timestamp",
        "yesterday",
        "expected an RFC 3339 string such as 2025-01-14T14:50:30.123456Z, got 'yesterday'",
    ),
    ("timestamp", 1736866230, "expected an RFC 3339 string, got 1736866230"),
    ("timestamp", "1999-12-31T23:59:59Z", "expected a year from 2000 to 2199"),
    ("timestamp", "2200-01-01T00:00:00Z", "expected a year from 2000 to 2199"),
    ("timestamp", "0001-01-01T00:00:00+14:00", "expected an RFC 3339 string"),
    ("timestamp", "9999-12-31T23:59:59-14:00", "expected an RFC 3339 string"),
    ("timestamp", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "expected"),
    ("timestamp", datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-14))), "expected"),
    ("timestamp", datetime.min, "expected"),
    ("timestamp", datetime.max, "expected"),
]


@pytest.mark.parametrize(
    ("name", "value", "text"), REJECTED, ids=[f"{row[0]}-{i}" for i, row in enumerate(REJECTED)]
)
def test_validators_reject(name: str, value: object, text: str) -> None:
    """The error contains the field, the expectation and the value."""
    with pytest.raises(InvalidEvent) as raised:
        Event.from_dict({"agent_id": "a", name: value})
    assert raised.value.field == name
    assert raised.value.message.startswith(name)
    assert text in raised.value.message
    assert len(raised.value.message) < 300


@pytest.fixture
def _kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_kathmandu")
@pytest.mark.parametrize("value", ["2025-01-14T20:35:30", datetime(2025, 1, 14, 20, 35, 30)])
def test_parse_time_takes_naive_times_as_local(value: str | datetime) -> None:
    """A time without an offset is local time, here UTC+5:45."""
    assert parse_time(value) == T0
    assert parse_time(value).tzinfo is UTC


@given(st.datetimes())
def test_parse_time_of_any_datetime(value: datetime) -> None:
    """Naive datetimes of the years 1 to 9999 are converted or rejected with InvalidEvent."""
    try:
        timestamp = parse_time(value)
    except InvalidEvent:
        assert not 2001 < value.year < 2199
    else:
        assert 1999 < timestamp.year < 2200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "false"),
        ("a" * 50, repr("a" * 40 + "…")),
        (-7, "-7"),
        (2**200, "an integer of 201 bits"),
        (1.5, "1.5"),
        ([1, 2], "an array of 2"),
        ({}, "an object"),
        ((), "tuple"),
    ],
)
def test_format_value_uses_the_terms_of_json(value: object, text: str) -> None:
    """Long values are truncated."""
    assert format_value(value) == text
