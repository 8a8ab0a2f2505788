"""The retention task deletes what is old, not what a wrong clock makes look old."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background.retention import HOLD_S, RETENTION_STEP_S, Retention
from tests.helpers.database_files import history_rows

DAY = 86_400.0


class Times:
    """A clock and a monotonic clock that are set by hand."""

    def __init__(self) -> None:
        self.now_s = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
        self.monotonic_s = 100.0

    def clock(self) -> datetime:
        """Return the time, UTC."""
        return datetime.fromtimestamp(self.now_s, UTC)


def test_retention_keeps_history_while_the_clock_is_ahead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A year ahead for minutes deletes nothing; the log says so once; later it deletes again."""
    times = Times()
    caplog.set_level(logging.WARNING)
    with PresenceManager(str(tmp_path / "h.db"), clock=times.clock) as manager:
        for days in (40, 20, 0):
            at = times.clock() - timedelta(days=days)
            manager.ingest([Event(agent_id="a", timestamp=at, source="test")] * 5)
        task = Retention(manager, 30 * DAY, lambda: times.now_s, lambda: times.monotonic_s)
        assert task.run() == RETENTION_STEP_S
        assert task.run() is None
        assert len(history_rows(manager.db_path)) == 10
        right_s = times.now_s
        times.now_s += 365 * DAY
        for _ in range(5):
            times.now_s += 60
            times.monotonic_s += 60
            assert task.run() is None
        times.now_s = right_s + 300
        task.run()
        assert len(history_rows(manager.db_path)) == 10
        assert len(caplog.messages) == 1
        assert "the clock was set" in caplog.messages[0]
        times.now_s += 15 * DAY
        task.run()
        times.now_s += HOLD_S
        times.monotonic_s += HOLD_S
        assert task.run() == RETENTION_STEP_S
        assert len(history_rows(manager.db_path)) == 5
