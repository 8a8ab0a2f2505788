"""Agents that make the same tool call again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.validation import format_value
from ..errors import InvalidEvent
from ..pricing.prices import Prices
from .agent_labels import agent_order
from .agent_rows import last_until, ranges_of
from .columns import (
    BoolArray,
    FloatArray,
    IntArray,
    encode_column,
    error_mask,
    float_column,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    tool_mask,
)
from .costs import Spending, compute_spending
from .grouping import RowIndices
from .periods import positive_length

_KINDS = pd.CategoricalDtype(["repeat", "ping_pong"])


def loops(
    df: pd.DataFrame,
    min_count: int = 3,
    window: str | timedelta = "10min",
    apart: int = 0,
    prices: Prices | None = None,
) -> pd.DataFrame:
    """Return where agents made the same tool call again and again.

    Two calls are the same if agent, tool and ``input_hash`` are. A call without ``input_hash``, as
    in histories of earlier versions, is the same as no other. Repetition is not always a mistake:
    an agent that waits for a build repeats a call, too. Look at the errors.

    Args:
        df: events; needs agent_id, timestamp, event_type and tool_name, and uses input_hash, seq,
            status and the columns that ``token_costs`` uses.
        min_count: smallest number of calls of a loop, at least 2.
        window: longest time between a call and the same one before it.
        apart: number of other calls of the agent that may lie between the two.
        prices: as for ``token_costs``.

    Returns:
        One row per loop, sorted by its first call: agent_id and tool_name (as in ``df``), kind
        (category: repeat: the same call; ping_pong: two calls in turns, ``min_count`` times or
        more, with at least as many errors), other_tool_name (as tool_name; of the second call of a
        ping_pong), input_hash (Int64: of the first call), first and last (datetime64[us]: end of
        its first and last call), count, errors (int64: its calls, and those that failed), tokens
        (int64), usd (float64; NaN if nothing has a price) and unpriced_tokens (int64) of the
        agent's answers after the first call up to the last one. ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, or ``min_count``, ``window`` or ``apart`` is invalid.

    >>> again = pd.concat([example()] * 3).assign(input_hash=7)
    >>> loops(again)[["agent_id", "tool_name", "kind", "count", "errors"]].tail(2)
       agent_id tool_name    kind  count  errors
    3  claude-1      Edit  repeat      3       0
    4   codex-1      Bash  repeat      3       3
    """
    df = require_columns(df, "loops", "agent_id", "timestamp", "event_type", "tool_name")
    _check_count(min_count, "min_count", 2)
    _check_count(apart, "apart", 0)
    window_us = positive_length(window, "window")
    calls = _calls(df)
    kinds = (_repeats(calls, window_us, min_count, apart), _ping_pongs(calls, window_us, min_count))
    first, last = (np.concatenate([kind[n] for kind in kinds]) for n in (0, 1))
    count = np.concatenate([kind[2] for kind in kinds])
    is_pair = np.repeat([0, 1], [len(kind[0]) for kind in kinds])
    errors = np.concatenate([kind[3] for kind in kinds])
    order = np.lexsort((first, calls.at[first]))
    first, last, count = first[order], last[order], count[order]
    is_pair, errors = is_pair[order], errors[order]
    zone = time_zone(df)
    spending = compute_spending(df, prices)
    tools = df["tool_name"].take(calls.rows)
    table = pd.DataFrame(
        {
            "agent_id": df["agent_id"].take(calls.rows[first]).reset_index(drop=True),
            "tool_name": tools.take(first).reset_index(drop=True),
            "kind": pd.Categorical.from_codes(is_pair, dtype=_KINDS),
            "other_tool_name": tools.take(first + is_pair).reset_index(drop=True),
            "input_hash": pd.array(calls.hashes[first], dtype="Int64"),
            "first": to_datetimes(calls.at[first], zone),
            "last": to_datetimes(calls.at[last], zone),
            "count": count,
            "errors": errors,
            **_spent(df, spending, calls.rows[first], calls.rows[last]),
        }
    )
    table["other_tool_name"] = table["other_tool_name"].mask(is_pair == 0)
    table.attrs.update(spending.attrs())
    return table


def _check_count(value: object, name: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidEvent(
            f"{name}: expected a whole number from {least} on, got {format_value(value)}", name
        )


class _Calls(NamedTuple):
    """The tool calls of all agents that ended, by agent and time.

    Attributes:
        rows: position in the frame.
        agents, tools: codes of the names.
        hashes: ``input_hash``; -1: none.
        at: microseconds since 1970 UTC.
        failed: whether the call failed.
    """

    rows: RowIndices
    agents: IntArray
    tools: IntArray
    hashes: IntArray
    at: IntArray
    failed: BoolArray

    def equal(self, some: IntArray, others: IntArray) -> BoolArray:
        """Return whether calls are the same as others, both given as indices."""
        same: BoolArray = self.hashes[some] >= 0
        for column in (self.agents, self.tools, self.hashes):
            same = same & (column[some] == column[others])
        return same


_Found = tuple[IntArray, IntArray, IntArray, IntArray]
"""First and last call of each loop, as indices into _Calls, and its numbers of calls and errors."""


def _calls(df: pd.DataFrame) -> _Calls:
    order = agent_order(df)
    rows = order[tool_mask(df)[order]]
    hashes = np.nan_to_num(float_column(df, "input_hash")[rows], nan=-1.0)
    return _Calls(
        rows,
        encode_column(df, "agent_id").codes[rows].astype(np.int64),
        encode_column(df, "tool_name").codes[rows].astype(np.int64),
        # Exact, because hashes are below 2^53.
        hashes.astype(np.int64),
        timestamp_micros(df)[rows],
        error_mask(df)[rows],
    )


def _repeats(calls: _Calls, window_us: int, min_count: int, apart: int) -> _Found:
    """Return the runs of the same call."""
    known = np.flatnonzero(calls.hashes >= 0)
    columns = (calls.hashes, calls.tools, calls.agents)
    calls_by_key = known[np.lexsort((known, *(column[known] for column in columns)))]
    before, after = calls_by_key[:-1], calls_by_key[1:]
    follows = calls.equal(after, before) & (after - before <= apart + 1)
    follows &= calls.at[after] - calls.at[before] <= window_us
    begins = np.flatnonzero(np.append(True, ~follows)[: len(calls_by_key)])
    count = np.diff(np.append(begins, len(calls_by_key)))
    failed = np.append(0, np.cumsum(calls.failed[calls_by_key]))
    errors = failed[begins + count] - failed[begins]
    kept = count >= min_count
    first, last = calls_by_key[begins], calls_by_key[begins + count - 1]
    return first[kept], last[kept], count[kept], errors[kept]


def _ping_pongs(calls: _Calls, window_us: int, min_count: int) -> _Found:
    """Return the runs of two calls that take turns and fail."""
    rows = np.arange(2, max(len(calls.rows), 2))
    again = calls.equal(rows, rows - 2) & ~calls.equal(rows, rows - 1)
    again &= (calls.agents[rows] == calls.agents[rows - 1]) & (calls.hashes[rows - 1] >= 0)
    again &= calls.at[rows] - calls.at[rows - 2] <= window_us
    edges = np.diff(np.concatenate([[0], again.astype(np.int8), [0]]))
    first = np.flatnonzero(edges == 1)
    last = np.flatnonzero(edges == -1) + 1
    count = last - first + 1
    failed = np.append(0, np.cumsum(calls.failed))
    errors = failed[last + 1] - failed[first] if len(first) else count
    kept = (count >= 2 * min_count - 1) & (errors >= min_count)
    return first[kept], last[kept], count[kept], errors[kept]


def _spent(
    df: pd.DataFrame, spending: Spending, first: RowIndices, last: RowIndices
) -> dict[str, Any]:
    """Return tokens, usd and unpriced_tokens of an agent's answers between two of its rows."""
    agents, micros = encode_column(df, "agent_id").codes, timestamp_micros(df)
    order = np.lexsort((micros[spending.rows], agents[spending.rows]))
    rows = spending.rows[order]
    starts, ends = ranges_of(agents[rows], agents[first])
    low, high = (
        np.where(found < 0, starts, found + 1)
        for found in (
            last_until(micros[rows], starts, ends, micros[bound]) for bound in (first, last)
        )
    )

    def total(values: npt.NDArray[Any]) -> FloatArray:
        sums = np.append(0, np.cumsum(values[order]))
        between: FloatArray = (sums[high] - sums[low]).astype(np.float64)
        return between

    tokens, usd = spending.tokens.total, spending.priced.usd
    known = ~np.isnan(usd)
    return {
        "tokens": total(tokens).astype(np.int64),
        "usd": np.where(total(known) > 0, total(np.nan_to_num(usd)), np.nan),
        "unpriced_tokens": total(np.where(known, 0, tokens)).astype(np.int64),
    }
