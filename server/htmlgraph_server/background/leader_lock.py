"""Which one of several servers on a database does what only one may do.

Each of them takes in and shows what any of them stores. But agents go idle by the timers of one,
and one takes in the spool, deletes and seals: the one that holds a lock beside the database. The
operating system gives the lock up when its holder ends, however that ends, and the next takes it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref

LOCK_BYTE = 1 << 30
"""Where the lock is, far behind the process id that the file holds."""


class LeaderLock:
    """One server's claim to a database.

    Args:
        db: the database file; the lock is the file beside it with ``-owner`` at its end.
    """

    def __init__(self, db: str) -> None:
        # By whatever name each of them calls it, it is one file.
        self._path = f"{os.path.realpath(db)}-owner"
        self._descriptor: int | None = None
        self._held = False
        _claims.add(self)

    def held(self) -> bool:
        """Return whether the lock is ours, and take it where nobody has it.

        Raises:
            OSError: the file can neither be made nor opened.
        """
        if self._descriptor is not None and not self._is_at_path():
            # Somebody removed the file, so another may hold a lock on a new one.
            self.release()
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not self._held and _lock(self._descriptor):
            self._held = self._is_at_path()
            if self._held:
                os.ftruncate(self._descriptor, 0)
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                os.write(self._descriptor, f"{os.getpid()}\n".encode())
        return self._held

    @property
    def is_owner(self) -> bool:
        """Whether the lock was ours when ``held`` last looked; from any thread."""
        return self._held

    def pid(self) -> int | None:
        """Return the process id of the owner; None: it is not known."""
        if self._held:
            return os.getpid()
        with contextlib.suppress(OSError, ValueError), open(self._path, encoding="ascii") as file:
            return int(file.read(20))
        return None

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._held = False

    def _is_at_path(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False


_claims: weakref.WeakSet[LeaderLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # A fork shares the lock, and would keep it beyond the end of its owner.
    for claim in list(_claims):
        claim.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, LOCK_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    os.register_at_fork(after_in_child=_forget_in_child)

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
