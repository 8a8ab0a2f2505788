"""The server's own threads beside the loop: others' writes, timers, spool, retention, live sources.

Several servers may have one file: all take in what others wrote, and its owner does the rest.

All of it waits for the disk or for the writer's lock now and then, so none of it runs on the loop.
Live sources, which read what agents leave behind, have a thread of their own, and so has what may
take long, as the checkpoints of the log: the passing of time does not wait for them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.ingest.poller import PolledSource, PollingIngester
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import load as load_prices
from htmlgraph_nb.storage.checkpoint import Checkpointer

from ..service import Service
from .leader_lock import LeaderLock
from .local_agents import LocalAgents
from .sealer import Sealer
from .spool_reader import Spool

logger = logging.getLogger("htmlgraph.watch")

ABSORB_S = 0.02
TICK_S = 1.0
SPOOL_S = 1.0
CHECKPOINT_S = 0.5
PRICES_S = 0.2
"""Seconds from the start until prices are read, so that who stops again at once needs none."""
SEAL_S = 60.0
RETENTION_S = 60.0
RETENTION_PAUSE_S = 0.05
FAILED_S = 1.0
"""Seconds until a source that failed is asked again."""


@dataclass
class PeriodicTask:
    """What is to be done again and again.

    Attributes:
        run: does it.
        pause_s: returns the seconds until the next time, of what ``run`` returned; None: it failed.
    """

    run: Callable[[], object]
    interval_s: Callable[[object], float]
    due: float = 0.0
    failing: bool = False


def _every(seconds: float, run: Callable[[], object], again_s: float | None = None) -> PeriodicTask:
    """Return a chore of a fixed interval; of a shorter one while ``run`` says there is more."""
    sooner = seconds if again_s is None else again_s
    return PeriodicTask(run, lambda more: sooner if more else seconds)


class TaskThread:
    """One thread that does chores when they are due."""

    def __init__(self, name: str, chores: Sequence[PeriodicTask]) -> None:
        self._chores = chores
        self._stopping = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Let everything be due now."""
        for chore in self._chores:
            chore.due = 0.0
        self._woken.set()

    def stop(self) -> None:
        """Stop after the chore that is running, and wait for that."""
        self._stopping = True
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            for chore in self._chores:
                if chore.due <= time.monotonic() and not self._stopping:
                    # Before it is done: who wakes it meanwhile wants it done once more.
                    chore.due = float("inf")
                    pause_s = chore.interval_s(_do(chore))
                    chore.due = min(chore.due, time.monotonic() + pause_s)
            nearest = min((chore.due for chore in self._chores), default=float("inf"))
            if not self._stopping:
                self._woken.wait(min(max(0.0, nearest - time.monotonic()), 60.0))


def _do(chore: PeriodicTask) -> object:
    """Run a chore and return what it returned; None where it failed."""
    try:
        found = chore.run()
    except (HtmlgraphError, OSError) as error:
        # Said once: the file may be away for hours.
        if not chore.failing:
            logger.warning("%s", error)
        chore.failing = True
    except Exception:
        # The thread must live: without it no time passes and nothing of others is seen.
        if not chore.failing:
            logger.exception("a chore of the server failed")
        chore.failing = True
    else:
        chore.failing = False
        return found
    return None


class BackgroundTasks:
    """Runs the chores of one server until it is stopped.

    Args:
        manager: whose file is watched.
        spool: the hooks' spool; None: it is not taken in.
        retain_s: age in seconds at which history is deleted; 0: never.
        sealer: seals history; None: it is not sealed.
        checkpointer: moves the log into the file; None: the writer does it.
        ownership: of the file; only its owner does more than to take in what others wrote.
        sources: what else tells of agents, each asked as often as it wants to be.
        heard: whether hooks told this server of agents, so that it asks the sources as an owner
            does; that two of them ask is harmless, as each event has its id.
    """

    def __init__(
        self,
        manager: PresenceManager,
        spool: Spool | None = None,
        retain_s: float = 0.0,
        sealer: Sealer | None = None,
        sources: Sequence[PolledSource] = (),
        *,
        checkpointer: Checkpointer | None = None,
        heard: Callable[[], bool] = lambda: False,
        ownership: LeaderLock,
    ) -> None:
        self._manager = manager
        self._retain = timedelta(seconds=retain_s)
        self._ownership = ownership
        owned = self._if_owner
        chores = [_every(ABSORB_S, manager.sync_external), _every(TICK_S, owned(manager.tick))]
        if spool is not None:
            chores.append(_every(SPOOL_S, owned(spool.take_in)))
        if retain_s:
            # One step at a time: the other chores go on between two of them.
            chores.append(_every(RETENTION_S, owned(self._delete_old), RETENTION_PAUSE_S))
        self._sealer = sealer
        if sealer is not None:
            chores.append(_every(SEAL_S, owned(sealer.check)))
        self._runners = [TaskThread("htmlgraph-watch", chores)]
        if checkpointer is not None:
            long = [_every(CHECKPOINT_S, owned(checkpointer.check))]
            self._runners.append(TaskThread("htmlgraph-long", long))
        # The first event that has a price would hold up all others until the prices are there. A
        # thread for it alone, as nobody who stops need wait for them.
        self._prices = threading.Timer(PRICES_S, load_prices)
        self._prices.name, self._prices.daemon = "htmlgraph-prices", True
        asked = [_ask(manager, source, lambda: ownership.is_owner or heard()) for source in sources]
        self._sources = TaskThread("htmlgraph-sources", asked)
        if sources:
            self._runners.append(self._sources)

    def start(self) -> None:
        """Begin."""
        self._prices.start()
        for runner in self._runners:
            runner.start()

    def wake(self) -> None:
        """Ask the sources now: something was heard of which they can tell more."""
        self._sources.wake()

    def stop(self) -> None:
        """Stop after the chores that are running, and wait for them."""
        self._prices.cancel()
        for runner in self._runners:
            runner.stop()
        if self._sealer is not None:
            self._sealer.close()
        self._ownership.release()

    def _if_owner(self, chore: Callable[[], object]) -> Callable[[], object]:
        return lambda: chore() if self._ownership.held() else None

    def _delete_old(self) -> int:
        return self._manager.delete_history(self._retain)


def make_watcher(service: Service, spool_path: str | None) -> BackgroundTasks:
    """Put together the chores of a server; hooks that it takes are heard by its live sources.

    Args:
        spool_path: the file of events that hooks left; None: a play without real agents.
    """
    config, manager, ownership = service.config, service.manager, service.ownership
    sealer = Sealer(manager.db_path) if config.seal else None
    checkpointer = Checkpointer(manager.db_path, lambda: manager.cursor.seq, config.synchronous)
    if spool_path is None:
        return BackgroundTasks(
            manager,
            None,
            config.retain_s,
            sealer,
            checkpointer=checkpointer,
            ownership=ownership,
        )
    live = service.live = LocalAgents(config, manager)
    spool = Spool(manager, spool_path, hear=live.hear)
    watcher = BackgroundTasks(
        manager,
        spool,
        config.retain_s,
        sealer,
        live.sources,
        checkpointer=checkpointer,
        heard=lambda: live.heard,
        ownership=ownership,
    )
    live.wake = watcher.wake
    return watcher


def _ask(
    manager: PresenceManager, source: PolledSource, wanted: Callable[[], bool]
) -> PeriodicTask:
    feed = PollingIngester(manager, source)
    return PeriodicTask(
        lambda: feed.run(utc_now()) if wanted() else None,
        lambda pause_s: pause_s if isinstance(pause_s, float) else FAILED_S,
    )
