"""Facts and totals of the agents after each row of a history frame, that is, all but the status.

They are computed as running sums and last values of columns, without applying each event.
``core.reducer`` defines which rows count as a tool or an error, and ``analysis.agent_rows`` which
rows belong to a previous session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..analysis.agent_rows import AgentRows
from ..analysis.columns import (
    count_column,
    encode_column,
    error_mask,
    float_column,
    map_names,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    tool_mask,
)
from ..analysis.costs import compute_spending
from ..core.model import LABELS
from ..core.validation import MAX_INTEGER
from ..errors import InvalidEvent
from ..pricing.prices import Prices

Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
_REQUIRED = ("timestamp", "agent_id", "event_type")
FACTS = ("feature_id", "tool_name", "model", "project", "host", "parent_agent_id", *LABELS)
COUNTS = ("context_tokens", "context_window")


def replay_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the dtypes that a replay needs; naive times are UTC.

    Raises:
        InvalidEvent: it is no DataFrame, a column that a replay needs is missing or has missing
            values, or ``timestamp`` has no times.
    """
    frame = require_columns(frame, "presence_at", *_REQUIRED)
    for name in _REQUIRED:
        if frame[name].isna().any():
            raise InvalidEvent(f"{name}: expected a value in each row, some have none", name)
    if not isinstance(frame["timestamp"].dtype, pd.DatetimeTZDtype):
        times = to_datetimes(timestamp_micros(frame), time_zone(frame))
        frame = frame.assign(timestamp=times)
    return frame


def last_marked_before(marked: Ints, row: int) -> int:
    """Return the last of these sorted rows up to ``row``; -1: none."""
    # For a number of another type, numpy would search in a converted copy of the array.
    index = marked.searchsorted(np.int32(row), "right")
    return int(marked[index - 1]) if index else -1


@dataclass(frozen=True, slots=True)
class Fact:
    """A column of which the last value of each agent counts.

    Attributes:
        codes: index into ``values`` for each row; -1: no value.
        values: all different values.
        rows: the rows whose value replaces the previous one.
    """

    codes: Ints
    values: Sequence[str]
    rows: Ints

    def at(self, row: int, first: int) -> str | None:
        """Return the value after a row; None: there was no value since ``first``."""
        last = last_marked_before(self.rows, row)
        return self.values[int(self.codes[last])] if last >= first else None


@dataclass(frozen=True, slots=True)
class Count:
    """A column of numbers of which the last value of each agent counts.

    Attributes:
        values: the value of each row; 0 if it has none.
        rows: the rows whose value replaces the previous one.
    """

    values: Ints
    rows: Ints

    def at(self, row: int, first: int) -> int | None:
        """Return the value after a row; None: there was no value since ``first``."""
        last = last_marked_before(self.rows, row)
        return int(self.values[last]) if last >= first else None


@dataclass(frozen=True, slots=True)
class RunningCost:
    """Costs added up from a first row on.

    Attributes:
        sums: the sum after each row.
        rows: the rows with a cost.
    """

    sums: npt.NDArray[np.float64]
    rows: Ints

    def at(self, row: int, first: int) -> float | None:
        """Return the sum after a row; None: there was no cost since ``first``."""
        is_known = last_marked_before(self.rows, row) >= first
        return float(self.sums[row]) if is_known else None


