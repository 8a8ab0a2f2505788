"""AlertService: evaluates the rules, stores what fires and sends it to dashboards and channels.

The leader of the servers that share a database evaluates. All of them read from the database what
changed, so that each shows the same alerts, and an acknowledgement on one counts on all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from htmlgraph_nb.alerts.alert_table import (
    acknowledge_alert,
    put_alerts,
    put_muted_until,
    read_changed,
    read_firing,
    read_muted_until,
)
from htmlgraph_nb.alerts.evaluation.case_state import AlertChange
from htmlgraph_nb.alerts.evaluation.evaluate import Evaluator, QuotaLevel
from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.alerts.silence import FOREVER
from htmlgraph_nb.core.changes import ChangeBatch
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import StoreError
from htmlgraph_nb.presence import PresenceManager

from ..faults.fault_log import FaultLog
from ..history.history_reader import HistoryReader
from ..history.quota_forecast import quota_forecast
from ..history.quota_reader import QuotaReader
from ..hub.hub import Hub
from .alert_sender import AlertSender
from .stored_spending import read_spent
from .watched_rules import WatchedRules

logger = logging.getLogger(__name__)

LONGEST_STEP_S = 1.0
"""Longest time between two looks at the database and the clock."""
_LEAST_STEP_S = 0.01
MAX_UNSTORED = 10_000
"""Most states of alerts that wait for the database."""
TOTALS_S = 10.0
"""Least time between two readings of all that was spent."""


class AlertService:
    """The alerts of one server. All methods are called on its event loop.

    Args:
        manager: the open database.
        history: reads it.
        hub: has the agents, and sends alerts to dashboards.
        quotas: the usage windows.
        is_leader: returns whether this server evaluates.
        path: the file of rules.
        clock: returns the current time, UTC.
    """

    def __init__(
        self,
        manager: PresenceManager,
        history: HistoryReader,
        hub: Hub,
        quotas: QuotaReader,
        is_leader: Callable[[], bool],
        path: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._manager = manager
        self._history = history
        self._hub = hub
        self._quotas = quotas
        self._is_leader = is_leader
        self._clock = clock
        self._evaluator: Evaluator | None = None
        self.rules = WatchedRules(path)
        self.sender = AlertSender(manager, is_leader)
        self._muted_until: datetime | None = None
        self._revision = -1
        self._unstored: list[AlertChange] = []
        self._faults = FaultLog("alerts", logger)
        self._wakeup = asyncio.Event()
        self._sleeps_until: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._totals_task: asyncio.Task[None] | None = None
        self._next_totals = 0.0

    def start(self) -> None:
        """Start the task that evaluates."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Store what fired and end the task."""
        if self._totals_task is not None:
            self._totals_task.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            with contextlib.suppress(StoreError):
                await self._store(self._clock())
        await self.sender.close()

    def on_changes(self, batch: ChangeBatch) -> None:
        """Take the changes of one transaction."""
        evaluator = self._evaluator
        if evaluator is None:
            return
        now = self._clock()
        for change in batch.changes:
            state = change.state
            calls = None if state is None else state.open_tools
            evaluator.apply(change.agent_id, change.presence, now, change.event, calls)
        due = evaluator.next_due
        if due is not None and (self._sleeps_until is None or due < self._sleeps_until):
            self._wakeup.set()

    def on_quotas(self) -> None:
        """Take the new reports of usage windows."""
        if self._evaluator is not None:
            now = self._clock()
            self._evaluator.set_quotas(self._levels(now), now)
            self._wakeup.set()

    def _levels(self, now: datetime) -> list[QuotaLevel]:
        levels = []
        for q in self._quotas.quotas:
            forecast = quota_forecast(q.used_percent, q.minutes, q.resets_at, q.reported_at, now)
            levels.append(
                QuotaLevel(
                    q.account,
                    q.window,
                    q.used_percent,
                    q.resets_at,
                    q.reported_at,
                    forecast.full_at,
                )
            )
        return levels

    # The task

    async def _run(self) -> None:
        while True:
            self._wakeup.clear()
            try:
                await self._step()
                self._faults.succeeded()
            except StoreError as error:
                self._faults.failed(error)
            except Exception:  # noqa: BLE001 - logged with its traceback
                # The task must survive, else no alert fires any more.
                self._faults.failed_unexpectedly()
            await self._sleep()

    async def _sleep(self) -> None:
        now = self._clock()
        until = now + timedelta(seconds=LONGEST_STEP_S)
        due = None if self._evaluator is None else self._evaluator.next_due
        if due is not None:
            until = min(until, due)
        self._sleeps_until = until
        delay = max(_LEAST_STEP_S, (until - now).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._wakeup.wait()
        self._sleeps_until = None

    async def _step(self) -> None:
        if await asyncio.get_running_loop().run_in_executor(None, self.rules.refresh):
            self._use_rules()
            await self.sender.set_channels(self.rules.content.channels)
        await self._follow_leader()
        if self._evaluator is not None:
            self._read_totals_soon(self._evaluator)
            self._evaluator.tick(self._clock())
            self._unstored += self._evaluator.take()
            # If the database cannot be written for long, the newest states count.
            del self._unstored[:-MAX_UNSTORED]
        if self._unstored:
            await self._store(self._clock())
        await self._read()

    def _use_rules(self) -> None:
        """Apply the rules of the file."""
        if self._evaluator is not None:
            now = self._clock()
            self._evaluator.set_silence(self.rules.content.silence(self._muted_until))
            content = self.rules.content
            self._evaluator.set_rules(content.rules, now, content.zone)

    async def _follow_leader(self) -> None:
        if not self._is_leader():
            self._evaluator = None
            return
        if self._evaluator is not None:
            return
        await self.sender.begin()
        firing, self._muted_until = await self._history.run(_read_start)
        now = self._clock()
        evaluator = Evaluator(self.rules.content.rules, zone=self.rules.content.zone)
        evaluator.set_silence(self.rules.content.silence(self._muted_until))
        evaluator.restore(firing, now)
        agents = (each.presence for each in self._hub.published.agents.values())
        evaluator.start(agents, now, self._manager.open_calls)
        evaluator.set_quotas(self._levels(now), now)
        self._evaluator = evaluator

    def _read_totals_soon(self, evaluator: Evaluator) -> None:
        """Read in the background what was spent, if the budgets need it."""
        now = time.monotonic()
        if not evaluator.budgets.needs_totals or now < self._next_totals:
            return
        self._next_totals = now + TOTALS_S
        since = evaluator.budgets.begin()
        self._totals_task = asyncio.get_running_loop().create_task(
            self._read_totals(evaluator, since)
        )

    async def _read_totals(self, evaluator: Evaluator, since: datetime) -> None:
        try:
            spent, seq = await self._history.run(lambda db: read_spent(db, since))
        except StoreError as error:
            logger.debug("alerts: %s", error)
            evaluator.budgets.give_up()
            return
        evaluator.budgets.finish(spent, seq, self._clock())
        self._wakeup.set()

    async def _store(self, now: datetime) -> None:
        """Store the new states of alerts, and have their messages sent."""
        changes = self._unstored
        channels = {id(change.alert): self.sender.channels_of(change) for change in changes}
        alerts = [change.alert for change in changes]
        await asyncio.wrap_future(
            self._manager.submit_job(
                lambda tx: put_alerts(tx.db, alerts, lambda alert: channels[id(alert)], now)
            )
        )
        self._unstored = self._unstored[len(changes) :]
        self.sender.send()

    async def _read(self) -> None:
        """Send to dashboards what changed in the database."""
        first = self._revision < 0
        changed, revision, muted_until = await self._history.run(self._read_changes)
        self._revision = revision
        feed = self._hub.alerts
        frames = feed.update(changed)
        facts = feed.set_facts(muted_until, self.rules.error)
        if first and feed.is_used:
            frames, facts = [feed.state_frame], []
        self._hub.side.send_alerts([*frames, *facts])
        if self._evaluator is None:
            return
        for alert in changed:
            if alert.acknowledged_at is not None:
                self._evaluator.acknowledge(alert)
        if muted_until != self._muted_until:
            self._muted_until = muted_until
            self._evaluator.set_silence(self.rules.content.silence(muted_until))

    def _read_changes(
        self, db: sqlite3.Connection
    ) -> tuple[Iterable[FiredAlert], int, datetime | None]:
        if self._revision < 0:
            _, revision = read_changed(db, 2**62)
            return read_firing(db), revision, read_muted_until(db)
        return *read_changed(db, self._revision), read_muted_until(db)

    # Requests

    async def acknowledge(self, alert_id: str, by: str | None) -> FiredAlert | None:
        """Acknowledge an alert and return it; None: it is unknown.

        Raises:
            StoreError: it cannot be stored.
        """
        now = self._clock()
        future = self._manager.submit_job(lambda tx: acknowledge_alert(tx.db, alert_id, by, now))
        alert = await asyncio.wrap_future(future)
        self._wakeup.set()
        return alert

    async def mute(self, seconds: float | None) -> datetime | None:
        """Mute all alerts and return until when; None: they are not muted.

        Args:
            seconds: for how long; 0: end it; None: until it is ended.

        Raises:
            StoreError: it cannot be stored.
        """
        until = FOREVER if seconds is None else None
        if seconds:
            until = self._clock() + timedelta(seconds=seconds)
        await asyncio.wrap_future(
            self._manager.submit_job(lambda tx: put_muted_until(tx.db, until))
        )
        self._wakeup.set()
        return until


def _read_start(db: sqlite3.Connection) -> tuple[list[FiredAlert], datetime | None]:
    return read_firing(db), read_muted_until(db)
