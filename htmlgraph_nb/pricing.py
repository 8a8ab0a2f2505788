"""US dollars of model answers: by the agent's own word, by given prices, else by a price table.

The table is that of the package genai-prices, as it is installed: nothing is fetched. Its prices
are dated, and depend on the size of the request and, for some models, on the time of day, so an
answer costs what its model cost at that time (https://github.com/pydantic/genai-prices).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import clip
from .errors import InvalidEvent
from .model import TOKEN_FIELDS
from .price_table import calculate, limits_of, listed
from .times import EPOCH, from_micros, to_micros, utc_now

Prices = Mapping[str, Mapping[str, float]]
"""Own prices: model → kind of tokens → US dollars per million of them."""

KINDS = tuple(name.removesuffix("_tokens") for name in TOKEN_FIELDS)
_MILLION = 1_000_000
_DAY = 86_400 * _MILLION
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Priced:
    """Dollars of answers, and what they rest on.

    Attributes:
        usd: one an answer; NaN where no price is known.
        unknown_models: models that were used and have no price, in order.
        source: of the price table, as ``price_table`` returns it.
    """

    usd: _Floats
    unknown_models: list[str]
    source: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Tariff:
    """What the price of a model depends on.

    Attributes:
        model, provider: what the table knows it by.
        days, times: microseconds since 1970, and since midnight UTC, at which prices change.
        sizes: tokens of input beyond which a request has other prices.
    """

    model: str
    provider: str | None
    days: _Ints
    times: _Ints
    sizes: _Ints

    @property
    def n_cells(self) -> int:
        """How many sets of rates there are."""
        return (len(self.days) + 1) * (len(self.times) + 1) * (len(self.sizes) + 1)


def price_answers(
    models: Sequence[str],
    codes: npt.NDArray[np.integer[Any]],
    moments: _Ints,
    kinds: _Ints,
    reported: _Floats,
    prices: Prices | None = None,
) -> Priced:
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
        tariff = None if model in own else _tariff(model)
        first[code] = sum(part.shape[1] for part in rates)
        if model in own:
            rates.append(np.append(0.0, own[model] / _MILLION)[:, np.newaxis])
        elif tariff is None:
            first[code] = 0
            unknown.append(model)
        elif tariff.n_cells == 1:
            rates.append(_rate_table(tariff, np.zeros(1, np.int64)))
        else:
            rows = np.flatnonzero(codes == code)
            cells = _cells(tariff, moments[rows], kinds[:-1, rows].sum(axis=0))
            rates.append(_rate_table(tariff, cells))
            by_cell.append((rows, cells))
    columns = first[codes]
    for rows, cells in by_cell:
        columns[rows] += cells
    table = np.concatenate(rates, axis=1)
    usd = table[0, columns]
    for kind, rate in zip(kinds, table[1:], strict=True):
        usd += kind * rate[columns]
    return Priced(np.where(asked, usd, reported), sorted(unknown), price_table())


def _own_rates(model: str, given: Mapping[str, float]) -> _Floats:
    example = '{"my-model": {"input": 3.0, "output": 15.0, "cache_read": 0.3}}'
    if not isinstance(given, Mapping) or not {"input", "output"} <= set(given) <= set(KINDS):
        raise InvalidEvent(
            f"the prices of {clip(model)} are {clip(str(given))}, expected input and output, "
            f"and perhaps cache_read, cache_write_5m, cache_write_1h, as in {example}",
            "prices",
        )
    rates = np.array([given.get(kind, given["input"]) for kind in KINDS], object)
    if not all(type(rate) in (int, float) and 0 <= rate < np.inf for rate in rates):
        raise InvalidEvent(
            f"the prices of {clip(model)} are {clip(str(given))}, expected US dollars per million "
            f"tokens, as in {example}",
            "prices",
        )
    return rates.astype(np.float64)


def price_table() -> dict[str, str]:
    """Return where prices come from: ``source``, ``version`` and ``date``.

    The date, as ISO text, is that of its newest change of a price that is not in the future.
    """
    today = utc_now().date()
    dates = [day for day in _change_days() if day <= today]
    version = metadata.version("genai-prices")
    return {"source": "genai-prices", "version": version, "date": max(dates).isoformat()}


@cache
def _change_days() -> frozenset[date]:
    from genai_prices.data_snapshot import get_snapshot

    models = [model for provider in get_snapshot().providers for model in provider.models]
    starts = [getattr(limit, "start_date", None) for model in models for limit in limits_of(model)]
    return frozenset(start for start in starts if start is not None)


@cache
def _tariff(model: str) -> _Tariff | None:
    entry = listed(model)
    if entry is None:
        return None
    days = {limit.start_date for limit in entry.limits if hasattr(limit, "start_date")}
    edges = [limit for limit in entry.limits if hasattr(limit, "start_time")]
    times = {edge for limit in edges for edge in (limit.start_time, limit.end_time)}
    return _Tariff(
        entry.name,
        entry.provider,
        _ints(to_micros(datetime.combine(day, time(), UTC)) for day in days),
        _ints(to_micros(datetime.combine(EPOCH, edge, edge.tzinfo or UTC)) for edge in times),
        _ints(entry.sizes),
    )


def _ints(values: Iterable[int]) -> _Ints:
    return np.array(sorted(set(values)), np.int64)


def _cells(tariff: _Tariff, moments: _Ints, inputs: _Ints) -> _Ints:
    """Return the number of the rates of each answer, by its day, time of day and size."""
    size = np.searchsorted(tariff.sizes, inputs, side="left")
    day = np.searchsorted(tariff.days, moments, side="right")
    hour = np.searchsorted(tariff.times, moments % _DAY, side="right")
    found: _Ints = (day * (len(tariff.times) + 1) + hour) * (len(tariff.sizes) + 1) + size
    return found


def _rate_table(tariff: _Tariff, cells: _Ints) -> _Floats:
    """Return the rates of the cells that occur, one column a cell."""
    table = np.zeros((len(KINDS) + 1, tariff.n_cells))
    for cell in np.flatnonzero(np.bincount(cells)).tolist():
        rest, n_size = divmod(cell, len(tariff.sizes) + 1)
        table[:, cell] = _rates(tariff, *divmod(rest, len(tariff.times) + 1), n_size)
    return table


@cache
def _rates(tariff: _Tariff, n_day: int, n_hour: int, n_size: int) -> list[float]:
    """Return the dollars of a request as such, and of one token of each kind.

    They are drawn from what the package asks for requests of that time and size, in which it is
    linear, so that its own rules decide.
    """
    if n_day:
        day = int(tariff.days[n_day - 1])
    else:
        day = int(tariff.days[0]) - _DAY if len(tariff.days) else 0
    at = from_micros(day + (int(tariff.times[n_hour - 1]) if n_hour else 0))
    n = int(tariff.sizes[n_size - 1]) + 1 if n_size else 1

    def price(**usage: int) -> Decimal:
        found: Decimal = calculate(tariff.model, tariff.provider, at, usage).total_price
        return found

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
    return [float(rate) for rate in (request, plain, *((p - request) / n for p in inputs), output)]
