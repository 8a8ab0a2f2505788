"""The price that the genai-prices package itself calculates, for comparison."""

from __future__ import annotations

from datetime import datetime

from genai_prices import Usage, calc_price


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
