"""What the server does in the background, beside its event loop.

=============  ==========  =================  ==================================================
task           interval    runs on            purpose
=============  ==========  =================  ==================================================
sync           20 ms       every server       read events that other servers committed
timers         1 s         the leader         mark silent agents idle or offline, then forget them
heap           60 s        every server       return freed memory to the system
spans          1 s         every server       store calls whose trace stays incomplete
spool          1 s         the leader         ingest events that hooks stored while no server ran
waiting        1 s         the leader         list the waiting agents for status lines
retention      60 s        the leader         delete old history, one step every 50 ms
seal           60 s        the leader         start a process that seals history
backfill       1 s         the leader         start a process that imports past sessions, once
checkpoint     0.5 s       the leader         move the write-ahead log into the database file
sessions       variable    the leader, hooks  read the agents' session files and databases
processes      variable    the leader, hooks  notice agents whose process has ended
=============  ==========  =================  ==================================================

Several servers may share one database; see ``leader_lock``. "hooks" are servers that received a
hook of an agent on this machine. Two servers may read the same file: event ids prevent duplicates.

Every task may wait for the disk or for a database lock, so none runs on the event loop. Tasks that
may take long (checkpoint, sessions, processes) have threads of their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from htmlgraph_nb.coding_agents.otel.span_events import SpanTranslator
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.ingest.poller import PolledSource, PollingIngester
from htmlgraph_nb.paths import waiting_file
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import load as load_prices
from htmlgraph_nb.storage.checkpoint import Checkpointer
from htmlgraph_nb.storage.postgres.location import is_postgres

from ..config import Config
from ..faults.fault_log import FaultLog
from .backfiller import Backfiller
from .heap import TRIM_S, trim_heap
from .leader_lock import LeaderLock
from .local_agents import LocalAgents
from .retention import Retention
from .sealer import Sealer
from .spool_reader import SpoolReader
from .waiting_calls import WaitingCalls
from .waiting_file import WaitingFile

logger = logging.getLogger(__name__)

SYNC_S = 0.02
SPANS_S = 1.0
TIMERS_S = 1.0
PAUSE_S = 5.0
"""Delay of the timers from which the machine or the server must have been paused."""
SPOOL_POLL_S = 1.0
WAITING_S = 1.0
RETENTION_S = 60.0
SEAL_S = 60.0
BACKFILL_CHECK_S = 1.0
CHECKPOINT_S = 0.5
SOURCE_RETRY_S = 1.0
"""Interval of a source that failed, or that this server does not read."""
PRICES_DELAY_S = 0.2
"""Delay before the prices are loaded, so a short-lived server never loads them."""
_MAX_WAIT_S = 60.0


@dataclass
class PeriodicTask:
    """A task that a TaskThread repeats.

    Attributes:
        name: for the log.
        interval_s: seconds between two runs. A float that ``run`` returns replaces it once.
        run: does the work.
        enabled: called before each run; False skips the run.
        due: monotonic time of the next run.
    """

    name: str
    interval_s: float
    run: Callable[[], object]
    enabled: Callable[[], bool]
    due: float = 0.0
    _faults: FaultLog = field(init=False)

    def __post_init__(self) -> None:
        self._faults = FaultLog(self.name, logger)

    def run_once(self) -> float:
        """Run the task if it is enabled and return the seconds until the next run.

        Errors are logged, but only the first of several in a row: the cause may last for hours.
        """
        try:
            result = self.run() if self.enabled() else None
        except (HtmlgraphError, OSError) as error:
            self._faults.failed(error)
            return self.interval_s
        except Exception:  # noqa: BLE001 - logged with its traceback
            # The thread must survive, otherwise its other tasks stop, too.
            self._faults.failed_unexpectedly()
            return self.interval_s
        self._faults.succeeded()
        return result if isinstance(result, float) else self.interval_s


class TaskThread:
    """A thread that runs tasks when they are due.

    Args:
        name: name of the thread.
        tasks: run in this order where several are due.
    """

    def __init__(self, name: str, tasks: Sequence[PeriodicTask]) -> None:
        self._tasks = tasks
        self._stopping = False
        self._wakeup = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Make every task due now."""
        for task in self._tasks:
            task.due = 0.0
        self._wakeup.set()

    def stop(self) -> None:
        """Stop after the current task and wait for it."""
        self._stopping = True
        self._wakeup.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stopping:
            self._wakeup.clear()
            for task in self._tasks:
                if task.due <= time.monotonic() and not self._stopping:
                    # Set before the run: a ``wake`` during the run must cause another run.
                    task.due = float("inf")
                    interval_s = task.run_once()
                    task.due = min(task.due, time.monotonic() + interval_s)
            next_due = min((task.due for task in self._tasks), default=float("inf"))
            if not self._stopping:
                self._wakeup.wait(min(max(0.0, next_due - time.monotonic()), _MAX_WAIT_S))


