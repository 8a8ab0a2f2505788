"""What the agents cost in a range of time, by group and period, and what the figures leave out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from ..analysis.columns import (
    as_tuple,
    column_isin,
    require_columns,
    timestamp_micros,
    to_datetimes,
    tool_mask,
)
from ..analysis.costs import COST_COLUMNS, compute_spending, cost_table
from ..analysis.grouping import RowIndices, group_rows
from ..analysis.periods import parse_freq, period_starts
from ..core.timestamps import to_micros, utc_now
from ..errors import InvalidEvent, PriceWarning
from ..history.load import load_history
from ..storage.schema import HISTORY_COLUMNS
from .report_arguments import FREQS, check_cost_keys, check_freq

MAX_COST_PERIODS = 2_000
"""Most periods of which all starts are listed, also of those without costs."""
MAX_COST_ROWS = 50_000
_UNUSED = frozenset({"event_id", "tool_use_id", "extra", "title", "worktree", "pr"})
_MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class CostReport:
    """Costs of a range of time; the tables are those of ``token_costs``.

    Attributes:
        total: without groups; no row if there are no tokens.
        periods: by period; empty without ``freq``.
        groups: by group, the highest cost first.
        rows: by period and group, in the order of ``token_costs``; without ``freq`` the same as
            ``groups``, in the order of ``token_costs``.
        starts: the start of each period of the range, also of those without costs; empty without
            ``freq`` and for more than MAX_COST_PERIODS.
        unpriced: model (missing: not reported) and unpriced_tokens of the models without a price.
        uncovered: agent_kind, agents and calls (int64), days and agent_ids (lists, at most 20) of
            the agents that worked in the range without a report of tokens.
        prices: source, version and date of the price table.
        notes: sentences about prices that may be wrong; see PriceWarning.
    """

    total: pd.DataFrame
    periods: pd.DataFrame
    groups: pd.DataFrame
    rows: pd.DataFrame
    starts: pd.DatetimeIndex
    unpriced: pd.DataFrame
    uncovered: pd.DataFrame
    prices: Any
    notes: list[str]


def load_cost_report(
    path: str,
    since: datetime | None,
    until: datetime | None,
    by: tuple[str, ...],
    freq: str | None,
    zone: str,
) -> CostReport:
    """Return the costs of a range of time of a database.

    Args:
        path: the database file.
        since, until: first time, and time after the last one; None: no bound.
        by, freq: as for ``token_costs``; names of COST_KEYS.
        zone: name of the time zone of the periods.

    Raises:
        InvalidEvent: an argument is invalid, or the report would be too long.
        StoreError: the file cannot be read.
    """
    columns = [name for name in HISTORY_COLUMNS if name not in _UNUSED]
    events = load_history(path, since=since, until=until, columns=columns, progress=False, tz=zone)
    return cost_report(events, since, until, by, freq, utc_now())


def cost_report(
    df: pd.DataFrame,
    since: datetime | None,
    until: datetime | None,
    by: tuple[str, ...],
    freq: str | None,
    now: datetime,
) -> CostReport:
    """Return the costs of a frame; see ``load_cost_report``.

    Args:
        df: all events of the range; the periods are in the time zone of ``timestamp``.
        now: end of the periods if ``until`` is None.
    """
    check_cost_keys(by)
    check_freq(freq)
    by = as_tuple(by)
    df = require_columns(df, "token_costs", *COST_COLUMNS, *by)
    # A report has no caller whose line a warning could name.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PriceWarning)
        spending = compute_spending(df)
    groups = cost_table(df, spending, by)
    rows = groups if freq is None else cost_table(df, spending, by, freq)
    periods = rows.head(0) if freq is None else cost_table(df, spending, (), freq)
    models = cost_table(df, spending, ("model",))
    if len(rows) > MAX_COST_ROWS:
        raise InvalidEvent(
            f"freq: expected at most {MAX_COST_ROWS} rows, got {len(rows)}; use longer periods, "
            "a shorter range or fewer groups",
            "freq",
        )
    unpriced = models.loc[models["unpriced_tokens"] > 0, ["model", "unpriced_tokens"]]
    return CostReport(
        total=cost_table(df, spending, ()),
        periods=periods,
        groups=groups.sort_values(["usd", "total"], ascending=False, ignore_index=True),
        rows=rows,
        starts=_starts(df, since, until, freq, now),
        unpriced=unpriced.sort_values("unpriced_tokens", ascending=False, ignore_index=True),
        uncovered=_uncovered_agents(df, spending.rows),
        prices=groups.attrs["prices"],
        notes=list(dict.fromkeys(str(item.message) for item in caught)),
    )


def _starts(
    df: pd.DataFrame,
    since: datetime | None,
    until: datetime | None,
    freq: str | None,
    now: datetime,
) -> pd.DatetimeIndex:
    zone = df["timestamp"].dt.tz
    none = pd.DatetimeIndex([], dtype=f"datetime64[us, {zone}]")
    if freq is None or (since is None and df.empty):
        return none
    times = timestamp_micros(df)
    first = to_micros(since) if since is not None else int(times.min())
    newest = to_micros(now) if since is not None else max(to_micros(now), int(times.max()))
    last = newest if until is None else to_micros(until) - 1
    if last - first > MAX_COST_PERIODS * FREQS[freq] * 1_000_000:
        return none
    starts = period_starts(first, max(first, last), parse_freq(freq), zone)
    return to_datetimes(starts, zone)


def _uncovered_agents(df: pd.DataFrame, answers: RowIndices) -> pd.DataFrame:
    """Return the agents whose work has no report of tokens, so that no cost can be known.

    Args:
        df: events; needs agent_id, timestamp and event_type, and uses agent_kind and tool_name.
        answers: positions of the rows with tokens or dollars.

    Returns:
        One row per kind of agent, sorted by it: agent_kind (as in ``df``), agents (int64: agents
        that called tools or ended turns, none of whose events has tokens or dollars), calls (int64:
        their tool calls), days (list: first days on which they worked) and agent_ids (list), at
        most 20 of each.
    """
    groups = group_rows(df, ("agent_id",))
    covered = groups.count(answers) > 0
    calls = tool_mask(df)
    # A turn that failed or was interrupted may have had no answer.
    work = (calls | column_isin(df, "event_type", "stop")) & ~covered[groups.ids]
    part = df.take(work.nonzero()[0])
    part = pd.DataFrame(
        {
            "agent_kind": part["agent_kind"] if "agent_kind" in df.columns else None,
            "agent_id": part["agent_id"].astype(str),
            "day": part["timestamp"].dt.strftime("%Y-%m-%d"),
            "calls": calls[work],
        }
    )
    return pd.DataFrame(
        [
            {
                "agent_kind": kind,
                "agents": rows["agent_id"].nunique(),
                "calls": int(rows["calls"].sum()),
                "days": sorted(rows["day"].unique())[:_MAX_NAMES],
                "agent_ids": sorted(rows["agent_id"].unique())[:_MAX_NAMES],
            }
            for kind, rows in part.groupby("agent_kind", dropna=False, observed=True)
        ],
        columns=["agent_kind", "agents", "calls", "days", "agent_ids"],
    )
