"""Runs a server: the lifecycle of its service, its sockets and its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import context_window_of, price_of

from .access.gate import Gate
from .access.spaces import Spaces, space_config
from .access.token_table import put_last_used
from .app import make_app
from .background.periodic_tasks import make_background_tasks
from .config import Config
from .connections.hub_address import service_path
from .fd_limit import BoundedServer, raise_fd_limit
from .hub.published_state import PublishedState
from .server_file import remove_server_file, write_server_file
from .service import Service, make_service

logger = logging.getLogger(__name__)

MAX_DIGITS = 640
"""Python's smallest limit; no number of a report has so many digits."""
CLOSE_GRACE_S = 3.0
"""How long open connections may take to close at shutdown."""
IDLE_CONNECTION_S = 120
"""How long a connection may stay open without a complete request."""
BODY_S = 300
"""How long receiving the body of one request may take."""


def open_manager(config: Config) -> PresenceManager:
    """Open the configured database; this may wait for the disk.

    Raises:
        StoreUnavailable, StoreDamaged, StoreTooNew: the file cannot be used.
    """
    return PresenceManager(
        config.db,
        limits=config.roster,
        synchronous=config.synchronous,
        price=price_of,
        context_window=context_window_of,
    )


class Lifecycle:
    """One service on one event loop: call ``start``, then ``stop``, then ``close``.

    Args:
        config: the configuration.
        manager: the open database; ``stop`` closes it.
        loop: the event loop of the hub.
        spool: the file in which hooks leave events while no server runs; None in demo mode, which
            neither reads it nor looks for agents on this machine.
        shared: as for ``make_service``.

    Attributes:
        service: the components.
    """

    def __init__(
        self,
        config: Config,
        manager: PresenceManager,
        loop: asyncio.AbstractEventLoop,
        spool: str | None,
        shared: Service | None = None,
    ) -> None:
        service = make_service(
            config, manager, loop, follows_agents=spool is not None, shared=shared
        )
        self.service = service
        self._unsubscribe = _subscribe(service, loop)
        self._background = make_background_tasks(
            config,
            manager,
            service.leader_lock,
            service.local_agents,
            spool,
            service.backfiller,
            service.spans,
        )
        info = service.hub.info
        info.provide("backfill", service.backfiller.progress)
        info.provide("quotas", service.quotas.rows)
        info.provide("database", partial(_database_info, manager))

        def on_quotas() -> None:
            info.changed()
            service.alerts.on_quotas()

        service.quotas.on_change = on_quotas

        def report() -> None:
            with contextlib.suppress(RuntimeError):
                # The loop may just have been closed.
                loop.call_soon_threadsafe(info.changed)
                loop.call_soon_threadsafe(service.quotas.refresh_soon)

        def report_database() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_follow_history, service)
            report()

        service.backfiller.on_report = report
        manager.store.on_problem = report_database
        info.update()

    def start(self) -> None:
        """Start the background tasks; call it on the event loop."""
        self._background.start()
        self.service.alerts.start()
        self.service.hosts.start()
        if self.service.forwarder is not None:
            self.service.forwarder.start()

    async def stop(self) -> None:
        """Stop the background tasks, commit queued events and close the dashboards."""
        loop = asyncio.get_running_loop()
        self.service.senders.close()
        await self.service.alerts.stop()
        await self.service.hosts.stop()
        if self.service.forwarder is not None:
            await loop.run_in_executor(None, self.service.forwarder.stop)
        await loop.run_in_executor(None, self._background.stop)
        # Queued events are committed and published before the dashboards are closed.
        await loop.run_in_executor(None, self.service.manager.close)
        self._unsubscribe()
        await asyncio.sleep(0)
        self.service.publisher.finish()
        self.service.hub.close()

    def close(self) -> None:
        """Stop the processes and connections that read history."""
        if self.service.is_whole_server:
            self.service.export_pool.close()
            self.service.reports.close()
        self.service.history.close()


async def open_space(config: Config, default: Service, name: str) -> Lifecycle:
    """Open the database of a space and start its service.

    Args:
        config: the configuration of the server.
        default: the service of the default space.
        name: the name of the space.

    Raises:
        StoreError: the database cannot be used.
    """
    loop, own = asyncio.get_running_loop(), space_config(config, name)
    manager = await loop.run_in_executor(None, open_manager, own)
    try:
        lifecycle = Lifecycle(own, manager, loop, None, default)
    except BaseException:
        manager.close()
        raise
    lifecycle.start()
    return lifecycle


def _database_info(manager: PresenceManager) -> dict[str, str] | None:
    """Return why the state is stale; None: it is not."""
    problem = manager.store.problem
    return None if problem is None else {"error": problem}


