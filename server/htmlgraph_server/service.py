"""The components of one running server, as the request handlers see them."""

from __future__ import annotations

import asyncio
import math
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from htmlgraph_nb.coding_agents.otel.span_events import SpanTranslator
from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.ingest.backfill_process import BackfillOptions
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.postgres.location import child_environ

from .alerts.alert_service import AlertService
from .background.advisory_lock import make_leader_lock
from .background.backfiller import Backfiller
from .background.leader_lock import LeaderLock
from .background.local_agents import LocalAgents
from .config import Config
from .connections.byte_budget import ByteBudget
from .connections.event_senders import EventSockets
from .connections.refusals import Refusals
from .decoding.loop_turns import Turns
from .forwarding.host_service import HostService
from .history.activity_counts import ActivityCache
from .history.history_reader import HistoryReader
from .history.quota_reader import QuotaReader, stored_quotas
from .history.report_process import ReportProcess
from .history.worker_pool import ExportWorkerPool
from .hub.clients import Scheduler
from .hub.hub import Hub
from .hub.published_state import PublishedState
from .hub.publisher import Publisher

if TYPE_CHECKING:
    from .forwarding.forwarder import Forwarder


@dataclass
class Service:
    """The components of one server, or of one of its spaces.

    Attributes:
        config: the configuration.
        manager: writes events to the database and notifies its subscribers.
        hub: sends changes to the connected dashboards.
        history: reads stored events.
        quotas: the usage limits of the agents' accounts.
        activity: caches event counts of the last minutes.
        export_pool: worker processes for long history exports.
        reports: the worker process of reports on costs and sessions.
        spans: the state of the OTLP traces.
        leader_lock: elects one of the servers that share the database.
        local_agents: finds agents on this machine; None in demo mode.
        backfiller: imports past sessions.
        turns: orders the steps of long work on the event loop.
        refusals: the log of refused requests.
        senders: the open WebSockets that send events.
        otlp_lock: held while an OTLP export is decoded.
        budget: the budget of the bytes of all connections.
        alerts: evaluates the rules of alerts.
        is_whole_server: whether no other service owns the shared parts.
        publisher: gives changes to ``hub`` and ``alerts``.
        hosts: the hosts that forward their events to this server.
        forwarder: sends the events to another server; None: nothing does.
        started_at: start time, UTC.
        started_s: start time in monotonic seconds.
    """

    config: Config
    manager: PresenceManager
    hub: Hub
    history: HistoryReader
    quotas: QuotaReader
    activity: ActivityCache
    export_pool: ExportWorkerPool
    reports: ReportProcess
    leader_lock: LeaderLock
    backfiller: Backfiller
    budget: ByteBudget
    alerts: AlertService
    publisher: Publisher
    turns: Turns
    hosts: HostService
    forwarder: Forwarder | None = None
    local_agents: LocalAgents | None = None
    is_whole_server: bool = True
    spans: SpanTranslator = field(default_factory=SpanTranslator)
    refusals: Refusals = field(default_factory=Refusals)
    senders: EventSockets = field(default_factory=EventSockets)
    otlp_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_s: float = field(default_factory=time.monotonic)


def make_service(
    config: Config,
    manager: PresenceManager,
    scheduler: Scheduler,
    *,
    follows_agents: bool = False,
    shared: Service | None = None,
) -> Service:
    """Create the components; the hub starts with the manager's current state.

    The hub is not subscribed to the manager yet; see ``server.Lifecycle``.

    Args:
        manager: the open database.
        scheduler: the event loop of the hub.
        follows_agents: create ``local_agents``.
        shared: another service of this server, whose workers and budget of bytes this one uses; it
            closes them. None: there is none.

    Raises:
        StoreError: the database cannot be read.
    """
    manager.sync_external()
    # Starts the writer thread; see history_reader for the reason.
    manager.submit([], time.monotonic())
    local_agents = LocalAgents(config, manager) if follows_agents else None
    backfiller = Backfiller(_backfill_options(config, manager, local_agents))
    state = PublishedState(manager.cursor, manager.snapshot().values(), manager.forgotten_seq)
    history = HistoryReader(manager.db_path)
    hub, leader_lock = Hub(state, config.hub, scheduler), make_leader_lock(manager.db_path)
    environ = child_environ(manager.db_path)
    quotas = QuotaReader(history, stored_quotas(manager.db_path))
    alerts = AlertService(
        manager, history, hub, quotas, lambda: leader_lock.is_leader, config.alerts
    )
    turns = Turns() if shared is None else shared.turns

    def publish(batch: ChangeBatch) -> None:
        hub.publish(batch)
        alerts.on_changes(batch)

    return Service(
        config,
        manager,
        hub,
        history,
        quotas,
        ActivityCache(history),
        ExportWorkerPool(environ=environ) if shared is None else shared.export_pool,
        ReportProcess(environ=environ) if shared is None else shared.reports,
        leader_lock,
        backfiller,
        ByteBudget(config.max_buffered_bytes) if shared is None else shared.budget,
        alerts,
        Publisher(publish, turns),
        turns,
        HostService(manager, config.host_timeout_s, lambda: leader_lock.is_leader),
        make_forwarder(config, manager, leader_lock) if shared is None else None,
        local_agents,
        is_whole_server=shared is None,
    )


def make_forwarder(
    config: Config, manager: PresenceManager, leader_lock: LeaderLock
) -> Forwarder | None:
    """Return the forwarder of a server; None if it forwards to no other one."""
    if not config.forward_to:
        return None
    # Few servers forward, and the client that it uses takes time and memory to load.
    from .forwarding.forwarder import Forwarder

    url, token = config.forward_to, config.forward_token
    return Forwarder(manager, url, token, lambda: leader_lock.is_leader)


def _backfill_options(
    config: Config, manager: PresenceManager, local_agents: LocalAgents | None
) -> BackfillOptions | None:
    if local_agents is None or not config.backfill_s:
        return None
    # Older history would be deleted at once.
    seconds = min(config.backfill_s, config.retain_s or config.backfill_s)
    return BackfillOptions(
        manager.db_path,
        days=None if math.isinf(seconds) else seconds / 86_400,
        followed_since=local_agents.followed_since if config.watch else math.inf,
        titles=config.titles,
        synchronous=config.synchronous,
        limits=config.roster,
        parent=os.getpid(),
        session_folder=config.session_folder,
    )
