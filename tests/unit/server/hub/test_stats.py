"""Counters: rates over whole seconds and latencies over the last samples."""

from __future__ import annotations

import pytest

from htmlgraph_server.hub.stats import HubStats, RateCounter


def test_a_rate_is_the_mean_of_the_last_ten_full_seconds() -> None:
    """The running second does not count, nor what is older than ten."""
    rate = RateCounter()
    for second in range(100, 120):
        rate.add(30, second + 0.25)
        rate.add(20, second + 0.75)
    assert rate.total == 1_000
    assert rate.per_second(120.0) == 50.0
    assert rate.per_second(119.9) == 50.0
    assert rate.per_second(125.5) == 25.0
    assert rate.per_second(131.0) == 0.0


def test_a_rate_after_a_pause_forgets_what_was_before() -> None:
    """Only seconds in which something was counted are kept, and no more than the window."""
    rate = RateCounter()
    rate.add(1_000, 1.0)
    rate.add(10, 50.0)
    assert rate.per_second(51.0) == 1.0


def test_latencies_are_quantiles_of_the_last_samples() -> None:
    """None before the first one; empty publications are none."""
    meter = HubStats()
    assert meter.latency_s(0.5, 0.99) == [None, None]
    meter.count_flush([(10.0, 0)], 20.0)
    assert meter.latency_s(0.5) == [None]
    meter.count_flush([(100.0 - n / 1_000, 1) for n in range(100)], 100.0)
    assert meter.latency_s(0.5, 0.99, 1.0) == pytest.approx([0.050, 0.099, 0.099])
    for _ in range(5_000):
        meter.count_flush([(0.0, 2)], 7.0)
    assert meter.latency_s(0.0, 1.0) == [7.0, 7.0]


def test_frames_and_bytes_are_summed() -> None:
    """For the status page and for Prometheus."""
    meter = HubStats()
    meter.count_updates(3)
    meter.count_frames(2, 500)
    meter.count_frames(1, 100)
    assert (meter.updates.total, meter.frames.total, meter.n_bytes) == (3, 3, 600)
