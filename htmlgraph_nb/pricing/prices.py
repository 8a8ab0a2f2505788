"""Costs of completions in US dollars: as reported, by custom prices, else by a price table.

The table is that of the installed package genai-prices; nothing is downloaded. Its prices are dated
and depend on the size of the request and, for some models, on the time of day. A completion costs
the price at its time (https://github.com/pydantic/genai-prices).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.model import TOKEN_FIELDS
from ..core.timestamps import utc_now
from ..core.validation import shorten
from ..errors import InvalidEvent
from .genai_table import model_price_of, newest_change
from .model_price import DAY_MICROS, ModelPrice

Prices = Mapping[str, Mapping[str, float]]
"""Custom prices: model → kind of tokens → US dollars per million tokens."""

KINDS = tuple(name.removesuffix("_tokens") for name in TOKEN_FIELDS)
_MILLION = 1_000_000
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PricedCompletions:
    """Costs of completions, and the source of the prices.

    Attributes:
        usd: cost of each completion; NaN if unknown.
        unknown_models: sorted names of models without a price.
        source: result of ``price_table``.
    """

    usd: _Floats
    unknown_models: list[str]
    source: dict[str, str]


def price_completions(
    models: Sequence[str],
    codes: npt.NDArray[np.integer[Any]],
    timestamps: _Ints,
    kinds: _Ints,
    reported: _Floats,
    prices: Prices | None = None,
) -> PricedCompletions:
    """Return the costs of completions.

    Args:
        models: names of models.
        codes: for each completion, the index of its model in ``models``; -1: unknown.
        timestamps: times of the completions, microseconds since 1970 UTC.
        kinds: token counts; one row for each of KINDS, one column for each completion.
        reported: reported costs, which take precedence; NaN if there is none.
        prices: custom prices, which take precedence over the table. ``input`` and ``output`` are
            required; a missing kind of cache costs the same as input.

    Raises:
        InvalidEvent: ``prices`` are invalid.
    """
    custom = {model: _custom_rates(model, given) for model, given in (prices or {}).items()}
    unpriced = np.isnan(reported) & (kinds.sum(axis=0) > 0)
    used = np.flatnonzero(np.bincount(codes[unpriced].astype(np.int64) + 1, minlength=1)[1:])
    # One column for each set of rates, the first for models without a price.
    rates = [np.full((len(KINDS) + 1, 1), np.nan)]
    first = np.zeros(len(models) + 1, np.int64)
    unknown, by_row = [], []
    for code in used.tolist():
        model = models[code]
        price = None if model in custom else model_price_of(model)
        first[code] = sum(part.shape[1] for part in rates)
        if model in custom:
            rates.append(np.append(0.0, custom[model] / _MILLION)[:, np.newaxis])
        elif price is None:
            first[code] = 0
            unknown.append(model)
        else:
            rates.append(np.array(price.rates).T)
            if len(price.rates) > 1:
                rows = np.flatnonzero(codes == code)
                cells = _rate_rows(price, timestamps[rows], kinds[:-1, rows].sum(axis=0))
                by_row.append((rows, cells))
    columns = first[codes]
    for rows, cells in by_row:
        columns[rows] += cells
    table = np.concatenate(rates, axis=1)
    usd = table[0, columns]
    for kind, rate in zip(kinds, table[1:], strict=True):
        usd += kind * rate[columns]
    return PricedCompletions(np.where(unpriced, usd, reported), sorted(unknown), price_table())


def _custom_rates(model: str, given: Mapping[str, float]) -> _Floats:
    example = '{"my-model": {"input": 3.0, "output": 15.0, "cache_read": 0.3}}'
    if not isinstance(given, Mapping) or not {"input", "output"} <= set(given) <= set(KINDS):
        raise InvalidEvent(
            f"prices: expected input, output and optionally {', '.join(KINDS[1:-1])} for "
            f"{shorten(model)}, got {shorten(str(given))}; example: {example}",
            "prices",
        )
    rates = np.array([given.get(kind, given["input"]) for kind in KINDS], object)
    if not all(type(rate) in (int, float) and 0 <= rate < np.inf for rate in rates):
        raise InvalidEvent(
            f"prices: expected US dollars per million tokens for {shorten(model)}, "
            f"got {shorten(str(given))}; example: {example}",
            "prices",
        )
    return rates.astype(np.float64)


def price_table() -> dict[str, str]:
    """Return the ``source``, ``version`` and ``date`` of the price table.

    The date is that of its latest price change, as an ISO string.
    """
    version = metadata.version("genai-prices")
    newest = newest_change(utc_now().date()).isoformat()
    return {"source": "genai-prices", "version": version, "date": newest}


def _rate_rows(price: ModelPrice, timestamps: _Ints, inputs: _Ints) -> _Ints:
    """Return the row in ``rates`` of each completion, by its day, time of day and size."""
    size = np.searchsorted(np.array(price.sizes, np.int64), inputs, side="left")
    day = np.searchsorted(np.array(price.days, np.int64), timestamps, side="right")
    hour = np.searchsorted(np.array(price.times, np.int64), timestamps % DAY_MICROS, side="right")
    rows: _Ints = (day * (len(price.times) + 1) + hour) * (len(price.sizes) + 1) + size
    return rows