class EventRows:
    """Facts and totals after each row, in the order of AgentRows.

    Args:
        frame: the history.
        events: its rows.
        prices: as for ``token_costs``.

    Attributes:
        facts: the facts by column.
        counts: the columns COUNTS, of which the last value counts, too.
        tools, errors: totals of the current session.
        tokens, costs, unpriced: totals since the agent was last removed.
        session_tokens, session_costs: totals of the current session.
        failed: whether a row is an error.
    """

    def __init__(
        self, frame: pd.DataFrame, events: AgentRows, prices: Prices | None = None
    ) -> None:
        self._events = events
        order = events.rows
        counts = ~(events.skipped | events.forgets)
        self.facts = {name: self._fact(frame, name, counts) for name in FACTS}
        self.counts = {name: self._count(frame, name, counts) for name in COUNTS}
        self.failed = error_mask(frame)[order]
        self.tools = self._since_part(tool_mask(frame)[order] & counts)
        self.errors = self._since_part(self.failed & counts)
        spent, costs = _spending(frame, prices)
        spent, costs = spent[order], costs[order]
        alive, unpriced = ~events.forgets, np.isnan(costs)
        self.tokens = self._totals(spent * alive, events.lives)
        self.unpriced = self._totals(spent * (alive & unpriced), events.lives)
        self.session_tokens = self._totals(spent * counts, events.parts)
        self.costs = _running_cost(costs, alive, events.lives)
        self.session_costs = _running_cost(costs, counts, events.parts)
        sources = encode_column(frame, "source")
        self._n_by_form = [
            self._since_part(map_names(sources, _has_form(form), np.bool_)[order] & counts)
            for form in ("-hook", "-session")
        ]

    def _fact(self, frame: pd.DataFrame, name: str, counts: Bools) -> Fact:
        codes, values = encode_column(frame, name)
        codes = codes[self._events.rows]
        known = (codes >= 0) & counts
        if (known & self._events.late).any():
            # A late row fills a gap, but does not replace a newer value.
            n_known, lives = np.cumsum(known), self._events.lives
            known &= ~self._events.late | (n_known - n_known[lives] + known[lives] == 1)
        return Fact(codes, [*map(str, values)], np.flatnonzero(known).astype(np.int32))

    def _count(self, frame: pd.DataFrame, name: str, counts: Bools) -> Count:
        order = self._events.rows
        known = ~np.isnan(float_column(frame, name))[order] & counts & ~self._events.late
        return Count(count_column(frame, name)[order], np.flatnonzero(known).astype(np.int32))

    def has_hooks(self, row: int) -> bool | None:
        """Return whether hooks reported the session, as ``AgentPresence.hooks``."""
        n_hooks, n_session = (int(n[row]) for n in self._n_by_form)
        return True if n_hooks else (False if n_session else None)

    def _since_part(self, marks: Bools) -> Ints:
        total = np.cumsum(marks, dtype=np.int32)
        return total - total[self._events.parts] + marks[self._events.parts]

    def _totals(self, spent: Ints, starts: Ints) -> Ints:
        """Return running sums since the row that ``starts`` gives for each row."""
        if len(spent) and np.cumsum(spent, dtype="float64")[-1] >= 2**62:
            return self._capped(spent, starts)
        total = np.cumsum(spent)
        since: Ints = total - total[starts] + spent[starts]
        return np.minimum(since, MAX_INTEGER)

    def _capped(self, spent: Ints, starts: Ints) -> Ints:
        """Return running sums for numbers whose sum would overflow."""
        total = 0
        sums = np.empty(len(spent), dtype="int64")
        for row, tokens in enumerate(spent.tolist()):
            total = tokens if starts[row] == row else total + tokens
            total = sums[row] = min(total, MAX_INTEGER)
        return sums


def _has_form(form: str) -> Callable[[str | None], bool]:
    return lambda source: source is not None and source.endswith(form) and source != form


def _running_cost(costs: npt.NDArray[np.float64], counted: Bools, starts: Ints) -> RunningCost:
    """Return the sums of known costs since the row that ``starts`` gives for each row."""
    known = ~np.isnan(costs) & counted
    sums = np.zeros(len(costs))
    if known.any():
        amounts = np.where(known, costs, 0.0)
        # Summed up from each start: a difference of running sums has rounding errors.
        edges = np.flatnonzero(starts == np.arange(len(costs)))
        for start, end in pairwise([*edges.tolist(), len(costs)]):
            np.cumsum(amounts[start:end], out=sums[start:end])
    return RunningCost(sums, np.flatnonzero(known).astype(np.int32))


def _spending(frame: pd.DataFrame, prices: Prices | None) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Return the tokens of each row, and its cost in US dollars, NaN if unknown."""
    spending = compute_spending(frame, prices)
    tokens = np.zeros(len(frame), np.int64)
    tokens[spending.rows] = spending.tokens.total
    costs = np.full(len(frame), np.nan)
    costs[spending.rows] = spending.priced.usd
    return tokens, costs
