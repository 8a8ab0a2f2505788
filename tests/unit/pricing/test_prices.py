"""price_completions computes the same costs as genai-prices; unknown costs are NaN, not 0."""

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
from tests.helpers.package_prices import genai_prices_cost

NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
Completion = tuple[str | None, datetime, tuple[int, ...], float | None]


def priced(completions: list[Completion], prices: Any = None) -> PricedCompletions:
    """Price completions, given as (model, timestamp, token counts, reported cost)."""
    models = sorted({model for model, *_ in completions if model is not None})
    return price_completions(
        models,
        np.array(
            [-1 if model is None else models.index(model) for model, *_ in completions], np.int64
        ),
        np.array([to_micros(at) for _, at, *_ in completions], np.int64),
        np.array([counts for *_, counts, _ in completions], np.int64).reshape(-1, len(KINDS)).T,
        np.array([np.nan if usd is None else usd for *_, usd in completions]),
        prices,
    )


def models_with_every_kind_of_price() -> list[str]:
    """Return models with constant prices, and prices by date, size and time of day."""
    models: dict[tuple[Any, ...], str] = {}
    for provider in get_snapshot().providers:
        for model in provider.models:
            changes = model.prices if isinstance(model.prices, list) else [model]
            constraints = [getattr(change, "constraint", None) for change in changes]
            prices = [price for change in changes for price in vars(change.prices).values()]
            kinds = (
                frozenset(type(constraint).__name__ for constraint in constraints),
                any(hasattr(price, "tiers") for price in prices),
                provider.id,
            )
            try:
                priced_model = calc_price(Usage(), model.id).model
            except LookupError:
                continue
            if priced_model is model:
                models.setdefault(kinds, model.id)
    return sorted(models.values())


MODELS = models_with_every_kind_of_price()
counts = st.tuples(*[st.integers(0, 300_000)] * len(KINDS)).filter(any)
timestamps = st.datetimes(datetime(2023, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))


@given(st.lists(st.tuples(st.sampled_from(MODELS), timestamps, counts, st.none()), max_size=20))
def test_price_completions_equals_costs_computed_by_the_package(
    completions: list[Completion],
) -> None:
    """For models with every kind of price, any time and any size."""
    expected = [genai_prices_cost(str(model), at, tokens) for model, at, tokens, _ in completions]
    result = priced(completions)
    np.testing.assert_allclose(result.usd, expected, rtol=1e-9, atol=1e-12)
    assert result.unknown_models == []


@pytest.mark.parametrize("kind", ["StartDateConstraint", "TimeOfDateConstraint", "tiers"])
def test_sample_models_cover_every_kind_of_price(kind: str) -> None:
    """Their prices depend on the date, on the time of day and on the size."""
    assert kind in repr([calc_price(Usage(), model).model.prices for model in MODELS])


def test_price_completions_of_known_model() -> None:
    """Claude Opus 4.5: 5, 0.5, 6.25, 10 and 25 dollars per million (anthropic.com/pricing)."""
    for kind, dollars in enumerate((5, 0.5, 6.25, 10, 25)):
        tokens = tuple(1_000_000 if kind == index else 0 for index in range(len(KINDS)))
        assert priced([("claude-opus-4-5", NOON, tokens, None)]).usd == pytest.approx([dollars])


def test_price_completions_keeps_reported_costs() -> None:
    """Reported costs take precedence, also 0 and those of unknown models."""
    tokens = (100, 0, 0, 0, 10)
    result = priced([("claude-opus-4-5", NOON, tokens, 0.0), ("custom-model", NOON, tokens, 0.5)])
    assert result.usd.tolist() == [0.0, 0.5]
    assert result.unknown_models == []


def test_price_completions_reports_unknown_models() -> None:
    """The cost of an unknown model is NaN, and the model is listed."""
    tokens = (100, 0, 0, 0, 10)
    result = priced([("my-model", NOON, tokens, None), (None, NOON, tokens, None)])
    assert np.isnan(result.usd).all()
    assert result.unknown_models == ["my-model"]


def test_price_completions_without_tokens_is_nan() -> None:
    """Without token counts the cost is unknown."""
    result = priced([("claude-opus-4-5", NOON, (0,) * 5, None), ("my-model", NOON, (0,) * 5, None)])
    assert np.isnan(result.usd).all()
    assert result.unknown_models == []


def test_price_completions_prefers_custom_prices() -> None:
    """They are per million tokens; a missing kind of cache costs the same as input."""
    prices = {"claude-opus-4-5": {"input": 2, "output": 4.0}, "my-model": {
        "input": 1.0, "output": 1.0, "cache_read": 0.1, "cache_write_5m": 3, "cache_write_1h": 5,
    }}  # fmt: skip
    tokens = (1_000_000,) * 5
    completions: list[Completion] = [(model, NOON, tokens, None) for model in prices]
    assert priced(completions, prices).usd.tolist() == pytest.approx([12.0, 10.1])


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
def test_price_completions_rejects_invalid_custom_prices(given_prices: Any) -> None:
    """The error shows the value and an example."""
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
def test_price_completions_supports_names_with_provider(name: str) -> None:
    """A provider in front of the name and the names of AWS are recognized."""
    result = priced([(name, NOON, (1_000_000, 0, 0, 0, 0), None)])
    assert result.usd == pytest.approx([5.0], rel=0.11)


def test_price_table_has_source_version_and_date() -> None:
    """The source is the package, the date that of the latest price change."""
    table = price_table()
    assert table["source"] == "genai-prices"
    assert table["version"].count(".") >= 1
    assert datetime.fromisoformat(table["date"]).year >= 2026
