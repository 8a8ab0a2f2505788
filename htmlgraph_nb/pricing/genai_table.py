"""The price table of genai-prices, as it is installed: what a model cost at a time.

Nothing is fetched. The package is loaded with the first question, as it takes a quarter of a second
and 18 MB. ``python -m`` of this module writes all of the table, a provider as JSON on each line,
for a process that is to do without the package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ..core.timestamps import EPOCH, from_micros, to_micros
from .model_price import DAY, Clause, ModelPrice, references

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_MARKS = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}


@lru_cache(maxsize=1024)
def tariff_of(model: str) -> ModelPrice | None:
    """Return the tariff that a model's name means; None where it is not in the table."""
    from genai_prices.data_snapshot import DataSnapshot, get_snapshot

    providers = get_snapshot().providers
    for name, provider_id in references(model):
        # Another one each time: it remembers whatever it is asked, and anybody may ask.
        lookup = DataSnapshot(providers=providers, from_auto_update=False)
        try:
            return _tariff(*lookup.find_provider_model(name, None, provider_id, None))
        except LookupError:
            continue
    return None


@cache
def newest_change(today: date) -> date:
    """Return the day of the newest change of a price that is not after ``today``."""
    from genai_prices.data_snapshot import get_snapshot

    models = [model for provider in get_snapshot().providers for model in provider.models]
    limits = [limit for model in models for limit in _limits(model)]
    starts: set[date] = {limit.start_date for limit in limits if hasattr(limit, "start_date")}
    return max(start for start in starts if start <= today)


def rows() -> Iterator[tuple[Any, ...]]:
    """Yield all of the table as plain values, a provider each, for ``PriceList.from_rows``.

    Raises:
        ValueError: the package has a rule of another kind than those known.
    """
    from genai_prices.data_snapshot import get_snapshot

    known: dict[str, ModelPrice] = {}
    for provider in get_snapshot().providers:
        models = []
        for model in provider.models:
            # Half of the models have the prices of another, and the package takes long to answer.
            prices = repr(model.prices)
            if prices not in known:
                known[prices] = _tariff(provider, model)
            models.append((_clause(model.match), *astuple(known[prices])))
        rules = [rule and _clause(rule) for rule in (provider.provider_match, provider.model_match)]
        yield (provider.id, *rules, provider.fallback_model_providers or (), models)


def _clause(rule: Any) -> Clause:
    ((kind, value),) = vars(rule).items()
    if kind in ("or_", "and_"):
        parts = [_clause(one) for one in value]
        return parts if kind == "or_" else {"all": parts}
    if kind not in _MARKS:
        raise ValueError(f"genai-prices has a rule {kind!r}, expected one of {', '.join(_MARKS)}")
    text: str = value if kind == "regex" else value.lower()
    return _MARKS[kind] + text


def _changes(model: ModelInfo) -> list[Any]:
    return model.prices if isinstance(model.prices, list) else []


def _limits(model: ModelInfo) -> list[Any]:
    """Return what its prices depend on: days and times of day."""
    return [change.constraint for change in _changes(model) if change.constraint is not None]


def _tariff(provider: Provider, model: ModelInfo) -> ModelPrice:
    limits = _limits(model)
    starts = [limit.start_date for limit in limits if hasattr(limit, "start_date")]
    days = _sorted(to_micros(datetime.combine(day, time(), UTC)) for day in starts)
    spans = [limit for limit in limits if hasattr(limit, "start_time")]
    edges = [edge for limit in spans for edge in (limit.start_time, limit.end_time)]
    times = _sorted(
        to_micros(datetime.combine(EPOCH, edge, edge.tzinfo or UTC)) % DAY for edge in edges
    )
    sizes = _sorted(
        tier.start
        for change in _changes(model) or [model]
        for price in vars(change.prices).values()
        for tier in getattr(price, "tiers", ())
    )
    cells = [
        _rates(provider, model, from_micros(day + hour), size)
        for day in (days[0] - DAY if days else 0, *days)
        for hour in (0, *times)
        for size in (1, *(size + 1 for size in sizes))
    ]
    return ModelPrice(days, times, sizes, tuple(cells))


def _sorted(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _rates(provider: Provider, model: ModelInfo, at: datetime, n: int) -> tuple[float, ...]:
    """Return the dollars of a request as such, and of one token of each kind.

    They are drawn from what the package asks for requests of that time with ``n`` tokens of input,
    in which it is linear, so that its own rules decide.
    """
    from genai_prices import Usage

    def price(**usage: int) -> Decimal:
        asked = model.calc_price(Usage(**usage), provider, genai_request_timestamp=at)
        return asked.total_price

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
