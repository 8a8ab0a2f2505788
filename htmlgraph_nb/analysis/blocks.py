"""Windows of usage limits: five hours from the first answer, or weeks up to a reset."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ..local_zone import Zone
from ..pricing.prices import Prices
from .agent_rows import last_until, ranges_of
from .columns import (
    TOKEN_KINDS,
    BoolArray,
    ColumnNames,
    FloatArray,
    IntArray,
    as_tuple,
    encode_column,
    float_column,
    require_columns,
    timestamp_micros,
    to_datetimes,
    to_timedeltas,
)
from .costs import COST_COLUMNS, compute_spending
from .grouping import Groups, group_rows, period_zone
from .local_times import parse_micros
from .periods import Length, positive_length

_HOUR = 3_600_000_000
_NAT = np.iinfo(np.int64).min
_QUOTA_COLUMNS = ("account", "minutes", "used_percent", "timestamp")


def blocks(
    df: pd.DataFrame,
    length: Length = "5h",
    by: ColumnNames = ("agent_kind",),
    prices: Prices | None = None,
    *,
    resets_at: str | datetime | None = None,
    exact: bool = False,
    quotas: pd.DataFrame | None = None,
    now: str | datetime | None = None,
    tz: Zone = None,
) -> pd.DataFrame:
    """Return tokens and dollars in the windows in which plans limit the use of an account.

    A window begins with the first answer after the last window, and has a fixed length. Its start
    is the full hour before that answer (UTC), as ccusage counts the five hours of Claude's plans.
    With ``resets_at`` windows follow each other without gaps, and one of them ends at that time.

    Args:
        df: as for ``token_costs``; of all machines that use the account.
        length: length of a window, such as ``"5h"`` or ``"7d"``.
        by: columns whose values have windows of their own, such as ``"user"``; (): all answers
            share the windows.
        prices: as for ``token_costs``.
        resets_at: end of one window, such as ``quotas["resets_at"].max()`` or "2026-03-05T17:00";
            naive times are local. None: windows begin with an answer.
        exact: begin at the answer itself, not at the full hour, as windows of less than an hour do.
        quotas: reports of limits, as ``load_quotas`` returns them; those of the same length, and of
            the account that equals ``agent_kind`` if that is in ``by``, are shown.
        now: time of the forecast; naive times are local. None: the newest timestamp of ``df``.
        tz: time zone of the times in the result. None: that of ``timestamp``.

    Returns:
        One row per window with answers, sorted by the keys and start: the columns of ``by`` (as in
        ``df``), start and end (datetime64[us], in the zone of ``tz``; an answer at ``end`` is
        in the next window), first and last (datetime64[us]: its first and last answer), open (bool:
        ``now`` is before its end), remaining (timedelta64[us]: from ``now`` to its end), answers
        (int64: events with tokens or dollars), input, cache_read, cache_write_5m, cache_write_1h,
        output and tokens (int64), usd (float64; NaN if nothing has a price), unpriced_tokens
        (int64: tokens whose price is unknown, not in usd), tokens_per_hour and usd_per_hour
        (float64: averages from the first answer to the last one, or to ``now`` while the window is
        open; NaN if that is no time), forecast_tokens and forecast_usd (float64: at the end, if it
        goes on like that; of a window that is over, its totals). With ``quotas`` also used_percent
        (float64: last report in the window; NaN without one) and forecast_percent (float64: at the
        end). ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, or a length or time is invalid.

    >>> blocks(example(), by=())[["start", "answers", "tokens", "open", "forecast_tokens"]]
                          start  answers  tokens  open  forecast_tokens
    0 2026-01-14 14:00:00+00:00        2    5800  True        1426800.0
    """
    by = as_tuple(by)
    df = require_columns(df, "blocks", *COST_COLUMNS, *by)
    zone = period_zone(df, tz)
    length_us = positive_length(length, "length")
    micros = timestamp_micros(df)
    until = int(micros.max(initial=0)) if now is None else parse_micros(now, "now")
    spending = compute_spending(df, prices)
    groups = group_rows(df, by, None, spending.rows)
    times = micros[spending.rows]
    order = np.lexsort((times, groups.ids))
    ids, at = groups.ids[order], times[order]
    if resets_at is None:
        step = 1 if exact or length_us < _HOUR else _HOUR
        begins, starts = _from_answers(ids, at, length_us, step)
    else:
        begins, starts = _anchored(ids, at, length_us, parse_micros(resets_at, "resets_at"))
    rows = np.flatnonzero(begins)
    keys = groups.keys.take(ids[rows]).reset_index(drop=True)
    block_ids = np.empty(len(order), np.int64)
    block_ids[order] = np.cumsum(begins) - 1
    windows = Groups(keys, block_ids)
    ends = starts + length_us
    lasts = np.append(rows[1:], len(at))[: len(rows)] - 1
    first, last = at[rows], at[lasts]
    is_open = (starts <= until) & (until < ends)
    kinds = zip(TOKEN_KINDS, spending.tokens.kinds, strict=True)
    table = windows.with_columns(
        start=to_datetimes(starts, zone),
        end=to_datetimes(ends, zone),
        first=to_datetimes(first, zone),
        last=to_datetimes(last, zone),
        open=is_open,
        remaining=to_timedeltas(np.where(is_open, ends - until, 0)),
        answers=windows.count(),
        **{kind: windows.total_count(counts) for kind, counts in kinds},
        tokens=windows.total_count(spending.tokens.total),
        **spending.dollars(windows),
    )
    hours = (np.where(is_open, until, last) - first) / _HOUR
    left = np.where(is_open, ends - until, 0) / _HOUR
    for name in ("tokens", "usd"):
        table[f"{name}_per_hour"] = _rate(table[name].to_numpy(), hours)
    for name in ("tokens", "usd"):
        rate = table[f"{name}_per_hour"].to_numpy()
        table[f"forecast_{name}"] = table[name] + np.where(is_open, rate * left, 0.0)
    if quotas is not None:
        reported = _reports(quotas, keys, starts, length_us)
        table["used_percent"], since = reported
        hours = (since - first) / _HOUR
        more = _rate(table["used_percent"].to_numpy(), hours) * (ends - since) / _HOUR
        table["forecast_percent"] = table["used_percent"] + np.where(is_open, more, 0.0)
    table.attrs.update(spending.attrs())
    return table


def _from_answers(
    ids: IntArray, at: IntArray, length_us: int, step_us: int
) -> tuple[BoolArray, IntArray]:
    """Return whether an answer is the first of its window, and the starts of the windows.

    Args:
        ids: group of each answer, in order.
        at: its time, in order within the group.
        step_us: windows begin at a multiple of this.
    """
    begins = np.zeros(len(ids), np.bool_)
    rows = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])[: len(ids)])
    ends = np.append(rows[1:], len(ids))[: len(rows)]
    while len(rows):
        # The next window of every group that has one.
        begins[rows] = True
        start = at[rows] // step_us * step_us
        rows = last_until(at, rows, ends, start + length_us - 1) + 1
        rows, ends = rows[rows < ends], ends[rows < ends]
    return begins, at[begins] // step_us * step_us


def _anchored(
    ids: IntArray, at: IntArray, length_us: int, reset: int
) -> tuple[BoolArray, IntArray]:
    """Return as ``_from_answers``, for windows of which one ends at ``reset``."""
    numbers = (at - reset) // length_us
    begins = np.ones(len(ids), np.bool_)
    begins[1:] = (ids[1:] != ids[:-1]) | (numbers[1:] != numbers[:-1])
    return begins, numbers[begins] * length_us + reset


def _rate(values: Any, hours: FloatArray) -> FloatArray:
    rate: FloatArray = np.where(hours > 0, values / np.where(hours > 0, hours, 1.0), np.nan)
    return rate


def _reports(
    quotas: pd.DataFrame, keys: pd.DataFrame, starts: IntArray, length_us: int
) -> tuple[FloatArray, IntArray]:
    """Return the last reported use in each window, NaN without a report, and when it was."""
    quotas = require_columns(quotas, "blocks", *_QUOTA_COLUMNS)
    same = np.flatnonzero(float_column(quotas, "minutes") * 60_000_000 == length_us)
    part = quotas.take(same)
    accounts = encode_column(part, "account")
    wanted = np.zeros(len(keys), np.int64)
    codes = np.zeros(len(part), np.int64)
    if "agent_kind" in keys.columns:
        kinds = encode_column(keys, "agent_kind")
        names = pd.Index(accounts.values).astype(object)
        found = np.append(names.get_indexer(pd.Index(kinds.values).astype(object)), -1)
        wanted, codes = found[kinds.codes], accounts.codes.astype(np.int64)
    micros = timestamp_micros(part)
    order = np.lexsort((micros, codes))
    last = last_until(micros[order], *ranges_of(codes[order], wanted), starts + length_us - 1)
    known = (last >= 0) & (wanted >= 0)
    source = order[np.where(known, last, 0)] if len(order) else np.zeros(len(keys), np.int64)
    at = np.full(len(keys), _NAT)
    used = np.full(len(keys), np.nan)
    at[known] = micros[source[known]]
    known &= at >= starts
    used[known] = float_column(part, "used_percent")[source[known]]
    return used, np.where(known, at, starts)
