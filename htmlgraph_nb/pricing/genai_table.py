"""The price table of the installed package genai-prices. Nothing is downloaded.

The package is imported on first use, because it takes 0.25 s and 17 MB. ``python -m`` of this
module prints the whole table, one provider as JSON on each line, for processes that do not import
the package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import astuple, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ..core.timestamps import EPOCH, from_micros, to_micros
from .model_price import DAY_MICROS, Clause, ModelPrice, references

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_OPERATORS = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}


@lru_cache(maxsize=1024)
def model_price_of(model: str) -> ModelPrice | None:
    """Return the prices of a model by its name; None if it is not in the table."""
    from genai_prices.data_snapshot import DataSnapshot, get_snapshot

    providers = get_snapshot().providers
    for name, provider_id in references(model):
        # A new snapshot each time: it caches every lookup, without a limit.
        lookup = DataSnapshot(providers=providers, from_auto_update=False)
        try:
            found = lookup.find_provider_model(name, None, provider_id, None)
        except LookupError:
            continue
        return replace(_to_model_price(*found), context_window=found[1].context_window)
    return None


@cache
def newest_change(today: date) -> date:
    """Return the date of the latest price change up to ``today``."""
    from genai_prices.data_snapshot import get_snapshot

    models = [model for provider in get_snapshot().providers for model in provider.models]
    constraints = [constraint for model in models for constraint in _constraints(model)]
    starts: set[date] = {c.start_date for c in constraints if hasattr(c, "start_date")}
    return max(start for start in starts if start <= today)


def rows() -> Iterator[tuple[Any, ...]]:
    """Yield the table as plain values, one row for each provider, for ``PriceList.from_rows``.

    Raises:
        ValueError: the package has an unknown kind of rule.
    """
    from genai_prices.data_snapshot import get_snapshot

    by_prices: dict[str, ModelPrice] = {}
    for provider in get_snapshot().providers:
        models = []
        for model in provider.models:
            # Half of the models share their prices with another one, and lookups are slow.
            prices = repr(model.prices)
            if prices not in by_prices:
                by_prices[prices] = _to_model_price(provider, model)
            price = replace(by_prices[prices], context_window=model.context_window)
            models.append((_clause(model.match), *astuple(price)))
        rules = [rule and _clause(rule) for rule in (provider.provider_match, provider.model_match)]
        yield (provider.id, *rules, provider.fallback_model_providers or (), models)


def _clause(rule: Any) -> Clause:
    ((kind, value),) = vars(rule).items()
    if kind in ("or_", "and_"):
        parts = [_clause(part) for part in value]
        return parts if kind == "or_" else {"all": parts}
    if kind not in _OPERATORS:
        raise ValueError(f"genai-prices: expected a rule of {', '.join(_OPERATORS)}, got {kind!r}")
    text: str = value if kind == "regex" else value.lower()
    return _OPERATORS[kind] + text


def _dated_prices(model: ModelInfo) -> list[Any]:
    return model.prices if isinstance(model.prices, list) else []


def _constraints(model: ModelInfo) -> list[Any]:
    """Return the constraints of its prices: start dates and times of day."""
    return [change.constraint for change in _dated_prices(model) if change.constraint is not None]


def _to_model_price(provider: Provider, model: ModelInfo) -> ModelPrice:
    constraints = _constraints(model)
    starts = [c.start_date for c in constraints if hasattr(c, "start_date")]
    days = _sorted(to_micros(datetime.combine(day, time(), UTC)) for day in starts)
    spans = [c for c in constraints if hasattr(c, "start_time")]
    boundaries = [each for c in spans for each in (c.start_time, c.end_time)]
    times = _sorted(
        to_micros(datetime.combine(EPOCH, each, each.tzinfo or UTC)) % DAY_MICROS
        for each in boundaries
    )
    sizes = _sorted(
        tier.start
        for change in _dated_prices(model) or [model]
        for price in vars(change.prices).values()
        for tier in getattr(price, "tiers", ())
    )
    rates = [
        _rates(provider, model, from_micros(day + hour), size)
        for day in (days[0] - DAY_MICROS if days else 0, *days)
        for hour in (0, *times)
        for size in (1, *(size + 1 for size in sizes))
    ]
    return ModelPrice(days, times, sizes, tuple(rates))


def _sorted(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _rates(provider: Provider, model: ModelInfo, at: datetime, n: int) -> tuple[float, ...]:
    """Return the dollars per request and per token of each kind.

    They are derived from the costs that the package computes for requests at ``at`` with ``n``
    input tokens. Its costs are linear in the number of tokens, so its own rules apply.
    """
    from genai_prices import Usage

    def price(**usage: int) -> Decimal:
        cost = model.calc_price(Usage(**usage), provider, genai_request_timestamp=at)
        return cost.total_price

    base = price(input_tokens=n)
    plain = price(input_tokens=n + 1) - base
    request = base - n * plain
    write = {"input_tokens": n, "cache_write_tokens": n}
    inputs = (
        price(input_tokens=n, cache_read_tokens=n),
        price(**write, cache_write_5m_tokens=n),
        price(**write, cache_write_1h_tokens=n),
    )
    output = price(input_tokens=n, output_tokens=1) - base
    return tuple(
        float(rate) for rate in (request, plain, *((p - request) / n for p in inputs), output)
    )


if __name__ == "__main__":
    for row in rows():
        sys.stdout.write(json.dumps(row) + "\n")
