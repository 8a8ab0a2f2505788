"""Export history to files for other programs: Parquet by day, or one file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from ..core.validation import shorten
from ..errors import ConfigError, InvalidEvent, StoreUnavailable
from ..storage.query import HistoryQuery
from .arguments import NameFilter, TimeLike, build_query, suggest_arguments
from .export_folder import ExportResult, ParquetFolder
from .export_writers import WRITERS, Writer
from .sources import query_source, resolve_source

STEP_ROWS = 500_000
"""Rows of each step of a folder export; memory holds one step."""
_BATCH_ROWS = 65_536


@suggest_arguments
def export_history(
    target: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    *,
    since: TimeLike = None,
    until: TimeLike = None,
    agents: NameFilter = None,
    sessions: NameFilter = None,
    tools: NameFilter = None,
    features: NameFilter = None,
    event_types: NameFilter = None,
    models: NameFilter = None,
    projects: NameFilter = None,
    hosts: NameFilter = None,
    branches: NameFilter = None,
    columns: NameFilter = None,
    limit: int | None = None,
    query: HistoryQuery | None = None,
    token: str | None = None,
    step_rows: int = STEP_ROWS,
    on_rows: Callable[[int], object] = lambda _: None,
) -> ExportResult:
    """Write stored events to a file or a folder.

    Args:
        target: with the suffix ``.parquet``, ``.arrow``, ``.feather`` (Arrow IPC), ``.csv`` or
            ``.csv.gz``, one file, which is replaced. Otherwise a folder of Parquet files
            ``day=2025-01-14/part-000000000000001.parquet``, by the UTC day of the event and the
            first seq of the step. An existing export is extended by the rows after its last seq.
        source: a database file or the URL of a server. None: as for ``load_history``.
        since, until, agents, sessions, tools, features, event_types, models, projects, hosts,
            branches, columns, limit: rows and columns to write, as for ``load_history``. A folder
            always has ``seq`` and ``timestamp``. To extend it, pass the same; a later ``since``
            has no effect.
        query: the same as one object, instead of these arguments. None: these arguments.
        token: secret of the server. None: look it up.
        step_rows: rows of each step of a folder export.
        on_rows: called with the number of rows written since the last call.

    Returns:
        Numbers of rows and files. Ids and names are dictionary-encoded in Parquet and plain strings
        in Arrow; times are timestamp[us, UTC], and RFC 3339 strings in CSV.

    Raises:
        InvalidEvent: an invalid time, column or number, or both a query and these arguments.
        ConfigError: the target ends in another suffix and is no folder yet; the folder has an
            export of another source or query, or other files; or the source is neither a database
            nor a server.
        StoreUnavailable: the target cannot be written.
        StoreError, ConnectError: the source cannot be read.
    """
    location, name = resolve_source(source), os.fspath(target)
    asked = build_query(
        *(since, until, columns, limit),
        agents=agents,
        sessions=sessions,
        tools=tools,
        features=features,
        event_types=event_types,
        models=models,
        projects=projects,
        hosts=hosts,
        branches=branches,
    )
    if query is not None and asked != HistoryQuery():
        raise InvalidEvent("query: expected it or the other filters, got both", "query")
    query = query or asked
    write = _writer_of(name)
    try:
        if write is not None:
            return _write_one(name, write, _batches(location, token, query), query, on_rows)
        read = partial(_batches, location, token)
        return ParquetFolder(name, location, query).extend(read, step_rows, on_rows)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {name}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise StoreUnavailable(f"cannot write {name}: {error}") from error


def _batches(location: str, token: str | None, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
    result = query_source(location, token, query, _BATCH_ROWS)
    if not result.in_order:
        raise ConfigError(
            f"source: expected a database file or the URL of a server, got an export: {location}"
        )
    return result.batches


def _writer_of(name: str) -> Writer | None:
    """Return the writer for the suffix of a file name; None: it is a folder.

    Raises:
        ConfigError: it looks like the name of a file of another format.
    """
    for suffix, writer in WRITERS.items():
        if name.lower().endswith(suffix):
            return writer
    suffix = os.path.splitext(name)[1]
    # A folder may have a dot in its name, such as that of a version.
    is_suffix = suffix[1:].isalnum() and not suffix[1:].isdecimal()
    if is_suffix and not name.endswith(("/", os.sep)) and not os.path.isdir(name):
        raise ConfigError(
            f"target: expected a name that ends in {', '.join(WRITERS)}, or a folder, "
            f"got {shorten(name)}; for a new folder, end its name with /"
        )
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
        write(part, query, counted())
        os.replace(part, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
    return ExportResult(n_rows, 1, last_seq)
