"""Speed, service tier, place and web searches as the APIs report them."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.request_terms import (
    inference_geo_of,
    service_tier_of,
    speed_of,
    terms_of_usage,
    web_searches_of,
)


@pytest.mark.parametrize(
    ("value", "speed"),
    [("fast", "fast"), ("FAST", "fast"), ("standard", None), ("normal", None), ("turbo", "turbo")],
)
def test_speed_of_standard_is_none(value: str, speed: str | None) -> None:
    """Unknown words are kept, so that they are not priced as standard."""
    assert speed_of(value) == speed


@pytest.mark.parametrize(
    ("value", "tier"),
    [
        ("priority", "priority"),
        ("fast", "priority"),
        ("flex", "flex"),
        ("batch", "batch"),
        ("standard", None),
        ("default", None),
        ("auto", None),
        ("ON_DEMAND", None),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("ON_DEMAND_FLEX", "flex"),
        ("scale", "scale"),
    ],
)
def test_service_tier_of_standard_is_none(value: str, tier: str | None) -> None:
    """Different names of one tier are the same."""
    assert service_tier_of(value) == tier


@pytest.mark.parametrize(
    ("value", "geo"), [("us", "us"), ("global", None), ("not_available", None), ("", None)]
)
def test_inference_geo_of_anywhere_is_none(value: str, geo: str | None) -> None:
    """Only a place counts."""
    assert inference_geo_of(value) == geo


@pytest.mark.parametrize(("value", "number"), [(3, 3), (0, None), (-1, None), ("3", None)])
def test_web_searches_of_none_is_none(value: Any, number: int | None) -> None:
    """Zero searches need no value."""
    assert web_searches_of(value) == number


def test_terms_of_usage_reads_all_fields() -> None:
    """Values of other types are ignored."""
    usage = {"speed": "fast", "service_tier": "batch", "inference_geo": "us"}
    assert terms_of_usage(usage) == usage
    nothing = dict.fromkeys(usage)
    assert terms_of_usage({"speed": 1, "service_tier": [], "inference_geo": {}}) == nothing
    assert terms_of_usage({}) == nothing
