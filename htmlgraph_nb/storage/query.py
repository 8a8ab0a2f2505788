"""Queries on stored history, and their one translation to SQL.

``/api/history`` and ``load_history`` use it. It opens no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..core.timestamps import to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent
from .schema import HISTORY_COLUMNS, named_in, select_history

NAME_FILTERS = {
    "agent": ("agents", "agent_id"),
    "session": ("sessions", "session_id"),
    "tool": ("tools", "tool_name"),
    "feature": ("features", "feature_id"),
    "event_type": ("event_types", "event_type"),
    "model": ("models", "model"),
    "project": ("projects", "project"),
    "host": ("hosts", "host"),
    "branch": ("branches", "branch"),
}
"""Parameter of ``GET /api/history`` → attribute of a query, and the column that it filters."""
MAX_SEQ = 2**63 - 1
"""No row has a larger seq."""
MAX_QUERY_NAMES = 30_000
"""Most names in all filters together; SQLite allows 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Filters, columns, order and limit of one query.

    Attributes:
        since, until: times, UTC; ``until`` is excluded. None: no bound.
        agents, sessions, tools, features, event_types, models, projects, hosts, branches: names to
            keep. None: all.
        columns: names of HISTORY_COLUMNS, in the order of the result.
        after_seq: only rows after this seq in the order of the query. 0: from the first row.
        limit: most rows. None: all.
        newest_first: sort by descending seq.
        seq_range: first and last seq, both included. None: all.
    """

    since: datetime | None = None
    until: datetime | None = None
    agents: Sequence[str] | None = None
    sessions: Sequence[str] | None = None
    tools: Sequence[str] | None = None
    features: Sequence[str] | None = None
    event_types: Sequence[str] | None = None
    models: Sequence[str] | None = None
    projects: Sequence[str] | None = None
    hosts: Sequence[str] | None = None
    branches: Sequence[str] | None = None
    columns: Sequence[str] = HISTORY_COLUMNS
    after_seq: int = 0
    limit: int | None = None
    newest_first: bool = False
    seq_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in HISTORY_COLUMNS:
                raise InvalidEvent(
                    f"columns: unknown column {shorten(name)}, "
                    f"expected some of {', '.join(HISTORY_COLUMNS)}",
                    "columns",
                )
        n_values = sum(map(len, self.value_filters.values()))
        if n_values > MAX_QUERY_NAMES:
            raise InvalidEvent(
                f"filters: at most {MAX_QUERY_NAMES} names allowed in all, got {n_values}"
            )

    @property
    def row_columns(self) -> tuple[str, ...]:
        """The columns of ``to_sql``: ``seq``, then the others of ``columns``."""
        return ("seq", *(name for name in self.columns if name != "seq"))

    @property
    def value_filters(self) -> dict[str, Sequence[str]]:
        """The names to keep, by column; without the columns that are not filtered."""
        filters = {column: getattr(self, name) for name, column in NAME_FILTERS.values()}
        return {column: values for column, values in filters.items() if values is not None}

    @property
    def is_filtered(self) -> bool:
        """Whether times or names select the rows."""
        return bool(self.value_filters) or self.since is not None or self.until is not None

    def clip(self, first: int, last: int) -> tuple[int, int]:
        """Return the part of a range of seq that ``after_seq`` and ``seq_range`` select."""
        if not self.newest_first:
            first = max(first, self.after_seq + 1)
        elif self.after_seq:
            last = min(last, self.after_seq - 1)
        if self.seq_range is not None:
            first, last = max(first, self.seq_range[0]), min(last, self.seq_range[1])
        return first, last

    def conditions(self) -> tuple[str, list[Any]]:
        """Return the WHERE clause of a SELECT from ``events e``, and its parameters.

        ``limit`` is not part of it. "" selects all rows.
        """
        where: list[str] = []
        params: list[Any] = []
        # One bound at each end and none that all rows meet: SQLite compares each row with it.
        first, last = self.clip(-MAX_SEQ, MAX_SEQ)
        if first > -MAX_SEQ:
            where.append("e.id >= ?")
            params.append(first)
        if last < MAX_SEQ:
            where.append("e.id <= ?")
            params.append(last)
        if self.since is not None:
            where.append("e.ts >= ?")
            params.append(to_micros(self.since))
        if self.until is not None:
            where.append("e.ts < ?")
            params.append(to_micros(self.until))
        for field, values in self.value_filters.items():
            where.append(named_in(field, len(values)))
            params.extend(values)
        return f"WHERE {' AND '.join(where)}" if where else "", params

    @property
    def order(self) -> str:
        """The SQL sort order of ``seq``: ASC or DESC."""
        return "DESC" if self.newest_first else "ASC"

    def to_sql(self) -> tuple[str, list[Any]]:
        """Return the SELECT and its parameters; ``seq`` is always its first column."""
        conditions, params = self.conditions()
        text = f"{select_history(self.row_columns)} {conditions} ORDER BY e.id {self.order}"
        if self.limit is not None:
            text += " LIMIT ?"
            params.append(self.limit)
        return text, params
