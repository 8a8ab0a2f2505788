"""The benchmark of the grid in JupyterLab still runs; no figure is judged here."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import grid


@pytest.mark.timeout(240)
def test_the_benchmark_of_the_grid_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It times changes beside a busy cell, and counts the work of the grid and of a peer."""
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
