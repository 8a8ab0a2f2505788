"""A list of plain tariffs finds and asks what the package does, for all it knows and all names."""

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
from htmlgraph_nb.pricing.genai_table import newest_change, rows, tariff_of
from htmlgraph_nb.pricing.model_price import ModelPrice, PriceList, Provider, matches
from tests.helpers.package_prices import by_package

LIST = PriceList.from_rows(json.loads(json.dumps(row)) for row in rows())
MODELS = [(one.id, model.id) for one in get_snapshot().providers for model in one.models]
PREFIXES = ["", "azure/", "bedrock/", "litellm/", "litellm/openai/", "us.anthropic.", "Google/"]
SUFFIXES = ["", "-latest", ":free", "-20251211", "-20251311:batch", "@20250929", "-v1:0", "-x"]
DASHED = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)")
FLAT = ModelPrice((), (), (), ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0),))
DEAR = ModelPrice((), (), (), ((0.5, 1.0, 2.0, 3.0, 4.0, 5.0),))


WAYS: dict[str, Callable[[str, str], str]] = {
    "alone": lambda provider, model: model,
    "with its provider": lambda provider, model: f"{provider}/{model}",
    "with its provider, carelessly": lambda provider, model: f" {provider.upper()} /{model}",
    "by LiteLLM": lambda provider, model: f"litellm/{model}",
    "by LiteLLM, with its provider": lambda provider, model: f"litellm/{provider}/{model}",
    "by LiteLLM, with another": lambda provider, model: f"litellm/openrouter/{model}",
    "with a compact date": lambda provider, model: DASHED.sub(r"-\1\2\3", f"{provider}/{model}"),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_models_have_the_packages_tariff(way: str) -> None:
    """Whichever of the usual ways they are written."""
    names = [WAYS[way](provider, model) for provider, model in MODELS]
    assert len(set(names)) > 1_500
    assert {name for name in names if LIST.find(name) != tariff_of(name)} == set()
    assert sum(LIST.find(name) is not None for name in names) > 500


@given(st.sampled_from(PREFIXES), st.sampled_from(MODELS), st.sampled_from(SUFFIXES), st.data())
def test_other_names_mean_what_they_mean_to_the_package(
    prefix: str, model: tuple[str, str], suffix: str, data: st.DataObject
) -> None:
    """Dates, ways of access, capitals and slips of the pen included."""
    change: Callable[[str], str] = data.draw(st.sampled_from([str, str.upper, str.title]))
    name = change(prefix + model[1] + suffix)
    place = data.draw(st.integers(0, len(name)))
    name = name[:place] + data.draw(st.sampled_from(["", "", "-", " ", "7", "İ"])) + name[place:]
    assert LIST.find(name) == tariff_of(name)


@pytest.mark.parametrize("name", ["", "/", "/gpt-5", "litellm/", "litellm//x", "-20251211", "\0"])
def test_odd_names(name: str) -> None:
    """They mean nothing, and do no harm."""
    assert LIST.find(name) == tariff_of(name)


@pytest.mark.parametrize(
    ("clause", "fitting", "other"),
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
def test_each_rule(clause: Any, fitting: str, other: str) -> None:
    """It holds for what it says and for nothing else."""
    assert matches(clause, fitting)
    assert not matches(clause, other)


def test_a_provider_offers_the_models_of_others_after_its_own() -> None:
    """One step only: not those that these others offer of others again."""
    far = Provider("far", None, None, (), (("=far", FLAT),))
    near = Provider("near", None, None, ("far",), (("=x", FLAT), ("=near", FLAT)))
    shop = Provider("shop", None, None, ("gone", "near"), (("=x", DEAR),))
    found = PriceList([far, near, shop])
    names = ("shop/x", "shop/near", "shop/far", "near/far")
    assert [found.find(name) for name in names] == [DEAR, FLAT, None, FLAT]


KINDS_OF_PRICE = {
    (len(tariff.days) > 0, len(tariff.times) > 0, len(tariff.sizes) > 0): (model, tariff)
    for _, model in MODELS
    if (tariff := LIST.find(model)) is not None
}


@pytest.mark.parametrize("kind", KINDS_OF_PRICE)
def test_an_answer_costs_what_the_package_asks(kind: tuple[bool, ...]) -> None:
    """Also at the very moments and sizes at which prices change, and just before and after."""
    model, tariff = KINDS_OF_PRICE[kind]
    days = (to_micros(datetime(2024, 5, 1, tzinfo=UTC)), *tariff.days)
    for day, time, near in product(days, (0, *tariff.times), (-1, 0, 1)):
        for size, more in product((1_000, *tariff.sizes), (0, 1)):
            counts = (size - 600 + more, 300, 200, 100, 50)
            at = day + time + near
            expected = pytest.approx(
                by_package(model, from_micros(at), counts), rel=1e-9, abs=1e-12
            )
            assert tariff.dollars(at, counts) == expected


def test_every_kind_of_price_is_tried() -> None:
    """Those that depend on the day, on the time of day and on the size."""
    assert [any(kinds) for kinds in zip(*KINDS_OF_PRICE, strict=True)] == [True] * 3


def test_what_strangers_ask_for_is_not_kept() -> None:
    """Neither here nor by the package: anybody can send names of models without end."""
    tariff_of("gpt-5")
    kept = [len(value) for value in vars(get_snapshot()).values() if isinstance(value, dict | set)]
    for number in range(2_000):
        tariff_of(f"no-such/model-{number}")
    assert tariff_of.cache_info().currsize < 2_000
    assert kept == [
        len(value) for value in vars(get_snapshot()).values() if isinstance(value, dict | set)
    ]


def test_the_newest_change_is_not_of_the_future() -> None:
    """A price that is announced is not one yet."""
    newest = newest_change(date(2030, 1, 1))
    assert newest_change(newest) == newest
    assert newest_change(newest - timedelta(days=1)) < newest
