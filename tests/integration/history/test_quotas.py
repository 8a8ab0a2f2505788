"""Usage limits from the status line to the server, its routes and a DataFrame."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import htmlgraph_nb as hg
from htmlgraph_nb.core.timestamps import to_rfc3339
from htmlgraph_nb.history.quotas import QUOTA_DTYPES
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve
from tests.integration.hook.test_statusline import run

FULL: dict[str, Any] = json.loads((ROOT / "tests/payloads/claude_statusline/full.json").read_text())
HALF_HOUR = timedelta(minutes=30)


def quota_event(used: float, account: str = "codex", **window: Any) -> dict[str, Any]:
    """Return an event that reports one window, of which half is over."""
    resets_at = to_rfc3339(datetime.now(UTC) + HALF_HOUR)
    report = {"window": "60m", "minutes": 60, "used_percent": used, "resets_at": resets_at}
    extra = {
        "account": account,
        "plan": "plus",
        "official": True,
        "windows": [{**report, **window}],
    }
    return {
        "agent_id": "codex-1",
        "event_type": "quota",
        "source": "codex-session",
        "extra": extra,
    }


def quotas(server: Server) -> list[dict[str, Any]]:
    """Return the response of the route."""
    rows: list[dict[str, Any]] = server.get("/api/quotas").json()["quotas"]
    return rows


def test_quotas_of_a_status_line_reach_the_server(serve: Serve) -> None:
    """One call of the real program: context and limits are shown, with a title of this machine."""
    server = serve()
    now = int(time.time())
    status = json.loads(json.dumps(FULL))
    status["rate_limits"]["five_hour"] = {"used_percentage": 50, "resets_at": now + 9_000}
    status["rate_limits"]["seven_day"] = {"used_percentage": 1, "resets_at": now + 600_000}
    assert "42% of 200k" in run(server.home, json.dumps(status).encode()).decode()
    wait_until(lambda: len(quotas(server)) == 2)
    five, weekly = quotas(server)
    assert (five["account"], five["window"], five["used_percent"]) == ("claude", "5h", 50)
    assert (five["agent_kind"], five["source"]) == ("claude", "claude-statusline")
    assert five["official"] is True
    assert five["forecast"]["used_percent_at_reset"] == pytest.approx(100, abs=2)
    assert weekly["forecast"] == {"full_at": None, "used_percent_at_reset": None}, "too early"
    agent = wait_until(lambda: server.presence().get("claude-4a9c1ab2"))
    assert (agent["context_tokens"], agent["context_window"]) == (83_200, 200_000)
    assert agent["context_source"] == "reported"
    assert (agent["title"], agent["branch"]) == ("checkout flow", "worktree-my-feature")
    assert agent["pr"] == "https://github.com/dev/warehouse/pull/1234"
    assert agent["total_tools_executed"] == 0
    run(server.home, json.dumps(status).encode())
    assert not (server.home / "spool.jsonl").exists(), "nothing new"


def test_quotas_show_the_latest_report(server: Server) -> None:
    """A window that is over keeps its report, but has no forecast and no gauge."""
    old = to_rfc3339(datetime.now(UTC) - HALF_HOUR)
    server.post("/api/events", [quota_event(10), quota_event(90)])
    server.post("/api/events", [quota_event(80, "gone", resets_at=old)])
    now, gone = quotas(server)
    assert (now["account"], now["plan"], now["used_percent"]) == ("codex", "plus", 90)
    assert now["forecast"]["full_at"] < now["resets_at"]
    assert now["forecast"]["used_percent_at_reset"] == pytest.approx(180, abs=3)
    assert gone["forecast"] == {"full_at": None, "used_percent_at_reset": None}
    metrics = server.get("/metrics").text
    line = 'htmlgraph_quota_used_percent{account="codex",window="60m"} 90.0'
    assert line in metrics
    assert 'account="gone"' not in metrics


def test_quotas_are_bounded(server: Server) -> None:
    """Any program may name accounts; the route and the metrics stay small."""
    server.post("/api/events", [quota_event(n % 90, f"account-{n}") for n in range(400)])
    assert len(quotas(server)) == 256
    wait_until(lambda: "htmlgraph_quota_used_percent{" in server.get("/metrics").text)
    assert server.get("/metrics").text.count("htmlgraph_quota_used_percent{") == 50


def test_quotas_survive_a_restart(tmp_path: Path, serve: Serve) -> None:
    """The last reports are in the file; the gauge needs no request first."""
    server = serve(home=tmp_path / "home")
    server.post("/api/events", [quota_event(42)])
    server.stop()
    again = serve(home=tmp_path / "home")
    assert 'window="60m"} 42.0' in again.get("/metrics").text


def test_load_quotas_returns_every_report(server: Server) -> None:
    """One row per report and window, typed, from the file and from the server alike."""
    server.post("/api/events", [quota_event(10), quota_event(20), {"agent_id": "a"}])
    broken = quota_event(30)
    broken["extra"]["windows"].append({"window": "5h"})
    server.post("/api/events", broken)
    for source in (server.db, server.url):
        frame = hg.load_quotas(source, token=server.token or None)
        assert list(frame.columns) == list(QUOTA_DTYPES)
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == QUOTA_DTYPES
        assert list(frame["used_percent"]) == [10, 20, 30]
        assert list(frame["account"]) == ["codex"] * 3
        assert frame["timestamp"].is_monotonic_increasing
        assert (frame["resets_at"] > frame["timestamp"]).all()
        assert frame["official"].all()
        assert frame.attrs["source"] == str(source)
    later = hg.load_quotas(server.db, since=pd.Timestamp.now(tz="UTC") + pd.Timedelta("1h"))
    assert later.empty
    assert {name: str(dtype) for name, dtype in later.dtypes.items()} == QUOTA_DTYPES


def test_load_quotas_sorts_imported_reports(server: Server) -> None:
    """A past session that is imported after a newer one does not become the last row."""
    now = datetime.now(UTC)
    past = {**quota_event(10), "timestamp": to_rfc3339(now - timedelta(days=2))}
    server.post("/api/events", [{**quota_event(70), "timestamp": to_rfc3339(now)}])
    server.post("/api/events", [past])
    frame = hg.load_quotas(server.db)
    assert frame["used_percent"].tolist() == [10, 70]
    assert frame.index.tolist() == [0, 1]
    assert frame.attrs["source"] == str(server.db)
