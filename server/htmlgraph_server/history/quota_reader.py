"""The usage limits of the agents' accounts, as ``GET /api/quotas`` and dashboards show them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from htmlgraph_nb.core.timestamps import to_rfc3339, utc_now
from htmlgraph_nb.errors import StoreError
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.quota_table import Quota, read_quotas

from .history_reader import HistoryReader
from .quota_forecast import quota_forecast

logger = logging.getLogger(__name__)


class QuotaReader:
    """The last report of each window, kept in memory for dashboards and metrics.

    Args:
        history: reads the database.
        quotas: the reports at the start.

    Attributes:
        quotas: the reports as of the last refresh.
        on_change: called on the event loop after they have changed.
    """

    def __init__(self, history: HistoryReader, quotas: Sequence[Quota] = ()) -> None:
        self._history = history
        self._task: asyncio.Task[None] | None = None
        self._is_outdated = False
        self.quotas = quotas
        self.on_change: Callable[[], object] = lambda: None

    async def refresh(self) -> None:
        """Read the stored reports.

        Raises:
            StoreError: the database cannot be read.
        """
        self._is_outdated = False
        quotas = await self._history.run(read_quotas)
        if quotas != self.quotas:
            self.quotas = quotas
            self.on_change()

    def refresh_soon(self) -> None:
        """Read them in the background; call it on the event loop after a new report."""
        self._is_outdated = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._refresh_until_current())

    async def _refresh_until_current(self) -> None:
        try:
            while self._is_outdated:
                await self.refresh()
        except StoreError as error:
            # The next report, or a request, tries again.
            logger.debug("cannot read the usage limits: %s", error)

    def rows(self) -> list[dict[str, Any]]:
        """Return the reports as JSON objects with their forecasts."""
        now = utc_now()
        return [_row(quota, now) for quota in self.quotas]


def stored_quotas(path: str) -> list[Quota]:
    """Return the reports in a database file.

    Raises:
        StoreError: the file cannot be read.
    """
    with closing(open_reader(path)) as db, sqlite_errors(path):
        return read_quotas(db)


def is_window_open(quota: Quota, now: datetime) -> bool:
    """Return whether the window of a report is not over yet, as far as known."""
    return quota.resets_at is None or quota.resets_at > now


def _row(quota: Quota, now: datetime) -> dict[str, Any]:
    forecast = quota_forecast(
        quota.used_percent, quota.minutes, quota.resets_at, quota.reported_at, now
    )
    return {
        "account": quota.account,
        "agent_kind": quota.agent_kind,
        "plan": quota.plan,
        "window": quota.window,
        "minutes": quota.minutes,
        "used_percent": quota.used_percent,
        "resets_at": _time(quota.resets_at),
        "reported_at": to_rfc3339(quota.reported_at),
        "source": quota.source,
        "official": quota.official,
        "forecast": {
            "full_at": _time(forecast.full_at),
            "used_percent_at_reset": forecast.used_percent_at_reset,
        },
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else to_rfc3339(value)
