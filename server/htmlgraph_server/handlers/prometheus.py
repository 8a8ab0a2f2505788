"""The counters of ``/api/status`` in the text format of Prometheus.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from htmlgraph_nb.core.timestamps import utc_now

from ..forwarding.host_metrics import host_metrics
from ..history.quota_reader import is_window_open
from ..service import Service
from .agent_metrics import AgentSums, agent_metrics, alert_metrics
from .status import agents_by_status, database_bytes

MAX_QUOTA_SERIES = 50
"""Most usage windows of one scrape, the latest reports."""


class _ServiceCollector(Collector):
    """Reads the counters of a service on each scrape."""

    def __init__(self, service: Service, sums: AgentSums) -> None:
        self._service = service
        self._sums = sums

    def collect(self) -> Iterator[Metric]:
        hub, manager = self._service.hub, self._service.manager
        agents = GaugeMetricFamily("htmlgraph_agents", "Agents by status", labels=["status"])
        for status, n in agents_by_status(self._service).items():
            agents.add_metric([status], n)
        yield agents
        gauges = {
            "htmlgraph_clients": ("Connected dashboards", len(hub.clients)),
            "htmlgraph_clients_lagging": ("Dashboards over the queue limit", hub.n_slow),
            "htmlgraph_queue_bytes": ("Bytes waiting for dashboards", hub.queue_bytes()),
            "htmlgraph_queue_writes": ("Writes waiting for their commit", manager.n_queued),
            "htmlgraph_database_bytes": ("Size of the database", database_bytes(manager.db_path)),
        }
        budget = self._service.budget
        if self._service.is_whole_server:
            gauges["htmlgraph_buffered_bytes"] = (
                "Unfinished bodies, messages and responses of all connections",
                budget.used,
            )
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=value)
        counters = {
            "htmlgraph_updates": ("Changes published", hub.stats.updates.total),
            "htmlgraph_frames": ("Frames sent", hub.stats.frames.total),
            "htmlgraph_sent_bytes": ("Bytes sent to dashboards", hub.stats.n_bytes),
            "htmlgraph_lags": ("Times a dashboard passed the limit", hub.stats.n_slow_total),
        }
        if self._service.is_whole_server:
            counters["htmlgraph_evicted_connections"] = (
                "Connections given up because of the limit of buffered bytes",
                budget.n_evicted,
            )
        for name, (text, total) in counters.items():
            yield CounterMetricFamily(name, text, value=total)
        yield self._quotas()
        yield from agent_metrics(self._sums)
        yield from alert_metrics(hub.alerts)
        yield from host_metrics(self._service.hosts.rows())
        yield from self._latency()

    def _quotas(self) -> Metric:
        used = GaugeMetricFamily(
            "htmlgraph_quota_used_percent",
            "Used part of the current usage window, as last reported",
            labels=["account", "window"],
        )
        now = utc_now()
        current = [each for each in self._service.quotas.quotas if is_window_open(each, now)]
        # Programs name accounts and windows freely, and each name is a time series.
        current.sort(key=lambda each: each.reported_at, reverse=True)
        for quota in current[:MAX_QUOTA_SERIES]:
            used.add_metric([quota.account, quota.window], quota.used_percent)
        return used

    def _latency(self) -> Iterator[Metric]:
        latency = GaugeMetricFamily(
            "htmlgraph_latency_seconds", "From arrival to sent, last samples", labels=["quantile"]
        )
        quantiles = (0.5, 0.99)
        for q, value in zip(quantiles, self._service.hub.stats.latency_s(*quantiles), strict=True):
            if value is not None:
                latency.add_metric([str(q)], value)
        yield latency


def exposition(service: Service, sums: AgentSums) -> tuple[str, bytes]:
    """Return the media type and the text of one server's counters."""
    registry = CollectorRegistry()
    registry.register(_ServiceCollector(service, sums))
    return CONTENT_TYPE_LATEST, generate_latest(registry)
