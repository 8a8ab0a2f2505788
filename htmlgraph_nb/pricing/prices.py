"""US dollars of model answers: by the agent's own word, by given prices, else by a price table.

The table is that of the package genai-prices, as it is installed: nothing is fetched. Its prices
are dated, and depend on the size of the request and, for some models, on the time of day, so an
answer costs what its model cost at that time (https://github.com/pydantic/genai-prices).
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
from .genai_table import newest_change, tariff_of
from .model_price import DAY, ModelPrice

Prices = Mapping[str, Mapping[str, float]]
"""Own prices: model → kind of tokens → US dollars per million of them."""

KINDS = tuple(name.removesuffix("_tokens") for name in TOKEN_FIELDS)
_MILLION = 1_000_000
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PricedCompletions:
    """Dollars of answers, and what they rest on.

    Attributes:
        usd: one an answer; NaN where no price is known.
        unknown_models: models that were used and have no price, in order.
        source: of the price table, as ``price_table`` returns it.
    """

    usd: _Floats
    unknown_models: list[str]
    source: dict[str, str]


def price_completions(
    models: Sequence[str],
    codes: npt.NDArray[np.integer[Any]],
    moments: _Ints,
    kinds: _Ints,
    reported: _Floats,
    prices: Prices | None = None,
) -> PricedCompletions:
    """Return what answers cost.

    Args:
        models: names of models.
        codes: of each answer's model in ``models``; -1: not known.
        moments: when each was given, microseconds since 1970 UTC.
        kinds: tokens, one row a kind in the order of KINDS, one column an answer.
        reported: US dollars by the agent's own word, which then count; NaN where it gave none.
        prices: own prices, which go before the table's. ``input`` and ``output`` must be there; a
            kind of cache that is not costs as much as input.

    Raises:
        InvalidEvent: ``prices`` are not as described.
    """
    own = {model: _own_rates(model, given) for model, given in (prices or {}).items()}
    asked = np.isnan(reported) & (kinds.sum(axis=0) > 0)
    used = np.flatnonzero(np.bincount(codes[asked].astype(np.int64) + 1, minlength=1)[1:])
    # One column a set of rates, the first for what has none; each answer names its column.
    rates = [np.full((len(KINDS) + 1, 1), np.nan)]
    first = np.zeros(len(models) + 1, np.int64)
    unknown, by_cell = [], []
    for code in used.tolist():
        model = models[code]
        tariff = None if model in own else tariff_of(model)
        first[code] = sum(part.shape[1] for part in rates)
        if model in own:
            rates.append(np.append(0.0, own[model] / _MILLION)[:, np.newaxis])
        elif tariff is None:
            first[code] = 0
            unknown.append(model)
        else:
            rates.append(np.array(tariff.rates).T)
            if len(tariff.rates) > 1:
                rows = np.flatnonzero(codes == code)
                cells = _cells(tariff, moments[rows], kinds[:-1, rows].sum(axis=0))
                by_cell.append((rows, cells))
    columns = first[codes]
    for rows, cells in by_cell:
        columns[rows] += cells
    table = np.concatenate(rates, axis=1)
    usd = table[0, columns]
    for kind, rate in zip(kinds, table[1:], strict=True):
        usd += kind * rate[columns]
    return PricedCompletions(np.where(asked, usd, reported), sorted(unknown), price_table())


def _own_rates(model: str, given: Mapping[str, float]) -> _Floats:
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
    """Return where prices come from: ``source``, ``version`` and ``date``.

    The date, as ISO text, is that of its newest change of a price that is not in the future.
    """
    version = metadata.version("genai-prices")
    newest = newest_change(utc_now().date()).isoformat()
    return {"source": "genai-prices", "version": version, "date": newest}


def _cells(tariff: ModelPrice, moments: _Ints, inputs: _Ints) -> _Ints:
    """Return the row of the rates of each answer, by its day, time of day and size."""
    size = np.searchsorted(np.array(tariff.sizes, np.int64), inputs, side="left")
    day = np.searchsorted(np.array(tariff.days, np.int64), moments, side="right")
    hour = np.searchsorted(np.array(tariff.times, np.int64), moments % DAY, side="right")
    found: _Ints = (day * (len(tariff.times) + 1) + hour) * (len(tariff.sizes) + 1) + size
    return found
