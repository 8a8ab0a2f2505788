"""Insert rows of which most columns are NULL.

Python's sqlite3 takes longer to bind None than a number or a string, because it looks up an adapter
each time. An event has about 18 NULL columns, so the statement contains ``NULL`` for each instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

NullPattern = tuple[bool, ...]
"""Which columns of a row are NULL."""

MAX_NULL_PATTERNS = 256
"""Most statements cached per writer, and half of those prepared per connection."""


class RowWriter:
    """Write rows of one table.

    Args:
        verb: "INSERT" or "INSERT OR REPLACE".
        table: name of the table. It and the column names are trusted.
        columns: column names, in the order of the values of a row.

    Attributes:
        table, columns: as given.
        replaces: whether a row replaces the one with its primary key.
    """

    def __init__(self, verb: str, table: str, columns: Sequence[str]) -> None:
        self.table = table
        self.columns = columns
        self.replaces = verb != "INSERT"
        self._prefix = f"{verb} INTO {table} ({', '.join(columns)}) VALUES "
        self._statements: dict[NullPattern, str] = {}

    def write(self, db: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Write the rows in their order."""
        for pattern, group in groupby(rows, _null_pattern):
            statement = self._statements.get(pattern) or self._make_statement(pattern)
            db.executemany(statement, [[v for v in row if v is not None] for row in group])

    def _make_statement(self, pattern: NullPattern) -> str:
        if len(self._statements) >= MAX_NULL_PATTERNS:
            self._statements.clear()
        values = ", ".join("NULL" if is_null else "?" for is_null in pattern)
        statement = self._statements[pattern] = f"{self._prefix}({values})"
        return statement


def _null_pattern(row: Sequence[Any]) -> NullPattern:
    return tuple([value is None for value in row])
