"""A big table read by several processes, each a part of it at a time (see ``scan_process``)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pyarrow as pa

from ...errors import ScanFailed
from ..query import HistoryQuery

logger = logging.getLogger("htmlgraph.history")

PARALLEL_ROWS = 250_000
"""Rows outside segments from which on processes read them; that is what their start costs."""
_MODULE = "htmlgraph_nb.storage.columnar.scan_process"
_MOST_PROCESSES = 8


def scan_ranges(
    path: str, query: HistoryQuery, ranges: Sequence[tuple[int, int]]
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of ``query`` in each range of seq as one batch, which can be empty.

    Each process reads every so-manieth range and waits until that is taken, so memory holds one
    range of each.

    Args:
        path: a database file.
        query: its ``seq_range`` and ``limit`` are not looked at.
        ranges: of seq, both ends included, in the order wanted.

    Raises:
        ScanFailed: it cannot go on; what was yielded is right.
    """
    n_processes = min(_n_cores(), _MOST_PROCESSES, len(ranges))
    with ExitStack() as stack:
        streams = []
        for number in range(n_processes):
            log = stack.enter_context(tempfile.TemporaryFile())
            process = _start(path, query, ranges[number::n_processes], log.fileno())
            stack.callback(_end, process)
            streams.append((process, log))
        readers: dict[int, pa.RecordBatchReader] = {}
        for place in range(len(ranges)):
            number = place % n_processes
            process, log = streams[number]
            try:
                if number not in readers:
                    readers[number] = pa.ipc.open_stream(process.stdout)
                batch = readers[number].read_next_batch()
            except (pa.ArrowException, OSError, StopIteration) as error:
                log.seek(0)
                words = log.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise ScanFailed(words or str(error), place) from error
            yield batch


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(
    path: str, query: HistoryQuery, ranges: Sequence[tuple[int, int]], log: int
) -> subprocess.Popen[bytes]:
    where, parameters = replace(query, seq_range=None).conditions()
    request = {
        "path": os.path.abspath(path),
        "columns": list(query.columns),
        "where": where,
        "parameters": parameters,
        "order": query.order,
        "ranges": ranges,
    }
    process = subprocess.Popen(  # noqa: S603 - this program's own module
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
    )
    if process.stdin is not None:
        try:
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
        except BrokenPipeError:
            # It ended at once; reading from it says why.
            pass
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
