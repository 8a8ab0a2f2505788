"""Leader election between servers that share one database.

Every server stores events and sees those of the others. Only the leader runs the idle timers, reads
the spool, deletes and seals history. The leader holds an operating system lock on a file beside the
database. The system releases it when the process ends, even by a crash, and another server takes
over.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref

LOCK_BYTE = 1 << 30
"""Offset of the locked byte on Windows, far behind the process id that the file contains."""


class LeaderLock:
    """The lock of one database; safe to use from any thread.

    The file also contains the leader's process id. A child that this process forks does not keep
    the lock.

    Args:
        db: path of the database; the lock file is its real path with ``-owner`` appended.
    """

    def __init__(self, db: str) -> None:
        # The real path: servers may reach one file by different names.
        self._path = f"{os.path.realpath(db)}-owner"
        self._mutex = threading.Lock()
        self._descriptor: int | None = None
        self._acquired = False
        _locks.add(self)

    def acquire(self) -> bool:
        """Take the lock if it is free; return whether this server is the leader. Never blocks.

        Raises:
            OSError: the lock file can neither be created nor opened.
        """
        with self._mutex:
            if self._descriptor is not None and not self._is_current():
                # The lock file was removed: another server may hold a lock on a new file.
                self._close()
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            if not self._acquired and _try_lock(self._descriptor):
                self._acquired = self._is_current()
                if self._acquired:
                    os.ftruncate(self._descriptor, 0)
                    os.lseek(self._descriptor, 0, os.SEEK_SET)
                    os.write(self._descriptor, f"{os.getpid()}\n".encode())
            return self._acquired

    @property
    def is_leader(self) -> bool:
        """Whether the last ``acquire`` succeeded."""
        return self._acquired

    def leader_pid(self) -> int | None:
        """Return the process id of the leader; None if it is unknown."""
        if self._acquired:
            return os.getpid()
        with contextlib.suppress(OSError, ValueError), open(self._path, encoding="ascii") as file:
            return int(file.read(20))
        return None

    def release(self) -> None:
        """Release the lock; without effect if it is not held."""
        with self._mutex:
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._acquired = False

    def _is_current(self) -> bool:
        """Return whether the open file is still the one at the path."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False


_locks: weakref.WeakSet[LeaderLock] = weakref.WeakSet()


def _close_in_child() -> None:
    # A forked child shares the lock and would keep it after the leader's end. Its copy of the
    # mutex may be locked by a thread that the fork did not copy, so it is replaced.
    for lock in list(_locks):
        lock._mutex = threading.Lock()
        lock.release()


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, LOCK_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    os.register_at_fork(after_in_child=_close_in_child)

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
