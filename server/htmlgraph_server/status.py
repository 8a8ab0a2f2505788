"""What the server says of itself: ``/api/status`` and ``/metrics``."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from htmlgraph_nb import __version__
from htmlgraph_nb.times import to_rfc3339

from .service import Service


def _file_bytes(path: str) -> int:
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += os.path.getsize(path + suffix)
        except OSError:
            # The log is absent while nothing was written.
            continue
    return total


def _statuses(service: Service) -> Counter[str]:
    counts = Counter({"active": 0, "idle": 0, "offline": 0})
    counts.update(entry.presence.status.value for entry in service.hub.board.entries.values())
    return counts


def status_report(service: Service) -> dict[str, Any]:
    """Return the JSON object of ``GET /api/status``; rates are means of the last ten seconds."""
    hub, now = service.hub, time.monotonic()
    p50, p99 = hub.meter.latency_s(0.5, 0.99)
    named = sum(hub.sessions.values())
    return {
        "version": __version__,
        "started_at": to_rfc3339(service.started_at),
        "uptime_s": round(now - service.started, 3),
        "cursor": str(hub.board.cursor),
        "clients": {
            "total": len(hub.clients),
            "by_session": dict(hub.sessions),
            "without_session": len(hub.clients) - named,
            "lagging": hub.n_lagging,
        },
        "agents": dict(_statuses(service)),
        "updates": {
            "total": hub.meter.updates.total,
            "per_second": hub.meter.updates.per_second(now),
        },
        "frames": {
            "total": hub.meter.frames.total,
            "per_second": hub.meter.frames.per_second(now),
            "bytes": hub.meter.n_bytes,
        },
        "latency_ms": {
            "p50": None if p50 is None else round(p50 * 1_000, 3),
            "p99": None if p99 is None else round(p99 * 1_000, 3),
        },
        "queue": {"bytes": hub.queue_bytes(), "writes": service.manager.n_queued},
        "database": {
            "path": service.manager.db_path,
            "bytes": _file_bytes(service.manager.db_path),
            "owner_pid": service.ownership.pid(),
        },
    }


class _ServiceCollector(Collector):
    """Reads the counters when Prometheus asks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        hub = self._service.hub
        agents = GaugeMetricFamily("htmlgraph_agents", "Agents by status", labels=["status"])
        for status, n in _statuses(self._service).items():
            agents.add_metric([status], n)
        yield agents
        gauges = {
            "htmlgraph_clients": ("Connected dashboards", len(hub.clients)),
            "htmlgraph_clients_lagging": ("Dashboards over their bound", hub.n_lagging),
            "htmlgraph_queue_bytes": ("Bytes that wait for dashboards", hub.queue_bytes()),
            "htmlgraph_queue_writes": ("Writes before commit", self._service.manager.n_queued),
            "htmlgraph_database_bytes": (
                "Size of the database",
                _file_bytes(self._service.manager.db_path),
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=value)
        counters = {
            "htmlgraph_updates": ("Changes taken in", hub.meter.updates.total),
            "htmlgraph_frames": ("Frames sent", hub.meter.frames.total),
            "htmlgraph_sent_bytes": ("Bytes sent to dashboards", hub.meter.n_bytes),
            "htmlgraph_lags": ("Times a dashboard passed its bound", hub.meter.n_lagged),
        }
        for name, (text, total) in counters.items():
            yield CounterMetricFamily(name, text, value=total)
        yield from self._latency()

    def _latency(self) -> Iterator[Metric]:
        latency = GaugeMetricFamily(
            "htmlgraph_latency_seconds", "From arrival to sent, last samples", labels=["quantile"]
        )
        quantiles = (0.5, 0.99)
        for q, value in zip(quantiles, self._service.hub.meter.latency_s(*quantiles), strict=True):
            if value is not None:
                latency.add_metric([str(q)], value)
        yield latency


def make_registry(service: Service) -> CollectorRegistry:
    """Return the Prometheus registry of one server."""
    registry = CollectorRegistry()
    registry.register(_ServiceCollector(service))
    return registry
