"""Tokens and US dollars: what was spent, how fast, and how long a budget lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..core.timestamps import to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent
from ..pricing.prices import PricedCompletions, Prices, price_completions
from .columns import (
    TOKEN_KINDS,
    ColumnNames,
    FloatArray,
    IntArray,
    TokenRows,
    as_tuple,
    encode_column,
    float_column,
    parse_micros,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    token_rows,
)
from .grouping import Groups, RowIndices, group_rows

COST_COLUMNS = ("timestamp", "model", "input_tokens", "output_tokens")
_HOUR = 3_600_000_000


class Spending(NamedTuple):
    """What the rows of a frame spent.

    Attributes:
        tokens: the rows with tokens or dollars, and their tokens.
        priced: what they cost, one per row of ``tokens``.
    """

    tokens: TokenRows
    priced: PricedCompletions

    @property
    def rows(self) -> RowIndices:
        """Positions in the frame."""
        return self.tokens.rows

    def dollars(self, groups: Groups) -> dict[str, Any]:
        """Return the columns usd and unpriced_tokens of groups of ``rows``.

        usd is NaN where tokens were spent and none has a price, or where nothing was spent.
        """
        usd = self.priced.usd
        known = ~np.isnan(usd)
        ids, n = groups.ids, len(groups.keys)
        found = np.bincount(ids[known], weights=usd[known], minlength=n)
        left = np.bincount(ids[~known], weights=self.tokens.total[~known], minlength=n)
        has_price = np.bincount(ids[known], minlength=n) > 0
        return {
            "usd": np.where(has_price, found, np.nan),
            "unpriced_tokens": np.rint(left).astype(np.int64),
        }

    def attrs(self) -> dict[str, Any]:
        """Return what the dollars rest on, for ``DataFrame.attrs``."""
        return {"prices": self.priced.source, "unknown_models": self.priced.unknown_models}


def compute_spending(df: pd.DataFrame, prices: Prices | None = None) -> Spending:
    """Return what a frame's rows spent; each counts once, as it is stored."""
    found = token_rows(df)
    part = df[[name for name in ("model", "timestamp", "cost_usd") if name in df.columns]]
    part = part.take(found.rows)
    models = encode_column(part, "model")
    priced = price_completions(
        [str(name) for name in models.values],
        models.codes,
        timestamp_micros(part),
        found.kinds,
        float_column(part, "cost_usd"),
        prices,
    )
    return Spending(found, priced)


def token_costs(
    df: pd.DataFrame,
    by: ColumnNames = ("model",),
    freq: str | None = None,
    currency: str = "USD",
    prices: Prices | None = None,
) -> pd.DataFrame:
    """Return the tokens that were spent and what they cost.

    Dollars are those that the agent itself reported, else the price of that model at that time.
    What has no price is not counted as free: see unpriced_tokens and ``attrs``.

    Args:
        df: events; needs timestamp, model, input_tokens, output_tokens and the columns of ``by``,
            and uses the other kinds of tokens, cost_tokens and cost_usd.
        by, freq: as for ``tool_counts``.
        currency: only ``"USD"``: the prices are in it, and rates of exchange are not bundled.
        prices: own prices, as ``{"my-model": {"input": 3.0, "output": 15.0, "cache_read": 0.3,
            "cache_write_5m": 3.75, "cache_write_1h": 6.0}}`` in US dollars per million tokens.

    Returns:
        One row a group that spent something, in the order of the keys: timestamp if ``freq`` is
        given, the columns of ``by``, answers (int64: events with tokens or dollars), input (not
        cached), cache_read, cache_write_5m, cache_write_1h, output and total (int64; total is
        cost_tokens, else the sum of the kinds), usd (float64; NaN where nothing has a price),
        unpriced_tokens (int64: of total, those that usd leaves out). ``attrs["unknown_models"]``
        lists the models without a price, ``attrs["prices"]`` has source, version and date of the
        price table.

    Raises:
        InvalidEvent: a column is missing, or ``freq``, ``currency`` or ``prices`` do not fit.

    >>> costs = token_costs(example())
    >>> costs[["model", "input", "output", "total", "usd", "unpriced_tokens"]]
                 model  input  output  total    usd  unpriced_tokens
    0  claude-opus-4-5   1000     200   5200  0.012                0
    1         my-model    500     100    600    NaN              600
    >>> costs.attrs["unknown_models"]
    ['my-model']
    """
    by = as_tuple(by)
    require_columns(df, "token_costs", *COST_COLUMNS, *by)
    if currency.upper() != "USD":
        raise InvalidEvent(
            f"currency is {shorten(currency)}, expected 'USD'; multiply the column usd by a rate",
            "currency",
        )
    found = compute_spending(df, prices)
    groups = group_rows(df, by, freq, found.rows)
    kinds = {
        kind: groups.total_count(counts)
        for kind, counts in zip(TOKEN_KINDS, found.tokens.kinds, strict=True)
    }
    table = groups.with_columns(
        answers=groups.count(),
        **kinds,
        total=groups.total_count(found.tokens.total),
        **found.dollars(groups),
    )
    table.attrs.update(found.attrs())
    return table


