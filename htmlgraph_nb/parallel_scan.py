"""A big table read by several processes, each a part of it at a time (see ``scan_process``)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace

import pyarrow as pa

from .query import HistoryQuery

logger = logging.getLogger("htmlgraph.history")

_MOST_PROCESSES = 8


class ScanFailed(Exception):
    """A process ended before its work did; ``first`` is the range with which to go on."""

    def __init__(self, message: str, seqs: tuple[int, int]) -> None:
        super().__init__(message)
        self.seqs = seqs


def scan_in_parallel(
    path: str, query: HistoryQuery, seqs: tuple[int, int], batch_rows: int
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of ``query`` among a range of seq, in its order; its limit is not looked at.

    Each process reads every so-manieth part of ``batch_rows`` ids and waits until that is taken, so
    memory holds one part of each.

    Raises:
        ScanFailed: it cannot go on; what was yielded is right.
    """
    ranges = _cut(seqs, batch_rows, query.newest_first)
    n_processes = min(_n_cores(), _MOST_PROCESSES, len(ranges))
    with ExitStack() as stack:
        streams = []
        for number in range(n_processes):
            log = stack.enter_context(tempfile.TemporaryFile())
            process = _start(path, query, ranges[number::n_processes], log.fileno())
            stack.callback(_end, process)
            streams.append((process, log))
        readers: dict[int, pa.RecordBatchReader] = {}
        for place, part in enumerate(ranges):
            number = place % n_processes
            process, log = streams[number]
            try:
                if number not in readers:
                    readers[number] = pa.ipc.open_stream(process.stdout)
                batch = readers[number].read_next_batch()
            except (pa.ArrowException, OSError, StopIteration) as error:
                log.seek(0)
                words = log.read().decode(errors="replace").strip().rpartition("\n")[2]
                rest = (part[0], seqs[1]) if not query.newest_first else (seqs[0], part[1])
                raise ScanFailed(words or str(error), rest) from error
            if len(batch):
                yield batch


def _cut(seqs: tuple[int, int], size: int, newest_first: bool) -> list[tuple[int, int]]:
    first, last = seqs
    ranges = [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]
    return ranges[::-1] if newest_first else ranges


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(
    path: str, query: HistoryQuery, ranges: list[tuple[int, int]], log: int
) -> subprocess.Popen[bytes]:
    where, parameters = replace(query, seqs=None).conditions()
    request = {
        "path": os.path.abspath(path),
        "columns": list(query.columns),
        "where": where,
        "parameters": parameters,
        "order": query.order,
        "ranges": ranges,
    }
    process = subprocess.Popen(  # noqa: S603 - this program's own module
        [sys.executable, "-m", f"{__package__}.scan_process"],
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
