"""Writing rows of which most columns are NULL.

Python's sqlite3 takes longer to bind a None than a number or a text (it asks for an adapter each
time), and an event has about 18 of them: a NULL stands in the statement instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

NullPattern = tuple[bool, ...]
"""Which columns of a row are NULL."""

MAX_SHAPES = 256
"""Most statements that are kept, of each writer and prepared of each connection."""


class RowWriter:
    """Writes rows of one table.

    Args:
        verb: "INSERT" or "INSERT OR REPLACE".
        table: name of the table; this project's own, as those of the columns.
        columns: names of a row's values.
    """

    def __init__(self, verb: str, table: str, columns: Sequence[str]) -> None:
        self._head = f"{verb} INTO {table} ({', '.join(columns)}) VALUES "
        self._statements: dict[NullPattern, str] = {}

    def write(self, db: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Write the rows in their order."""
        for shape, alike in groupby(rows, _shape):
            statement = self._statements.get(shape) or self._statement(shape)
            db.executemany(statement, [[v for v in row if v is not None] for row in alike])

    def _statement(self, shape: NullPattern) -> str:
        if len(self._statements) >= MAX_SHAPES:
            self._statements.clear()
        marks = ", ".join("NULL" if empty else "?" for empty in shape)
        text = self._statements[shape] = f"{self._head}({marks})"
        return text


def _shape(row: Sequence[Any]) -> NullPattern:
    return tuple([value is None for value in row])
