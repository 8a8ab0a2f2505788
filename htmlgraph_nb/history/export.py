"""History written as files that other programs read: Parquet by day, or one file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from ..errors import ConfigError, StoreUnavailable
from ..storage.columnar.arrow_schema import select_schema
from ..storage.query import HistoryQuery
from .export_folder import ExportResult, ParquetFolder
from .export_writers import WRITERS, Writer
from .place import place_of
from .sources import query_source

STEP_ROWS = 500_000
"""Rows after which a folder is complete up to there; memory holds one such step."""
_BATCH_ROWS = 65_536


def export_history(
    target: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    *,
    query: HistoryQuery | None = None,
    token: str | None = None,
    step_rows: int = STEP_ROWS,
    on_rows: Callable[[int], object] = lambda _: None,
) -> ExportResult:
    """Write stored events to a file or a folder.

    Args:
        target: a name that ends in ``.parquet``, ``.arrow`` (or ``.feather``: Arrow IPC), ``.csv``
            or ``.csv.gz``: one file, which is replaced. Any other name: a folder of Parquet files
            ``day=2025-01-14/part-000000000000001.parquet``, by the UTC day of the event and the
            first seq of the step. Where a folder has an export, rows after its last seq are added.
        source: a database file or a server's URL; None: as ``load_history``.
        query: which rows and columns; None: all. For a folder ``seq`` and ``timestamp`` are always
            written, and the same query must be given each time; a later ``since`` changes nothing.
        token: a server's secret; None: the one that is known for it.
        step_rows: rows of each step of a folder.
        on_rows: called with the number of rows that were written since the last call.

    Returns:
        What was written. Ids and names are dictionary-encoded in Parquet and plain text in Arrow;
        times are timestamp[us, UTC], in CSV RFC 3339 text.

    Raises:
        ConfigError: the folder has an export of another source or query, or other files; the source
            is no database and no server.
        StoreUnavailable: the target cannot be written.
        StoreError, ConnectError: the source cannot be read.
    """
    place, name = place_of(source), os.fspath(target)
    query = query or HistoryQuery()
    write = _writer_of(name)
    try:
        if write is not None:
            return _write_one(name, write, _batches(place, token, query), query, on_rows)
        read = partial(_batches, place, token)
        return ParquetFolder(name, place, query).extend(read, step_rows, on_rows)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {name}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise StoreUnavailable(f"cannot write {name}: {error}") from error


def _batches(place: str, token: str | None, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
    answer = query_source(place, token, query, _BATCH_ROWS)
    if not answer.in_order:
        raise ConfigError(
            f"{place} is an export itself; name a database file or a server's url as the source"
        )
    return answer.batches


def _writer_of(name: str) -> Writer | None:
    """Return what writes a file of this name; None: it names a folder."""
    for suffix, writer in WRITERS.items():
        if name.lower().endswith(suffix):
            return writer
    return None


def _write_one(
    target: str,
    write: Writer,
    batches: Iterator[pa.RecordBatch],
    query: HistoryQuery,
    on_rows: Callable[[int], object],
) -> ExportResult:
    n_rows, last_seq = 0, 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal n_rows, last_seq
        for batch in batches:
            n_rows += len(batch)
            if "seq" in query.columns:
                last_seq = max(last_seq, batch.column("seq")[-1].as_py())
            yield batch
            on_rows(len(batch))

    folder = os.path.dirname(os.path.abspath(target))
    os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, f".{os.path.basename(target)}.part")
    try:
        write(part, select_schema(query.columns), counted())
        os.replace(part, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
    return ExportResult(n_rows, 1, last_seq)
