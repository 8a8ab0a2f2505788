"""A write transaction in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, cast

from ..postgres.dialect import translate
from ..postgres.sessions import PostgresSession
from ..row_writer import RowWriter
from ..transaction import Transaction
from .postgres_schema import sqlite_tables


class PostgresTransaction(Transaction):
    """The tables, under the lock of the row ``stream``; see Transaction."""

    def _insert(self, writer: RowWriter, rows: Iterable[Sequence[Any]]) -> None:
        """Write all rows with one statement and one parameter."""
        session = cast("PostgresSession", self.db)
        session.n_writes += 1
        columns = writer.columns
        records = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        if records:
            session.run(_insert_text(writer), (json.dumps(records),))


def _plain(value: Any) -> Any:
    if type(value) is bool:
        return int(value)
    # PostgreSQL has no texts with U+0000, SQLite has.
    return value.replace("\0", "\ufffd") if type(value) is str and "\0" in value else value


@cache
def _insert_text(writer: RowWriter) -> str:
    columns = ", ".join(writer.columns)
    text = (
        f"INSERT INTO {writer.table} ({columns}) "
        f"SELECT {columns} FROM json_populate_recordset(NULL::{writer.table}, ?)"
    )
    if writer.replaces:
        keys = [c.name for c in sqlite_tables()[0][writer.table] if c.key]
        sets = [f"{c} = excluded.{c}" for c in writer.columns if c not in keys]
        text += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(sets)}"
    return translate(text).text.replace("%s", "%s::json")
