"""The last report of each usage window of an account."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.storage.migrations import migrate
from htmlgraph_nb.storage.quota_table import (
    MAX_QUOTAS,
    MAX_WINDOWS,
    put_quotas,
    quotas_of,
    read_quotas,
)
from tests.helpers.strategies import at, json_values


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:")
        yield connection


def report(seconds: float, used: object = 1.0, **fields: Any) -> Event:
    window = {
        "window": "5h",
        "minutes": 300,
        "used_percent": used,
        "resets_at": at(18_000).isoformat(),
    }
    extra = {"account": "codex", "plan": "plus", "official": True, "windows": [window], **fields}
    return Event(
        agent_id="codex-1",
        event_type="quota",
        timestamp=at(seconds),
        source="codex-session",
        extra=extra,
    )


def test_put_quotas_keeps_the_latest_report(db: sqlite3.Connection) -> None:
    """A report that arrives late does not replace a newer one."""
    for seconds, used in ((1, 1.0), (9, 3.0), (5, 2.0)):
        put_quotas(db, report(seconds, used), at(100))
    (quota,) = read_quotas(db)
    assert (quota.account, quota.window, quota.minutes) == ("codex", "5h", 300)
    assert (quota.used_percent, quota.reported_at) == (3.0, at(9))
    assert (quota.resets_at, quota.official) == (at(18_000), True)
    assert (quota.agent_kind, quota.plan, quota.source) == ("codex", "plus", "codex-session")


def test_put_quotas_bounds_the_table(db: sqlite3.Connection) -> None:
    """Beyond the limit the oldest reports are deleted."""
    for number in range(MAX_QUOTAS + 5):
        put_quotas(db, report(number, account=f"account-{number}"), at(9_999))
    quotas = read_quotas(db)
    assert len(quotas) == MAX_QUOTAS
    assert "account-0" not in {quota.account for quota in quotas}


def test_quotas_of_bounds_the_windows() -> None:
    """Of a long list only the first windows count."""
    windows = [{"window": f"w{n}", "used_percent": 1} for n in range(MAX_WINDOWS + 1)]
    assert len(list(quotas_of(report(1, windows=windows), at(2)))) == MAX_WINDOWS


@given(json_values, json_values)
def test_quotas_of_ignores_invalid_values(account: object, window: object) -> None:
    """Any JSON is accepted; what is no window is left out."""
    for quota in quotas_of(report(1, account=account, windows=[window, window]), at(2)):
        assert isinstance(quota.account, str)
    list(quotas_of(report(1, windows=window), at(2)))
