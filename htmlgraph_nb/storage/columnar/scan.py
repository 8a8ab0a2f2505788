"""Read history from SQLite as Arrow batches, with interned strings as dictionaries."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ...errors import StoreDamaged
from ..database import select_in, sqlite_errors
from ..query import HistoryQuery
from ..schema import raw_name, raw_term
from .arrow_schema import DecisionRow, Encoder, raw_schema, select_schema

_FETCH_ROWS = 4_096
"""Rows that exist as Python objects at a time. More are slower: they do not fit the caches."""


class Scanner:
    """Read rows of one database as batches whose dictionaries grow from one batch to the next.

    Args:
        db: a connection of ``open_reader``.
        path: its file, for error messages.
        columns: names of HISTORY_COLUMNS, in the order of the result.
    """

    def __init__(self, db: sqlite3.Connection, path: str, columns: Sequence[str]) -> None:
        self._db = db
        self._path = path
        self._schema = select_schema(columns)
        self._raw_schema = raw_schema(columns)
        self._encoder = Encoder(columns, self._read_strings, self._read_decisions)
        self.last_seq = 0
        """Seq of the last row of the last batch."""

    def batches(self, query: HistoryQuery, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``query``, ``batch_rows`` at a time; its columns are ignored.

        Each batch is a query of its own, so that no snapshot of the file is held between two.

        Raises:
            StoreUnavailable: the file cannot be read.
            StoreDamaged: a value does not have the type of its column.
        """
        terms = ", ".join(map(raw_term, ("id", *self._raw_schema.names)))
        left, after = query.limit, query.after_seq
        while left is None or left > 0:
            size = batch_rows if left is None else min(batch_rows, left)
            conditions, params = replace(query, after_seq=after).conditions()
            text = f"SELECT {terms} FROM events e {conditions} ORDER BY e.id {query.order} LIMIT ?"
            columns, last_seq = self._read(text, (*params, size))
            n_rows = len(columns[0]) if columns else 0
            if n_rows:
                self.last_seq = after = last_seq
                yield self.encode(pa.record_batch(columns, schema=self._raw_schema))
            if n_rows < size:
                return
            left = None if left is None else left - size

    def _read(self, text: str, parameters: Sequence[Any]) -> tuple[list[pa.Array], int]:
        """Return the columns of ``raw_schema`` of a query, and the seq of its last row.

        Args:
            text: selects the seq, then the columns.
        """
        parts, last_seq = [], 0
        with sqlite_errors(self._path), closing(self._db.execute(text, parameters)) as cursor:
            while rows := cursor.fetchmany(_FETCH_ROWS):
                parts.append(self._to_arrays(rows))
                last_seq = rows[-1][0]
        return [pa.concat_arrays(column) for column in zip(*parts, strict=True)], last_seq

    def encode(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the history columns of a batch of ``raw_schema``."""
        arrays = [
            self._encoder.encode(name, batch.column(raw_name(name))) for name in self._schema.names
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _to_arrays(self, rows: list[tuple[Any, ...]]) -> list[pa.Array]:
        _, *columns = zip(*rows, strict=True)
        arrays = []
        for field, values in zip(self._raw_schema, columns, strict=True):
            try:
                arrays.append(pa.array(values, field.type))
            except (pa.ArrowException, OverflowError) as error:
                raise StoreDamaged(
                    f"{self._path}: {field.name}: expected {field.type} in events {rows[0][0]} to "
                    f"{rows[-1][0]} ({error}); another program wrote them"
                ) from error
        return arrays

    def _read_strings(self, ids: Sequence[int]) -> dict[int, str]:
        return dict(self._look_up("id, name FROM names", ids))

    def _read_decisions(self, ids: Sequence[int]) -> list[DecisionRow]:
        return self._look_up("id, status, detail, reason, attention FROM decisions", ids)

    def _look_up(self, terms: str, ids: Sequence[int]) -> list[Any]:
        with sqlite_errors(self._path):
            return select_in(self._db, f"SELECT {terms} WHERE id IN ({{}})", ids)
