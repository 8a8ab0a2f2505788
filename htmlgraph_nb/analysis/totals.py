"""Totals per session, feature and agent: time, tool calls, errors, tokens and dollars."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ..core.roster import Limits
from ..core.validation import format_value
from ..errors import InvalidEvent
from ..pricing.prices import Prices
from .agent_labels import (
    agent_order,
    context_columns,
    fill_forward,
    last_labels,
    root_codes,
    time_order,
)
from .agent_rows import last_until, ranges_of
from .columns import (
    BoolArray,
    IntArray,
    column_isin,
    encode_column,
    error_mask,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    to_timedeltas,
    tool_mask,
)
from .costs import price_rows, spending_columns, with_warnings
from .grouping import Groups, distinct_codes, group_rows
from .intervals import REQUIRED_COLUMNS
from .status_intervals import TimelineStatus, status_intervals

Subagents = Literal["separate", "include"]
"""Whether subagents have rows of their own or count to the agent that started them."""


def sessions(
    df: pd.DataFrame,
    prices: Prices | None = None,
    subagents: Subagents = "separate",
    limits: Limits | None = None,
) -> pd.DataFrame:
    """Return the totals of each session of each agent.

    An event without a session belongs to the last session of its agent, as in the server.

    Args:
        df: events; needs agent_id, timestamp and event_type, and uses all other columns except
            host, cwd, worktree, user and pr.
        prices: as for ``token_costs``.
        subagents: "separate": each subagent has rows of its own. "include": the calls, errors,
            tokens, dollars and features of all its subagents count to the session in which the
            topmost agent was at that time; times and context are those of the topmost agent. A
            subagent whose topmost agent has no event in ``df`` keeps rows of its own.
        limits: as for ``timeline``.

    Returns:
        One row per session of an agent, sorted by start: agent_id and session_id (as in ``df``;
        missing for the events before an agent's first session), title, agent_kind, project and
        branch (as in ``df``: the last known of each), features (int64: number of features worked
        on), start and end (datetime64[us]: first and last event of the agent itself), wall
        (timedelta64[us]: end minus start), active, waiting and idle (timedelta64[us], as in
        ``timeline``, up to the newest timestamp of ``df``), tools, errors (int64: calls, and calls
        and turns that ended in an error), tokens (int64), usd (float64; NaN if nothing has a
        price), unpriced_tokens (int64: tokens whose price is unknown, not in usd), context_tokens
        and peak_context_tokens (Int64: last and highest number of tokens in the context of the
        model; missing if not reported). With ``subagents="include"`` also subagents (int64: their
        number). ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, or ``subagents`` is neither of the two.

    >>> sessions(example())[["agent_id", "session_id", "wall", "tools", "errors", "tokens"]]
       agent_id session_id            wall  tools  errors  tokens
    0  claude-1        s-1 0 days 00:05:00      3       0    5200
    1   codex-1        s-2 0 days 00:03:00      2       1     600
    """
    df = require_columns(df, "sessions", *REQUIRED_COLUMNS)
    filled = df.assign(session_id=fill_forward(df, "session_id"))
    keys = ("agent_id", "session_id")
    rolled_up = _rolled_up(filled, subagents)
    table = _totals(df, filled, filled, keys, ("feature_id",), prices, limits, rolled_up)
    return table.sort_values("start", kind="stable", ignore_index=True)


def features(
    df: pd.DataFrame, prices: Prices | None = None, limits: Limits | None = None
) -> pd.DataFrame:
    """Return the totals of the work on each feature.

    Calls and tokens are those of the events that name the feature. Times are those in which it was
    the last feature that an agent named.

    Args:
        df, prices, limits: as for ``sessions``.

    Returns:
        One row per feature, sorted by name, and a last one for work without a feature: feature_id
        (as in ``df``), agents, sessions (int64: number that worked on it), and start to
        unpriced_tokens as in ``sessions``.

    Raises:
        InvalidEvent: a column is missing, including feature_id.

    >>> features(example())[["feature_id", "agents", "active", "tools"]]
      feature_id  agents          active  tools
    0     feat-1       2 0 days 00:05:00      5
    """
    df = require_columns(df, "features", *REQUIRED_COLUMNS, "feature_id")
    filled = df.assign(feature_id=fill_forward(df, "feature_id"))
    return _totals(df, df, filled, ("feature_id",), ("agent_id", "session_id"), prices, limits)


def agents(
    df: pd.DataFrame,
    prices: Prices | None = None,
    subagents: Subagents = "separate",
    limits: Limits | None = None,
) -> pd.DataFrame:
    """Return the totals of each agent.

    Args:
        df, prices, limits: as for ``sessions``.
        subagents: "separate": each subagent has a row of its own. "include": as for ``sessions``,
            it counts to the topmost agent.

    Returns:
        One row per agent, sorted by id: agent_id (as in ``df``), title, agent_kind, project and
        branch (as in ``df``: the last known of each), sessions, features (int64: their numbers),
        and start to peak_context_tokens (with ``subagents="include"``: to subagents) as in
        ``sessions``.

    Raises:
        InvalidEvent: a column is missing, or ``subagents`` is neither of the two.

    >>> agents(example())[["agent_id", "active", "waiting", "tools", "tokens"]]
       agent_id          active         waiting  tools  tokens
    0  claude-1 0 days 00:02:00 0 days 00:02:00      3    5200
    1   codex-1 0 days 00:03:00 0 days 00:00:00      2     600
    """
    df = require_columns(df, "agents", *REQUIRED_COLUMNS)
    counted = ("session_id", "feature_id")
    rolled_up = _rolled_up(df, subagents)
    return _totals(df, df, df, ("agent_id",), counted, prices, limits, rolled_up)


def _rolled_up(df: pd.DataFrame, subagents: str) -> IntArray | None:
    """Return for each row the position of a row in whose session it counts; None: its own.

    That of a subagent's row is the last row of its topmost agent up to then, else its first row.
    """
    if check_subagents(subagents) == "separate":
        return None
    source = np.arange(len(df))
    roots, agents = root_codes(df), encode_column(df, "agent_id").codes
    moved = np.flatnonzero(roots != agents)
    order, micros = agent_order(df), timestamp_micros(df)
    firsts, ends = ranges_of(agents[order], roots[moved])
    last = last_until(micros[order], firsts, ends, micros[moved])
    source[moved] = order[np.where(last < 0, firsts, last)]
    return source


def check_subagents(subagents: str) -> str:
    """Return the argument, else raise InvalidEvent."""
    if subagents not in get_args(Subagents):
        raise InvalidEvent(
            f'subagents: expected "separate" or "include", got {format_value(subagents)}',
            "subagents",
        )
    return subagents


def _totals(
    df: pd.DataFrame,
    event_keys: pd.DataFrame,
    time_keys: pd.DataFrame,
    keys: Sequence[str],
    counted: Sequence[str],
    prices: Prices | None,
    limits: Limits | None,
    rolled_up: IntArray | None = None,
) -> pd.DataFrame:
    """Return a table with one row per group of ``keys``.

    Args:
        event_keys: has the columns ``keys`` by which the events are grouped.
        time_keys: has the columns ``keys`` by which the time after each event is grouped.
        counted: columns whose distinct values are counted.
        rolled_up: for each row, the position of the row with whose group its calls, errors,
            tokens and dollars count. None: with its own.
    """
    if event_keys is time_keys:
        own = timed = group_rows(event_keys, keys)
    else:
        both = group_rows(pd.concat([event_keys[list(keys)], time_keys[list(keys)]]), keys)
        own, timed = (Groups(both.keys, ids) for ids in np.split(both.ids, 2))
    spent = own if rolled_up is None else Groups(own.keys, own.ids[rolled_up])
    not_from_agent = column_isin(df, "source", "timer") | column_isin(
        df, "event_type", "offline", "forget"
    )
    labels: dict[str, Any] = {}
    context: dict[str, Any] = {}
    if "agent_id" in keys:
        order = time_order(df)
        labels, context = last_labels(df, _LABELS, own, order), context_columns(df, own, order)
    # Prices and times are independent of each other, and numpy uses one core.
    with ThreadPoolExecutor(1) as pool:
        priced = pool.submit(price_rows, df, prices)
        start, end = time_bounds(timestamp_micros(df), own, ~not_from_agent)
        times = _times(df, limits, timed)
        names = {
            _COUNTED[name]: _distinct(df, name, spent if name == "feature_id" else own)
            for name in counted
        }
        counts = {"tools": spent.count(tool_mask(df)), "errors": spent.count(error_mask(df))}
        spending = with_warnings(priced.result())
    zone = time_zone(df)
    table = own.with_columns(
        **labels,
        **names,
        start=to_datetimes(start, zone),
        end=to_datetimes(end, zone),
        wall=to_timedeltas(np.where(end == _NAT, _NAT, end - start)),
        **times,
        **counts,
        **spending_columns(spending, spent),
        **context,
    )
    has_time = (table[["active", "waiting", "idle"]] > pd.Timedelta(0)).any(axis=1)
    has_counts = (table[["tools", "errors", "tokens"]] > 0).any(axis=1)
    kept = table["start"].notna() | has_time | has_counts
    if rolled_up is not None:
        moved = np.flatnonzero(rolled_up != np.arange(len(df)))
        table["subagents"] = _distinct(df, "agent_id", spent, moved)
        kept &= spent.count() > 0
    table = table[kept].reset_index(drop=True)
    table.attrs.update(spending.attrs())
    return table


_COUNTED = {"agent_id": "agents", "session_id": "sessions", "feature_id": "features"}
_LABELS = ("title", "agent_kind", "project", "branch")
_NAT = np.iinfo(np.int64).min


def time_bounds(micros: IntArray, groups: Groups, rows: BoolArray) -> tuple[IntArray, IntArray]:
    """Return the first and the last time of each group's selected rows; NaT if it has none."""
    first = np.full(len(groups.keys), np.iinfo(np.int64).max)
    last = np.full(len(groups.keys), _NAT)
    ids, times = groups.ids[rows], micros[rows]
    np.minimum.at(first, ids, times)
    np.maximum.at(last, ids, times)
    return np.where(last == _NAT, _NAT, first), last


def _distinct(
    df: pd.DataFrame, column: str, groups: Groups, rows: IntArray | None = None
) -> IntArray:
    """Return the number of distinct names in a column for each group, of all rows or some."""
    codes, values = encode_column(df, column)
    ids, n_groups, size = groups.ids, len(groups.keys), len(values) + 1
    if size == 1:
        return np.zeros(n_groups, np.int64)
    if rows is not None:
        codes, ids = codes[rows], ids[rows]
    pairs = ids * size
    pairs += codes
    # A missing name is the first of its group.
    pairs += 1
    pairs = distinct_codes(pairs, n_groups * size)
    return np.bincount(pairs[pairs % size > 0] // size, minlength=n_groups)


def _times(df: pd.DataFrame, limits: Limits | None, groups: Groups) -> dict[str, Any]:
    """Return the time spent in each status, one column per status."""
    intervals = status_intervals(df, limits, groups.ids)
    ids, n = groups.ids[intervals.rows], len(groups.keys)
    durations = intervals.end - intervals.start
    columns = {}
    for name, status in (
        ("active", TimelineStatus.ACTIVE),
        ("waiting", TimelineStatus.WAITING),
        ("idle", TimelineStatus.IDLE),
    ):
        selected = intervals.status == status
        # Weights are floats, and exact up to centuries of microseconds.
        total = np.bincount(ids[selected], weights=durations[selected], minlength=n)
        columns[name] = to_timedeltas(total)
    return columns
