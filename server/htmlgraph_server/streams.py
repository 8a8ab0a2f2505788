"""Long history answers out of child processes: a few at a time, none longer than it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

from htmlgraph_nb.errors import CapacityError, StoreUnavailable

from .dump import GOOD

MAX_CHILDREN = 2
MAX_WAITING = 16
WAIT_S = 60.0
"""How long a request waits for its turn."""
LIFETIME_S = 3_600.0
"""How long one answer may take."""
_PIECE_BYTES = 1 << 18
_COMMAND = (sys.executable, "-m", "htmlgraph_server.dump")


class BrokenOff(Exception):
    """A child ended before its answer was whole."""


class Child:
    """A process that writes one answer.

    Args:
        process: its standard output is a pipe.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self) -> None:
        """Wait until the answer begins.

        Raises:
            StoreUnavailable: there is none; the text says why.
        """
        out = self._out
        mark = await out.read(1)
        if mark != GOOD:
            words = (await out.read(4_096)).decode(errors="replace")
            raise StoreUnavailable(words or "the history cannot be read now; try again")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the answer as it is written.

        Raises:
            BrokenOff: it is not whole.
        """
        while piece := await self._out.read(_PIECE_BYTES):
            yield piece
        status = await self._process.wait()
        if status:
            raise BrokenOff(f"the process that reads the history ended with status {status}")

    @property
    def _out(self) -> asyncio.StreamReader:
        if self._process.stdout is None:
            raise BrokenOff("the process has no output")
        return self._process.stdout

    def kill(self) -> None:
        """End the process and those that it started, at once."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()


class StreamPool:
    """Starts children, at most MAX_CHILDREN at a time; of others MAX_WAITING wait for their turn.

    Args:
        limit: most children.
        waiting: most requests that wait.
    """

    def __init__(self, limit: int = MAX_CHILDREN, waiting: int = MAX_WAITING) -> None:
        self._free = asyncio.Semaphore(limit)
        self._waiting = waiting
        self._n_waiting = 0
        self._children: set[Child] = set()

    @contextlib.asynccontextmanager
    async def open(self, question: bytes) -> AsyncIterator[Child]:
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
                child.kill()
                self._children.discard(child)
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

    async def _start(self, question: bytes) -> Child:
        try:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_PIECE_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            raise StoreUnavailable(
                f"no process for a long history answer: {error.strerror or error}"
            ) from error
        child = Child(process)
        try:
            if process.stdin is not None:
                process.stdin.write(question)
                await process.stdin.drain()
                process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            # It ended at once; that its answer does not begin says so.
            pass
        except BaseException:
            child.kill()
            raise
        return child

    def close(self) -> None:
        """End all children."""
        for child in list(self._children):
            child.kill()
