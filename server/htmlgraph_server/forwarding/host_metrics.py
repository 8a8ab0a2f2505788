"""The hosts that forward to this server, as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

MAX_HOST_SERIES = 100
"""Most hosts of one scrape, the connected ones first."""
_GAUGES = {
    "htmlgraph_host_connected": ("Whether the host is connected", "connected"),
    "htmlgraph_host_lag_events": ("Events that the host has not sent yet", "lag_events"),
    "htmlgraph_host_lag_seconds": ("Time since the host had sent all events", "lag_s"),
}


def host_metrics(hosts: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield the metrics of hosts.

    Args:
        hosts: the rows of ``HostBoard.rows``.
    """
    for name, (text, field) in _GAUGES.items():
        metric = GaugeMetricFamily(name, text, labels=["host", "host_id"])
        for host in hosts[:MAX_HOST_SERIES]:
            metric.add_metric([host["label"], host["id"]], float(host[field]))
        yield metric
