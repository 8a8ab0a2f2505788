"""Read history from PostgreSQL as Arrow columns, which the ADBC driver builds in C."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast

import pyarrow as pa

from ...errors import StoreUnavailable
from ..postgres.dialect import translate
from ..postgres.location import connection_string, is_postgres
from .scan import Scanner


class PostgresScanner(Scanner):
    """As Scanner, of a PostgreSQL; its look-ups of names use the connection ``db``."""

    def _read(self, text: str, parameters: Sequence[Any]) -> tuple[list[pa.Array], int]:
        try:
            from adbc_driver_postgresql import dbapi
        except ImportError as error:
            raise StoreUnavailable(
                f"reading history from PostgreSQL needs further packages ({error}); "
                "install them with: pip install 'htmlgraph-nb[postgres]'"
            ) from error
        statement = self._with_values(text, parameters)
        try:
            # A connection for each query: the caller may read the next batch much later.
            with (
                closing(dbapi.connect(connection_string(self._path), autocommit=True)) as db,
                closing(db.cursor()) as cursor,
            ):
                cursor.execute(statement)
                table = cursor.fetch_arrow_table()
        except dbapi.Error as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error
        if not len(table):
            return [], 0
        columns = [
            column.cast(field.type).combine_chunks()
            for column, field in zip(table.columns[1:], self._raw_schema, strict=True)
        ]
        return columns, int(table.column(0)[-1].as_py())

    def _with_values(self, text: str, parameters: Sequence[Any]) -> str:
        """Return a statement with its values: the driver has no parameters that are lists."""
        from psycopg import ClientCursor

        from ..postgres.sessions import PostgresSession

        session = cast("PostgresSession", self._db)
        session.connect()
        translated = translate(text)
        with ClientCursor(session.raw) as cursor:
            return str(cursor.mogrify(translated.text, translated.parameters(parameters)))


def make_scanner(db: sqlite3.Connection, path: str, columns: Sequence[str]) -> Scanner:
    """Return a Scanner of a file, or of an address of PostgreSQL."""
    return (PostgresScanner if is_postgres(path) else Scanner)(db, path, columns)
