"""The parts of one running server, put together once and handed to the handlers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from htmlgraph_nb.connectors.otlp_metrics import TokenMeters
from htmlgraph_nb.presence import PresenceManager

from .activity import ActivityCache
from .auth import Guard
from .board import Board
from .config import Config
from .history import HistoryReader
from .hub import Hub, Scheduler
from .live import Live
from .otlp.earlier import meters_of
from .ownership import Ownership
from .streams import StreamPool


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
    guard: Guard
    history: HistoryReader
    activity: ActivityCache
    streams: StreamPool
    meters: TokenMeters
    ownership: Ownership
    decoding: asyncio.Lock = field(default_factory=asyncio.Lock)
    body_bytes: int = 0
    live: Live | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)


def make_service(config: Config, manager: PresenceManager, scheduler: Scheduler) -> Service:
    """Put the parts together; the hub starts with what the manager knows.

    The changes of the manager are not connected yet: they come from other threads, so they are to
    be brought onto the hub's loop (see ``lifecycle.Lifecycle``).
    """
    manager.absorb()
    board = Board(manager.cursor, manager.snapshot().values(), manager.forgotten_seq)
    history = HistoryReader(manager.db_path)
    return Service(
        config,
        manager,
        Hub(board, config.hub, scheduler),
        Guard(config),
        history,
        ActivityCache(history),
        StreamPool(),
        meters_of(manager.db_path),
        Ownership(manager.db_path),
    )
