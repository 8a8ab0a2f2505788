"""Token and dollar costs: totals, burn rate and budget forecast."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..core.model import TARIFF_FIELDS
from ..core.timestamps import from_micros, to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent, PriceWarning, level_of_caller
from ..local_zone import Zone
from ..pricing.price_age import age_note, guess_note
from ..pricing.prices import PricedCompletions, Prices, Requests, price_completions
from .columns import (
    COST_FIELDS,
    TOKEN_KINDS,
    ColumnNames,
    FloatArray,
    IntArray,
    TokenRows,
    as_tuple,
    count_column,
    encode_column,
    float_column,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    token_rows,
)
from .grouping import PART_ROWS, Groups, RowIndices, group_rows, map_parts
from .local_times import parse_micros
from .periods import Length, positive_length

COST_COLUMNS = ("timestamp", "model", "input_tokens", "output_tokens")
_PRICE_COLUMNS = ("model", "timestamp", "cost_usd", *TARIFF_FIELDS, "web_searches")
_HOUR = 3_600_000_000
_MAX_TIME = to_micros(datetime(9999, 1, 1, tzinfo=UTC))


class Spending(NamedTuple):
    """Tokens and costs of the rows of a frame.

    Attributes:
        tokens: the rows with tokens or dollars.
        priced: the cost of each row of ``tokens``.
    """

    tokens: TokenRows
    priced: PricedCompletions

    @property
    def rows(self) -> RowIndices:
        """Positions in the frame."""
        return self.tokens.rows

    def dollars(self, groups: Groups) -> dict[str, Any]:
        """Return the columns usd and unpriced_tokens of groups of ``rows``.

        usd is NaN if none of the tokens has a price, or if there are no tokens.
        """
        usd = self.priced.usd
        known = ~np.isnan(usd)
        ids, n = groups.ids, len(groups.keys)
        dollars = np.bincount(ids[known], weights=usd[known], minlength=n)
        unpriced = np.bincount(ids[~known], weights=self.tokens.total[~known], minlength=n)
        has_price = np.bincount(ids[known], minlength=n) > 0
        return {
            "usd": np.where(has_price, dollars, np.nan),
            "unpriced_tokens": np.rint(unpriced).astype(np.int64),
        }

    def unpriced_tokens(self) -> FloatArray:
        """Return the tokens without a price of each row of ``tokens``."""
        return np.where(np.isnan(self.priced.usd), self.tokens.total, 0).astype(np.float64)

    def attrs(self) -> dict[str, Any]:
        """Return the price table and models without a sure price, for ``DataFrame.attrs``."""
        return {
            "prices": self.priced.source,
            "unknown_models": self.priced.unknown_models,
            "guessed_models": self.priced.guessed_models,
        }


def compute_spending(df: pd.DataFrame, prices: Prices | None = None) -> Spending:
    """Return the tokens and costs of a frame, and warn about prices that may be wrong."""
    return with_warnings(price_rows(df, prices))


def price_rows(df: pd.DataFrame, prices: Prices | None = None) -> Spending:
    """Return the tokens and costs of a frame; stored rows have no duplicates."""
    used = df[[name for name in {*_PRICE_COLUMNS, *COST_FIELDS} if name in df.columns]]
    starts = range(0, max(len(df), 1), PART_ROWS)
    parts = map_parts(lambda start: _spending(used.iloc[start : start + PART_ROWS], prices), starts)
    tokens, priced = zip(*parts, strict=True)
    rows = [part.rows + start for start, part in zip(starts, tokens, strict=True)]
    kinds = np.concatenate([part.kinds for part in tokens], axis=1)
    total = np.concatenate([part.total for part in tokens])
    return Spending(TokenRows(np.concatenate(rows), kinds, total), PricedCompletions.joined(priced))


def _spending(df: pd.DataFrame, prices: Prices | None) -> Spending:
    """Return the tokens and costs of a part of a frame."""
    tokens = token_rows(df)
    part = df[[name for name in _PRICE_COLUMNS if name in df.columns]].take(tokens.rows)
    models = encode_column(part, "model")
    priced = price_completions(
        [str(name) for name in models.values],
        models.codes,
        timestamp_micros(part),
        tokens.kinds,
        float_column(part, "cost_usd"),
        prices,
        Requests.from_columns(
            encode_column(part, "speed"),
            encode_column(part, "service_tier"),
            encode_column(part, "inference_geo"),
            count_column(part, "web_searches"),
        ),
    )
    return Spending(tokens, priced)


def with_warnings(spending: Spending) -> Spending:
    """Return the costs; warn about prices that may be wrong, at the line that called us."""
    priced = spending.priced
    notes = [guess_note(priced.guessed_models)]
    if priced.newest is not None:
        version, changed = str(priced.source["version"]), str(priced.source["date"])
        newest = from_micros(priced.newest).date()
        notes.append(age_note(version, date.fromisoformat(changed), newest))
    for note in notes:
        if note is not None:
            warnings.warn(note, PriceWarning, stacklevel=level_of_caller())
    return spending


def token_costs(
    df: pd.DataFrame,
    by: ColumnNames = ("model",),
    freq: str | None = None,
    currency: str = "USD",
    prices: Prices | None = None,
    tz: Zone = None,
    offset: Length | None = None,
) -> pd.DataFrame:
    """Return token counts and their cost.

    Dollars are those reported by the agent, or else computed from the price of the model at that
    time. Tokens without a price do not count as free: see unpriced_tokens and ``attrs``.

    Args:
        df: events; needs timestamp, model, input_tokens, output_tokens and the columns of ``by``,
            and uses the other kinds of tokens, cost_tokens, cost_usd, speed, service_tier,
            inference_geo and web_searches.
        by, freq, tz, offset: as for ``tool_counts``.
        currency: only ``"USD"``, the currency of the prices.
        prices: your own prices, as ``{"my-model": {"input": 3.0, "output": 15.0, "cache_read": 0.3,
            "cache_write_5m": 3.75, "cache_write_1h": 6.0}}`` in US dollars per million tokens.

    Returns:
        One row per group with tokens or dollars, sorted by the keys: timestamp if ``freq`` is
        given, the columns of ``by``, answers (int64: events with tokens or dollars), input
        (uncached), cache_read, cache_write_5m, cache_write_1h, output and total (int64; total is
        cost_tokens, or else the sum of the kinds), cache_hit_rate (float64: share of the tokens
        sent to the model that were read from its cache; NaN without any), usd (float64; NaN if
        nothing has a price), unpriced_tokens (int64: tokens of total without a price).
        ``attrs["unknown_models"]`` lists the models without a price, with the terms of the requests
        if only these have none; ``attrs["guessed_models"]`` those priced by a model whose name
        begins the same; ``attrs["prices"]`` has source, version, date of the latest change and
        age_days of the price table.

    Raises:
        InvalidEvent: a column is missing, or ``freq``, ``currency`` or ``prices`` is invalid.

    >>> costs = token_costs(example())
    >>> costs[["model", "input", "output", "total", "usd", "unpriced_tokens"]]
                 model  input  output  total    usd  unpriced_tokens
    0  claude-opus-4-5   1000     200   5200  0.012                0
    1         my-model    500     100    600    NaN              600
    >>> costs.attrs["unknown_models"]
    ['my-model']
    """
    by = as_tuple(by)
    df = require_columns(df, "token_costs", *COST_COLUMNS, *by)
    if currency.upper() != "USD":
        raise InvalidEvent(
            f"currency: expected 'USD', got {shorten(currency)}; multiply the column usd by a rate",
            "currency",
        )
    return cost_table(df, compute_spending(df, prices), by, freq, tz, offset)


def cost_table(
    df: pd.DataFrame,
    spending: Spending,
    by: Sequence[str],
    freq: str | None = None,
    tz: Zone = None,
    offset: Length | None = None,
) -> pd.DataFrame:
    """Return the result of ``token_costs`` for the costs of a frame.

    Args:
        spending: what ``compute_spending`` returned for ``df``.
        by, freq, tz, offset: as for ``group_rows``.
    """
    groups = group_rows(df, by, freq, spending.rows, tz, offset)
    kinds = {
        kind: groups.total_count(counts)
        for kind, counts in zip(TOKEN_KINDS, spending.tokens.kinds, strict=True)
    }
    table = groups.with_columns(
        answers=groups.count(),
        **kinds,
        total=groups.total_count(spending.tokens.total),
        cache_hit_rate=cache_hit_rate(kinds),
        **spending.dollars(groups),
    )
    table.attrs.update(spending.attrs())
    return table


def cache_hit_rate(kinds: Mapping[str, IntArray]) -> FloatArray:
    """Return the share of cached tokens of all tokens sent to the model; NaN if none were sent.

    Args:
        kinds: counts by kind of TOKEN_KINDS.
    """
    sent = np.sum([kinds[kind] for kind in TOKEN_KINDS if kind != "output"], axis=0)
    rate: FloatArray = np.where(sent > 0, kinds["cache_read"] / np.maximum(sent, 1), np.nan)
    return rate


def burn_rate(df: pd.DataFrame, window: Length, prices: Prices | None = None) -> pd.DataFrame:
    """Return the rate of tokens and dollars over a sliding window.

    Args:
        df: as for ``token_costs``.
        window: length of the window that ends at each timestamp, as ``"1h"``, ``"7d"`` or a
            timedelta. Time before the first event counts as zero.
        prices: as for ``token_costs``.

    Returns:
        One row per timestamp with tokens or dollars, and one for the newest timestamp of the frame:
        timestamp (in the time zone of ``df``), tokens_per_hour, usd_per_hour,
        unpriced_tokens_per_hour (float64: tokens whose price is unknown, not in usd_per_hour).
        ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, or ``window`` is invalid.

    >>> burn_rate(example(), "1h").tail(1).drop(columns="timestamp")
       tokens_per_hour  usd_per_hour  unpriced_tokens_per_hour
    1           5800.0         0.012                     600.0
    """
    df = require_columns(df, "burn_rate", *COST_COLUMNS)
    window_us = positive_length(window, "window")
    spending = compute_spending(df, prices)
    micros = timestamp_micros(df)
    times = micros[spending.rows]
    order = np.argsort(times, kind="stable")
    times = times[order]
    # Sorting takes a third of the time of np.unique, which builds a hash table.
    steps = np.sort(np.append(times, micros.max())) if len(micros) else times
    steps = steps[np.append(True, steps[1:] != steps[:-1])[: len(steps)]]
    rates = {
        name: _rate(times, values[order], steps, window_us)
        for name, values in (
            ("tokens_per_hour", spending.tokens.total.astype(np.float64)),
            ("usd_per_hour", np.nan_to_num(spending.priced.usd)),
            ("unpriced_tokens_per_hour", spending.unpriced_tokens()),
        )
    }
    table = pd.DataFrame({"timestamp": to_datetimes(steps, time_zone(df)), **rates})
    table.attrs.update(spending.attrs())
    return table


def _rate(times: IntArray, values: FloatArray, steps: IntArray, window_us: int) -> FloatArray:
    sums = np.append(0.0, np.cumsum(values))
    last = np.searchsorted(times, steps, side="right")
    first = np.searchsorted(times, steps - window_us, side="right")
    rate: FloatArray = (sums[last] - sums[first]) * (_HOUR / window_us)
    return rate


def forecast_budget(
    df: pd.DataFrame,
    budget: float,
    until: str | date | np.datetime64,
    prices: Prices | None = None,
) -> pd.DataFrame:
    """Return whether a budget lasts if spending continues at the average rate of the frame.

    The average is over the whole time from the first event to the last one, including nights.

    Args:
        df: as for ``token_costs``; all its costs count against the budget.
        budget: US dollars.
        until: end of the budget: an ISO string, datetime or date; without a zone it is local.
        prices: as for ``token_costs``.

    Returns:
        One row: budget, spent, remaining, usd_per_hour, projected (float64: dollars spent by
        ``until``), exhausted_at (datetime64[us] in the time zone of ``df``: when the budget is or
        was used up; NaT if spending stopped), within_budget (bool), unpriced_tokens (int64: tokens
        without a price, not included). ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, or ``budget`` or ``until`` is invalid.

    >>> forecast = forecast_budget(example(), 1.0, "2026-01-15T00:00Z")
    >>> forecast[["spent", "usd_per_hour", "projected", "within_budget"]].round(4)
       spent  usd_per_hour  projected  within_budget
    0  0.012         0.144       1.32          False
    """
    df = require_columns(df, "forecast_budget", *COST_COLUMNS)
    budget = check_budget(budget)
    end = parse_micros(until, "until")
    return forecast_spending(df, compute_spending(df, prices), budget, end)


def forecast_spending(
    df: pd.DataFrame, spending: Spending, budget: float, end: int
) -> pd.DataFrame:
    """Return the forecast of ``forecast_budget`` for costs that are computed already.

    Args:
        spending: the costs of ``df``.
        end: end of the budget, microseconds since 1970 UTC.
    """
    micros = timestamp_micros(df)
    usd = float(np.nansum(spending.priced.usd))
    first, now = (int(micros.min()), int(micros.max())) if len(micros) else (0, 0)
    rate = usd / (now - first) if now > first else 0.0
    left = budget - usd
    exhausted = now + left / rate if rate else np.inf
    if left < 0:
        exhausted = _time_exceeded(micros[spending.rows], spending.priced.usd, budget)
    unpriced = int(spending.unpriced_tokens().sum())
    projected = usd + rate * max(end - now, 0)
    nat = np.iinfo(np.int64).min
    exhausted_at = np.array([exhausted if exhausted < _MAX_TIME else nat]).astype(np.int64)
    table = pd.DataFrame(
        {
            "budget": [budget],
            "spent": [usd],
            "remaining": [left],
            "usd_per_hour": [rate * _HOUR],
            "projected": [projected],
            "exhausted_at": to_datetimes(exhausted_at, time_zone(df)),
            "within_budget": [projected <= budget],
            "unpriced_tokens": [unpriced],
        }
    )
    table.attrs.update(spending.attrs())
    return table


def check_budget(budget: Any) -> float:
    """Return a budget in US dollars.

    Raises:
        InvalidEvent: no number, or a negative one.
    """
    is_number = isinstance(budget, Real | Decimal) and not isinstance(budget, bool)
    if not is_number or not float(budget) >= 0:
        raise InvalidEvent(
            f"budget: expected US dollars >= 0, got {shorten(str(budget))}", "budget"
        )
    return float(budget)


def _time_exceeded(times: IntArray, usd: FloatArray, budget: float) -> int:
    """Return the time at which the sum of ``usd`` exceeds ``budget``."""
    order = np.argsort(times, kind="stable")
    sums = np.cumsum(np.nan_to_num(usd[order]))
    index = int(np.searchsorted(sums, budget, side="right"))
    return int(times[order][min(index, len(times) - 1)])


def spending_columns(spending: Spending, groups: Groups) -> dict[str, Any]:
    """Return the columns tokens, usd and unpriced_tokens of groups of all rows of a frame."""
    ids = groups.ids[spending.rows]
    part = Groups(groups.keys, ids)
    return {"tokens": part.total_count(spending.tokens.total), **spending.dollars(part)}
