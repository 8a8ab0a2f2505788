"""Stored events as JSON, NDJSON and CSV, formatted by Python: for databases other than SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.timestamps import from_micros, to_rfc3339
from htmlgraph_nb.storage.query import HistoryQuery

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def format_rows(
    db: sqlite3.Connection, query: HistoryQuery, format_: str, texts: frozenset[str]
) -> tuple[int, int, str]:
    """Return the number of rows of a query, the last seq (0: none), and their text.

    Args:
        db: a connection of ``open_reader``.
        format_: one of TEXT_FORMATS.
        texts: the columns that CSV quotes.
    """
    text, parameters = query.to_sql()
    rows = db.execute(text, parameters).fetchall()
    names = query.row_columns
    if not rows:
        return 0, 0, ""
    return len(rows), int(rows[-1][0]), _FORMATS[format_](names, rows, texts)


def _json_value(name: str, value: Any) -> str:
    if value is None:
        return "null"
    if name == "timestamp":
        return f'"{_time(value)}"'
    if name == "extra":
        return str(value)
    if name == "agent_attention":
        return "true" if value else "false"
    return encode_json(value)


def _time(micros: int) -> str:
    return to_rfc3339(from_micros(micros))


def _json_line(names: Sequence[str], row: Sequence[Any]) -> str:
    pairs = zip(names, row, strict=True)
    return "{" + ",".join(f'"{name}":{_json_value(name, value)}' for name, value in pairs) + "}"


def _csv_value(name: str, value: Any, texts: frozenset[str]) -> str:
    if value is None:
        return ""
    if name in texts:
        # Programs for spreadsheets compute cells that begin as a formula; see export_writers.
        guard = "'" if value.startswith(_FORMULA) else ""
        quoted = str(value).replace('"', '""')
        return f'"{guard}{quoted}"'
    return _time(value) if name == "timestamp" else _json_value(name, value).strip('"')


def _json(names: Sequence[str], rows: Sequence[Any], _: frozenset[str]) -> str:
    return ",".join(_json_line(names, row) for row in rows)


def _ndjson(names: Sequence[str], rows: Sequence[Any], _: frozenset[str]) -> str:
    return "".join(_json_line(names, row) + "\n" for row in rows)


def _csv(names: Sequence[str], rows: Sequence[Any], texts: frozenset[str]) -> str:
    return "".join(
        ",".join(_csv_value(name, value, texts) for name, value in zip(names, row, strict=True))
        + "\r\n"
        for row in rows
    )


def _columns(names: Sequence[str], rows: Sequence[Any], _: frozenset[str]) -> str:
    columns = zip(*rows, strict=True)
    return encode_json(dict(zip(names, map(list, columns), strict=True))) + "\n"


_FORMATS: dict[str, Callable[[Sequence[str], Sequence[Any], frozenset[str]], str]] = {
    "json": _json,
    "ndjson": _ndjson,
    "csv": _csv,
    "columns": _columns,
}
