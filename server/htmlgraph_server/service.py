"""The parts of one running server, put together once and handed to the handlers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from htmlgraph_nb.coding_agents.otel.metrics import TokenCounters
from htmlgraph_nb.presence import PresenceManager

from .auth import Authenticator
from .background.leader_lock import LeaderLock
from .background.local_agents import LocalAgents
from .config import Config
from .history.activity_counts import ActivityCache
from .history.history_reader import HistoryReader
from .history.worker_pool import ExportWorkerPool
from .hub.hub import Hub, Scheduler
from .hub.published_state import PublishedState
from .otlp.restore import meters_of


@dataclass
class Service:
    """One server's parts.

    Attributes:
        config: what it was told.
        manager: the door to the store.
        hub: the dashboards.
        guard: who may pass.
        history: reads what is stored.
        activity: counts of the last minutes.
        streams: the processes of long answers.
        meters: the token counters that agents export.
        ownership: which of the servers on the database does what one alone may do.
        decoding: held by whoever decodes an export of telemetry.
        body_bytes: what the bodies of requests that are on their way hold.
        live: what hears of the agents on this machine; None: nothing.
    """

    config: Config
    manager: PresenceManager
    hub: Hub
    guard: Authenticator
    history: HistoryReader
    activity: ActivityCache
    streams: ExportWorkerPool
    meters: TokenCounters
    ownership: LeaderLock
    decoding: asyncio.Lock = field(default_factory=asyncio.Lock)
    body_bytes: int = 0
    live: LocalAgents | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)


def make_service(config: Config, manager: PresenceManager, scheduler: Scheduler) -> Service:
    """Put the parts together; the hub starts with what the manager knows.

    The changes of the manager are not connected yet: they come from other threads, so they are to
    be brought onto the hub's loop (see ``lifecycle.Lifecycle``).
    """
    manager.sync_external()
    board = PublishedState(manager.cursor, manager.snapshot().values(), manager.forgotten_seq)
    history = HistoryReader(manager.db_path)
    return Service(
        config,
        manager,
        Hub(board, config.hub, scheduler),
        Authenticator(config),
        history,
        ActivityCache(history),
        ExportWorkerPool(),
        meters_of(manager.db_path),
        LeaderLock(manager.db_path),
    )
