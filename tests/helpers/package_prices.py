"""What genai-prices itself asks, beside which this project's prices are held."""

from __future__ import annotations

from datetime import datetime

from genai_prices import Usage, calc_price


def by_package(model: str, at: datetime, counts: tuple[int, ...]) -> float:
    """Return the US dollars of one answer; ``counts`` are in the order of TOKEN_FIELDS."""
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