def burn_rate(
    df: pd.DataFrame, window: str | pd.Timedelta, prices: Prices | None = None
) -> pd.DataFrame:
    """Return how fast tokens and dollars were spent in the time before each moment.

    Args:
        df: as for ``token_costs``.
        window: how much time before the moment counts, as ``"1h"``; what lies before the frame
            counts as nothing.
        prices: as for ``token_costs``.

    Returns:
        One row a moment at which something was spent, and the newest timestamp of the frame:
        timestamp (in the time zone of ``df``), tokens_per_hour, usd_per_hour (float64; what has no
        price is left out; ``attrs`` as of ``token_costs``).

    Raises:
        InvalidEvent: a column is missing, or ``window`` is no length of time.

    >>> burn_rate(example(), "1h").tail(1)[["tokens_per_hour", "usd_per_hour"]]
       tokens_per_hour  usd_per_hour
    1           5800.0         0.012
    """
    require_columns(df, "burn_rate", *COST_COLUMNS)
    span = _span(window)
    found = compute_spending(df, prices)
    moments = timestamp_micros(df)
    at = moments[found.rows]
    order = np.argsort(at, kind="stable")
    at = at[order]
    steps = np.unique(np.append(at, moments.max())) if len(moments) else at
    rates = {
        name: _rate(at, values[order], steps, span)
        for name, values in (
            ("tokens_per_hour", found.tokens.total.astype(np.float64)),
            ("usd_per_hour", np.nan_to_num(found.priced.usd)),
        )
    }
    table = pd.DataFrame({"timestamp": to_datetimes(steps, time_zone(df)), **rates})
    table.attrs.update(found.attrs())
    return table


def _rate(at: IntArray, values: FloatArray, steps: IntArray, span: int) -> FloatArray:
    sums = np.append(0.0, np.cumsum(values))
    last = np.searchsorted(at, steps, side="right")
    first = np.searchsorted(at, steps - span, side="right")
    rate: FloatArray = (sums[last] - sums[first]) * (_HOUR / span)
    return rate


def _span(window: str | pd.Timedelta) -> int:
    try:
        span = pd.Timedelta(window) // timedelta(microseconds=1)
    except (ValueError, TypeError):
        span = 0
    if span < 1:
        raise InvalidEvent(
            f"window is {shorten(str(window))}, expected a length of time as 30min or 1h", "window"
        )
    return span


def forecast_budget(
    df: pd.DataFrame,
    budget: float,
    until: str | datetime | pd.Timestamp,
    prices: Prices | None = None,
) -> pd.DataFrame:
    """Return whether a budget lasts, if spending goes on as on average over the frame.

    The average is over the whole time from the first event to the newest, nights included.

    Args:
        df: as for ``token_costs``; all that it spent counts against the budget.
        budget: US dollars.
        until: an ISO text or a datetime, naive ones local: when the budget ends.
        prices: as for ``token_costs``.

    Returns:
        One row: budget, spent, remaining, usd_per_hour, projected (float64: dollars spent by
        ``until``), exhausted_at (datetime64[us] in the time zone of ``df``: when the budget is or
        was spent; NaT where spending does not go on), within_budget (bool), unpriced_tokens
        (int64: tokens that it leaves out). ``attrs`` as of ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, or ``budget`` or ``until`` cannot be read.

    >>> found = forecast_budget(example(), 1.0, "2026-01-15T00:00Z")
    >>> found[["spent", "usd_per_hour", "projected", "within_budget"]].round(4)
       spent  usd_per_hour  projected  within_budget
    0  0.012         0.144       1.32          False
    """
    require_columns(df, "forecast_budget", *COST_COLUMNS)
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget >= 0:
        raise InvalidEvent(f"budget is {shorten(str(budget))}, expected US dollars", "budget")
    end = parse_micros(until, "until")
    found = compute_spending(df, prices)
    moments = timestamp_micros(df)
    usd = float(np.nansum(found.priced.usd))
    first, now = (int(moments.min()), int(moments.max())) if len(moments) else (0, 0)
    rate = usd / (now - first) if now > first else 0.0
    left = budget - usd
    spent_up = now + left / rate if rate else np.inf
    if left < 0:
        spent_up = _passed(moments[found.rows], found.priced.usd, budget)
    unpriced = int(found.tokens.total[np.isnan(found.priced.usd)].sum())
    projected = usd + rate * max(end - now, 0)
    at = np.array([spent_up if spent_up < _LAST else np.iinfo(np.int64).min]).astype(np.int64)
    table = pd.DataFrame(
        {
            "budget": [float(budget)],
            "spent": [usd],
            "remaining": [left],
            "usd_per_hour": [rate * _HOUR],
            "projected": [projected],
            "exhausted_at": to_datetimes(at, time_zone(df)),
            "within_budget": [projected <= budget],
            "unpriced_tokens": [unpriced],
        }
    )
    table.attrs.update(found.attrs())
    return table


def _passed(at: IntArray, usd: FloatArray, budget: float) -> int:
    order = np.argsort(at, kind="stable")
    sums = np.cumsum(np.nan_to_num(usd[order]))
    place = int(np.searchsorted(sums, budget, side="right"))
    return int(at[order][min(place, len(at) - 1)])


_LAST = to_micros(datetime(9999, 1, 1, tzinfo=UTC))


def spending_columns(found: Spending, groups: Groups) -> dict[str, Any]:
    """Return the columns tokens, usd and unpriced_tokens of groups of all rows of a frame."""
    ids = groups.ids[found.rows]
    part = Groups(groups.keys, ids)
    return {"tokens": part.total_count(found.tokens.total), **found.dollars(part)}
