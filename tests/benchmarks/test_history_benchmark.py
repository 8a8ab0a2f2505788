"""The benchmarks of history still run, and all ways find the same rows; no figure is judged."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.benchmarks.test_benchmarks import run_quick

pytestmark = pytest.mark.timeout(600)


def test_every_way_to_load_finds_the_same_rows() -> None:
    """Each way, each part; the benchmark itself refuses ways that disagree."""
    rows = run_quick("history")
    assert Counter(row["of"] for row in rows)["all"] >= 6
    assert {row["rows"] for row in rows if row["of"] != "last hour"} == {20_000}
    assert all(row["seconds"] > 0 and row["peak_mb"] >= 0 for row in rows)


def test_a_year_is_exported_and_gone_through() -> None:
    """All rows of it, in each of its forms."""
    steps = {row["step"]: row for row in run_quick("year")}
    for step in ("iter_history, all columns", "export to Parquet by day"):
        assert steps[step]["rows"] == steps["make"]["rows"]
    assert steps["iter_history of the export"]["rows"] == steps["make"]["rows"]
    assert steps["seal"]["rows"] == 200_000
    hours = [row["rows"] for step, row in steps.items() if "last hour" in step]
    assert len(set(hours)) == 1
    assert hours[0] > 1_000
    assert steps["export again: nothing new"]["rows"] == 0
