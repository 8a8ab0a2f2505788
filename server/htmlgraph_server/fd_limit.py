"""File descriptors: as many as the system allows, and none accepted beyond them.

A server that runs out of descriptors can neither accept nor refuse: it would spin. So connections
that come too near to the limit are closed at once.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

if sys.platform != "win32":  # Windows has no such limit.
    import resource

logger = logging.getLogger("htmlgraph.server")

RESERVED = 48
"""Descriptors kept for the database, the spool and the readers of the history."""
WANTED = 65_536
_WARN_EVERY_S = 60.0


def raise_limit() -> None:
    """Take as many descriptors as the hard limit allows, at most WANTED."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        logger.info("at most %d connections: %s", soft - RESERVED, error)


class BoundedServer(HTTPServer):
    """An HTTPServer that closes new connections while descriptors are nearly used up."""

    _warned = float("-inf")

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a new connection, or close it."""
        # POSIX gives the lowest free number, so the number tells how many are open.
        if stream.socket.fileno() < _soft_limit() - RESERVED:
            super().handle_stream(stream, address)
            return
        stream.close()
        now = time.monotonic()
        if now - self._warned > _WARN_EVERY_S:
            self._warned = now
            logger.warning("too many connections for this process's limit (see: ulimit -n)")


def _soft_limit() -> float:
    if sys.platform == "win32":
        return float("inf")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft
