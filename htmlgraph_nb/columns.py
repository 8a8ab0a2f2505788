"""Stored history as Arrow columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa

from .columnar import HISTORY_SCHEMA, schema_of
from .database import open_reader
from .query import HistoryQuery
from .scan import Scanner

__all__ = ["BATCH_ROWS", "HISTORY_SCHEMA", "read_batches", "schema_of"]

BATCH_ROWS = 65_536
"""Most rows of a batch where nothing else is asked for."""


def read_batches(
    path: str, query: HistoryQuery, *, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield stored events as Arrow batches, in the order of seq, or descending if newest first.

    Memory is bounded by a few batches, and no snapshot of the file is held between two of them.

    Args:
        path: a database file.
        query: which rows, and which columns in which order.
        batch_rows: most rows of a batch.

    Returns:
        Batches of ``schema_of(query.columns)``; none where there are no rows. Dictionaries of
        different batches can differ.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be read.
    """
    with closing(open_reader(path)) as db:
        yield from Scanner(db, path, query.columns).batches(query, batch_rows)
