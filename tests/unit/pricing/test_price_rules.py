"""Prices by speed, service tier, place of inference, web searches, cache and context."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.pricing.genai_table import model_price_of
from htmlgraph_nb.pricing.price_rules import STANDARD, Terms, terms_of
from tests.helpers.package_prices import NOON, per_million


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-5", [10, 1, 12.5, 20, 50]),
        ("claude-opus-5-5", [8, 0.4, 10, 16, 40]),
        ("claude-opus-4-8", [10, 1, 12.5, 20, 50]),
        ("claude-opus-4-7", [30, 3, 37.5, 60, 150]),
        ("claude-opus-4-6", [30, 3, 37.5, 60, 150]),
        ("openrouter/anthropic/claude-opus-4.6", [30, 3, 37.5, 60, 150]),
    ],
)
def test_fast_mode_has_its_own_prices(model: str, expected: list[float]) -> None:
    """The multipliers of the cache apply on top (platform.claude.com, pricing)."""
    assert per_million(model, Terms("fast")) == expected
    assert per_million(f"{model}-fast") == expected


def test_fast_mode_of_early_long_contexts() -> None:
    """Until 2026-03-13 Opus 4.6 cost twice as much above 200,000 tokens, also in fast mode."""
    at = to_micros(datetime(2026, 2, 20, tzinfo=UTC))
    prices = per_million("claude-opus-4-6", Terms("fast"), at, context=250_000)
    assert [prices[0], prices[-1]] == [60, 225]


@pytest.mark.parametrize(
    ("model", "mode", "expected"),
    [
        ("gpt-5.5", "priority", [12.5, 1.25, 75]),
        ("gpt-5.4", "priority", [5, 0.5, 30]),
        ("gpt-5.4", "fast", [5, 0.5, 30]),
        ("gpt-5.4-mini", "priority", [1.5, 0.15, 9]),
        ("gpt-5.2", "priority", [3.5, 0.35, 28]),
        ("gpt-5-mini", "priority", [0.45, 0.045, 3.6]),
        ("gpt-5.1-codex", "priority", [2.5, 0.25, 20]),
        ("gpt-5.3-codex", "priority", [3.5, 0.35, 28]),
        ("gpt-5.6-sol", "priority", [8, 0.8, 40]),
        ("gpt-6.1-sol", "priority", [4, 0.2, 20]),
        ("gpt-5.5", "flex", [2.5, 0.25, 15]),
        ("gpt-5.5", "batch", [2.5, 0.25, 15]),
        ("gpt-5-nano", "batch", [0.025, 0.0025, 0.2]),
        ("claude-opus-4-8", "batch", [2.5, 0.25, 12.5]),
        ("claude-opus-4-1", "batch", [7.5, 0.75, 37.5]),
        ("us.anthropic.claude-opus-4-8-v1:0", "batch", [2.75, 0.275, 13.75]),
        ("gemini-2.5-pro", "batch", [0.625, 0.125, 5]),
        ("gemini-2.5-pro", "flex", [0.625, 0.0625, 5]),
    ],
)
def test_service_tiers_have_their_own_prices(model: str, mode: str, expected: list[float]) -> None:
    """Also at times before the price table began to record them."""
    prices = per_million(model, Terms(mode))
    assert [prices[0], prices[1], prices[4]] == expected


def test_service_tier_follows_the_standard_price_of_its_time() -> None:
    """GPT-5.6 Sol was cheaper from 2026-08-21 on; priority costs twice as much at any time."""
    at = to_micros(datetime(2026, 8, 1, tzinfo=UTC))
    prices = per_million("gpt-5.6-sol", Terms("priority"), at)
    assert [prices[0], prices[4]] == [10, 60]
    assert per_million("gpt-5.6-sol", Terms("priority"), at, 300_000)[0] == 20


def test_priority_of_a_long_context_has_no_price() -> None:
    """OpenAI publishes none for GPT-5.5 above 272,000 tokens."""
    priced = model_price_of("gpt-5.5", Terms("priority"))
    assert priced is not None
    assert math.isnan(priced.price.dollars(NOON, [272_001, 0, 0, 0, 0]))
    assert priced.price.dollars(NOON, [272_000, 0, 0, 0, 0]) == pytest.approx(3.4)


@pytest.mark.parametrize(
    ("model", "terms"),
    [
        ("claude-opus-4-8", Terms("priority")),
        ("claude-opus-4-8", Terms("flex")),
        ("claude-sonnet-4-5", Terms("fast")),
        ("claude-opus-4-8", Terms(None, "eu")),
        ("us.anthropic.claude-opus-4-8-v1:0", Terms(None, "us")),
        ("gpt-5.4", Terms("scale")),
        ("gpt-5.4", Terms(None, "us")),
        ("gpt-5-nano", Terms("priority")),
        ("gpt-4.1", Terms("flex")),
        ("azure/gpt-5.4", Terms("priority")),
        ("gemini-2.5-pro", Terms("priority")),
        ("gemini-4-argon", Terms("flex")),
        ("grok-4", Terms("batch")),
        ("claude-opus-4-8", Terms("fast, batch")),
    ],
)
def test_terms_without_a_published_price_are_unpriced(model: str, terms: Terms) -> None:
    """They are never taken for standard ones."""
    assert model_price_of(model) is not None
    assert model_price_of(model, terms) is None


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("claude-opus-4-6", 1.1),
        ("claude-sonnet-4-6", 1.1),
        ("claude-opus-5-5", 1.1),
        ("claude-haiku-5-5", 1.1),
        ("claude-fable-5-1", 1.1),
        ("claude-sonnet-4-5", 1.0),
        ("claude-3-5-haiku-latest", 1.0),
    ],
)
def test_inference_in_the_us_costs_more(model: str, factor: float) -> None:
    """All kinds of tokens of Claude models from 4.6 on; web searches cost the same."""
    expected = [round(price * factor, 6) for price in per_million(model)]
    assert per_million(model, Terms(None, "us")) == expected
    priced = model_price_of(model, Terms(None, "us"))
    assert priced is not None
    assert {row[-1] for row in priced.price.rates} == {0.01}


def test_terms_combine() -> None:
    """Fast mode in the US: both factors."""
    assert per_million("claude-opus-4-8", Terms("fast", "us"))[0] == 11


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("claude-opus-4-8", 0.01),
        ("openrouter/anthropic/claude-sonnet-4.5", 0.01),
        ("gpt-5.5", 0.01),
        ("gemini-2.5-pro", 0.035),
        ("gemini-3-pro-preview", 0.014),
    ],
)
def test_web_searches_have_a_price(model: str, dollars: float) -> None:
    """In US dollars each, as published by each vendor."""
    priced = model_price_of(model)
    assert priced is not None
    tokens = priced.price.dollars(NOON, [1_000, 0, 0, 0, 0])
    assert priced.price.dollars(NOON, [1_000, 0, 0, 0, 0], 3) == pytest.approx(tokens + 3 * dollars)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (3.3, 16.5, 6.6, 24.75)),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", (3, 15, 6, 22.5)),
        ("claude-sonnet-4-5", (3, 15, 6, 22.5)),
        ("claude-sonnet-4-20250514", (3, 15, 6, 22.5)),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", (3, 15, 6, 22.5)),
        ("us.anthropic.claude-sonnet-4-6", (3.3, 16.5, 3.3, 16.5)),
        ("claude-sonnet-4-6", (3, 15, 3, 15)),
    ],
)
def test_long_contexts_cost_more(model: str, expected: tuple[float, ...]) -> None:
    """Sonnet 4 and 4.5 above 200,000 tokens, also on Bedrock."""
    short, long = per_million(model, context=100_000), per_million(model, context=200_001)
    assert (short[0], short[4], long[0], long[4]) == expected


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("openrouter/anthropic/claude-sonnet-4.5", 6),
        ("openrouter/anthropic/claude-opus-4.8", 10),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", 1.6),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 6.6),
        ("claude-sonnet-4-5", 6),
    ],
)
def test_cache_writes_for_an_hour_cost_twice_the_input(model: str, dollars: float) -> None:
    """Also where the price table has only the price of a write for five minutes."""
    assert per_million(model)[3] == dollars


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        ((None, None, None), STANDARD),
        (("standard", "standard", "global"), STANDARD),
        (("normal", "default", "not_available"), STANDARD),
        ((None, "auto", ""), STANDARD),
        (("fast", None, None), Terms("fast")),
        (("FAST ", "standard", "us"), Terms("fast", "us")),
        ((None, "priority", None), Terms("priority")),
        (("fast", "batch", None), Terms("fast, batch")),
    ],
)
def test_terms_of_normalizes_words(
    fields: tuple[str | None, str | None, str | None], terms: Terms
) -> None:
    """Words for a standard request count as none."""
    assert terms_of(*fields) == terms


def test_terms_name_what_has_no_price() -> None:
    """The name of a model with its terms says which requests are meant."""
    assert STANDARD.label("gpt-5") == "gpt-5"
    assert Terms("priority").label("gpt-5-nano") == "gpt-5-nano (priority)"
    assert Terms("fast", "eu").label("x") == "x (fast, eu only)"


@pytest.mark.parametrize(
    ("model", "is_guess"),
    [
        ("claude-opus-4-8", False),
        ("claude-opus-4-8-20260528", False),
        ("claude-sonnet-4-5-20250929", False),
        ("claude-opus-4-8-latest", False),
        ("claude-sonnet-4-5-thinking", False),
        ("claude-opus-4-8-turbo", True),
        ("claude-sonnet-4-5-experimental-build", True),
    ],
)
def test_find_price_flags_a_name_that_only_begins_like_a_known_one(
    model: str, is_guess: bool
) -> None:
    """A date or "latest" is no other model; another word can be."""
    priced = model_price_of(model)
    assert priced is not None
    assert priced.is_guess == is_guess
