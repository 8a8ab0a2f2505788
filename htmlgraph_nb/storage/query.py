"""Questions to the stored history: one description of them, one way to SQL.

The server's ``/api/history`` and ``load_history`` on a file ask through it. It opens nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..core.timestamps import to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent
from .schema import HISTORY_COLUMNS, named_in, select_history

_CHUNK_ROWS = 1_000
MAX_VALUES = 30_000
"""Most names that are wanted in all; SQLite takes 32,766 parameters in all."""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which part of the history.

    Attributes:
        since, until: from and up to (not including) these times, UTC; None: no bound.
        agents, sessions, tools, features, event_types: only these; None: all.
        columns: names of HISTORY_COLUMNS, in the order wanted.
        after_seq: only rows beyond this seq: with a larger one, or, newest first, a smaller one;
            0: from the first row of that order.
        limit: most rows; None: all.
        newest_first: in descending order of seq.
        seqs: only rows with a seq from the first to the second of these, both included; None: all.
    """

    since: datetime | None = None
    until: datetime | None = None
    agents: Sequence[str] | None = None
    sessions: Sequence[str] | None = None
    tools: Sequence[str] | None = None
    features: Sequence[str] | None = None
    event_types: Sequence[str] | None = None
    columns: Sequence[str] = HISTORY_COLUMNS
    after_seq: int = 0
    limit: int | None = None
    newest_first: bool = False
    seqs: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in HISTORY_COLUMNS:
                raise InvalidEvent(
                    f"unknown column {shorten(name)}, "
                    f"expected some of {', '.join(HISTORY_COLUMNS)}",
                    "columns",
                )
        n_values = sum(map(len, self.value_filters.values()))
        if n_values > MAX_VALUES:
            raise InvalidEvent(f"{n_values} names are wanted, expected at most {MAX_VALUES} in all")

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Names of a row's values: ``seq``, then the other columns that were asked for."""
        return ("seq", *(name for name in self.columns if name != "seq"))

    @property
    def value_filters(self) -> dict[str, Sequence[str]]:
        """The texts that are wanted, by column; without the columns of which all are."""
        wishes = {
            "agent_id": self.agents,
            "session_id": self.sessions,
            "tool_name": self.tools,
            "feature_id": self.features,
            "event_type": self.event_types,
        }
        return {field: values for field, values in wishes.items() if values is not None}

    def conditions(self) -> tuple[str, list[Any]]:
        """Return the WHERE clause of a SELECT from ``events e``, and its parameters.

        ``limit`` is no part of it; "" stands for all rows.
        """
        where: list[str] = []
        params: list[Any] = []
        if self.after_seq or not self.newest_first:
            where.append("e.id < ?" if self.newest_first else "e.id > ?")
            params.append(self.after_seq)
        if self.seqs is not None:
            where.append("e.id BETWEEN ? AND ?")
            params.extend(self.seqs)
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
        """The direction of ``seq`` in SQL: ASC or DESC."""
        return "DESC" if self.newest_first else "ASC"

    def to_sql(self) -> tuple[str, list[Any]]:
        """Return the SELECT and its parameters; ``seq`` is always its first column."""
        conditions, params = self.conditions()
        text = f"{select_history(self.row_columns)} {conditions} ORDER BY e.id {self.order}"
        if self.limit is not None:
            text += " LIMIT ?"
            params.append(self.limit)
        return text, params


def read_chunks(
    db: sqlite3.Connection, query: HistoryQuery, chunk_rows: int = _CHUNK_ROWS
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield lists of at most ``chunk_rows`` rows: seq, then the query's other columns.

    Times are microseconds since 1970, ``extra`` is JSON text, an ``event_id`` that was never
    given is null.
    """
    text, params = query.to_sql()
    rows = db.execute(text, params)
    while chunk := rows.fetchmany(chunk_rows):
        yield chunk
