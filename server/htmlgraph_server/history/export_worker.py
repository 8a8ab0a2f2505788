"""Writes a long history export to standard output, in a child process of the server.

The server passes the output on, so its own Python never handles a million rows. Standard input is
the request as JSON (see ``encode_request``). The first byte of the output is ``+``, followed by the
export; or ``-``, followed by an error message. The exit status is 0 only if the export is complete.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import fields, replace
from importlib.abc import MetaPathFinder
from typing import Any, BinaryIO

from htmlgraph_nb.core.timestamps import from_micros, to_micros
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.query import HistoryQuery

from .text_formats import text_chunks

logger = logging.getLogger(__name__)

COMPRESSIONS = ("none", "lz4", "zstd")
"""Compressions of the buffers of an Arrow stream."""
OK, FAILED = b"+", b"-"
_NICENESS = 10
_PIPE_BYTES = 1 << 20
_BATCH_ROWS = 8_192
_TIMES = ("since", "until")


def encode_request(
    path: str, query: HistoryQuery, format_: str, compression: str = "none"
) -> bytes:
    """Return the request that the worker reads.

    Args:
        path: the database file.
        query: which rows to export.
        format_: one of TEXT_FORMATS, or ``arrow``.
        compression: one of COMPRESSIONS; applies to ``arrow`` only.
    """
    fields_: dict[str, Any] = {field.name: getattr(query, field.name) for field in fields(query)}
    for name in _TIMES:
        fields_[name] = None if fields_[name] is None else to_micros(fields_[name])
    request = {"path": path, "query": fields_, "format": format_, "compression": compression}
    return json.dumps(request).encode()


def _decode_query(fields_: dict[str, Any]) -> HistoryQuery:
    for name in _TIMES:
        fields_[name] = None if fields_[name] is None else from_micros(fields_[name])
    return HistoryQuery(**fields_)


def _text_pieces(path: str, query: HistoryQuery, format_: str) -> Iterator[bytes]:
    """Yield the lines of ``ndjson`` or ``csv``, without a header line."""
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for chunk in text_chunks(db, query, format_):
            yield chunk.body


class _WithoutPandas(MetaPathFinder):
    """Makes pandas look as if it is not installed.

    pyarrow imports it only to recognize its objects, which takes half of the time of a short
    export.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def write_arrow(path: str, query: HistoryQuery, compression: str, out: BinaryIO) -> None:
    """Write an Arrow IPC stream.

    A batch with new names comes with its whole dictionary: polars cannot read only the new values
    (delta dictionaries). Few batches do, so the size is the same within one percent. The schema is
    written even if there are no rows
    (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
    """
    sys.meta_path.insert(0, _WithoutPandas())
    # Slow to import, and the other formats do not need it.
    import pyarrow as pa

    from htmlgraph_nb.storage.columnar.arrow_schema import select_schema
    from htmlgraph_nb.storage.columnar.reader import read_batches

    query = replace(query, columns=query.row_columns)
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
    batches = read_batches(path, query, batch_rows=_BATCH_ROWS)
    # Read the first batch before writing anything: most errors occur there.
    first = next(batches, None)
    out.write(OK)
    sink = pa.PythonFile(out, "w")
    with pa.ipc.new_stream(sink, select_schema(query.columns), options=options) as writer:
        if first is not None:
            writer.write_batch(first)
            first = None
        for batch in batches:
            writer.write_batch(batch)


def _export(request: dict[str, Any], out: BinaryIO) -> None:
    path, format_, query = request["path"], request["format"], _decode_query(request["query"])
    if format_ == "arrow":
        write_arrow(path, query, request["compression"], out)
        return
    prefix: bytes = OK
    for piece in _text_pieces(path, query, format_):
        out.write(prefix + piece)
        prefix = b""
    out.write(prefix)


def set_up_process() -> None:
    """Give this process, a worker of a server, a low priority; it ignores Ctrl-C."""
    # Ctrl-C in the server's terminal reaches this process too; the server stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nice: Callable[[int], int] | None = getattr(os, "nice", None)
    if nice is not None:
        nice(_NICENESS)
    if sys.platform == "linux":
        import fcntl

        # Only an optimization; the system may refuse it.
        with suppress(OSError):
            fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def main() -> int:
    """Export the request of standard input; return 0, or 1 if the export is incomplete."""
    set_up_process()
    # Its own logger is named __main__ in this process.
    logging.basicConfig(format="%(asctime)s %(levelname)s history export worker: %(message)s")
    try:
        request = json.load(sys.stdin)
    except ValueError:
        # The server exited before it sent the request.
        return 1
    out = _CountingStream(sys.stdout.buffer)
    try:
        _export(request, out)  # type: ignore[arg-type]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The server closed the pipe: skip the interpreter's final flush, which would fail as well.
        os._exit(1)
    except HtmlgraphError as error:
        if out.n_bytes:
            logger.warning("history export aborted: %s", error)
        else:
            out.write(FAILED + str(error).encode())
        return 1
    return 0


class _CountingStream:
    """A stream that counts the bytes written to it."""

    closed = False

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.n_bytes = 0

    def write(self, data: bytes) -> int:
        self.n_bytes += len(data)
        return self._out.write(data)

    def flush(self) -> None:
        self._out.flush()


if __name__ == "__main__":
    sys.exit(main())
