"""PriceList and genai_table return the same prices as the package genai-prices."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.timestamps import from_micros, to_micros
from htmlgraph_nb.pricing.genai_table import find_listing, model_price_of, newest_change, rows
from htmlgraph_nb.pricing.model_price import (
    Listing,
    ModelPrice,
    PriceList,
    Provider,
    matches,
    unmatched_end,
)
from htmlgraph_nb.pricing.price_rules import STANDARD, Terms, find_price
from tests.helpers.package_prices import genai_prices_cost

LIST = PriceList.from_rows((json.loads(json.dumps(row)) for row in rows()), date(2026, 1, 1))
MODELS = [
    (provider.id, model.id) for provider in get_snapshot().providers for model in provider.models
]
PREFIXES = ["", "azure/", "bedrock/", "litellm/", "litellm/openai/", "us.anthropic.", "Google/"]
SUFFIXES = ["", "-latest", ":free", "-20251211", "-20251311:batch", "@20250929", "-v1:0", "-x"]
DASHED = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)")
FLAT = ModelPrice((), (), (), ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),))
EXPENSIVE = ModelPrice((), (), (), ((0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),))
MODES = [None, "fast", "priority", "flex", "batch", "scale"]


def same(own: Listing | None, other: Listing | None) -> bool:
    """Return whether two entries are equal; unknown prices are NaN, which equals nothing."""
    return repr(own) == repr(other)


SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "alone": lambda provider, model: model,
    "with its provider": lambda provider, model: f"{provider}/{model}",
    "provider with spaces, capitals": lambda provider, model: f" {provider.upper()} /{model}",
    "by LiteLLM": lambda provider, model: f"litellm/{model}",
    "by LiteLLM, with its provider": lambda provider, model: f"litellm/{provider}/{model}",
    "by LiteLLM, with another": lambda provider, model: f"litellm/openrouter/{model}",
    "with a compact date": lambda provider, model: DASHED.sub(r"-\1\2\3", f"{provider}/{model}"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_price_list_finds_every_model_of_the_package(spelling: str) -> None:
    """Each common spelling of a name has the same price as in the package."""
    names = [SPELLINGS[spelling](provider, model) for provider, model in MODELS]
    assert len(set(names)) > 1_500
    found = [find_price(name, STANDARD, LIST.find) for name in names]
    assert {
        name
        for name, price in zip(names, found, strict=True)
        if repr(price) != repr(model_price_of(name))
    } == set()
    assert sum(price is not None for price in found) > 500


@given(st.sampled_from(PREFIXES), st.sampled_from(MODELS), st.sampled_from(SUFFIXES), st.data())
def test_price_list_matches_other_names_like_the_package(
    prefix: str, model: tuple[str, str], suffix: str, data: st.DataObject
) -> None:
    """Dates, access paths, capitals and typos included."""
    change: Callable[[str], str] = data.draw(st.sampled_from([str, str.upper, str.title]))
    name = change(prefix + model[1] + suffix)
    index = data.draw(st.integers(0, len(name)))
    typo = data.draw(st.sampled_from(["", "", "-", " ", "7", "İ"]))
    name = name[:index] + typo + name[index:]
    provider = data.draw(st.sampled_from([None, model[0], model[0].upper(), "litellm", "nobody"]))
    assert same(LIST.find(name, provider), find_listing(name, provider))


@given(
    st.sampled_from(PREFIXES),
    st.sampled_from(MODELS),
    st.sampled_from(SUFFIXES),
    st.builds(Terms, st.sampled_from(MODES), st.sampled_from([None, "us", "eu"])),
)
def test_price_list_has_the_prices_of_the_package_for_any_terms(
    prefix: str, model: tuple[str, str], suffix: str, terms: Terms
) -> None:
    """The server's list and the package itself give one price, also of other requests."""
    name = prefix + model[1] + suffix
    assert repr(find_price(name, terms, LIST.find)) == repr(model_price_of(name, terms))


@pytest.mark.parametrize("name", ["gpt-5.4", "gpt-5.5", "gpt-4.1"])
def test_price_list_has_models_of_other_providers_like_the_package(name: str) -> None:
    """Azure offers OpenAI's models, at the same standard prices."""
    own, other = LIST.find(name, "azure"), find_listing(name, "azure")
    assert own is not None
    assert not own.is_own
    assert same(own, other)


@pytest.mark.parametrize("name", ["", "/", "/gpt-5", "litellm/", "litellm//x", "-20251211", "\0"])
def test_price_list_handles_malformed_names(name: str) -> None:
    """Names without a model or provider match nothing."""
    assert same(LIST.find(name), find_listing(name, None))
    assert find_price(name, STANDARD, LIST.find) is None or name == "/gpt-5"


