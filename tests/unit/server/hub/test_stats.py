"""HubStats: rates over whole seconds, and latencies over the last samples."""

from __future__ import annotations

import pytest

from htmlgraph_server.hub.stats import HubStats, RateCounter


def test_rate_counter_is_mean_of_last_ten_full_seconds() -> None:
    """The current second does not count, nor anything older than ten seconds."""
    rate = RateCounter()
    for second in range(100, 120):
        rate.add(30, second + 0.25)
        rate.add(20, second + 0.75)
    assert rate.total == 1_000
    assert rate.per_second(120.0) == 50.0
    assert rate.per_second(119.9) == 50.0
    assert rate.per_second(125.5) == 25.0
    assert rate.per_second(131.0) == 0.0


def test_rate_counter_forgets_counts_before_a_pause() -> None:
    """Old counts are dropped even if few seconds with counts followed."""
    rate = RateCounter()
    rate.add(1_000, 1.0)
    rate.add(10, 50.0)
    assert rate.per_second(51.0) == 1.0


def test_latency_s_returns_quantiles_of_last_samples() -> None:
    """None without samples; empty batches are not samples."""
    stats = HubStats()
    assert stats.latency_s(0.5, 0.99) == [None, None]
    stats.count_flush([(10.0, 0)], 20.0)
    assert stats.latency_s(0.5) == [None]
    stats.count_flush([(100.0 - n / 1_000, 1) for n in range(100)], 100.0)
    assert stats.latency_s(0.5, 0.99, 1.0) == pytest.approx([0.050, 0.099, 0.099])
    for _ in range(5_000):
        stats.count_flush([(0.0, 2)], 7.0)
    assert stats.latency_s(0.0, 1.0) == [7.0, 7.0]


def test_hub_stats_sum_frames_and_bytes() -> None:
    """The totals are shown by the status report and by Prometheus."""
    stats = HubStats()
    stats.count_updates(3)
    stats.count_frames(2, 500)
    stats.count_frames(1, 100)
    assert (stats.updates.total, stats.frames.total, stats.n_bytes) == (3, 3, 600)
