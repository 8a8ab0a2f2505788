"""The clock of the database between transactions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.storage.shared.database_clock import DatabaseClock

NOON = datetime(2025, 1, 14, 12, tzinfo=UTC)


def test_database_clock_continues_from_the_last_transaction() -> None:
    """This machine's clock counts only before the first one."""
    elapsed = [5.0]
    clock = DatabaseClock(lambda: elapsed[0])
    assert abs(clock() - utc_now()) < timedelta(minutes=1)
    clock.set(NOON)
    assert clock() == NOON
    elapsed[0] += 2.5
    assert clock() == NOON + timedelta(seconds=2.5)
