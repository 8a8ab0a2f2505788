"""Notice that the file of an open database was deleted, moved, replaced or overwritten.

SQLite goes on in the file that it opened, so what it commits after that is lost
(https://sqlite.org/howtocorrupt.html, section 4). The guard compares the file at the path with the
one that was opened, and the first page of its content with the last one seen. In WAL mode only
checkpoints write to the file, and each leaves the epoch and never less than it found.

It also saves what can be saved: a file that was moved away gets what its log holds, and the log is
taken away from beside a file that was put there, because SQLite would apply it to that file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar, NoReturn
from weakref import WeakSet

from ..errors import StoreReplaced
from .migrations import APPLICATION_ID

logger = logging.getLogger(__name__)

FULL_CHECK_S = 0.02
"""Age at which the checks of the log and its index are repeated."""
_SETTLE_S = 0.25
"""Longest time that a check waits for a page that is being written."""
_OVERWRITTEN_S = 1.0
"""Time without a further change after which the content is taken as overwritten."""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"
_LOG_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_RESTART = "restart this program"


_guards: WeakSet[FileGuard] = WeakSet()


def guard_problem(path: str) -> str | None:
    """Return why the file of a store that this process has open cannot be used; None: it can."""
    path = os.path.abspath(path)
    for guard in [guard for guard in _guards if guard.path == path]:
        problem = guard.problem_now()
        if problem is not None:
            return problem
    return None


def check_guarded(path: str) -> None:
    """Refuse to read a file that was replaced under a store of this process.

    Raises:
        StoreReplaced: it was.
    """
    problem = guard_problem(path)
    if problem is not None:
        raise StoreReplaced(problem)


@dataclass(frozen=True, slots=True)
class _Content:
    """What the first page and the page of the epoch say; see https://sqlite.org/fileformat2.html.

    Attributes:
        n_bytes: size of the file.
        page_bytes, n_pages: size and number of pages, as the header says.
        changes: the change counter, which only grows.
        schema: the schema cookie, which VACUUM changes.
    """

    n_bytes: int
    page_bytes: int
    n_pages: int
    changes: int
    schema: int

    def fault_after(self, before: _Content) -> str | None:
        """Return why this cannot be what checkpoints made of ``before``; None: it can."""
        if self.n_bytes < before.n_bytes and self.n_bytes < self.n_pages * self.page_bytes:
            return "was truncated"
        if self.changes < before.changes or self.schema < before.schema:
            return "was overwritten with an older copy"
        if self.n_pages < before.n_pages and self.schema == before.schema:
            return "was overwritten with an older copy"
        return None


class _Mismatch(Exception):
    """The content is not that of the database."""


class FileGuard:
    """Guards the file of one open store; all methods but ``problem_now`` need the store's lock.

    Args:
        path: absolute path of the file.
        db: the open connection of the store, outside a transaction.
        epoch: epoch of the database.
    """

    def __init__(self, path: str, db: sqlite3.Connection, epoch: str) -> None:
        self.path = path
        self._db = db
        self._needle = b"epoch" + epoch.encode()
        self._problem: str | None = None
        self._is_final = False
        # The file behind a link: SQLite puts the log beside that one.
        self._logs = [os.path.realpath(path) + suffix for suffix in ("-wal", "-shm")]
        self._id = _id(os.stat(path))
        self._log_ids = [_id_of(log) for log in self._logs]
        self._log_stamp: tuple[int, int] | None = None
        self._next_full = 0.0
        self._is_saved = False
        self._suspected: tuple[tuple[int, int], float] | None = None
        self._file = _SharedFile.open(path)
        self._roots = self._meta_roots()
        self._stamp: tuple[int, int] | None = None
        self._content: _Content | None = None
        try:
            self._content = self._read()
        except _Mismatch:
            # A new file: its tables are still in the log.
            self._save("PASSIVE")
            with contextlib.suppress(_Mismatch):
                self._content = self._read()
        _guards.add(self)

    # Checks

    def check_before(self) -> None:
        """Check before a transaction, unless the last check was just now.

        Raises:
            StoreReplaced: the file is not the one that was opened.
        """
        if self._problem is not None or time.monotonic() >= self._next_full:
            self.check()

    def check(self) -> None:
        """Check the file, and its log and index if their last check was not just now.

        Raises:
            StoreReplaced: the file is not the one that was opened.
        """
        if self._is_final:
            raise StoreReplaced(self._problem or "")
        try:
            status = os.stat(self.path)
        except OSError as error:
            self._moved(f"cannot be found ({error.strerror}); move it back, or {_RESTART}")
        if _id(status) != self._id:
            self._moved(f"was replaced by another file; {_RESTART} to use that file")
        if (status.st_size, status.st_mtime_ns) != self._stamp:
            self._check_content((status.st_size, status.st_mtime_ns))
        now = time.monotonic()
        if now >= self._next_full or self._problem is not None:
            self._check_logs()
            self._next_full = now + FULL_CHECK_S
        if self._problem is not None:
            self._problem, self._is_saved = None, False
            logger.warning("%s is back; events are stored again", self.path)

    def problem_now(self) -> str | None:
        """Return why the file cannot be used; None: it can. From any thread, changes nothing."""
        if self._problem is None:
            try:
                status = os.stat(self.path)
            except OSError as error:
                return f"{self.path} cannot be found ({error.strerror})"
            if _id(status) != self._id:
                return f"{self.path} was replaced by another file"
        return self._problem

    def _check_content(self, stamp: tuple[int, int]) -> None:
        deadline = time.monotonic() + (_SETTLE_S if self._suspected is None else 0.0)
        while True:
            try:
                content = self._read()
                fault = content.fault_after(self._content) if self._content else None
            except OSError as error:
                self._refuse(f"{self.path} cannot be read ({error.strerror})")
            except _Mismatch as error:
                # Of a file without content at its start, as long as it has none: the log has it.
                fault = str(error) if self._content else None
                content = None
            if fault is None:
                self._stamp, self._suspected = stamp, None
                self._content = content or self._content
                return
            if time.monotonic() >= deadline:
                break
            # A checkpoint may be writing the page right now.
            time.sleep(0.005)
            status = os.stat(self.path)
            stamp = status.st_size, status.st_mtime_ns
        self._overwritten(fault, stamp)

    def _check_logs(self) -> None:
        for log, known in zip(self._logs, self._log_ids, strict=True):
            found = _id_of(log)
            if known is not None and found != known:
                what = "was removed" if found is None else "was replaced"
                self._is_saved = self._is_saved or self._save("PASSIVE")
                self._refuse(
                    f"{log} {what} while it was in use; {_RESTART}: what it held is saved in "
                    f"{self.path}"
                )
        with contextlib.suppress(OSError):
            self._check_log_header()

    def _check_log_header(self) -> None:
        log = self._logs[0]
        status = os.stat(log)
        if (status.st_size, status.st_mtime_ns) != self._log_stamp:
            with open(log, "rb") as file:
                header = file.read(4)
            # An empty log is one that was checkpointed.
            if header and header not in _LOG_MAGIC:
                self._drop_log()
                self._refuse(
                    f"{log} was overwritten while it was in use; {_RESTART}: events since the "
                    "last checkpoint are lost",
                    final=True,
                )
            self._log_stamp = status.st_size, status.st_mtime_ns

    # Consequences

    def _refuse(self, problem: str, final: bool = False) -> NoReturn:
        if problem != self._problem:
            logger.warning("%s; no events are stored until then", problem)
        self._problem, self._is_final = problem, final
        raise StoreReplaced(problem)

    def _moved(self, fault: str) -> NoReturn:
        self._is_saved = self._is_saved or self._save("TRUNCATE")
        if self._is_saved and os.path.lexists(self.path):
            # Otherwise SQLite would take the log and its index for those of the new file.
            self._remove_own_logs()
        self._refuse(f"{self.path} {fault}")

    def _overwritten(self, fault: str, stamp: tuple[int, int]) -> NoReturn:
        now = time.monotonic()
        if self._suspected is None or self._suspected[0] != stamp:
            self._suspected = stamp, now
        final = now - self._suspected[1] >= _OVERWRITTEN_S
        if final:
            self._drop_log()
        self._refuse(
            f"{self.path} {fault} while it was in use; put the right file in its place and "
            f"{_RESTART}",
            final=final,
        )

    def _drop_log(self) -> None:
        """Empty the log and remove it, so that neither SQLite nor anybody applies it to the file.

        Closing the connection would do so; without its frames SQLite cannot.
        """
        with contextlib.suppress(OSError):
            if _id_of(self._logs[0]) == self._log_ids[0]:
                os.truncate(self._logs[0], 0)
        self._remove_own_logs()

    def _remove_own_logs(self) -> None:
        for log, known in zip(self._logs, self._log_ids, strict=True):
            with contextlib.suppress(OSError):
                if known is not None and _id_of(log) == known:
                    os.unlink(log)

    def _save(self, mode: str) -> bool:
        """Move the log into the file that was opened, wherever it is now; False: not all of it."""
        try:
            (timeout,) = self._db.execute("PRAGMA busy_timeout").fetchone()
            self._db.execute("PRAGMA busy_timeout = 0")
            try:
                row = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            finally:
                self._db.execute(f"PRAGMA busy_timeout = {int(timeout)}")
        except sqlite3.Error as error:
            logger.debug("cannot checkpoint %s: %s", self.path, error)
            return False
        return not row[0]

    def prepare_close(self) -> None:
        """Check once more, so that closing the connection writes to no other file."""
        if self._is_final:
            return
        with contextlib.suppress(StoreReplaced, OSError):
            self.check()
        if self._suspected is not None:
            self._drop_log()

    def close(self) -> None:
        """Close the guard's own file, after the connection."""
        _guards.discard(self)
        self._file.release()

    # Content

    def _read(self) -> _Content:
        """Return the content of the file.

        Raises:
            _Mismatch: it is not a database with this epoch.
        """
        header = self._file.read(0, _HEADER_BYTES)
        if len(header) < _HEADER_BYTES:
            raise _Mismatch("was truncated")
        number = int.from_bytes
        if header[:16] != _MAGIC or number(header[68:72], "big") not in (0, APPLICATION_ID):
            raise _Mismatch("was overwritten with something else")
        page_bytes = number(header[16:18], "big")
        page_bytes = 65_536 if page_bytes == 1 else page_bytes
        if not any(self._has_epoch(root, page_bytes) for root in self._roots):
            self._roots |= self._meta_roots()
            if not any(self._has_epoch(root, page_bytes) for root in self._roots):
                raise _Mismatch("was overwritten with another database")
        return _Content(
            n_bytes=self._file.n_bytes(),
            page_bytes=page_bytes,
            n_pages=number(header[28:32], "big"),
            changes=number(header[24:28], "big"),
            schema=number(header[40:44], "big"),
        )

    def _has_epoch(self, root: int, page_bytes: int) -> bool:
        return self._needle in self._file.read((root - 1) * page_bytes, page_bytes)

    def _meta_roots(self) -> set[int]:
        try:
            query = "SELECT rootpage FROM sqlite_master WHERE name = 'meta'"
            with closing(self._db.execute(query)) as cursor:
                return {int(row[0]) for row in cursor.fetchall()}
        except sqlite3.Error:
            # The file is damaged; the content that is known decides.
            return set()


