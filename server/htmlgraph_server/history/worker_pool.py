"""Long history answers out of child processes: a few at a time, none longer than it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

from htmlgraph_nb.errors import CapacityError, StoreUnavailable

from .export_worker import OK

MAX_CHILDREN = 2
MAX_WAITING = 16
WAIT_S = 60.0
"""How long a request waits for its turn."""
LIFETIME_S = 3_600.0
"""How long one answer may take."""
_PIECE_BYTES = 1 << 18
_COMMAND = (sys.executable, "-m", "htmlgraph_server.history.export_worker")


class ExportAborted(Exception):
    """A child ended before its answer was whole."""


class ExportWorker:
    """A process that writes one answer.

    Args:
        process: what runs.
        out: reads its standard output.
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

    async def begin(self) -> None:
        """Wait until the answer begins.

        Raises:
            StoreUnavailable: there is none; the text says why.
        """
        if await self._out.read(1) != OK:
            words = (await self._out.read(4_096)).decode(errors="replace")
            raise StoreUnavailable(words or "the history cannot be read now; try again")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the answer as it is written.

        Raises:
            ExportAborted: it is not whole.
        """
        while piece := await self._out.read(_PIECE_BYTES):
            yield piece
        status = await self._ended()
        if status:
            raise ExportAborted(f"the process that reads the history ended with status {status}")

    async def _ended(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(None, self._process.wait)

    def kill(self) -> None:
        """End the process and those that it started, at once; its output ends here, too."""
        self._pipe.close()
        if not self._out.at_eof():
            self._out.feed_eof()
        if self._process.returncode is None:
            _kill(self._process)

    async def end(self) -> None:
        """End the process if it runs, and wait until it is gone."""
        self.kill()
        await self._ended()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _popen(question: bytes) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - this project's own module
        _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    if process.stdin is not None:
        # Where it ended at once, its answer does not begin.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(question)
    return process


class ExportWorkerPool:
    """Starts children, at most MAX_CHILDREN at a time; of others MAX_WAITING wait for their turn.

    Args:
        limit: most children.
        waiting: most requests that wait.
    """

    def __init__(self, limit: int = MAX_CHILDREN, waiting: int = MAX_WAITING) -> None:
        self._free = asyncio.Semaphore(limit)
        self._waiting = waiting
        self._n_waiting = 0
        self._children: set[ExportWorker] = set()

    @contextlib.asynccontextmanager
    async def open(self, question: bytes) -> AsyncIterator[ExportWorker]:
        """Start a child with a question of ``dump.request``, and end it at the end.

        Raises:
            CapacityError: too many wait, or it is not its turn for too long.
            StoreUnavailable: no process can be started.
        """
        await self._turn()
        try:
            child = await self._start(question)
            self._children.add(child)
            late = asyncio.get_running_loop().call_later(LIFETIME_S, child.kill)
            try:
                yield child
            finally:
                late.cancel()
                self._children.discard(child)
                await child.end()
        finally:
            self._free.release()

    async def _turn(self) -> None:
        if self._n_waiting >= self._waiting:
            raise CapacityError("too many long history answers are asked for", "history_busy")
        self._n_waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), WAIT_S)
        except TimeoutError:
            raise CapacityError(
                f"no turn for a long history answer in {WAIT_S:.0f} s", "history_busy"
            ) from None
        finally:
            self._n_waiting -= 1

    async def _start(self, question: bytes) -> ExportWorker:
        loop = asyncio.get_running_loop()
        try:
            # In a thread: starting a process stops who does it for a moment.
            process = await loop.run_in_executor(None, _popen, question)
        except OSError as error:
            raise StoreUnavailable(
                f"no process for a long history answer: {error.strerror or error}"
            ) from error
        out = asyncio.StreamReader(_PIECE_BYTES)
        try:
            pipe, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(out), process.stdout
            )
        except BaseException:
            _kill(process)
            raise
        return ExportWorker(process, out, pipe)

    def close(self) -> None:
        """End all children."""
        for child in list(self._children):
            child.kill()
