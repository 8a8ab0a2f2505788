"""Retention deletes old history in small steps; presence, totals and the newest row stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb.alerts.alert_table import put_alerts
from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.database_files import history_rows, query_rows
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

DAY = timedelta(days=1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of the database."""
    return str(tmp_path / "h.db")


@pytest.fixture
def manager(path: str) -> Iterator[PresenceManager]:
    """A manager of the database."""
    with PresenceManager(path) as opened:
        yield opened


def fill(manager: PresenceManager, n_rows: int, age: timedelta, name: str = "a") -> None:
    """Report events of one age."""
    at = datetime.now(UTC) - age
    manager.ingest(
        [
            Event(agent_id=name, event_type="tool_execute", timestamp=at, cost_tokens=2)
            for _ in range(n_rows)
        ]
    )


def delete_all(manager: PresenceManager, older_than: timedelta, step_rows: int) -> list[int]:
    """Delete step by step and return the number of rows of each step."""
    steps = []
    while n_rows := manager.delete_history(older_than, step_rows):
        steps.append(n_rows)
    return steps


def test_delete_history_deletes_in_steps(manager: PresenceManager, path: str) -> None:
    """No step exceeds its size; newer rows and totals stay."""
    fill(manager, 25, 10 * DAY)
    fill(manager, 7, 2 * DAY)
    before = manager.snapshot()
    assert delete_all(manager, 5 * DAY, 10) == [10, 10, 5]
    assert [row[0] for row in history_rows(path)] == list(range(26, 33))
    assert manager.snapshot() == before
    assert manager.agents["a"].total_cost_tokens == 64
    assert delete_all(manager, 5 * DAY, 10) == []


def test_delete_history_keeps_newest_row(manager: PresenceManager, path: str) -> None:
    """It holds the last seq, so numbering continues after a restart."""
    fill(manager, 12, 10 * DAY)
    assert sum(delete_all(manager, DAY, 5)) == 11
    assert history_rows(path) == [(12,)]
    epoch = manager.cursor.epoch
    manager.close()
    with PresenceManager(path) as again:
        assert (again.cursor.epoch, again.cursor.seq) == (epoch, 12)
        assert again.agents["a"].total_tools_executed == 12
        assert again.update_presence("a", "prompt").seq == 13
        assert sum(delete_all(again, DAY, 5)) == 1
        assert history_rows(path) == [(13,)]


def test_delete_history_of_empty_history(manager: PresenceManager) -> None:
    """An empty history and a single row have nothing to delete."""
    assert manager.delete_history(timedelta(0)) == 0
    fill(manager, 1, DAY)
    assert manager.delete_history(timedelta(0)) == 0


def test_delete_history_does_not_notify_other_managers(manager: PresenceManager, path: str) -> None:
    """Another manager loads the commit, publishes nothing and continues."""
    fill(manager, 10, 10 * DAY)
    with PresenceManager(path) as other:
        batches: list[object] = []
        other.subscribe(batches.append)
        assert manager.delete_history(DAY) == 9
        assert other.sync_external() is True
        assert batches == []
        assert other.update_presence("b", "prompt").seq == 11
        assert manager.agents == other.agents


def test_server_deletes_old_history(serve: Serve, tmp_path: Path) -> None:
    """A server with ``--retain`` deletes from its start; presence is unchanged."""
    home = tmp_path / "home"
    home.mkdir()
    with PresenceManager(str(home / "test.db")) as manager:
        fill(manager, 9_000, 100 * DAY, "old")
        fill(manager, 50, 80 * DAY, "young")
    server = serve("--retain", "90d", "--forget-after", "0", "--offline-timeout", "0", home=home)
    wait_until(
        lambda: len(history_rows(str(server.db))) <= 50 + len(server.presence()),
        "the old rows' end",
    )
    server.send("new")
    agents = server.presence()
    assert agents["old"]["total_tools_executed"] == 9_000
    assert agents["young"]["total_tools_executed"] == 50
    history = server.get("/api/history?limit=1000&columns=seq,agent_id,event_type").json()
    kept = [event["agent_id"] for event in history["events"] if event["event_type"] != "idle"]
    assert kept == ["young"] * 50 + ["new"]
    assert server.get("/api/status").json()["cursor"].endswith(f":{history['events'][-1]['seq']}")


def test_delete_history_and_forget_delete_alerts(manager: PresenceManager, path: str) -> None:
    """Alerts that ended are as old as the history; those of an agent go with its history."""

    def add(number: int, age: timedelta, agent_id: str) -> None:
        at = datetime.now(UTC) - age
        alert = FiredAlert(
            alert_id=f"{number}",
            rule="waits",
            kind="waits",
            severity="info",
            state="resolved",
            subject=agent_id,
            since=at,
            fired_at=at,
            resolved_at=at,
            message="",
            label="",
            agent_id=agent_id,
        )
        manager.submit_job(lambda tx: put_alerts(tx.db, [alert], lambda _: (), at)).result()

    for number, (age, agent_id) in enumerate([(9 * DAY, "a"), (DAY, "a"), (DAY, "b")]):
        add(number, age, agent_id)
    fill(manager, 1, DAY)
    manager.delete_history(5 * DAY)
    assert query_rows(path, "SELECT alert_id FROM alerts ORDER BY 1") == [("1",), ("2",)]
    manager.forget("a", history=True)
    assert query_rows(path, "SELECT alert_id FROM alerts") == [("2",)]
