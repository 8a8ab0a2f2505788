"""PriceList and genai_table return the same prices as the package genai-prices."""

from __future__ import annotations

import json
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
from htmlgraph_nb.pricing.genai_table import model_price_of, newest_change, rows
from htmlgraph_nb.pricing.model_price import ModelPrice, PriceList, Provider, matches
from tests.helpers.package_prices import genai_prices_cost

LIST = PriceList.from_rows(json.loads(json.dumps(row)) for row in rows())
MODELS = [
    (provider.id, model.id) for provider in get_snapshot().providers for model in provider.models
]
PREFIXES = ["", "azure/", "bedrock/", "litellm/", "litellm/openai/", "us.anthropic.", "Google/"]
SUFFIXES = ["", "-latest", ":free", "-20251211", "-20251311:batch", "@20250929", "-v1:0", "-x"]
DASHED = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)")
FLAT = ModelPrice((), (), (), ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0),))
EXPENSIVE = ModelPrice((), (), (), ((0.5, 1.0, 2.0, 3.0, 4.0, 5.0),))


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
    assert {name for name in names if LIST.find(name) != model_price_of(name)} == set()
    assert sum(LIST.find(name) is not None for name in names) > 500


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
    assert LIST.find(name) == model_price_of(name)


@pytest.mark.parametrize("name", ["", "/", "/gpt-5", "litellm/", "litellm//x", "-20251211", "\0"])
def test_price_list_handles_malformed_names(name: str) -> None:
    """Names without a model or provider match nothing."""
    assert LIST.find(name) == model_price_of(name)


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


def test_price_list_falls_back_to_models_of_other_providers() -> None:
    """A provider's own models come first; fallbacks of fallbacks do not count."""
    far = Provider("far", None, None, (), (("=far", FLAT),))
    near = Provider("near", None, None, ("far",), (("=x", FLAT), ("=near", FLAT)))
    shop = Provider("shop", None, None, ("removed", "near"), (("=x", EXPENSIVE),))
    prices = PriceList([far, near, shop])
    names = ("shop/x", "shop/near", "shop/far", "near/far")
    assert [prices.find(name) for name in names] == [EXPENSIVE, FLAT, None, FLAT]


KINDS_OF_PRICE = {
    (len(price.days) > 0, len(price.times) > 0, len(price.sizes) > 0): (model, price)
    for _, model in MODELS
    if (price := LIST.find(model)) is not None
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
