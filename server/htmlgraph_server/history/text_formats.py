"""Stored events as the text of the HTTP formats, which SQLite itself writes.

A query gives one row with the text of many events. SQLite works without Python's lock, so that a
thread which answers does not keep the event loop from its work.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from htmlgraph_nb.storage.query import HistoryQuery

CHUNK_ROWS = 1_000
"""Most events in one piece of text; with the longest extra that is 16 MB."""
TEXT_FORMATS = ("json", "ndjson", "csv")

_TIME = (
    "strftime('%Y-%m-%dT%H:%M:%S', h.timestamp / 1000000, 'unixepoch') "
    "|| printf('.%06dZ', h.timestamp % 1000000)"
)
# SQLite's own text of a number has 15 digits; 17 give the same number back.
_USD = "CASE WHEN h.cost_usd IS NOT NULL THEN printf('%!.17g', h.cost_usd) END"
_IN_JSON = {"timestamp": _TIME, "cost_usd": f"json({_USD})", "extra": "json(h.extra)"}
_UNQUOTED = {
    "timestamp": _TIME,
    "cost_usd": f"ifnull({_USD}, '')",
    "status": "ifnull(h.status, '')",
}
_TEXTS = frozenset(
    {
        *("agent_id", "event_type", "session_id", "tool_name", "tool_use_id", "feature_id"),
        *("model", "parent_agent_id", "project", "host", "source", "event_id", "extra"),
    }
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text of some events.

    Attributes:
        n_rows: how many.
        last_seq: the seq of the last one; 0 where there is none.
        body: UTF-8: of ``json`` the objects with commas between them, of ``ndjson`` and ``csv``
            whole lines.
    """

    n_rows: int
    last_seq: int
    body: bytes


def csv_head(names: Sequence[str]) -> bytes:
    """Return the first line of CSV."""
    return (",".join(names) + "\r\n").encode()


def read_chunk(db: sqlite3.Connection, query: HistoryQuery, kind: str) -> Chunk:
    """Return the first rows of a query, CHUNK_ROWS at most, as text of one of TEXT_FORMATS.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    size = CHUNK_ROWS if query.limit is None else min(CHUNK_ROWS, query.limit)
    rows, params = replace(query, limit=size).to_sql()
    names = query.row_columns
    line, between = _LINES[kind](names), "','" if kind == "json" else "''"
    # An aggregate takes the rows in the order in which an ordered subquery gives them.
    n_rows, least, most, text = db.execute(
        f"SELECT count(*), min(h.seq), max(h.seq), group_concat({line}, {between}) FROM ({rows}) h",
        params,
    ).fetchone()
    last = least if query.newest_first else most
    return Chunk(n_rows, last or 0, (text or "").encode())


def text_chunks(db: sqlite3.Connection, query: HistoryQuery, kind: str) -> Iterator[Chunk]:
    """Yield all rows of a query; each chunk is a query of its own, so no snapshot is held."""
    rest: HistoryQuery | None = query
    while rest is not None:
        chunk = read_chunk(db, rest, kind)
        if chunk.n_rows:
            yield chunk
        rest = after_chunk(rest, chunk)


def after_chunk(query: HistoryQuery, chunk: Chunk) -> HistoryQuery | None:
    """Return what is left of a query after its first rows; None: nothing."""
    left = None if query.limit is None else query.limit - chunk.n_rows
    if chunk.n_rows < CHUNK_ROWS or left == 0:
        return None
    return replace(query, after_seq=chunk.last_seq, limit=left)


def _json_line(names: Sequence[str]) -> str:
    terms = (f"'{name}', {_IN_JSON.get(name, 'h.' + name)}" for name in names)
    return f"json_object({', '.join(terms)})"


def _ndjson_line(names: Sequence[str]) -> str:
    return f"{_json_line(names)} || char(10)"


def _csv_line(names: Sequence[str]) -> str:
    return " || ',' || ".join(map(_csv_field, names)) + " || char(13, 10)"


def _csv_field(name: str) -> str:
    if name in _TEXTS:
        return f"""CASE WHEN h.{name} IS NULL THEN '' ELSE
            '"' || replace(h.{name}, '"', '""') || '"' END"""
    return _UNQUOTED.get(name, f"ifnull(h.{name}, '')")


_LINES = {"json": _json_line, "ndjson": _ndjson_line, "csv": _csv_line}