@pytest.mark.parametrize(
    ("clause", "match", "other"),
    [
        ("=gpt-5", "gpt-5", "gpt-5-mini"),
        ("^gpt-", "gpt-5", "a-gpt-5"),
        ("$-mini", "gpt-5-mini", "gpt-5-minimal"),
        ("*5", "gpt-5-mini", "gpt-4"),
        (r"~^o\d$", "o3", "o3-pro"),
        (["=a", "=b"], "b", "c"),
        ({"all": ["^a", ["$b", "$c"]]}, "a-c", "c-a"),
    ],
)
def test_matches_supports_every_operator(clause: Any, match: str, other: str) -> None:
    """A clause is true for a matching text and false for a similar one."""
    assert matches(clause, match)
    assert not matches(clause, other)


@pytest.mark.parametrize(
    ("clause", "end"),
    [
        ("=gpt-5-mini", ""),
        ("^gpt-5", "-mini"),
        ("*5", ""),
        (["^gpt-", "^gpt-5"], "-mini"),
        (["^gpt-5", "=gpt-5-mini"], ""),
        ({"all": ["^gpt", "*mini"]}, ""),
        ({"all": ["^gpt", "^gpt-5"]}, "-mini"),
        ("^claude", None),
    ],
)
def test_unmatched_end_is_what_no_clause_says(clause: Any, end: str | None) -> None:
    """Only a clause about the start of a name leaves its end open."""
    assert unmatched_end(clause, "gpt-5-mini") == end


def test_price_list_falls_back_to_models_of_other_providers() -> None:
    """A provider's own models come first; fallbacks of fallbacks do not count."""
    far = Provider("far", None, None, (), (("=far", "far", FLAT),))
    near = Provider("near", None, None, ("far",), (("=x", "x", FLAT), ("=near", "near", FLAT)))
    shop = Provider("shop", None, None, ("removed", "near"), (("=x", "x", EXPENSIVE),))
    prices = PriceList([far, near, shop], date(2026, 1, 1))
    assert prices.find("x", "shop") == Listing("shop", "x", EXPENSIVE, "")
    assert prices.find("near", "shop") == Listing("shop", "near", FLAT, "", is_own=False)
    assert prices.find("far", "shop") is None
    assert prices.find("far", "near") == Listing("near", "far", FLAT, "", is_own=False)


KINDS_OF_PRICE = {
    (len(price.days) > 0, len(price.times) > 0, len(price.sizes) > 0): (model, price)
    for _, model in MODELS
    if (found := LIST.find(model)) is not None and (price := found.price)
}


@pytest.mark.parametrize("kind", KINDS_OF_PRICE)
def test_model_price_equals_the_cost_computed_by_the_package(kind: tuple[bool, ...]) -> None:
    """Also at, just before and just after the times and sizes at which prices change."""
    model, price = KINDS_OF_PRICE[kind]
    days = (to_micros(datetime(2024, 5, 1, tzinfo=UTC)), *price.days)
    for day, time, offset in product(days, (0, *price.times), (-1, 0, 1)):
        for size, more in product((1_000, *price.sizes), (0, 1)):
            counts = (size - 600 + more, 300, 200, 100, 50)
            at = day + time + offset
            expected = pytest.approx(
                genai_prices_cost(model, from_micros(at), counts), rel=1e-9, abs=1e-12
            )
            assert price.dollars(at, counts) == expected


def test_model_price_adds_web_searches() -> None:
    """Each costs the same; without searches their price may be unknown."""
    assert FLAT.dollars(0, (1, 0, 0, 0, 0), 2) == 13.0
    unknown = ModelPrice((), (), (), ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, math.nan),))
    assert unknown.dollars(0, (1, 0, 0, 0, 0)) == 1.0
    assert math.isnan(unknown.dollars(0, (1, 0, 0, 0, 0), 1))


def test_sample_covers_every_kind_of_price() -> None:
    """It includes prices that depend on the day, on the time of day and on the size."""
    assert [any(kinds) for kinds in zip(*KINDS_OF_PRICE, strict=True)] == [True] * 3


def cache_sizes() -> list[int]:
    """Return the sizes of the collections in the package's snapshot."""
    return [len(value) for value in vars(get_snapshot()).values() if isinstance(value, dict | set)]


def test_model_price_of_does_not_cache_unknown_names_forever() -> None:
    """Neither this module nor the package does: clients can send any number of names."""
    model_price_of("gpt-5")
    cached = [
        len(value) for value in vars(get_snapshot()).values() if isinstance(value, dict | set)
    ]
    for number in range(2_000):
        model_price_of(f"no-such/model-{number}")
    assert model_price_of.cache_info().currsize < 2_000
    assert cache_sizes() == cached


def test_newest_change_ignores_future_prices() -> None:
    """An announced price change does not count before its date."""
    newest = newest_change(date(2030, 1, 1))
    assert newest_change(newest) == newest
    assert newest_change(newest - timedelta(days=1)) < newest
