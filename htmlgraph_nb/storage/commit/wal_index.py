"""Notice the commits of other processes by the index of the write-ahead log, without SQLite.

SQLite itself compares the header of the index to find out whether somebody has committed
(walIndexTryHdr in https://sqlite.org/src/file/src/wal.c): it has a change counter, the number of
frames and their checksum, and a commit is visible once it is written. Its format is described in
https://sqlite.org/walformat.html#the_wal_index_header.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import ClassVar

HEADER_BYTES = 48
_SYSTEMS = ("linux", "darwin")
"""Where a file shows at once what is written to a mapping of it, and can be deleted while open."""


class WalIndex:
    """The index of a database's log, opened for reading.

    Closing a file releases all locks that this process has on it, also those of SQLite. So a
    descriptor is shared by all that read the same index, and closed only once SQLite has deleted
    the file, which it does when its last connection is closed.

    Args:
        path: the database; its connection must be open.
    """

    _lock = threading.Lock()
    # (Device, inode) → descriptor.
    _descriptors: ClassVar[dict[tuple[int, int], int]] = {}
    _n_users: ClassVar[dict[int, int]] = {}

    def __init__(self, path: str) -> None:
        self._descriptor = self._open(os.path.realpath(path) + "-shm")

    def header(self) -> bytes | None:
        """Return the header, which is another one after each commit; None: it is not known."""
        if self._descriptor is None:
            return None
        try:
            header = os.pread(self._descriptor, HEADER_BYTES, 0)
        except OSError:
            return None
        return header if len(header) == HEADER_BYTES else None

    def close(self) -> None:
        """Stop reading, after the connection was closed."""
        with self._lock:
            if self._descriptor is not None:
                self._n_users[self._descriptor] -= 1
                self._descriptor = None
            self._close_deleted()

    @classmethod
    def _open(cls, path: str) -> int | None:
        if sys.platform not in _SYSTEMS:
            return None
        with cls._lock:
            cls._close_deleted()
            try:
                status = os.stat(path)
                descriptor = cls._descriptors.get((status.st_dev, status.st_ino))
                if descriptor is None:
                    descriptor = os.open(path, os.O_RDONLY)
                    status = os.fstat(descriptor)
                    cls._descriptors[status.st_dev, status.st_ino] = descriptor
            except OSError:
                # Without WAL, as on some network file systems, there is no index.
                return None
            cls._n_users[descriptor] = cls._n_users.get(descriptor, 0) + 1
            return descriptor

    @classmethod
    def _close_deleted(cls) -> None:
        for key, descriptor in list(cls._descriptors.items()):
            if not cls._n_users[descriptor] and not os.fstat(descriptor).st_nlink:
                del cls._descriptors[key], cls._n_users[descriptor]
                os.close(descriptor)