def _follow_history(service: Service) -> None:
    """Show the database's own history again, after a failover to a copy that lacks commits."""
    manager, published = service.manager, service.hub.published
    if manager.cursor.epoch != published.cursor.epoch and manager.store.problem is None:
        agents = manager.snapshot().values()
        service.hub.restart(PublishedState(manager.cursor, agents, manager.forgotten_seq))


def _subscribe(service: Service, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Forward the manager's changes, which come from any thread, to the hub on its loop.

    Returns:
        A function that unsubscribes.
    """

    def publish(batch: ChangeBatch) -> None:
        if loop.is_closed():
            return
        loop.call_soon_threadsafe(service.publisher.take, batch)
        if any(change.event.event_type == "quota" for change in batch.changes):
            loop.call_soon_threadsafe(service.quotas.refresh_soon)

    return service.manager.subscribe(publish)


def listen(config: Config) -> list[socket.socket]:
    """Bind the configured address and return its sockets.

    Raises:
        ConfigError: the port is in use, or the address does not belong to this machine.
    """
    try:
        return bind_sockets(config.port, config.host)
    except (OSError, UnicodeError) as error:
        # A host name that IDNA cannot encode raises UnicodeError.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen on {config.host[:100]}:{config.port}: {reason}; "
            "choose another address with --host and --port (--port 0 picks a free port)"
        ) from None


def local_url(config: Config, sockets: list[socket.socket]) -> str:
    """Return the URL of the server for programs on this machine."""
    port = sockets[0].getsockname()[1]
    # A wildcard address cannot be connected to.
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
    host = wildcards.get(config.host, config.host)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{port}"


def tune_gc() -> None:
    """Collect garbage less often, and exclude all objects that exist now.

    A full collection stops every thread, with a thousand connections for tens of milliseconds.
    Nearly all garbage of a request is freed by reference counting; few objects form cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def limit_digits() -> None:
    """Refuse longer integers in text: converting them takes time quadratic in their length."""
    sys.set_int_max_str_digits(MAX_DIGITS)


async def run_server(
    config: Config,
    sockets: list[socket.socket],
    manager: PresenceManager,
    on_ready: Callable[[Service, str], None],
    stop: asyncio.Event,
    spool: str | None,
) -> None:
    """Serve until ``stop`` is set or SIGINT or SIGTERM arrives, then shut down gracefully.

    Args:
        config: the configuration.
        sockets: the bound sockets; see ``listen``.
        manager: the open database; it is closed at the end.
        on_ready: called with the service and its URL once the server accepts requests.
        stop: set it to shut down.
        spool: as for ``Lifecycle``.
    """
    loop = asyncio.get_running_loop()
    limit_digits()
    lifecycle = Lifecycle(config, manager, loop, spool)
    service = lifecycle.service
    gate = Gate(config, partial(_put_last_used, manager))
    gate.tokens.refresh()
    spaces = Spaces(service, partial(open_space, config, service), config.max_spaces)
    raise_fd_limit()
    server = BoundedServer(
        _make_app(config, spaces, gate),
        max_body_size=config.max_body_bytes,
        max_header_size=65_536,
        idle_connection_timeout=IDLE_CONNECTION_S,
        body_timeout=BODY_S,
    )
    server.add_sockets(sockets)
    url = local_url(config, sockets)
    if config.jupyterhub:
        url += service_path(os.environ)
    # Further signals are ignored: they could interrupt commits and close frames.
    with _stop_on_signal(loop, stop):
        write_server_file(url, config.token, config.db)
        try:
            lifecycle.start()
            gate.start()
            spaces.start()
            on_ready(service, url)
            logger.info("started: url=%s database=%s", url, config.db)
            await stop.wait()
            logger.info("shutting down")
        finally:
            remove_server_file()
        server.stop()
        await gate.stop()
        await spaces.stop()
        await lifecycle.stop()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_close_connections(server), CLOSE_GRACE_S)
    lifecycle.close()
    logger.info("stopped")


def _put_last_used(manager: PresenceManager, used: dict[int, int]) -> None:
    manager.submit_job(lambda tx: put_last_used(tx.db, used)).result()


def _make_app(config: Config, spaces: Spaces, gate: Gate) -> Application:
    if not config.jupyterhub:
        return make_app(spaces, gate)
    try:
        # Needs the package jupyterhub.
        from .hub_service.hub_routes import make_hub_app
    except ImportError as error:
        raise ConfigError(
            f"--jupyterhub: {error}; install it with: pip install 'htmlgraph-nb[jupyterhub]'"
        ) from None
    return make_hub_app(spaces, gate)


async def _close_connections(server: HTTPServer) -> None:
    await server.close_all_connections()


@contextlib.contextmanager
def _stop_on_signal(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Iterator[None]:
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in signals:
            loop.add_signal_handler(number, stop.set)
    except (NotImplementedError, RuntimeError, ValueError):
        # Windows has no such handlers, and only the main thread may install them.
        yield
        return
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
