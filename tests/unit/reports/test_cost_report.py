"""Reports of costs: periods of the range, groups, and what they leave out."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.reports.cost_report import cost_report
from htmlgraph_nb.reports.report_text import json_costs
from tests.helpers.event_frames import event_frame
from tests.unit.analysis.test_examples import example

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


def in_zone(zone: str) -> pd.DataFrame:
    """Return the example with its times in a zone."""
    df = example()
    return df.assign(timestamp=df["timestamp"].dt.tz_convert(zone))


def test_cost_report_lists_days_without_costs() -> None:
    """The periods are the days of the zone from since to now, also over a change of the clock."""
    since = datetime(2026, 3, 27, 23, tzinfo=UTC)
    report = cost_report(in_zone("Europe/Paris"), since, None, ("model",), "D", NOW)
    assert [str(start) for start in report.starts] == [
        "2026-03-28 00:00:00+01:00",
        "2026-03-29 00:00:00+01:00",
        "2026-03-30 00:00:00+02:00",
        "2026-03-31 00:00:00+02:00",
    ]


def test_cost_report_until_is_exclusive() -> None:
    """A range that ends at midnight has no period of the next day."""
    since, until = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    report = cost_report(in_zone("UTC"), since, until, (), "D", NOW)
    assert [start.day for start in report.starts] == [1, 2]


def test_cost_report_of_many_periods_lists_no_starts() -> None:
    """Thousands of periods are not listed; those with costs are in the tables."""
    since = datetime(2000, 1, 2, tzinfo=UTC)
    report = cost_report(in_zone("UTC"), since, None, (), "15min", NOW)
    assert list(report.starts) == []
    assert len(report.periods) > 0


def test_cost_report_without_events() -> None:
    """An empty frame has a report without rows, total and starts."""
    report = cost_report(in_zone("UTC").head(0), None, None, ("model",), "D", NOW)
    costs = json_costs(report, 10)
    assert (costs["total"], costs["rows"], costs["starts"], costs["uncovered"]) == (
        None,
        [],
        [],
        [],
    )


def test_cost_report_names_agents_without_tokens() -> None:
    """An agent that called a tool and never reported tokens is uncovered, others are not."""
    df = in_zone("UTC").assign(agent_kind=None)
    silent = df.head(1).assign(agent_id="quiet", event_type="tool_execute", tool_name="Bash")
    silent = silent.assign(
        **{name: None for name in df.columns if name.endswith("_tokens") or name == "cost_usd"}
    )
    prompted = silent.assign(agent_id="new", event_type="prompt", tool_name=None)
    both = pd.concat([df.astype(object), silent.astype(object), prompted.astype(object)])
    both["timestamp"] = pd.to_datetime(both["timestamp"])
    report = cost_report(both.reset_index(drop=True), None, None, (), None, NOW)
    (row,) = report.uncovered.to_dict("records")
    assert (row["agents"], row["calls"], row["agent_ids"]) == (1, 1, ["quiet"])


def test_cost_report_finds_the_topmost_agent_by_all_events() -> None:
    """Also if only events without tokens name the parent, as in files of earlier versions."""
    rows = [
        {"agent_id": "a/1", "event_type": "prompt", "at": 0, "parent_agent_id": "a"},
        {"agent_id": "a/1", "event_type": "completion", "at": 1, "input_tokens": 5, "model": "m"},
    ]
    report = cost_report(event_frame(rows), None, None, ("root_agent_id",), None, NOW)
    assert report.groups["root_agent_id"].tolist() == ["a"]


def test_cost_report_refuses_unknown_columns() -> None:
    """Columns that identify nothing, and lengths that are no periods."""
    for by, freq in ((("extra",), None), (("model",), "7us")):
        with pytest.raises(InvalidEvent):
            cost_report(in_zone("UTC"), None, None, by, freq, NOW)