class _SharedFile:
    """One descriptor of a file for all guards of it in this process.

    Closing a file releases the locks that SQLite has on it in this process, so it is closed with
    the last store.
    """

    _lock = threading.Lock()
    _open: ClassVar[dict[tuple[int, int], _SharedFile]] = {}

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._n_users = 0

    @classmethod
    def open(cls, path: str) -> _SharedFile:
        """Return the descriptor of the file at ``path``; ``release`` it at the end."""
        with cls._lock:
            key = _id_of(path)
            file = cls._open.get(key) if key is not None else None
            if file is None:
                file = cls(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
                cls._open[_id(os.fstat(file._descriptor))] = file
            file._n_users += 1
            return file

    def release(self) -> None:
        """Close the descriptor if no other guard uses it."""
        with self._lock:
            self._n_users -= 1
            if not self._n_users:
                self._open.pop(_id(os.fstat(self._descriptor)), None)
                os.close(self._descriptor)

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return the bytes at ``offset``; fewer at the end of the file."""
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, n_bytes)

    def n_bytes(self) -> int:
        """Return the size of the file."""
        return os.fstat(self._descriptor).st_size


def _id(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _id_of(path: str) -> tuple[int, int] | None:
    try:
        return _id(os.stat(path))
    except OSError:
        return None
