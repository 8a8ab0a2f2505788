"""Values of JSON as fields of events: invalid values become None."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents import fields
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.validation import MAX_INTEGER
from tests.helpers.strategies import json_values

NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)


@given(json_values | st.text())
def test_fields_make_valid_events(value: Any) -> None:
    """An event built from any JSON value passes its checks."""
    Event(
        agent_id="a",
        tool_name=fields.string(value),
        session_id=fields.identifier(value),
        project=fields.base_name(value),
        output_tokens=fields.count(value),
        cost_usd=fields.amount(value),
        timestamp=fields.timestamp(value),
        extra=fields.without_none(keyword=fields.safe_keyword(value)),
    ).checked()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a\0b", "a?b"), ("\ud800", "?"), ("", None), (7, None), ("x" * 300, "x" * 256)],
)
def test_string(value: object, expected: str | None) -> None:
    """Characters that cannot be stored are replaced, and long strings are cut."""
    assert fields.string(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (3.7, 3), (True, None), (-1, None), (MAX_INTEGER + 1, None), ("3", None)],
)
def test_count(value: object, expected: int | None) -> None:
    """Only numbers in the range of stored integers count."""
    assert fields.count(value) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/srv/shop/", "shop"), ("C:\\work\\shop", "shop"), ("shop", "shop"), ("/", None), (7, None)],
)
def test_base_name(path: object, expected: str | None) -> None:
    """Paths of either kind are read."""
    assert fields.base_name(path) == expected


def test_safe_keyword_rejects_prose() -> None:
    """Spaces and long values could be a user's text."""
    assert fields.safe_keyword("end_turn") == "end_turn"
    assert fields.safe_keyword("not a keyword") is None
    assert fields.safe_keyword("x" * 65) is None


def test_identifier_keeps_long_ids_distinct() -> None:
    """Ids that differ beyond the limit stay different."""
    first, second = (fields.identifier("x" * 300 + end) for end in "ab")
    assert first is not None
    assert second is not None
    assert first != second
    assert len(first) == len(second) == 256


def test_mappings_skips_other_items() -> None:
    """Only the objects of a list are returned."""
    assert fields.mappings([{"a": 1}, "b", None]) == [{"a": 1}]
    assert fields.mappings({"a": 1}) == []
    assert fields.mapping([]) == {}


def test_milliseconds_needs_both_in_order() -> None:
    """A missing or earlier end gives None."""
    later = NOON + timedelta(seconds=1.5)
    assert fields.milliseconds(NOON, later) == 1500
    assert fields.milliseconds(later, NOON) is None
    assert fields.milliseconds(None, NOON) is None
