"""Answers cost what the package asks for their model at their time; the unknown is not free."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.pricing.prices import KINDS, PricedCompletions, price_completions, price_table
from tests.helpers.package_prices import by_package

NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
Answer = tuple[str | None, datetime, tuple[int, ...], float | None]


def priced(answers: list[Answer], prices: Any = None) -> PricedCompletions:
    """Price (model, moment, tokens by kind, reported dollars)."""
    models = sorted({model for model, *_ in answers if model is not None})
    return price_completions(
        models,
        np.array([-1 if model is None else models.index(model) for model, *_ in answers], np.int64),
        np.array([to_micros(at) for _, at, *_ in answers], np.int64),
        np.array([counts for *_, counts, _ in answers], np.int64).reshape(-1, len(KINDS)).T,
        np.array([np.nan if usd is None else usd for *_, usd in answers]),
        prices,
    )


def models_of_the_table() -> list[str]:
    """Models of each kind of price: plain, dated, by size and by time of day."""
    found: dict[tuple[Any, ...], str] = {}
    for provider in get_snapshot().providers:
        for model in provider.models:
            changes = model.prices if isinstance(model.prices, list) else [model]
            limits = [getattr(change, "constraint", None) for change in changes]
            prices = [price for change in changes for price in vars(change.prices).values()]
            kinds = (
                frozenset(type(limit).__name__ for limit in limits),
                any(hasattr(price, "tiers") for price in prices),
                provider.id,
            )
            try:
                seen = calc_price(Usage(), model.id).model
            except LookupError:
                continue
            if seen is model:
                found.setdefault(kinds, model.id)
    return sorted(found.values())


MODELS = models_of_the_table()
counts = st.tuples(*[st.integers(0, 300_000)] * len(KINDS)).filter(any)
moments = st.datetimes(datetime(2023, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))


@given(st.lists(st.tuples(st.sampled_from(MODELS), moments, counts, st.none()), max_size=20))
def test_an_answer_costs_what_the_package_asks(answers: list[Answer]) -> None:
    """For models of every kind of price, at any time and of any size."""
    expected = [by_package(str(model), at, tokens) for model, at, tokens, _ in answers]
    found = priced(answers)
    np.testing.assert_allclose(found.usd, expected, rtol=1e-9, atol=1e-12)
    assert found.unknown_models == []


@pytest.mark.parametrize("kind", ["StartDateConstraint", "TimeOfDateConstraint", "tiers"])
def test_the_models_have_every_kind_of_price(kind: str) -> None:
    """Among those above, prices depend on the date, on the time of day and on the size."""
    assert kind in repr([calc_price(Usage(), model).model.prices for model in MODELS])


def test_a_known_figure() -> None:
    """Claude Opus 4.5: 5, 0.5, 6.25, 10 and 25 dollars a million (anthropic.com/pricing)."""
    for kind, dollars in enumerate((5, 0.5, 6.25, 10, 25)):
        tokens = tuple(1_000_000 if kind == one else 0 for one in range(len(KINDS)))
        assert priced([("claude-opus-4-5", NOON, tokens, None)]).usd == pytest.approx([dollars])


def test_the_agents_own_word_counts() -> None:
    """Dollars that the agent reports are taken, also 0 and for unknown models."""
    tokens = (100, 0, 0, 0, 10)
    found = priced([("claude-opus-4-5", NOON, tokens, 0.0), ("of-its-own", NOON, tokens, 0.5)])
    assert found.usd.tolist() == [0.0, 0.5]
    assert found.unknown_models == []


def test_what_has_no_price_is_not_free() -> None:
    """An unknown model is named, and its answers have no dollars."""
    tokens = (100, 0, 0, 0, 10)
    found = priced([("my-model", NOON, tokens, None), (None, NOON, tokens, None)])
    assert np.isnan(found.usd).all()
    assert found.unknown_models == ["my-model"]


def test_an_answer_without_tokens_has_no_price() -> None:
    """Where nothing is known of the tokens by kind, nothing is asked for them."""
    found = priced([("claude-opus-4-5", NOON, (0,) * 5, None), ("my-model", NOON, (0,) * 5, None)])
    assert np.isnan(found.usd).all()
    assert found.unknown_models == []


def test_own_prices_go_first() -> None:
    """They are per million tokens; a kind of cache without a price costs as much as input."""
    prices = {"claude-opus-4-5": {"input": 2, "output": 4.0}, "my-model": {
        "input": 1.0, "output": 1.0, "cache_read": 0.1, "cache_write_5m": 3, "cache_write_1h": 5,
    }}  # fmt: skip
    tokens = (1_000_000,) * 5
    answers: list[Answer] = [(model, NOON, tokens, None) for model in prices]
    assert priced(answers, prices).usd.tolist() == pytest.approx([12.0, 10.1])


@pytest.mark.parametrize(
    "given_prices",
    [
        {"input": 1},
        {"input": 1, "output": -1},
        {"input": 1, "output": "2"},
        {"input": 1, "output": 2, "cached": 1},
        {"in": 1},
        3.0,
    ],
)
def test_own_prices_of_another_shape_are_refused(given_prices: Any) -> None:
    """The error shows what was given and an example of what is expected."""
    with pytest.raises(InvalidEvent, match=r"prices: expected .* for 'm', got .*\"input\": 3.0"):
        priced([], {"m": given_prices})


@pytest.mark.parametrize(
    "name",
    [
        "anthropic/claude-opus-4-5",
        "us.anthropic.claude-opus-4-5-20251101-v1:0",
        "claude-opus-4-5-20251101",
    ],
)
def test_names_by_other_ways_to_the_model(name: str) -> None:
    """A provider before the name and the names of AWS are understood."""
    found = priced([(name, NOON, (1_000_000, 0, 0, 0, 0), None)])
    assert found.usd == pytest.approx([5.0], rel=0.11)


def test_the_table_says_of_when_it_is() -> None:
    """Its package, version and the date of its newest price."""
    table = price_table()
    assert table["source"] == "genai-prices"
    assert table["version"].count(".") >= 1
    assert datetime.fromisoformat(table["date"]).year >= 2026