class Timers:
    """The timers task, which notices pauses: no event can arrive while the machine sleeps.

    A pause is a longer time on the clock between two runs than the interval explains, so that a
    clock that was set forward counts as well.

    Args:
        manager: the open database.
        clock: returns seconds since 1970.
    """

    def __init__(self, manager: PresenceManager, clock: Callable[[], float] = time.time) -> None:
        self._manager = manager
        self._clock = clock
        self._last_run: float | None = None

    def run(self) -> None:
        """Apply the timers that are due; after a pause they start again."""
        now, last = self._clock(), self._last_run
        resumed = last is not None and now - last > TIMERS_S + PAUSE_S
        self._manager.tick(resumed=resumed)
        # After the work: a slow disk is no pause.
        self._last_run = self._clock()


class BackgroundTasks:
    """The background tasks of one server; the module's docstring lists them.

    Args:
        manager: the open database.
        leader_lock: the lock of the database; ``stop`` releases it.
        spool: reads the hooks' spool; None: no spool.
        waiting: lists the waiting agents; None: nothing does.
        retain_s: age in seconds at which history is deleted; 0: never.
        sealer: seals history; None: history is not sealed.
        checkpointer: moves the write-ahead log into the file; None: the writer does it.
        local_agents: finds agents on this machine; None: nothing does.
        backfiller: imports past sessions; None: nothing does.
        spans: the OTLP traces; None: none are read.
    """

    def __init__(
        self,
        manager: PresenceManager,
        leader_lock: LeaderLock,
        *,
        spool: SpoolReader | None = None,
        waiting: WaitingFile | None = None,
        retain_s: float = 0.0,
        sealer: Sealer | None = None,
        checkpointer: Checkpointer | None = None,
        local_agents: LocalAgents | None = None,
        backfiller: Backfiller | None = None,
        spans: SpanTranslator | None = None,
    ) -> None:
        self._leader_lock = leader_lock
        self._sealer = sealer
        self._waiting = waiting
        self._backfiller = backfiller
        always, leader = _always, leader_lock.acquire
        tasks = [
            PeriodicTask("sync", SYNC_S, manager.store.sync_notified, always),
            PeriodicTask("timers", TIMERS_S, Timers(manager).run, leader),
            PeriodicTask("heap", TRIM_S, trim_heap, always),
        ]
        self._waiting_calls = None if spans is None else WaitingCalls(manager, spans)
        if self._waiting_calls is not None:
            tasks.append(PeriodicTask("spans", SPANS_S, self._waiting_calls.store, always))
        if spool is not None:
            tasks.append(PeriodicTask("spool", SPOOL_POLL_S, spool.read, leader))
        if waiting is not None:
            tasks.append(PeriodicTask("waiting", WAITING_S, waiting.update, leader))
        if retain_s:
            tasks.append(
                PeriodicTask("retention", RETENTION_S, Retention(manager, retain_s).run, leader)
            )
        if sealer is not None:
            tasks.append(PeriodicTask("seal", SEAL_S, sealer.check, leader))
        if backfiller is not None:
            tasks.append(PeriodicTask("backfill", BACKFILL_CHECK_S, backfiller.check, leader))
        self._threads = [TaskThread("htmlgraph-tasks", tasks)]
        if checkpointer is not None:
            checkpoint = PeriodicTask("checkpoint", CHECKPOINT_S, checkpointer.check, leader)
            self._threads.append(TaskThread("htmlgraph-checkpoint", [checkpoint]))
        if local_agents is not None:
            self._threads.append(_source_thread(manager, leader_lock, local_agents))
        # Otherwise the first event with a price would delay all others until the prices are loaded.
        # A separate timer, so that shutdown never waits for it.
        self._prices = threading.Timer(PRICES_DELAY_S, load_prices)
        self._prices.name, self._prices.daemon = "htmlgraph-prices", True

    def start(self) -> None:
        """Start the threads."""
        self._prices.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop after the current tasks, wait for them and release the leader lock."""
        self._prices.cancel()
        for thread in self._threads:
            thread.stop()
        if self._waiting_calls is not None:
            self._waiting_calls.close()
        if self._sealer is not None:
            self._sealer.close()
        if self._waiting is not None:
            self._waiting.remove()
        if self._backfiller is not None:
            self._backfiller.close()
        self._leader_lock.release()


def _always() -> bool:
    return True


def _source_thread(
    manager: PresenceManager, leader_lock: LeaderLock, local_agents: LocalAgents
) -> TaskThread:
    """Return the thread that polls the sources; each hook on this machine wakes it."""

    def enabled() -> bool:
        return leader_lock.is_leader or local_agents.has_reports

    thread = TaskThread(
        "htmlgraph-sources",
        [
            PeriodicTask(name, SOURCE_RETRY_S, _poller(manager, source), enabled)
            for name, source in local_agents.sources.items()
        ],
    )
    local_agents.on_report = thread.wake
    return thread


def _poller(manager: PresenceManager, source: PolledSource) -> Callable[[], float]:
    ingester = PollingIngester(manager, source)
    return lambda: ingester.run(utc_now())


def _checked_seq(manager: PresenceManager) -> int:
    """Return the newest seq, once the file is known to be the one that was opened."""
    manager.sync_external()
    return manager.cursor.seq


def _checkpointer(manager: PresenceManager, config: Config) -> Checkpointer:
    return Checkpointer(manager.db_path, lambda: _checked_seq(manager), config.synchronous)


def make_background_tasks(
    config: Config,
    manager: PresenceManager,
    leader_lock: LeaderLock,
    local_agents: LocalAgents | None,
    spool_path: str | None,
    backfiller: Backfiller | None = None,
    spans: SpanTranslator | None = None,
) -> BackgroundTasks:
    """Create the background tasks of a server.

    Args:
        config: the configuration.
        manager: the open database.
        leader_lock: the lock of the database.
        local_agents: finds agents on this machine, with hints from the spooled hooks; or None.
        spool_path: the file in which hooks leave events while no server runs; None in demo mode.
        backfiller: imports past sessions; or None.
        spans: the OTLP traces; or None.
    """
    is_file = not is_postgres(manager.db_path)
    on_hook = None if local_agents is None else local_agents.on_hook
    return BackgroundTasks(
        manager,
        leader_lock,
        # The demo's agents wait for nobody.
        waiting=None if spool_path is None else WaitingFile(manager, waiting_file()),
        spool=None
        if spool_path is None
        else SpoolReader(manager, spool_path, on_hook=on_hook, titles=config.titles),
        retain_s=config.retain_s,
        sealer=Sealer(manager.db_path) if config.seal and is_file else None,
        checkpointer=_checkpointer(manager, config) if is_file else None,
        local_agents=local_agents,
        backfiller=backfiller,
        spans=spans,
    )
