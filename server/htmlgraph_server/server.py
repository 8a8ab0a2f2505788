"""Starts, runs and stops one standalone server: addresses and signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.presence import PresenceManager

from .app import make_app
from .config import Config
from .fd_limit import BoundedServer, raise_limit
from .lifecycle import Lifecycle
from .server_file import remove_server_file, write_server_file
from .service import Service

logger = logging.getLogger("htmlgraph.server")

CLOSE_GRACE_S = 3.0
IDLE_CONNECTION_S = 120
"""How long a connection may stay without a complete request."""
BODY_S = 300
"""How long the body of one request may take."""


def listen(config: Config) -> list[socket.socket]:
    """Return the bound sockets of the configured address.

    Raises:
        ConfigError: the port is in use, or the address is not this machine's.
    """
    try:
        return bind_sockets(config.port, config.host)
    except (OSError, UnicodeError) as error:
        # A host name that the codec of host names refuses is a UnicodeError.
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen at {config.host[:100]}:{config.port}: {why}; "
            "choose another with --port, or --port 0 for a free one"
        ) from None


def url_of(config: Config, sockets: list[socket.socket]) -> str:
    """Return the URL under which the server is reached from this machine."""
    port = sockets[0].getsockname()[1]
    # An address that stands for all of them is no address to connect to.
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
    host = everywhere.get(config.host, config.host)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}"


def tune_gc() -> None:
    """Make Python's search for cycles rarer, and what is loaded by now no part of it.

    A full search stops every thread, with a thousand connections for tens of milliseconds. What
    the server drops per request is freed by reference counts; few things leave cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def run(
    config: Config,
    sockets: list[socket.socket],
    manager: PresenceManager,
    on_ready: Callable[[Service, str], None],
    stop: asyncio.Event,
    spool: str | None,
) -> None:
    """Serve until ``stop`` is set or a SIGINT or SIGTERM arrives, then stop in good order.

    Args:
        manager: it is closed at the end.
        on_ready: called with the service and its URL once it answers.
        spool: the file of events that hooks left; None: none is taken in.
    """
    loop = asyncio.get_running_loop()
    lifecycle = Lifecycle(config, manager, loop, spool)
    service = lifecycle.service
    app = make_app(service)
    raise_limit()
    server = BoundedServer(
        app,
        max_body_size=config.max_body_bytes,
        max_header_size=65_536,
        idle_connection_timeout=IDLE_CONNECTION_S,
        body_timeout=BODY_S,
    )
    server.add_sockets(sockets)
    url = url_of(config, sockets)
    # A second signal changes nothing: it could cut off commits and goodbyes.
    with _signals(loop, stop):
        write_server_file(url, config.token, config.db)
        try:
            lifecycle.start()
            on_ready(service, url)
            await stop.wait()
            logger.info("stopping")
        finally:
            remove_server_file()
        server.stop()
        await lifecycle.stop()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_all_gone(server), CLOSE_GRACE_S)
    lifecycle.close()


async def _all_gone(server: HTTPServer) -> None:
    await server.close_all_connections()


@contextlib.contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Iterator[None]:
    names = (signal.SIGINT, signal.SIGTERM)
    try:
        for name in names:
            loop.add_signal_handler(name, stop.set)
    except (NotImplementedError, RuntimeError, ValueError):
        # Windows has no such handlers, and only the main thread may have them.
        yield
        return
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)
