"""History from the SQLite file as Arrow batches, the numbers of names as dictionaries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ...errors import StoreDamaged
from ..database import sqlite_errors
from ..query import HistoryQuery
from .arrow_schema import DecisionRow, Encoder, raw_name, raw_type, select_schema

_IDS_PER_QUERY = 500


class Scanner:
    """Reads rows of one database file as batches whose dictionaries grow from one to the next.

    Args:
        db: a connection of ``open_reader``.
        path: its file, for the texts of errors.
        columns: names of HISTORY_COLUMNS, in the order wanted.
    """

    def __init__(self, db: sqlite3.Connection, path: str, columns: Sequence[str]) -> None:
        self._db = db
        self._path = path
        self.schema = select_schema(columns)
        self._columns = tuple(columns)
        self._encoder = Encoder(columns, self._names, self._decisions)

    def batches(self, query: HistoryQuery, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``query`` (its columns are not looked at), ``batch_rows`` at a time.

        Each batch is a query of its own, so that no snapshot of the file is held between two.

        Raises:
            StoreUnavailable, StoreDamaged: the file cannot be read.
        """
        terms = ", ".join(f"e.{raw_name(name)}" for name in ("seq", *self._columns))
        left, after = query.limit, query.after_seq
        while left is None or left > 0:
            size = batch_rows if left is None else min(batch_rows, left)
            conditions, params = replace(query, after_seq=after).conditions()
            text = f"SELECT {terms} FROM events e {conditions} ORDER BY e.id {query.order} LIMIT ?"
            with (
                sqlite_errors(self._path),
                closing(self._db.execute(text, (*params, size))) as cursor,
            ):
                rows = cursor.fetchall()
            if rows:
                after = rows[-1][0]
                yield self._batch(rows)
            if len(rows) < size:
                return
            left = None if left is None else left - size

    def _batch(self, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
        _, *columns = zip(*rows, strict=True)
        arrays = []
        for name, values in zip(self._columns, columns, strict=True):
            try:
                arrays.append(self._encoder.encode(name, pa.array(values, raw_type(name))))
            except (pa.ArrowException, OverflowError) as error:
                raise StoreDamaged(
                    f"{self._path}: {name} of the events {rows[0][0]} to {rows[-1][0]} "
                    f"is not of its type ({error}); another program must have written it"
                ) from error
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _names(self, numbers: Sequence[int]) -> dict[int, str]:
        return dict(self._look_up("id, name FROM names", numbers))

    def _decisions(self, ids: Sequence[int]) -> list[DecisionRow]:
        return self._look_up("id, status, detail, reason, attention FROM decisions", ids)

    def _look_up(self, terms: str, ids: Sequence[int]) -> list[Any]:
        rows: list[Any] = []
        for start in range(0, len(ids), _IDS_PER_QUERY):
            part = ids[start : start + _IDS_PER_QUERY]
            text = f"SELECT {terms} WHERE id IN ({', '.join('?' * len(part))})"
            with sqlite_errors(self._path):
                rows += self._db.execute(text, part).fetchall()
        return rows
