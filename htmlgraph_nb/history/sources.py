"""Sources of history: databases, servers and files, all as Arrow batches."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ..client.discovery import candidates
from ..client.rest import Rest
from ..core.ids import is_in_project, project_folder
from ..core.validation import format_value, shorten
from ..errors import InvalidEvent, StoreUnavailable
from ..paths import default_db, running_server
from ..storage.columnar.reader import max_row_count, read_batches
from ..storage.postgres.location import is_postgres, without_password
from ..storage.query import HistoryQuery
from .file_sources import HistoryFiles, file_format

Source = str | os.PathLike[str]
Sources = Source | Sequence[Source] | Mapping[str, Source] | None

URL_SCHEMES = ("http://", "https://", "ws://", "wss://")
"""Prefixes of sources that are servers; all others are paths."""
_HOST_AND_PORT = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|\[[\da-fA-F:]+\]|[\w-]+):\d{1,5}(/.*)?")


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """The rows of one query.

    Attributes:
        batches: batches of ``select_schema(columns)``.
        columns: the columns of the query, and ``order_by``.
        in_order: whether the rows are sorted and limited as in the query; otherwise the caller has
            to do so.
        order_by: the column to sort by, if ``in_order`` is false; None: there is none.
        max_rows: upper bound of the number of rows; None: unknown.
    """

    batches: Iterator[pa.RecordBatch]
    columns: tuple[str, ...]
    in_order: bool = True
    order_by: str | None = None
    max_rows: int | None = None


def resolve_source(source: object) -> str:
    """Return the path or URL of a source.

    Args:
        source: a path or URL. None: ``HTMLGRAPH_URL``, else the database of the server running on
            this machine, else the default database.

    Raises:
        InvalidEvent: another type.
        StoreUnavailable: the path does not exist, and looks like a URL without its scheme.
    """
    if source is None:
        if os.environ.get("HTMLGRAPH_URL"):
            return os.environ["HTMLGRAPH_URL"]
        path = running_server().get("db", "")
        is_known = is_postgres(path) or (path and os.path.exists(path))
        return without_password(path if is_known else default_db())
    if not isinstance(source, str | os.PathLike):
        raise InvalidEvent(_type_error(source), "source")
    location = os.fspath(source)
    if not isinstance(location, str):
        location = os.fsdecode(location)
    if _HOST_AND_PORT.fullmatch(location) and not os.path.exists(location):
        raise StoreUnavailable(
            f"no database at {location}; did you mean the server http://{location}?"
        )
    return without_password(location)


def _type_error(source: object) -> str:
    expected = "source: expected a path or URL, a list of them, or a dict of them by name"
    kind = type(source).__name__
    if kind == "DataFrame":
        return f"{expected}, got a DataFrame; pass it to the analysis functions as it is"
    if kind == "Connection":
        return f"{expected}, got a connection; pass the path of its file"
    return f"{expected}, got {format_value(source)}"


def list_sources(source: object) -> tuple[dict[str, str], bool]:
    """Return the sources of the argument of ``load_history``.

    Args:
        source: a path, a URL, or None, as for ``resolve_source``; a pattern of paths such as
            ``"*.db"``; a list of these; or a dict of them by name.

    Returns:
        Paths and URLs by name, which is the path or URL itself unless the source is a dict; and
        whether it names several sources, even if only one was found.

    Raises:
        InvalidEvent: another type, or no source at all.
        StoreUnavailable: no file matches a pattern. Otherwise as for ``resolve_source``.
    """
    if isinstance(source, Mapping):
        named = {str(name): resolve_source(one) for name, one in source.items()}
    elif isinstance(source, Sequence) and not isinstance(source, str | bytes):
        named = {path: path for one in source for path in _matching(resolve_source(one))}
    else:
        location = resolve_source(source)
        paths = _matching(location)
        return {path: path for path in paths}, paths != [location]
    if not named:
        raise InvalidEvent("source: expected at least one path or URL, got none", "source")
    return named, True


def _matching(location: str) -> list[str]:
    """Return the files that match a pattern; a path or URL is itself."""
    is_path = not glob.has_magic(location) or os.path.exists(location)
    if location.startswith(URL_SCHEMES) or is_postgres(location) or is_path:
        return [location]
    paths = sorted(glob.glob(os.path.expanduser(location), recursive=True))
    if not paths:
        raise StoreUnavailable(f"no file matches {shorten(location)}")
    return paths


def query_source(
    location: str, token: str | None, query: HistoryQuery, batch_rows: int
) -> HistoryResult:
    """Run a query on a source; no row is read before the first batch is requested.

    Args:
        location: path or URL of the source.
        token: secret of the server; None: look it up.
        query: ``projects`` can have names with folders, such as ``acme/api``.
        batch_rows: most rows of a batch, except from a server.

    Raises:
        StoreUnavailable: the file does not exist or cannot be read.
        StoreDamaged, StoreTooNew: the file has no history, or a newer version wrote it.
    """
    wanted = tuple(query.projects or ())
    if not any("/" in name for name in wanted):
        return _query_names(location, token, query, batch_rows)
    stored = {part for name in wanted for part in (name, name.rpartition("/")[2]) if part}
    columns = tuple(dict.fromkeys((*query.columns, "agent_id", "project", "cwd")))
    wider = replace(query, projects=sorted(stored), columns=columns, limit=None)
    result = _query_names(location, token, wider, batch_rows)
    kept = [c for c in result.columns if c in query.columns or c == result.order_by]
    batches = _in_projects(result.batches, wanted, kept, query.limit if result.in_order else None)
    return replace(result, batches=batches, columns=tuple(kept), max_rows=None)


def _in_projects(
    batches: Iterator[pa.RecordBatch],
    wanted: Sequence[str],
    columns: Sequence[str],
    limit: int | None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of these projects; of an unknown folder, that of the agent so far counts."""
    last: dict[tuple[str, str], bool] = {}
    left = limit
    for batch in batches:
        names = (batch.column(name).to_pylist() for name in ("agent_id", "project", "cwd"))
        mask = []
        for agent, project, cwd in zip(*names, strict=True):
            is_in = any(is_in_project(name, project, cwd) for name in wanted)
            if is_in or (cwd and project_folder(project, cwd)):
                last[agent, project] = is_in
            mask.append(is_in or last.get((agent, project), False))
        part = batch.filter(pa.array(mask, pa.bool_())).select(list(columns)).slice(0, left)
        left = None if left is None else left - len(part)
        if len(part):
            yield part
        if left == 0:
            return


