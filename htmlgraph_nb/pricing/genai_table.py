"""The price table of the installed package genai-prices. Nothing is downloaded.

The package is imported on first use, because it takes 0.25 s and 17 MB. ``python -m`` of this
module prints the date of the table, then the whole table, one provider as JSON on each line, for
processes that do not import the package.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import astuple, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ..core.timestamps import EPOCH, from_micros, to_micros, utc_now
from .model_price import (
    DAY_MICROS,
    Clause,
    Listing,
    ModelPrice,
    Rates,
    unmatched_end,
    with_dashes,
)
from .price_rules import STANDARD, Priced, Terms, find_price, is_claude

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_LONG_WRITE_FACTOR = 2
"""Price of a cache write for one hour of Claude, relative to input. Most entries of OpenRouter and
some of Bedrock lack it
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing)."""
_MODE_CONTEXTS = {
    "fast": {"speed": "fast"},
    "priority": {"service_tier": "priority"},
    "flex": {"service_tier": "flex"},
    "batch": {"processing": "batch"},
}
"""Mode → how the package calls it."""

_OPERATORS = {"equals": "=", "starts_with": "^", "ends_with": "$", "contains": "*", "regex": "~"}


@lru_cache(maxsize=1024)
def model_price_of(model: str, terms: Terms = STANDARD) -> Priced | None:
    """Return the prices of a model by its name and the terms of a request; None: unknown."""
    return find_price(model, terms, find_listing)


def find_listing(name: str, provider_id: str | None) -> Listing | None:
    """Return the entry of the package's table for a name; None: there is none."""
    from genai_prices.data_snapshot import DataSnapshot, get_snapshot

    # A new snapshot each time: it caches every lookup, without a limit.
    lookup = DataSnapshot(providers=get_snapshot().providers, from_auto_update=False)
    try:
        provider, model = lookup.find_provider_model(name, None, provider_id, None)
    except LookupError:
        return None
    price = replace(_to_model_price(model), context_window=model.context_window)
    clause, lower = _clause(model.match), name.lower()
    # A name of LiteLLM is matched without the provider in front.
    forms = (lower, lower.partition("/")[2]) if provider_id == "litellm" else (lower,)
    ends = (unmatched_end(clause, each) for form in forms for each in (form, with_dashes(form)))
    end = next((end for end in ends if end is not None), "")
    is_own = any(model is own for own in provider.models)
    return Listing(provider.id, model.id, price, end, is_own)


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
            # Half of the models share their prices with another one, and computing them is slow.
            prices = repr((model.prices, model.price_variants, is_claude(model.id)))
            if prices not in by_prices:
                by_prices[prices] = _to_model_price(model)
            price = replace(by_prices[prices], context_window=model.context_window)
            models.append((_clause(model.match), model.id, *astuple(price)))
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


def _variants(model: ModelInfo) -> list[Any]:
    return model.price_variants or []


def _constraints(model: ModelInfo) -> list[Any]:
    """Return the constraints of its prices: start dates and times of day."""
    changes = [*_dated_prices(model), *_variants(model)]
    return [change.constraint for change in changes if change.constraint is not None]


def _to_model_price(model: ModelInfo) -> ModelPrice:
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
        for change in (*(_dated_prices(model) or [model]), *_variants(model))
        for price in vars(change.prices).values()
        for tier in getattr(price, "tiers", ())
    )
    cells = [
        (from_micros(day + hour), size)
        for day in (days[0] - DAY_MICROS if days else 0, *days)
        for hour in (0, *times)
        for size in (1, *(size + 1 for size in sizes))
    ]
    rates = [_rates(model, at, size) for at, size in cells]
    whens = [variant.when for variant in _variants(model)]
    modes = []
    for mode, context in _MODE_CONTEXTS.items():
        if context in whens:
            known = [_mode_rates(model, at, size, context) for at, size in cells]
            n_cells_a_day = len(cells) // (len(days) + 1)
            modes.append((mode, _backdated(known, rates, n_cells_a_day)))
    return ModelPrice(days, times, sizes, tuple(rates), None, tuple(modes))


def _sorted(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _mode_rates(
    model: ModelInfo, at: datetime, n: int, context: dict[str, str]
) -> tuple[float, ...] | None:
    """Return the prices of a request of another mode; None: the table has none at that time.

    They are NaN for a size for which only the standard prices are known.
    """
    variants = [
        variant
        for variant in _variants(model)
        if variant.when == context and (variant.constraint is None or variant.constraint.active(at))
    ]
    if not variants:
        return None
    standard, other = vars(model.get_prices(at)), vars(variants[0].prices)
    for kind, price in other.items():
        tiers = getattr(standard.get(kind), "tiers", ())
        if price is not None and not hasattr(price, "tiers") and any(n > t.start for t in tiers):
            return (math.nan,) * 7
    return _rates(model, at, n, context)


def _backdated(
    known: list[tuple[float, ...] | None], standard: list[tuple[float, ...]], n_cells_a_day: int
) -> Rates:
    """Fill in the prices before the date from which the package has them.

    That date is when its authors verified them, not when they began. The relation to the standard
    price is taken to be the same before.
    """
    filled: list[tuple[float, ...]] = []
    for cell, row in enumerate(known):
        later = range(cell, len(known), n_cells_a_day)
        start = next((each for each in later if known[each] is not None), None)
        if row is not None or start is None:
            filled.append(row or (math.nan,) * 7)
            continue
        first = known[start] or ()
        parts = zip(standard[cell], first, standard[start], strict=True)
        filled.append(tuple(now * mode / then if then else mode for now, mode, then in parts))
    return tuple(filled)


def _rates(
    model: ModelInfo, at: datetime, n: int, context: dict[str, str] | None = None
) -> tuple[float, ...]:
    """Return the dollars per request, per token of each kind and per web search.

    They are derived from the costs that the package computes for a request with ``n`` input tokens.
    Its costs are linear in the number of tokens, so its own rules apply.
    """
    prices = model.get_prices(at, context)
    key = (repr(prices), n, is_claude(model.id))
    if key not in _computed:
        _computed[key] = _compute_rates(prices, n, is_claude(model.id))
    return _computed[key]


_computed: dict[tuple[str, int, bool], tuple[float, ...]] = {}
"""The results so far, one for each different price in the table."""


def _compute_rates(prices: Any, n: int, has_long_writes: bool) -> tuple[float, ...]:
    from genai_prices import Usage

    def cost(**usage: int) -> Decimal:
        total: Decimal = prices.calc_price(Usage(**usage))["total_price"]
        return total

    base = cost(input_tokens=n)
    plain = cost(input_tokens=n + 1) - base
    request = base - n * plain
    write = {"input_tokens": n, "cache_write_tokens": n}
    cached = [
        (each - request) / n
        for each in (
            cost(input_tokens=n, cache_read_tokens=n),
            cost(**write, cache_write_5m_tokens=n),
            cost(**write, cache_write_1h_tokens=n),
        )
    ]
    output = cost(input_tokens=n, output_tokens=1) - base
    named = {name for name, each in vars(prices).items() if each is not None}
    if has_long_writes and "cache_write_mtok" in named and "cache_write_1h_mtok" not in named:
        cached[-1] = plain * _LONG_WRITE_FACTOR
    search = getattr(prices, "web_searches_kcount", None)
    per_search = math.nan if search is None else float(search) / 1000
    return (*map(float, (request, plain, *cached, output)), per_search)


if __name__ == "__main__":
    changed = newest_change(utc_now().date()).isoformat()
    for line in (changed, *rows()):
        sys.stdout.write(json.dumps(line) + "\n")
