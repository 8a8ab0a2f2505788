"""Rows of other tables, interrupted deletions and other processes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.alerts.alert_table import last_revision, put_alerts
from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.erasing.erasure import erase, open_erasure
from htmlgraph_nb.storage.erasing.erasure_selection import ErasureSelection
from tests.helpers.database_files import history_rows, query_rows

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def alert(alert_id: str, **fields: Any) -> FiredAlert:
    """Return an alert that fires."""
    values: dict[str, Any] = {
        "alert_id": alert_id,
        "rule": "waits",
        "kind": "waits",
        "severity": "info",
        "state": "firing",
        "subject": "b",
        "since": NOW,
        "fired_at": NOW,
        "message": "waits",
        "label": "b",
        "agent_ids": (),
        "channels": (),
    }
    return FiredAlert(**(values | fields))


def fill(path: str) -> None:
    """Store two agents with alerts and a feature."""
    with PresenceManager(path) as manager:
        for agent in ("secret", "b"):
            manager.ingest([Event(agent_id=agent, project=f"{agent}-project", source="codex-hook")])
        extra = {"resource_type": "feature", "resource_id": "secret-feature"}
        change = Event(agent_id="secret", event_type="feature", extra=extra)
        manager.submit_resource(change, 0.0, "done", {"name": "secret name"}).result()


def test_erase_removes_alerts_and_resources(tmp_path: Path) -> None:
    """Alerts of the agent or its project, their deliveries, and features that it alone changed."""
    path = str(tmp_path / "test.db")
    fill(path)
    with open_erasure(path) as db:
        alerts = [
            alert("1", subject="secret", agent_id="secret", label="secret title"),
            alert("2"),
            alert("3", subject="all", agent_ids=("b", "secret"), message="secret and b wait"),
            alert("4", subject="project:secret-project", project="secret-project"),
        ]
        put_alerts(db, alerts, lambda _: ["phone"], NOW)
        report = erase(db, path, ErasureSelection(agents=["secret"]), now=datetime.now(UTC))
        assert report.is_clean
    assert query_rows(path, "SELECT alert_id FROM alerts") == [("2",)]
    assert query_rows(path, "SELECT alert_id FROM alert_deliveries") == [("2",)]
    assert query_rows(path, "SELECT count(*) FROM features") == [(0,)]
    for file in tmp_path.iterdir():
        assert b"secret title" not in file.read_bytes()
        assert b"secret name" not in file.read_bytes()


def test_erase_keeps_the_newest_revision_of_alerts(tmp_path: Path) -> None:
    """Servers read what is newer than the revision that they know."""
    path = str(tmp_path / "test.db")
    fill(path)
    with open_erasure(path) as db:
        put_alerts(db, [alert("1"), alert("2", agent_id="secret")], lambda _: [], NOW)
        revision = last_revision(db)
        erase(db, path, ErasureSelection(agents=["secret"]), now=datetime.now(UTC))
        assert db.execute("SELECT alert_id, revision FROM alerts").fetchall() == [("1", revision)]


def test_erase_can_be_repeated_after_an_interrupt(tmp_path: Path) -> None:
    """What is deleted stays deleted, and the rest is deleted by the same selection."""
    path = str(tmp_path / "test.db")
    fill(path)

    def stop() -> None:
        raise KeyboardInterrupt

    selection = ErasureSelection(agents=["secret"])
    with open_erasure(path) as db, pytest.raises(KeyboardInterrupt):
        erase(db, path, selection, now=datetime.now(UTC), settle=stop)
    assert [row[0] for row in history_rows(path, "agent_id")] == ["b"]
    with PresenceManager(path) as manager:
        assert set(manager.agents) == {"b"}
        assert manager.ingest([Event(agent_id="secret")]).accepted == 1


def test_erase_scrubs_parents_of_a_subagent(tmp_path: Path) -> None:
    """The parent stays, without the subagent among its open work."""
    path = str(tmp_path / "test.db")
    with PresenceManager(path) as manager:
        extra = {"child_agent_id": "a/secret"}
        manager.ingest([Event(agent_id="a", event_type="subagent_start", extra=extra)])
        manager.ingest([Event(agent_id="a/secret", parent_agent_id="a")])
        with open_erasure(path) as db:
            erase(db, path, ErasureSelection(agents=["a/secret"]), now=datetime.now(UTC))
        assert set(manager.agents) == {"a"}
        manager.ingest([Event(agent_id="a", event_type="prompt")])
    evidence = query_rows(path, "SELECT evidence FROM agent_presence")
    assert "secret" not in str(evidence)
