"""What the rows of a history frame say of their agents apart from the status: facts and totals.

Running sums and the last row with a value take the place of folding events. Which rows count as a
tool or an error, and which belong to a session that is over, is asked of ``core.reducer`` and
``analysis.agent_rows``.
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
    """Raise InvalidEvent unless the frame has the columns of a history that a replay needs."""
    for name in _REQUIRED:
        if name not in frame:
            raise InvalidEvent(
                f"{name}: expected this column in the frame, as load_history() returns it", name
            )
        if frame[name].isna().any():
            raise InvalidEvent(f"{name}: expected a value in each row, some have none", name)


def last_marked_before(marked: Ints, row: int) -> int:
    """Return the last of these sorted rows up to ``row``; -1: none."""
    # A number of another type would be searched for in a converted copy of the array.
    index = marked.searchsorted(np.int32(row), "right")
    return int(marked[index - 1]) if index else -1


@dataclass(frozen=True, slots=True)
class Fact:
    """A column of which the last value of an agent holds.

    Attributes:
        codes: of each row, -1 without a value.
        values: what the codes stand for.
        rows: the rows whose value replaces the one before.
    """

    codes: Ints
    values: Sequence[str]
    rows: Ints

    def at(self, row: int, first: int) -> str | None:
        """Return the value that holds after a row; None: there was none since ``first``."""
        last = last_marked_before(self.rows, row)
        return self.values[int(self.codes[last])] if last >= first else None


class EventRows:
    """Facts and totals after each row, in the order of AgentRows.

    Args:
        frame: of the history.
        events: its rows.

    Attributes:
        facts: by column.
        tools, errors: of the present session.
        tokens, costs: since the agent was last forgotten.
        cost_rows: the rows with a cost.
        failed: rows that are an error.
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
            # A late row fills a gap, and replaces nothing that is newer.
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
        """Add up numbers whose sum would overflow, each life by itself."""
        total = 0
        out = np.empty(len(spent), dtype="int64")
        lives = self._events.lives
        for row, tokens in enumerate(spent.tolist()):
            total = tokens if lives[row] == row else total + tokens
            total = out[row] = min(total, MAX_INTEGER)
        return out

    def _cost_totals(self, frame: pd.DataFrame) -> tuple[npt.NDArray[np.float64], Ints]:
        events = self._events
        paid = float_column(frame, "cost_usd")[events.rows]
        known = ~np.isnan(paid) & ~events.forgets
        amounts = np.where(known, paid, 0.0)
        total = np.zeros(len(paid))
        if known.any():
            # Each life by itself: a difference of sums would not be the sum to the last digit.
            starts = np.flatnonzero(events.lives == np.arange(len(paid)))
            for start, end in pairwise([*starts.tolist(), len(paid)]):
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
    given = frame["cost_tokens"]
    found: Ints = np.where(given.notna().to_numpy("bool"), given.fillna(0).to_numpy("int64"), parts)
    return found
