"""File descriptors: raise the limit of the process, and stop accepting connections near it.

A server that runs out of descriptors can neither accept nor refuse a connection, so it would spin.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from .connections.stream_errors import drop_traceback

if sys.platform != "win32":  # Windows has no such limit.
    import resource

logger = logging.getLogger(__name__)

RESERVED_FDS = 48
"""Descriptors reserved for the database, the spool and the readers of history."""
MAX_FDS = 65_536
_WARN_INTERVAL_S = 60.0


def raise_fd_limit() -> None:
    """Raise the soft limit of descriptors to the hard limit, at most MAX_FDS."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_FDS if hard == resource.RLIM_INFINITY else min(MAX_FDS, hard)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (OSError, ValueError) as error:
        logger.info("limited to %d connections: %s", soft - RESERVED_FDS, error)


class BoundedServer(HTTPServer):
    """An HTTPServer that closes new connections while few descriptors are left.

    A connection that ends is freed at once.
    """

    _warned_at = float("-inf")

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a new connection, or close it."""
        # POSIX assigns the lowest free number, so it shows how many descriptors are open.
        if stream.socket.fileno() < _soft_limit() - RESERVED_FDS:
            super().handle_stream(stream, address)
            return
        stream.close()
        now = time.monotonic()
        if now - self._warned_at > _WARN_INTERVAL_S:
            self._warned_at = now
            logger.warning("too many connections: file descriptor limit reached (see: ulimit -n)")

    def on_close(self, server_conn: object) -> None:
        """Release a connection that has ended."""
        super().on_close(server_conn)
        stream: IOStream | None = getattr(server_conn, "stream", None)
        if stream is not None:
            drop_traceback(stream)


def _soft_limit() -> float:
    if sys.platform == "win32":
        return float("inf")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft
