"""Usage windows are named by their length, and unchanged reports are recognized."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from htmlgraph_nb.coding_agents.usage_windows import UsageWindow, quota_extra, usage_window
from htmlgraph_nb.core.validation import validate_extra

END = datetime(2026, 5, 23, 3, 52, 23, tzinfo=UTC)
SECONDS = END.timestamp()


@pytest.mark.parametrize(
    ("minutes", "name"),
    [
        (300, "5h"),
        (10_080, "weekly"),
        (90, "90m"),
        (60, "60m"),
        (120, "2h"),
        (1_440, "24h"),
        (43_200, "30d"),
    ],
)
def test_usage_window_is_named_by_its_length(minutes: int, name: str) -> None:
    """The two common windows have names, others their length."""
    window = usage_window(minutes, 1, None)
    assert window is not None
    assert window.name == name


@pytest.mark.parametrize(
    ("minutes", "used"),
    [(0, 1), (None, 1), ("300", 1), (-5, 1), (2**60, 1), (300, None), (300, "1"), (300, -1)],
)
def test_usage_window_without_length_or_use_is_none(minutes: object, used: object) -> None:
    """A window of unknown length or use reports nothing."""
    assert usage_window(minutes, used, SECONDS) is None


@pytest.mark.parametrize("end", [None, "soon", -1, 1e300, float("inf"), True, 5])
def test_usage_window_with_an_impossible_end_has_none(end: object) -> None:
    """The end is optional."""
    assert usage_window(300, 1, end) == UsageWindow(300, 1.0, None)


def test_usage_window_is_like_a_report_a_few_seconds_apart() -> None:
    """Different sessions of one account report slightly different ends of the same window."""
    window = UsageWindow(300, 1.0, END)
    assert window.is_like(UsageWindow(300, 1.0, END + timedelta(seconds=2)))
    assert not window.is_like(UsageWindow(300, 2.0, END))
    assert not window.is_like(UsageWindow(300, 1.0, END + timedelta(hours=5)))
    assert not window.is_like(UsageWindow(300, 1.0, None))
    assert UsageWindow(300, 1.0, None).is_like(UsageWindow(300, 1.0, None))


def test_quota_extra() -> None:
    """The extra of a quota event is valid; a plan that is no keyword is left out."""
    windows = [UsageWindow(300, 1.0, END), UsageWindow(10_080, 0.0, None)]
    extra = quota_extra("codex", "plus", windows)
    assert validate_extra(extra, "extra") == {
        "account": "codex",
        "plan": "plus",
        "official": True,
        "windows": [
            {
                "window": "5h",
                "minutes": 300,
                "used_percent": 1.0,
                "resets_at": "2026-05-23T03:52:23.000000Z",
            },
            {"window": "weekly", "minutes": 10_080, "used_percent": 0.0},
        ],
    }
    assert "plan" not in quota_extra("codex", "a plan for all of us", windows)
    assert quota_extra("claude", None, [], official=False)["official"] is False
