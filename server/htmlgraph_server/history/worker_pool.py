"""Runs long history exports in child processes: a few at a time, each with a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping

from htmlgraph_nb.errors import CapacityError, ExportAborted, StoreUnavailable

from .export_worker import OK

MAX_EXPORT_WORKERS = 2
MAX_WAITING_EXPORTS = 16
EXPORT_WAIT_S = 60.0
"""How long a request waits for a free worker."""
EXPORT_LIFETIME_S = 3_600.0
"""How long one export may take."""
_PIECE_BYTES = 1 << 18
_MODULE = "htmlgraph_server.history.export_worker"


class ExportWorker:
    """A child process that writes one export.

    Args:
        process: the process.
        out: its standard output.
        pipe: the transport of ``out``.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        out: asyncio.StreamReader,
        pipe: asyncio.BaseTransport,
    ) -> None:
        self._process = process
        self._out = out
        self._pipe = pipe

    async def wait_started(self) -> None:
        """Wait until the output starts.

        Raises:
            StoreUnavailable: the export failed; the message is the worker's.
        """
        if await self._out.read(1) != OK:
            message = (await self._out.read(4_096)).decode(errors="replace")
            raise StoreUnavailable(message or "the history cannot be read; retry later")

    async def output(self) -> AsyncIterator[bytes]:
        """Yield the output as it is written.

        Raises:
            ExportAborted: the output is incomplete.
        """
        while piece := await self._out.read(_PIECE_BYTES):
            yield piece
        status = await self._wait()
        if status:
            raise ExportAborted(f"export worker exited with status {status}")

    async def _wait(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(None, self._process.wait)

    def kill(self) -> None:
        """Kill the process and its children, and end the output."""
        self._pipe.close()
        if not self._out.at_eof():
            self._out.feed_eof()
        if self._process.returncode is None:
            kill_worker(self._process)

    async def terminate(self) -> None:
        """Kill the process if it runs, and wait until it has exited."""
        self.kill()
        await self._wait()


def start_worker(module: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a worker with pipes, in a session of its own.

    Args:
        module: its module.
        environ: its environment; None: that of this process.

    Raises:
        OSError: no process can be started.
    """
    command = (sys.executable, "-m", module)
    return subprocess.Popen(  # noqa: S603 - this project's own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environ,
    )


def kill_worker(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker of ``start_worker`` and its children."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _popen(request: bytes, environ: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    process = start_worker(_MODULE, environ)
    if process.stdin is not None:
        # If it exited at once, its output never starts.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(request)
    return process


class ExportWorkerPool:
    """Starts export workers and limits their number.

    Args:
        limit: maximum number of running workers.
        waiting: maximum number of requests waiting for a free worker.
        environ: environment of the workers; None: that of this process.
    """

    def __init__(
        self,
        limit: int = MAX_EXPORT_WORKERS,
        waiting: int = MAX_WAITING_EXPORTS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = environ
        self._free = asyncio.Semaphore(limit)
        self._max_waiting = waiting
        self._n_waiting = 0
        self._workers: set[ExportWorker] = set()

    @contextlib.asynccontextmanager
    async def open(self, request: bytes) -> AsyncIterator[ExportWorker]:
        """Start a worker with a request of ``encode_request``; terminate it on exit.

        Raises:
            CapacityError: too many requests are waiting, or none of the workers got free in time.
            StoreUnavailable: no process can be started.
        """
        await self._acquire()
        try:
            worker = await self._start(request)
            self._workers.add(worker)
            timeout = asyncio.get_running_loop().call_later(EXPORT_LIFETIME_S, worker.kill)
            try:
                yield worker
            finally:
                timeout.cancel()
                self._workers.discard(worker)
                await worker.terminate()
        finally:
            self._free.release()

    async def _acquire(self) -> None:
        if self._n_waiting >= self._max_waiting:
            raise CapacityError("too many history exports are waiting; retry later", "history_busy")
        self._n_waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), EXPORT_WAIT_S)
        except TimeoutError:
            raise CapacityError(
                f"timed out after {EXPORT_WAIT_S:.0f} s waiting for a free export worker",
                "history_busy",
            ) from None
        finally:
            self._n_waiting -= 1

    async def _start(self, request: bytes) -> ExportWorker:
        loop = asyncio.get_running_loop()
        try:
            # In a thread, because starting a process blocks the caller.
            process = await loop.run_in_executor(None, _popen, request, self._environ)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot start an export worker: {error.strerror or error}"
            ) from error
        out = asyncio.StreamReader(_PIECE_BYTES)
        try:
            pipe, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(out), process.stdout
            )
        except BaseException:
            kill_worker(process)
            raise
        return ExportWorker(process, out, pipe)

    def close(self) -> None:
        """Kill all workers."""
        for worker in list(self._workers):
            worker.kill()
