"""price_completions computes the same costs as genai-prices; unknown costs are NaN, not 0."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import TOKEN_FIELDS, Event
from htmlgraph_nb.core.timestamps import to_micros, utc_now
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.pricing.price_list import price_of
from htmlgraph_nb.pricing.prices import (
    KINDS,
    PricedCompletions,
    Requests,
    price_completions,
    price_table,
)
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


NAMES = [
    *("claude-opus-4-6", "claude-opus-4-8", "claude-opus-5-5-fast", "claude-sonnet-4-5[1m]"),
    *("us.anthropic.claude-opus-4-8-v1:0", "openrouter/anthropic/claude-haiku-4.5"),
    *("gpt-5.5", "gpt-5.6-sol", "gpt-5-nano", "azure/gpt-5.4", "gpt-5.1-codex-mini"),
    *("gemini-2.5-pro", "gemini-3-flash-preview", "deepseek-chat", "my-model", "x/y"),
]


def codes_of(values: list[str | None]) -> tuple[Any, list[str]]:
    """Return the codes of names, and the names in an order of their own."""
    names = sorted({value for value in values if value is not None}, reverse=True)
    codes = [-1 if value is None else names.index(value) for value in values]
    return np.array(codes, np.int64), names


events = st.builds(
    lambda kinds, **fields: Event(
        agent_id="a", **dict(zip(TOKEN_FIELDS, kinds, strict=True)), **fields
    ),
    st.tuples(*[st.integers(0, 300_000)] * len(KINDS)),
    model=st.sampled_from([*NAMES, None]),
    timestamp=timestamps,
    speed=st.sampled_from([None, None, "fast", "standard", "slow"]),
    service_tier=st.sampled_from([None, None, "priority", "flex", "batch", "default", "scale"]),
    inference_geo=st.sampled_from([None, None, "us", "global", "eu"]),
    web_searches=st.sampled_from([None, 0, 1, 5]),
    cost_usd=st.sampled_from([None, None, None, 0.0, 0.5]),
)


@given(st.lists(events, max_size=20))
def test_price_completions_equals_the_price_of_each_event(rows: list[Event]) -> None:
    """The server prices one event after another by its own list: each gets the same price."""
    models = codes_of([row.model for row in rows])
    result = price_completions(
        models[1],
        models[0],
        np.array([to_micros(row.timestamp or NOON) for row in rows], np.int64),
        np.array([[getattr(row, name) or 0 for name in TOKEN_FIELDS] for row in rows], np.int64)
        .reshape(-1, len(KINDS))
        .T,
        np.array([np.nan if row.cost_usd is None else row.cost_usd for row in rows], np.float64),
        requests=Requests.from_columns(
            codes_of([row.speed for row in rows]),
            codes_of([row.service_tier for row in rows]),
            codes_of([row.inference_geo for row in rows]),
            np.array([row.web_searches or 0 for row in rows], np.int64),
        ),
    )
    known = [price_of(row) if row.cost_usd is None else row.cost_usd for row in rows]
    expected = np.array([np.nan if usd is None else usd for usd in known], np.float64)
    np.testing.assert_allclose(result.usd, expected, rtol=1e-9, atol=1e-15)
    unpriced = {
        row.model
        for row, usd in zip(rows, known, strict=True)
        if usd is None and row.model and (row.total_tokens or row.web_searches)
    }
    assert {name.partition(" (")[0] for name in result.unknown_models} == unpriced


def test_price_completions_supports_many_terms() -> None:
    """Strangers can send any words; each pair of a model and terms has a price of its own."""
    n = 1_500
    words = [f"tier-{number}" for number in range(n)]
    columns = [(np.arange(n), words)] * 3
    result = price_completions(
        ["gpt-5"],
        np.zeros(n, np.int64),
        np.full(n, to_micros(NOON)),
        np.ones((len(KINDS), n), np.int64),
        np.full(n, np.nan),
        requests=Requests.from_columns(*columns, np.zeros(n, np.int64)),
    )
    assert np.isnan(result.usd).all()
    assert len(result.unknown_models) == n


def test_price_completions_names_what_has_no_price() -> None:
    """With its terms if only these have no price, or the web search."""
    models = ["gpt-5-nano", "gpt-5.1-codex-mini", "my-model"]
    result = price_completions(
        models,
        np.array([0, 0, 1, 1, 2]),
        np.full(5, to_micros(NOON)),
        np.ones((len(KINDS), 5), np.int64),
        np.full(5, np.nan),
        requests=Requests.from_columns(
            codes_of([None] * 5),
            codes_of([None, "priority", None, None, None]),
            codes_of([None] * 5),
            np.array([0, 0, 0, 1, 0]),
        ),
    )
    assert result.unknown_models == [
        "gpt-5-nano (priority)",
        "gpt-5.1-codex-mini (web search)",
        "my-model",
    ]
    assert np.isnan(result.usd).tolist() == [False, True, False, True, True]


def test_price_completions_names_guessed_models() -> None:
    """The table only knows a model whose name begins the same."""
    tokens = (100, 0, 0, 0, 10)
    result = priced([("claude-opus-4-8-turbo", NOON, tokens, None)])
    assert result.guessed_models == ["claude-opus-4-8-turbo"]
    assert result.unknown_models == []
    assert priced([("claude-opus-4-8", NOON, tokens, None)]).guessed_models == []


def test_price_completions_returns_the_newest_time_priced_by_the_table() -> None:
    """Reported costs, custom prices and unknown models say nothing about the table."""
    later = NOON + timedelta(days=400)
    tokens = (100, 0, 0, 0, 10)
    rows: list[Completion] = [
        ("claude-opus-4-8", NOON, tokens, None),
        ("claude-opus-4-8", later, tokens, 0.5),
        ("own", later, tokens, None),
        ("my-model", later, tokens, None),
    ]
    result = priced(rows, {"own": {"input": 1, "output": 1}})
    assert result.newest == to_micros(NOON)
    assert priced(rows[1:], {"own": {"input": 1, "output": 1}}).newest is None


def test_price_completions_prefers_custom_prices_for_any_terms() -> None:
    """They are what the user pays, and include no web searches."""
    result = price_completions(
        ["gpt-5-nano"],
        np.array([0]),
        np.array([to_micros(NOON)]),
        np.full((len(KINDS), 1), 1_000_000),
        np.array([np.nan]),
        {"gpt-5-nano": {"input": 1, "output": 2}},
        Requests.from_columns(
            codes_of([None]), codes_of(["priority"]), codes_of([None]), np.array([3])
        ),
    )
    assert result.usd.tolist() == [6.0]


def test_price_table_has_source_version_date_and_age() -> None:
    """The source is the package, the date that of the latest price change."""
    table = price_table()
    assert table["source"] == "genai-prices"
    assert str(table["version"]).count(".") >= 1
    changed = datetime.fromisoformat(str(table["date"])).replace(tzinfo=UTC)
    assert changed.year >= 2026
    assert table["age_days"] == (utc_now() - changed).days
