"""Runs the report worker: one child process, started by the first request, with time limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from htmlgraph_nb.errors import CapacityError, InvalidEvent, StoreClosed, StoreUnavailable

from .worker_pool import kill_worker, start_worker

logger = logging.getLogger(__name__)

MAX_WAITING_REPORTS = 16
"""Most requests that wait for the worker or run, equal ones counted once."""
REPORT_TIMEOUT_S = 120.0
"""How long one report may take."""
WORKER_IDLE_S = 300.0
"""How long the worker lives without a request; its memory is free afterwards."""
_MODULE = "htmlgraph_server.history.report_worker"


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A request to the report worker.

    Attributes:
        report: ``costs`` or ``sessions``.
        path: the database file.
        cursor: of the database, at least up to which the report includes all events.
        since, until: first time, and time after the last one, in microseconds since 1970.
        zone: name of the time zone.
        limit: most groups or sessions.
        format: ``json`` or ``csv``.
        by, freq: of ``costs``.
        search, filters, sessions, sort: of ``sessions``; see SessionSelection.
    """

    report: str
    path: str
    cursor: str
    since: int | None
    until: int | None
    zone: str
    limit: int
    format: str
    by: list[str] = field(default_factory=list)
    freq: str | None = None
    search: str = ""
    filters: dict[str, list[str]] = field(default_factory=dict)
    sessions: list[str] | None = None
    sort: str = ""

    def line(self) -> bytes:
        """Return the line that the worker reads."""
        return json.dumps(asdict(self)).encode() + b"\n"


class ReportProcess:
    """The report worker. Requests are answered one at a time, equal ones together.

    Args:
        timeout_s: how long one report may take.
        idle_s: how long the worker lives without a request.
        environ: environment of the worker; None: that of this process.
    """

    def __init__(
        self,
        timeout_s: float = REPORT_TIMEOUT_S,
        idle_s: float = WORKER_IDLE_S,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = environ
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._closed = False
        self._turn = asyncio.Lock()
        # Starting a process and reading from a pipe block the caller.
        self._thread = ThreadPoolExecutor(1, "htmlgraph-reports")
        self._process: subprocess.Popen[bytes] | None = None
        self._running: dict[bytes, asyncio.Task[bytes]] = {}
        self._idle_timer: asyncio.TimerHandle | None = None

    async def answer(self, request: ReportRequest) -> bytes:
        """Return the body of the response to a request.

        Raises:
            InvalidEvent: an argument is invalid.
            CapacityError: too many requests are waiting.
            StoreClosed: the server is shutting down.
            StoreUnavailable: the report failed or took too long.
        """
        line = request.line()
        task = self._running.get(line)
        if task is None:
            if len(self._running) >= MAX_WAITING_REPORTS:
                raise CapacityError("too many reports are waiting; retry later", "history_busy")
            task = asyncio.get_running_loop().create_task(self._run(line))
            self._running[line] = task
            task.add_done_callback(lambda _: self._running.pop(line, None))
        # Another client may wait for the same answer.
        return await asyncio.shield(task)

    async def _run(self, line: bytes) -> bytes:
        async with self._turn:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            if self._closed:
                raise StoreClosed("server shutting down")
            header, body = await self._ask(line)
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._idle_s, self._kill)
        failure = header["error"]
        if failure is None:
            return body
        if failure["invalid"]:
            raise InvalidEvent(failure["message"], failure["field"])
        raise StoreUnavailable(failure["message"])

    async def _ask(self, line: bytes) -> tuple[dict[str, Any], bytes]:
        loop = asyncio.get_running_loop()
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            self._kill()

        try:
            process = await loop.run_in_executor(self._thread, self._start)
            timer = loop.call_later(self._timeout_s, give_up)
            try:
                return await loop.run_in_executor(self._thread, _exchange, process, line)
            finally:
                timer.cancel()
        except (OSError, ValueError, RuntimeError) as error:
            self._kill()
            if self._closed:
                raise StoreClosed("server shutting down") from None
            if late:
                raise StoreUnavailable(
                    f"no report in {self._timeout_s:.0f} s; choose a shorter range of time"
                ) from None
            logger.warning("the report worker failed: %s", error)
            raise StoreUnavailable("the report worker ended; retry later") from None

    def _start(self) -> subprocess.Popen[bytes]:
        """Return the running worker; start one if there is none.

        Raises:
            OSError: no process can be started, or the server is shutting down.
        """
        process = self._process
        if process is None or process.poll() is not None:
            self._kill()
            process = self._process = start_worker(_MODULE, self._environ)
            if self._closed:
                # ``close`` has not seen it.
                self._kill()
                raise OSError("the server is shutting down")
        return process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            kill_worker(process)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # Input that the worker has not read.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def close(self) -> None:
        """Kill the worker and refuse further requests."""
        self._closed = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._kill()
        self._thread.shutdown()


def _exchange(process: subprocess.Popen[bytes], line: bytes) -> tuple[dict[str, Any], bytes]:
    """Send a request to the worker and return its answer.

    Raises:
        OSError: the worker ended.
        ValueError: its output is no answer.
    """
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise OSError("it has no pipes")
    stdin.write(line)
    stdin.flush()
    header: dict[str, Any] = json.loads(stdout.readline())
    body = stdout.read(header["n_bytes"])
    if len(body) != header["n_bytes"]:
        raise OSError("its answer is incomplete")
    return header, body
