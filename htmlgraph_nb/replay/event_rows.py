"""Facts and totals of the agents after each row of a history frame, that is, all but the status.

They are computed as running sums and last values of columns, without applying each event.
``core.reducer`` defines which rows count as a tool or an error, and ``analysis.agent_rows`` which
rows belong to a previous session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..analysis.agent_rows import AgentRows
from ..analysis.columns import encode_column, error_mask, float_column, tool_mask
from ..core.model import TOKEN_FIELDS
from ..core.validation import MAX_INTEGER
from ..errors import InvalidEvent

Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
_REQUIRED = ("timestamp", "agent_id", "event_type")
FACTS = ("feature_id", "tool_name", "model", "project", "host", "parent_agent_id")


def check_frame(frame: pd.DataFrame) -> None:
    """Raise InvalidEvent if a column that a replay needs is missing or has missing values."""
    for name in _REQUIRED:
        if name not in frame:
            raise InvalidEvent(
                f"{name}: expected this column in the frame, as load_history() returns it", name
            )
        if frame[name].isna().any():
            raise InvalidEvent(f"{name}: expected a value in each row, some have none", name)


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


class EventRows:
    """Facts and totals after each row, in the order of AgentRows.

    Args:
        frame: the history.
        events: its rows.

    Attributes:
        facts: the facts by column.
        tools, errors: totals of the current session.
        tokens, costs: totals since the agent was last removed.
        cost_rows: the rows with a cost.
        failed: whether a row is an error.
    """

    def __init__(self, frame: pd.DataFrame, events: AgentRows) -> None:
        self._events = events
        order = events.rows
        counts = ~(events.skipped | events.forgets)
        self.facts = {name: self._fact(frame, name, counts) for name in FACTS}
        self.failed = error_mask(frame)[order]
        self.tools = self._since_part(tool_mask(frame)[order] & counts)
        self.errors = self._since_part(self.failed & counts)
        self.tokens = self._token_totals(frame)
        self.costs, self.cost_rows = self._cost_totals(frame)

    def _fact(self, frame: pd.DataFrame, name: str, counts: Bools) -> Fact:
        codes, values = encode_column(frame, name)
        codes = codes[self._events.rows]
        known = (codes >= 0) & counts
        if (known & self._events.late).any():
            # A late row fills a gap, but does not replace a newer value.
            n_known, lives = np.cumsum(known), self._events.lives
            known &= ~self._events.late | (n_known - n_known[lives] + known[lives] == 1)
        return Fact(codes, [*map(str, values)], np.flatnonzero(known).astype(np.int32))

    def _since_part(self, marks: Bools) -> Ints:
        total = np.cumsum(marks, dtype=np.int32)
        return total - total[self._events.parts] + marks[self._events.parts]

    def _token_totals(self, frame: pd.DataFrame) -> Ints:
        events = self._events
        spent = _total_tokens(frame)[events.rows]
        spent[events.forgets] = 0
        if len(spent) and np.cumsum(spent, dtype="float64")[-1] >= 2**62:
            return self._capped(spent)
        total = np.cumsum(spent)
        since: Ints = total - total[events.lives] + spent[events.lives]
        return np.minimum(since, MAX_INTEGER)

    def _capped(self, spent: Ints) -> Ints:
        """Return running sums since the last removal, for numbers whose sum would overflow."""
        total = 0
        sums = np.empty(len(spent), dtype="int64")
        lives = self._events.lives
        for row, tokens in enumerate(spent.tolist()):
            total = tokens if lives[row] == row else total + tokens
            total = sums[row] = min(total, MAX_INTEGER)
        return sums

    def _cost_totals(self, frame: pd.DataFrame) -> tuple[npt.NDArray[np.float64], Ints]:
        events = self._events
        costs = float_column(frame, "cost_usd")[events.rows]
        known = ~np.isnan(costs) & ~events.forgets
        amounts = np.where(known, costs, 0.0)
        total = np.zeros(len(costs))
        if known.any():
            # Summed up from each removal: a difference of running sums has rounding errors.
            starts = np.flatnonzero(events.lives == np.arange(len(costs)))
            for start, end in pairwise([*starts.tolist(), len(costs)]):
                np.cumsum(amounts[start:end], out=total[start:end])
        return total, np.flatnonzero(known).astype(np.int32)


def _total_tokens(frame: pd.DataFrame) -> Ints:
    """Return all tokens of each row: ``cost_tokens``, else the sum of the five kinds."""
    parts: Ints = np.zeros(len(frame), dtype="int64")
    for name in TOKEN_FIELDS:
        if name in frame:
            parts = np.minimum(parts + frame[name].fillna(0).to_numpy("int64"), MAX_INTEGER)
    if "cost_tokens" not in frame:
        return parts
    stored = frame["cost_tokens"]
    has_total = stored.notna().to_numpy("bool")
    total: Ints = np.where(has_total, stored.fillna(0).to_numpy("int64"), parts)
    return total
