"""Stored events as JSON, NDJSON and CSV, formatted by SQLite itself.

A query returns one row with the text of many events. SQLite runs without the GIL, so a reading
thread does not block the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from htmlgraph_nb.storage.columnar.segment_index import narrow_query
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import NAMED, ROOT

from .row_texts import format_rows

CHUNK_ROWS = 1_000
"""Maximum number of events in one chunk; with the longest ``extra`` that is 16 MB."""
TEXT_FORMATS = ("json", "ndjson", "csv", "columns")

_TIME = (
    "strftime('%Y-%m-%dT%H:%M:%S', h.timestamp / 1000000, 'unixepoch') "
    "|| printf('.%06dZ', h.timestamp % 1000000)"
)
# SQLite prints 15 digits by default; 17 round-trip every float.
_USD = "CASE WHEN h.cost_usd IS NOT NULL THEN printf('%!.17g', h.cost_usd) END"
_ATTENTION = "CASE h.agent_attention WHEN 0 THEN 'false' WHEN 1 THEN 'true' END"
_IN_JSON = {
    "timestamp": _TIME,
    "cost_usd": f"json({_USD})",
    "extra": "json(h.extra)",
    "agent_attention": f"json({_ATTENTION})",
}
_UNQUOTED = {
    "timestamp": _TIME,
    "cost_usd": f"ifnull({_USD}, '')",
    "status": "ifnull(h.status, '')",
    "agent_attention": f"ifnull({_ATTENTION}, '')",
}
_TEXTS = frozenset(
    {
        *(*NAMED.values(), ROOT, "tool_use_id", "event_id", "extra"),
        *("agent_status", "agent_detail", "agent_reason"),
    }
)


_FORMULA = "'=', '+', '-', '@', char(9), char(13), char(39)"


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The text of some events.

    Attributes:
        n_rows: number of events.
        last_seq: seq of the last event; 0 if there is none.
        body: UTF-8 text: whole lines for ``ndjson`` and ``csv``, comma-separated objects for
            ``json``, and for ``columns`` one line: an object with the list of values of each column
            as stored, so times are microseconds since 1970 and ``extra`` is a string.
    """

    n_rows: int
    last_seq: int
    body: bytes


def csv_header(names: Sequence[str]) -> bytes:
    """Return the header line of CSV."""
    return (",".join(names) + "\r\n").encode()


def read_chunk(db: sqlite3.Connection, query: HistoryQuery, format_: str) -> TextChunk:
    """Return the first rows of a query, at most CHUNK_ROWS, in one of TEXT_FORMATS.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    size = CHUNK_ROWS if query.limit is None else min(CHUNK_ROWS, query.limit)
    limited = replace(narrow_query(db, query), limit=size)
    if not _is_sqlite(db):
        n_rows, last_seq, text = format_rows(db, limited, format_, _TEXTS)
        return TextChunk(n_rows, last_seq, text.encode())
    rows, params = limited.to_sql()
    body = _BODIES[format_](query.row_columns)
    # An aggregate reads the rows in the order of its subquery.
    n_rows, min_seq, max_seq, text = db.execute(
        f"SELECT count(*), min(h.seq), max(h.seq), {body} FROM ({rows}) h", params
    ).fetchone()
    last_seq = min_seq if query.newest_first else max_seq
    return TextChunk(n_rows, last_seq or 0, (text or "").encode() if n_rows else b"")


def _is_sqlite(db: object) -> bool:
    return isinstance(db, sqlite3.Connection)


def text_chunks(db: sqlite3.Connection, query: HistoryQuery, format_: str) -> Iterator[TextChunk]:
    """Yield all rows of a query; each chunk is a query of its own, so no snapshot stays open."""
    rest: HistoryQuery | None = query
    while rest is not None:
        chunk = read_chunk(db, rest, format_)
        if chunk.n_rows:
            yield chunk
        rest = remaining_query(rest, chunk)


def remaining_query(query: HistoryQuery, chunk: TextChunk) -> HistoryQuery | None:
    """Return the query for the rows after ``chunk``; None: there are none."""
    limit = None if query.limit is None else query.limit - chunk.n_rows
    if chunk.n_rows < CHUNK_ROWS or limit == 0:
        return None
    return replace(query, after_seq=chunk.last_seq, limit=limit)


def _json_line(names: Sequence[str]) -> str:
    terms = (f"'{name}', {_IN_JSON.get(name, 'h.' + name)}" for name in names)
    return f"json_object({', '.join(terms)})"


def _ndjson_line(names: Sequence[str]) -> str:
    return f"{_json_line(names)} || char(10)"


def _csv_line(names: Sequence[str]) -> str:
    return " || ',' || ".join(map(_csv_field, names)) + " || char(13, 10)"


def _csv_field(name: str) -> str:
    if name in _TEXTS:
        # Programs for spreadsheets compute cells that begin as a formula; see export_writers.
        return f"""CASE WHEN h.{name} IS NULL THEN '' ELSE
            '"' || CASE WHEN substr(h.{name}, 1, 1) IN ({_FORMULA}) THEN '''' ELSE '' END
            || replace(h.{name}, '"', '""') || '"' END"""
    return _UNQUOTED.get(name, f"ifnull(h.{name}, '')")


def _columns(names: Sequence[str]) -> str:
    values = {"cost_usd": f"json({_USD})"}
    lists = (f"'{name}', json_group_array({values.get(name, 'h.' + name)})" for name in names)
    return f"json_object({', '.join(lists)}) || char(10)"


_BODIES: dict[str, Callable[[Sequence[str]], str]] = {
    "json": lambda names: f"group_concat({_json_line(names)}, ',')",
    "ndjson": lambda names: f"group_concat({_ndjson_line(names)}, '')",
    "csv": lambda names: f"group_concat({_csv_line(names)}, '')",
    "columns": _columns,
}
"""SQL expressions of the text of all rows of ``h``, by format."""
