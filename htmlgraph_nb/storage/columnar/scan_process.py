"""One of the processes that read a big table together: ``python -m`` runs it.

It reads through ADBC's SQLite driver, which makes columns in C. That driver brings an SQLite
library of its own, and two of them in one process on one file undo each other's locks
(https://sqlite.org/howtocorrupt.html, section 2.2.1): this module is never imported by one that
opens the file itself.

Standard input holds one JSON object: ``path``; ``columns``; ``where`` and ``parameters``, as
``HistoryQuery.conditions`` gives them; ``order``, ASC or DESC; ``ranges`` of seq, both ends
included. Standard output is an Arrow IPC stream with one batch a range, be it empty.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

# The driver's own calls: its DBAPI loads pandas and polars where they are installed.
import adbc_driver_sqlite
import pyarrow as pa
from adbc_driver_manager import AdbcConnection, AdbcStatement

from .arrow_schema import DecisionRow, Encoder, raw_name, raw_type, select_schema

_FIRST, _LAST = -(2**63), 2**63 - 1
_SAMPLES = {pa.int64(): "0", pa.float64(): "0.5", pa.string(): "''"}
_IDS_PER_QUERY = 500


class _Reader:
    """Reads ranges through one connection."""

    def __init__(self, connection: Any, request: dict[str, Any]) -> None:
        self._connection = connection
        self._columns: list[str] = request["columns"]
        self._encoder = Encoder(self._columns, self._names, self._decisions)
        self.schema = select_schema(self._columns)
        # The driver takes a column's type from its first row, which must not be null.
        end = _FIRST if request["order"] == "ASC" else _LAST
        samples = ", ".join([str(end), *(_SAMPLES[raw_type(name)] for name in self._columns)])
        terms = ", ".join(f"e.{raw_name(name)}" for name in ("seq", *self._columns))
        where = f"{request['where']} AND" if request["where"] else "WHERE"
        self._parameters: list[int | str] = request["parameters"]
        self._text = (
            f"SELECT {samples} UNION ALL SELECT {terms} FROM events e {where} "
            f"e.id BETWEEN ? AND ? ORDER BY 1 {request['order']}"
        )

    def batch(self, first: int, last: int) -> pa.RecordBatch:
        """Return the rows of a range."""
        text = _filled_in(self._text, (*self._parameters, first, last))
        # The first row is the sample.
        table = self._table(text, last - first + 2).slice(1)
        arrays = [
            self._encoder.encode(name, column.combine_chunks().cast(raw_type(name)))
            for name, column in zip(self._columns, table.columns[1:], strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _names(self, numbers: Sequence[int]) -> dict[int, str]:
        return dict(self._look_up("id, name FROM names", numbers))

    def _decisions(self, ids: Sequence[int]) -> list[DecisionRow]:
        return self._look_up("id, status, detail, reason, attention FROM decisions", ids)

    def _look_up(self, terms: str, ids: Sequence[int]) -> list[Any]:
        rows: list[Any] = []
        for start in range(0, len(ids), _IDS_PER_QUERY):
            part = ", ".join(str(int(one)) for one in ids[start : start + _IDS_PER_QUERY])
            table = self._table(f"SELECT {terms} WHERE id IN ({part})", _IDS_PER_QUERY)
            rows += zip(*(column.to_pylist() for column in table.columns), strict=True)
        return rows

    def _table(self, text: str, most_rows: int) -> pa.Table:
        with closing(AdbcStatement(self._connection)) as statement:
            rows = str(min(most_rows, 2**31 - 1))
            statement.set_options(**{"adbc.sqlite.query.batch_rows": rows})
            statement.set_sql_query(text)
            stream, _ = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as reader:
                return reader.read_all()


def _filled_in(text: str, parameters: Iterable[int | str]) -> str:
    """Return SQL with its parameters written out; texts as their bytes, which need no quoting."""
    parts = text.split("?")
    literals = [
        str(value) if isinstance(value, int) else f"CAST(X'{value.encode().hex()}' AS TEXT)"
        for value in parameters
    ]
    return "".join(part + literal for part, literal in zip(parts, [*literals, ""], strict=True))


def main() -> None:
    """Answer the one request of standard input."""
    request = json.load(sys.stdin)
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with (
        closing(adbc_driver_sqlite.connect(request["path"])) as database,
        closing(AdbcConnection(database)) as connection,
    ):
        with closing(AdbcStatement(connection)) as statement:
            statement.set_sql_query("PRAGMA query_only = ON")
            statement.execute_update()
        reader = _Reader(connection, request)
        with pa.ipc.new_stream(sys.stdout.buffer, reader.schema, options=options) as stream:
            for first, last in request["ranges"]:
                stream.write_batch(reader.batch(first, last))


if __name__ == "__main__":
    main()
