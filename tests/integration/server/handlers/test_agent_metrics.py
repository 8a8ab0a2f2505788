"""Metrics of agents and alerts, and the dashboard that shows them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from htmlgraph_nb.core.timestamps import to_rfc3339
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

DASHBOARD = json.loads((ROOT / "server" / "grafana.json").read_text())


def samples(server: Server) -> dict[str, list[dict[str, str]]]:
    """Return the labels of all samples by metric."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(server.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def queries(value: Any) -> list[str]:
    """Return all queries of the dashboard."""
    if isinstance(value, dict):
        own = [value[key] for key in ("expr", "definition") if isinstance(value.get(key), str)]
        return own + [query for item in value.values() for query in queries(item)]
    return [query for item in value for query in queries(item)] if isinstance(value, list) else []


def labels_of_query(query: str) -> set[str]:
    """Return the labels that a query selects, groups by or reads."""
    names = set(re.findall(r'(\w+)\s*(?:=~|!=|=)\s*"', query))
    for group in re.findall(r"by \(([^)]*)\)", query):
        names.update(name.strip() for name in group.split(","))
    names.update(re.findall(r"label_values\(\w+, (\w+)\)", query))
    return names


def test_grafana_dashboard_uses_metrics_that_exist(server: Server) -> None:
    """Each query of grafana.json names metrics of /metrics with the labels that it uses."""
    at = to_rfc3339(datetime.now(UTC) - timedelta(seconds=40))
    server.send("a", "permission_request", timestamp=at, project="shop", agent_kind="claude")
    window = {"window": "5h", "minutes": 300, "used_percent": 10}
    server.send("a", "quota", extra={"account": "claude", "windows": [window]})
    wait_until(lambda: "htmlgraph_alerts_firing" in samples(server), "the alert")
    wait_until(lambda: "htmlgraph_quota_used_percent" in samples(server), "the usage window")
    found = samples(server)
    texts = queries(DASHBOARD)
    assert len(texts) >= 11
    for query in texts:
        metrics = set(re.findall(r"\bhtmlgraph_\w+", query))
        assert metrics, query
        for metric in metrics:
            assert metric in found, query
            known = set().union(*found[metric])
            assert labels_of_query(query) <= known, (query, known)


def test_agent_metrics_are_bounded(server: Server) -> None:
    """Projects beyond the largest ones are one series, and no agent is lost."""
    events = [
        {"agent_id": f"a-{n}", "event_type": "prompt", "project": f"p-{n % 60}", "cost_usd": 1}
        for n in range(300)
    ]
    assert server.post("/api/events", events).status == 200
    families = {
        family.name: family
        for family in text_string_to_metric_families(server.get("/metrics").text)
    }
    agents = families["htmlgraph_agents_by_state"].samples
    assert len(agents) == 21
    assert sum(sample.value for sample in agents) == 300
    assert {sample.labels["state"] for sample in agents} == {"active"}
    assert sum(s.value for s in families["htmlgraph_agent_cost_usd"].samples) == 300
