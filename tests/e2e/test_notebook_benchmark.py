"""The grid benchmark runs in JupyterLab; figures are not checked."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import grid


@pytest.mark.timeout(240)
def test_grid_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It times changes while a cell is busy, and measures the grid and a peer."""
    assert grid.main(["--quick", "--json", "--only", "AgentGrid", "DataFrame"]) == 0
    figures = json.loads(capsys.readouterr().out)
    [latency] = figures["latency"]
    assert (latency["kernel"], latency["events"]) == ("busy loop", 20)
    assert 0 < latency["p50_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    assert [row["shown_by"] for row in figures["drawing"]] == ["AgentGrid", "DataFrame"]
    for row in figures["drawing"]:
        assert row["drawn_per_s"] > 0
        assert row["script_ms"] > 0
        assert row["layout_ms"] > 0
