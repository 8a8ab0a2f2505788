"""The declared minimum of genai-prices, and any later version, has the published prices.

Run with the lowest versions that pyproject.toml allows, this is the test of that minimum. Earlier
versions price claude-sonnet-5-5 as claude-sonnet-5, because they match names by their start, or
lack the prices of fast, priority, flex and batch requests.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib import metadata

import pytest

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.pricing.genai_table import model_price_of
from htmlgraph_nb.pricing.price_rules import Terms
from tests.helpers.package_prices import per_million
from tests.helpers.paths import ROOT

AT = to_micros(datetime(2026, 11, 1, 12, tzinfo=UTC))

# US dollars per million tokens: input, cache read, cache write for 5 minutes, for 1 hour, output.
# Sources: https://platform.claude.com/docs/en/about-claude/pricing,
# https://developers.openai.com/api/docs/pricing, https://ai.google.dev/gemini-api/docs/pricing.
PUBLISHED = {
    "claude-opus-5-5": (4, 0.2, 5, 8, 20),
    "claude-sonnet-5-5": (2, 0.1, 2.5, 4, 10),
    "claude-haiku-5-5": (0.1, 0.01, 0.125, 0.2, 0.5),
    "claude-fable-5-1": (10, 0.25, 12.5, 20, 50),
    "claude-fable-5": (10, 1, 12.5, 20, 50),
    "claude-opus-5": (5, 0.5, 6.25, 10, 25),
    "claude-sonnet-5": (2, 0.2, 2.5, 4, 10),
    "claude-opus-4-8": (5, 0.5, 6.25, 10, 25),
    "claude-opus-4-7": (5, 0.5, 6.25, 10, 25),
    "claude-opus-4-6": (5, 0.5, 6.25, 10, 25),
    "claude-sonnet-4-6": (3, 0.3, 3.75, 6, 15),
    "claude-opus-4-5": (5, 0.5, 6.25, 10, 25),
    "claude-sonnet-4-5": (3, 0.3, 3.75, 6, 15),
    "claude-haiku-4-5": (1, 0.1, 1.25, 2, 5),
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": (3.3, 0.33, 4.125, 6.6, 16.5),
    "global.anthropic.claude-opus-5": (5, 0.5, 6.25, 10, 25),
    "us.anthropic.claude-opus-5-5": (4.4, 0.22, 5.5, 8.8, 22),
    "openrouter/anthropic/claude-sonnet-4.5": (3, 0.3, 3.75, 6, 15),
    "gpt-6.1-sol": (2, 0.1, 2.5, 2.5, 10),
    "gpt-5.6-sol": (4, 0.4, 5, 5, 20),
    "gpt-5.5": (5, 0.5, 5, 5, 30),
    "gpt-5.4": (2.5, 0.25, 2.5, 2.5, 15),
    "gpt-5.2": (1.75, 0.175, 1.75, 1.75, 14),
    "gpt-5": (1.25, 0.125, 1.25, 1.25, 10),
    "gemini-2.5-pro": (1.25, 0.125, 1.25, 1.25, 10),
    "gemini-3.1-pro-preview": (2, 0.2, 2, 2, 12),
}
OTHER = {
    ("claude-opus-5-5", "fast"): (8, 40),
    ("claude-opus-4-8", "fast"): (10, 50),
    ("claude-opus-5-5", "batch"): (2, 10),
    ("gpt-5.5", "priority"): (12.5, 75),
    ("gpt-5.4", "priority"): (5, 30),
    ("gpt-5.6-sol", "priority"): (8, 40),
    ("gpt-5.4", "flex"): (1.25, 7.5),
    ("gpt-5.5", "batch"): (2.5, 15),
}


def prices_of(model: str, terms: Terms, context: int = 0) -> list[float]:
    """Return the price of each kind of tokens, in US dollars per million, of a known model."""
    priced = model_price_of(model, terms)
    assert priced is not None, model
    assert not priced.is_guess, model
    return per_million(model, terms, AT, context)


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_prices_of_standard_requests(model: str) -> None:
    """Each kind of tokens."""
    assert prices_of(model, Terms()) == list(PUBLISHED[model])


@pytest.mark.parametrize(("model", "mode"), OTHER)
def test_published_prices_of_other_requests(model: str, mode: str) -> None:
    """Input and output."""
    prices = prices_of(model, Terms(mode))
    assert (prices[0], prices[4]) == OTHER[model, mode]


@pytest.mark.parametrize(
    ("model", "context", "expected"),
    [
        ("claude-haiku-5-5", 100_001, (0.5, 2.5)),
        ("claude-sonnet-4-5", 200_001, (6, 22.5)),
        ("gpt-5.5", 272_001, (10, 45)),
        ("gpt-6.1-sol", 272_001, (4, 15)),
        ("gemini-2.5-pro", 200_001, (2.5, 15)),
        ("claude-opus-4-6", 200_001, (5, 25)),
    ],
)
def test_published_prices_of_long_contexts(
    model: str, context: int, expected: tuple[float, float]
) -> None:
    """Input and output above the size at which the price changes."""
    prices = prices_of(model, Terms(), context)
    assert (prices[0], prices[4]) == expected


def test_published_prices_need_the_declared_minimum() -> None:
    """The installed version is not below it."""
    text = (ROOT / "pyproject.toml").read_text()
    (minimum,) = re.findall(r'"genai-prices>=([\d.]+)"', text)
    installed = metadata.version("genai-prices")
    versions = [tuple(map(int, each.split(".")[:3])) for each in (minimum, installed)]
    assert versions[0] <= versions[1]
