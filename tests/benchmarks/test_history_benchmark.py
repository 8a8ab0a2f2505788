"""The history benchmarks run, and all ways load the same rows; no figure is checked."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.benchmarks.test_benchmarks import run_quick

pytestmark = pytest.mark.timeout(600)


def test_history_each_way_loads_the_same_rows() -> None:
    """Each way has figures for each part; the benchmark fails if their rows differ."""
    rows = run_quick("history")
    assert Counter(row["of"] for row in rows)["all"] >= 6
    assert {row["rows"] for row in rows if row["of"] != "last hour"} == {20_000}
    assert all(row["seconds"] > 0 and row["peak_mb"] >= 0 for row in rows)


def test_year_exports_and_iterates_all_rows() -> None:
    """Database, segments and export have all rows."""
    steps = {row["step"]: row for row in run_quick("year")}
    for step in ("iter_history, all columns", "export to Parquet by day"):
        assert steps[step]["rows"] == steps["make"]["rows"]
    assert steps["iter_history of the export"]["rows"] == steps["make"]["rows"]
    assert steps["seal"]["rows"] == 200_000
    hours = [row["rows"] for step, row in steps.items() if "last hour" in step]
    assert len(set(hours)) == 1
    assert hours[0] > 1_000
    assert steps["export again: nothing new"]["rows"] == 0