def _query_names(
    location: str, token: str | None, query: HistoryQuery, batch_rows: int
) -> HistoryResult:
    if location.startswith(URL_SCHEMES):
        rest = Rest(lambda: candidates(location, token))
        return HistoryResult(_server_batches(rest, query), tuple(query.columns))
    kind = None if is_postgres(location) else file_format(location)
    if kind is not None:
        files = HistoryFiles(location, kind, query)
        batches = files.batches(batch_rows)
        return HistoryResult(batches, files.columns, False, files.order_by, files.max_rows)
    max_rows = max_row_count(location, query)
    batches = read_batches(location, query, batch_rows=batch_rows)
    return HistoryResult(batches, tuple(query.columns), max_rows=max_rows)


def _server_batches(rest: Rest, query: HistoryQuery) -> Iterator[pa.RecordBatch]:
    """Yield the rows from a server; it does not support ``after_seq``, which is applied here."""
    if not query.after_seq:
        yield from rest.history_batches(query)
        return
    left = query.limit
    for batch in rest.history_batches(replace(query, after_seq=0, limit=None)):
        rows = batch.filter(pc.greater(batch.column("seq"), query.after_seq))
        part = rows if left is None else rows.slice(0, left)
        left = None if left is None else left - len(part)
        if len(part):
            yield part
        if left == 0:
            return
