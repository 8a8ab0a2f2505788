"""Prices by the genai-prices package: costs that it calculates itself, and prices of tokens."""

from __future__ import annotations

from datetime import UTC, datetime

from genai_prices import Usage, calc_price

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.pricing.genai_table import model_price_of
from htmlgraph_nb.pricing.price_rules import STANDARD, Terms

NOON = to_micros(datetime(2026, 9, 1, 12, tzinfo=UTC))


def genai_prices_cost(model: str, at: datetime, counts: tuple[int, ...]) -> float:
    """Return the cost of a completion in US dollars; ``counts`` are ordered as TOKEN_FIELDS."""
    plain, read, write_5m, write_1h, output = counts
    usage = Usage(
        input_tokens=plain + read + write_5m + write_1h,
        cache_read_tokens=read,
        cache_write_tokens=write_5m + write_1h,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        output_tokens=output,
    )
    return float(calc_price(usage, model, genai_request_timestamp=at).total_price)


def per_million(
    model: str, terms: Terms = STANDARD, at: int = NOON, context: int = 0
) -> list[float]:
    """Return the price of each kind of tokens, in US dollars per million.

    Args:
        at: microseconds since 1970 UTC.
        context: input tokens of the request besides those that are measured.
    """
    priced = model_price_of(model, terms)
    assert priced is not None, model
    base = priced.price.dollars(at, [context, 0, 0, 0, 0])
    prices = []
    for kind in range(5):
        counts = [context, 0, 0, 0, 0]
        counts[kind] += 1_000
        prices.append(round((priced.price.dollars(at, counts) - base) * 1_000, 6))
    return prices
