"""Writes a long history answer to its standard output, as a child process of the server.

The server runs it as a child of low priority and passes on what it writes, so that no Python of
its own is busy with a million rows. Standard input holds the question as JSON (see
``encode_request``).
The first byte is ``+``, and the answer follows; or ``-``, and an error's text follows. Only a whole
answer ends with status 0.
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
from typing import Any, BinaryIO

from htmlgraph_nb.core.timestamps import from_micros, to_micros
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.query import HistoryQuery

from .text_formats import text_chunks

logger = logging.getLogger("htmlgraph.history")

COMPRESSIONS = ("none", "lz4", "zstd")
"""Of the buffers of an Arrow stream."""
OK, FAILED = b"+", b"-"
_NICENESS = 10
_PIPE_BYTES = 1 << 20
_BATCH_ROWS = 4_096
_TIMES = ("since", "until")


def encode_request(path: str, query: HistoryQuery, kind: str, compression: str = "none") -> bytes:
    """Return the question that the child reads.

    Args:
        path: the database file.
        query: which rows.
        kind: one of TEXT_FORMATS, or ``arrow``.
        compression: one of COMPRESSIONS; counts for ``arrow``.
    """
    asked: dict[str, Any] = {field.name: getattr(query, field.name) for field in fields(query)}
    for name in _TIMES:
        asked[name] = None if asked[name] is None else to_micros(asked[name])
    question = {"path": path, "query": asked, "kind": kind, "compression": compression}
    return json.dumps(question).encode()


def _query(asked: dict[str, Any]) -> HistoryQuery:
    for name in _TIMES:
        asked[name] = None if asked[name] is None else from_micros(asked[name])
    return HistoryQuery(**asked)


def text_pieces(path: str, query: HistoryQuery, kind: str) -> Iterator[bytes]:
    """Yield the lines of ``ndjson`` or ``csv``, without a head."""
    with closing(open_reader(path)) as db, sqlite_errors(path):
        for chunk in text_chunks(db, query, kind):
            yield chunk.body


def write_arrow(path: str, query: HistoryQuery, compression: str, out: BinaryIO) -> None:
    """Write an Arrow IPC stream; later batches bring only what is new of their dictionaries.

    The schema is there also where there are no rows
    (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format).
    """
    # Only this format needs it, and it takes a while to load.
    import pyarrow as pa

    from htmlgraph_nb.storage.columnar.arrow_schema import select_schema
    from htmlgraph_nb.storage.columnar.reader import read_batches

    query = replace(query, columns=query.row_columns)
    options = pa.ipc.IpcWriteOptions(
        compression=None if compression == "none" else compression, emit_dictionary_deltas=True
    )
    batches = read_batches(path, query, batch_rows=_BATCH_ROWS)
    # The first batch before the first byte: most errors come with it.
    first = next(batches, None)
    out.write(OK)
    sink = pa.PythonFile(out, "w")
    with pa.ipc.new_stream(sink, select_schema(query.columns), options=options) as writer:
        if first is not None:
            writer.write_batch(first)
            first = None
        for batch in batches:
            writer.write_batch(batch)


def _answer(question: dict[str, Any], out: BinaryIO) -> None:
    path, kind, query = question["path"], question["kind"], _query(question["query"])
    if kind == "arrow":
        write_arrow(path, query, question["compression"], out)
        return
    mark: bytes = OK
    for piece in text_pieces(path, query, kind):
        out.write(mark + piece)
        mark = b""
    out.write(mark)


def _prepare() -> None:
    # A Ctrl-C in the server's terminal is the server's: it ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nice: Callable[[int], int] | None = getattr(os, "nice", None)
    if nice is not None:
        nice(_NICENESS)
    if sys.platform == "linux":
        import fcntl

        # What the system does not grant makes it slower and nothing else.
        with suppress(OSError):
            fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def main() -> int:
    """Answer the question of standard input; return 0, or 1 where the answer is not whole."""
    _prepare()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        question = json.load(sys.stdin)
    except ValueError:
        # The server was gone before it had asked; nobody waits for an answer.
        return 1
    out = _Counting(sys.stdout.buffer)
    try:
        _answer(question, out)  # type: ignore[arg-type]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Nobody listens any more; the interpreter's last flush would complain of it, too.
        os._exit(1)
    except HtmlgraphError as error:
        if out.n_bytes:
            logger.warning("a history answer broke off: %s", error)
        else:
            out.write(FAILED + str(error).encode())
        return 1
    return 0


class _Counting:
    """A stream that knows whether anything was written."""

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
