"""The table of ``htmlgraph-nb status``."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_server.cli.status_command import status_lines


def make_report(**changes: Any) -> dict[str, Any]:
    """Return a status report in the form of GET /api/status, with changed parts."""
    return {
        "version": "1.2.3",
        "uptime_s": 5.0,
        "agents": {"active": 2, "idle": 1, "offline": 0},
        "clients": {"total": 3, "lagging": 0},
        "updates": {"per_second": 1.26, "total": 40},
        "frames": {"per_second": 3.0, "total": 120},
        "latency_ms": {"p50": 0.44, "p99": 2.06},
        "queue": {"bytes": 0, "writes": 0},
        "watching": {
            "folders": ["/a", "/b"],
            "files": 90,
            "followed": 3,
            "waiting": 2_000,
            "skipped": {"count": 7, "files": []},
            "unfollowed": [],
            "processes": 1,
        },
        "prices": {"version": "0.2.3", "date": "2026-11-09", "notes": []},
        "database": {"path": "/data/h.db", "bytes": 45_056},
        **changes,
    }


def value_of(name: str, **changes: Any) -> str:
    """Return the right column of the row with this name."""
    lines = dict(line.split(maxsplit=1) for line in status_lines(make_report(**changes)) if line)
    return lines.get(name, "")


def test_status_lines_are_two_aligned_columns() -> None:
    """Every row has a name and a value; all values start in the same column."""
    lines = status_lines(make_report())
    starts = {len(line) - len(line.split(maxsplit=1)[1]) for line in lines}
    assert starts == {len("database") + 2}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("version", "1.2.3"),
        ("agents", "2 active, 1 idle, 0 offline"),
        ("clients", "3"),
        ("updates", "1.3/s, 40 in total"),
        ("frames", "3.0/s, 120 in total"),
        ("latency", "p50 0.4 ms, p99 2.1 ms"),
        ("queue", "0 B, 0 writes"),
        (
            "watching",
            "90 session files for changes, 3 changed recently, 2,000 wait to be read (/a, /b); "
            "7 not read, see htmlgraph-nb doctor",
        ),
        ("prices", "genai-prices 0.2.3, last changed 2026-11-09"),
        ("database", "/data/h.db (45.1 kB)"),
    ],
)
def test_status_lines_show_each_value(name: str, expected: str) -> None:
    """Each part of the report has a row, with units."""
    assert value_of(name) == expected


def test_status_lines_count_slow_clients() -> None:
    """Clients that do not keep up are counted."""
    assert value_of("clients", clients={"total": 3, "lagging": 2}) == "3, 2 slow"


def test_status_lines_show_notes_about_prices() -> None:
    """Each on a line of its own; an older server reports no prices."""
    notes = {"version": "0.1.4", "date": "2026-08-21", "notes": ["old \x1b[2J", "guessed"]}
    lines = [line for line in status_lines(make_report(prices=notes)) if "prices  " in line]
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "genai-prices 0.1.4, last changed 2026-08-21",
        "old \ufffd[2J",
        "guessed",
    ]
    assert value_of("prices", prices=None) == "not loaded yet"


def test_status_lines_show_a_dash_without_latency() -> None:
    """Before the first update there is no latency."""
    assert value_of("latency", latency_ms={"p50": None, "p99": None}) == "p50 –, p99 –"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (3_725.0, "1 h 2 min"),
        (90_061.0, "1 d 1 h"),
    ],
)
def test_status_lines_show_uptime_in_two_units(seconds: float, expected: str) -> None:
    """A duration is shown in its two largest units."""
    assert value_of("uptime", uptime_s=seconds) == expected


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [
        (999, "(999 B)"),
        (1_000, "(1.0 kB)"),
        (2_500_000, "(2.5 MB)"),
        (7_000_000_000, "(7.0 GB)"),
        (3_000_000_000_000, "(3.0 TB)"),
    ],
)
def test_status_lines_show_sizes_in_decimal_units(n_bytes: int, expected: str) -> None:
    """A size is shown in its largest decimal unit."""
    assert value_of("database", database={"path": "h.db", "bytes": n_bytes}).endswith(expected)
