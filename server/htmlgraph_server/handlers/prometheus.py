"""The counters of ``/api/status`` in the text format of Prometheus.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..service import Service
from .status import agents_by_status, database_bytes


class _ServiceCollector(Collector):
    """Reads the counters when Prometheus asks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        hub = self._service.hub
        agents = GaugeMetricFamily("htmlgraph_agents", "Agents by status", labels=["status"])
        for status, n in agents_by_status(self._service).items():
            agents.add_metric([status], n)
        yield agents
        gauges = {
            "htmlgraph_clients": ("Connected dashboards", len(hub.clients)),
            "htmlgraph_clients_lagging": ("Dashboards over their bound", hub.n_slow),
            "htmlgraph_queue_bytes": ("Bytes that wait for dashboards", hub.queue_bytes()),
            "htmlgraph_queue_writes": ("Writes before commit", self._service.manager.n_queued),
            "htmlgraph_database_bytes": (
                "Size of the database",
                database_bytes(self._service.manager.db_path),
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


def exposition(service: Service) -> tuple[str, bytes]:
    """Return the media type and the text of the counters of one server."""
    registry = CollectorRegistry()
    registry.register(_ServiceCollector(service))
    return CONTENT_TYPE_LATEST, generate_latest(registry)
