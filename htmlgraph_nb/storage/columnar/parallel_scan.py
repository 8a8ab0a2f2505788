"""Read many rows of SQLite in several processes; ``python -m`` runs one of them.

The processes use the ADBC driver, which builds Arrow columns in C. The driver contains a second
SQLite library, and two libraries in one process break each other's locks on a file
(https://sqlite.org/howtocorrupt.html, section 2.2.1). So only ``main`` imports it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ..query import HistoryQuery
from ..schema import raw_term
from .arrow_schema import raw_schema

logger = logging.getLogger(__name__)

PARALLEL_ROWS = 250_000
"""Fewest rows for several processes; below it their start costs more than they save."""
_MAX_PROCESSES = 8


def scan_ranges(
    path: str, query: HistoryQuery, ranges: Sequence[tuple[int, int]]
) -> Generator[pa.RecordBatch | None, None, None]:
    """Yield the rows in each range of seq as one batch of ``raw_schema``, which can be empty.

    If a process fails, this is logged, and the rest of the ranges yields None: the caller reads
    them. Each process waits until its batch is taken, so memory holds one range of each process.

    Args:
        path: a database file.
        query: filters, columns and order; ``seq_range`` and ``limit`` are ignored.
        ranges: both ends included, in the order of the query.
    """
    n_processes = min(_n_cores(), _MAX_PROCESSES, len(ranges))
    readers: list[Any] = []
    n_read = 0
    with tempfile.TemporaryFile() as log, ExitStack() as stack:
        try:
            outputs = [
                stack.enter_context(_process(path, query, ranges[number::n_processes], log))
                for number in range(n_processes)
            ]
            for index in range(len(ranges)):
                if index < n_processes:
                    readers.append(pa.ipc.open_stream(outputs[index]))
                yield readers[index % n_processes].read_next_batch()
                n_read += 1
        except (pa.ArrowException, OSError, StopIteration) as error:
            log.seek(0)
            last_line = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            logger.warning("%s: reading in one process: %s", path, last_line or repr(error))
    yield from [None] * (len(ranges) - n_read)


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _process(
    path: str, query: HistoryQuery, ranges: Sequence[tuple[int, int]], log: IO[bytes]
) -> Iterator[IO[bytes] | None]:
    """Start a process that reads ``ranges``, and return its output; kill it at the end."""
    terms = ", ".join(f"{raw_term(name)} AS {name}" for name in raw_schema(query.columns).names)
    conditions, params = replace(query, seq_range=None).conditions()
    request = {
        "uri": f"{Path(path).absolute().as_uri()}?mode=ro",
        "columns": list(query.columns),
        "text": f"SELECT {terms} FROM events e "
        f"{conditions or 'WHERE true'} AND e.id BETWEEN ? AND ? ORDER BY e.id {query.order}",
        "params": params,
        "ranges": ranges,
    }
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(request).encode())
        file.seek(0)
        with subprocess.Popen(  # noqa: S603 - a module of this program
            [sys.executable, "-m", __name__], stdin=file, stdout=subprocess.PIPE, stderr=log
        ) as process:
            try:
                yield process.stdout
            finally:
                process.kill()


def main() -> None:
    """Run the request on standard input; write an Arrow stream with one batch per range."""
    # Not adbc_driver_sqlite.dbapi, which imports pandas and polars.
    import adbc_driver_sqlite
    from adbc_driver_manager import AdbcConnection, AdbcStatement

    request = json.load(sys.stdin)
    schema = raw_schema(request["columns"])
    with (
        closing(adbc_driver_sqlite.connect(request["uri"])) as database,
        closing(AdbcConnection(database)) as connection,
        pa.ipc.new_stream(sys.stdout.buffer, schema) as output,
    ):
        for seq_range in request["ranges"]:
            arrays = [pa.array([value]) for value in (*request["params"], *seq_range)]
            with closing(AdbcStatement(connection)) as statement:
                # The driver infers types from the first batch, so this must hold all rows.
                statement.set_options(**{"adbc.sqlite.query.batch_rows": str(10**9)})
                statement.set_sql_query(request["text"])
                statement.bind(pa.record_batch(arrays, [str(i) for i in range(len(arrays))]))
                stream, _ = statement.execute_query()
                table = pa.RecordBatchReader.from_stream(stream).read_all().cast(schema)
            columns = [column.combine_chunks() for column in table.columns]
            output.write_batch(pa.record_batch(columns, schema=schema))


if __name__ == "__main__":
    main()
