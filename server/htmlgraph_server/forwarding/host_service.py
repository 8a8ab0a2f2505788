"""The hosts that forward to this server: marks the agents of those that are lost, and stores them.

Several servers can share the database. Each stores the hosts that are connected to it, and the
leader decides which hosts are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from htmlgraph_nb.core.hosts.host_contact import UNREACHABLE
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.forwarding.host_board import (
    HostBoard,
    HostReport,
    KnownHost,
    agents_to_mark,
)
from htmlgraph_nb.forwarding.host_links import agents_of_hosts, host_event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.transaction import Transaction

from ..faults.fault_log import FaultLog
from .host_table import drop_hosts, put_hosts, read_hosts

logger = logging.getLogger(__name__)

_MAX_CHECK_S = 1.0
_STORE_S = 5.0
_HEARTBEATS_PER_TIMEOUT = 3
_BATCH_AGENTS = 1_000


class HostService:
    """All hosts of this server; use it on the event loop.

    Args:
        manager: the open database.
        timeout_s: seconds without a message after which a host is lost.
        is_leader: whether this server decides which hosts are lost.

    Attributes:
        board: the hosts.
        heartbeat_s: seconds between two heartbeats of a host.
        on_change: called when a host connects, is lost or returns.
    """

    def __init__(
        self, manager: PresenceManager, timeout_s: float, is_leader: Callable[[], bool]
    ) -> None:
        self._manager = manager
        self._is_leader = is_leader
        self.board = HostBoard(timeout_s, utc_now())
        self.heartbeat_s = round(timeout_s / _HEARTBEATS_PER_TIMEOUT, 3)
        self._check_s = min(_MAX_CHECK_S, self.heartbeat_s)
        self._stored_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self.on_change: Callable[[], object] = lambda: None
        with closing(open_reader(manager.db_path)) as db, sqlite_errors(manager.db_path):
            self.board.absorb(read_hosts(db))

    def take(self, report: HostReport, connected: str | None) -> str:
        """Take the report of a host, and return its id.

        Args:
            connected: id of the host that the connection has named before; None: it is the first.

        Raises:
            CapacityError: there are too many hosts.
        """
        if connected == report.id and connected in self.board.hosts:
            self.board.report(report, utc_now())
            return report.id
        if connected is not None:
            self.leave(connected)
        self.board.connect(report, utc_now())
        self.on_change()
        return report.id

    def contact(self, host_id: str) -> None:
        """Note that events of a host came."""
        self.board.contact(host_id, utc_now())

    def leave(self, host_id: str) -> None:
        """Note that a connection of a host has ended."""
        self.board.disconnect(host_id)
        self.on_change()

    def rows(self) -> list[dict[str, Any]]:
        """Return the hosts as ``GET /api/hosts`` has them."""
        return self.board.rows(utc_now())

    def start(self) -> None:
        """Start the checks; call it on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop the checks."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        faults = FaultLog("hosts", logger)
        while True:
            await asyncio.sleep(self._check_s)
            try:
                await self._check()
                faults.succeeded()
            except HtmlgraphError as error:
                faults.failed(error)

    async def _check(self) -> None:
        if not self.board.hosts:
            return
        if time.monotonic() - self._stored_s >= _STORE_S:
            await self._exchange()
        lost, returned = self.board.check(utc_now())
        if not self._is_leader():
            # Those that are connected here: no other server knows that they are up to date.
            lost = []
        for host in lost:
            logger.warning(
                "host %s (%s) is not reachable since %s",
                *(host.report.label, host.report.id, host.seen_at.isoformat(timespec="seconds")),
            )
        if lost or returned:
            await self._mark(lost, returned)
            self.on_change()

    async def _exchange(self) -> None:
        """Store the hosts that changed here, and take those that other servers stored."""
        hosts, changed = self.board.hosts, self.board.changed
        own = [hosts[name] for name in changed if name in hosts]
        self.board.changed = set()

        def job(tx: Transaction) -> list[KnownHost]:
            others = read_hosts(tx.db)
            if own:
                put_hosts(tx.db, own)
                drop_hosts(tx.db, [each for each in others if each.report.id not in hosts])
            return others

        self._stored_s = time.monotonic()
        self.board.absorb(await asyncio.wrap_future(self._manager.submit_job(job)))

    async def _mark(self, lost: Sequence[KnownHost], returned: Sequence[KnownHost]) -> None:
        agents = agents_of_hosts(self._manager.states())
        details = {
            name: (one.status is PresenceStatus.OFFLINE, one.detail == UNREACHABLE)
            for name, one in self._manager.snapshot().items()
        }
        events: list[Event] = []
        for hosts, kind in ((lost, "host_lost"), (returned, "host_seen")):
            for host in hosts:
                own = agents.get(host.report.id, [])
                names = agents_to_mark(own, details, lost=kind == "host_lost")
                at = host.seen_at if kind == "host_lost" else None
                events += [host_event(name, kind, host.report.id, at) for name in names]
        try:
            for start in range(0, len(events), _BATCH_AGENTS):
                part = events[start : start + _BATCH_AGENTS]
                await asyncio.wrap_future(self._manager.submit(part, time.monotonic()))
        except HtmlgraphError:
            for host in (*lost, *returned):
                self.board.undecided(host.report.id)
            raise
