"""Windows of usage limits, against a loop that takes one answer after the other."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb import analysis
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.event_frames import START, event_frame

HOUR = pd.Timedelta("1h")
FIVE = 5 * HOUR


def answers_at(*minutes: float, **fields: Any) -> pd.DataFrame:
    """Return answers of 100 tokens at these minutes after START."""
    return event_frame(
        [
            {
                "agent_id": "a",
                "event_type": "completion",
                "at": 60 * minute,
                "input_tokens": 100,
                "cost_usd": 1.0,
                **fields,
            }
            for minute in minutes
        ]
    )


def reference(times: list[pd.Timestamp], exact: bool) -> list[tuple[Any, ...]]:
    """Return (start, first answer, last answer, number) of the windows of five hours."""
    found: list[list[Any]] = []
    for at in sorted(times):
        if not found or at >= found[-1][0] + FIVE:
            found.append([at if exact else at.floor("h"), at, at, 0])
        found[-1][2] = at
        found[-1][3] += 1
    return [tuple(block) for block in found]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 60 * 40) | st.sampled_from([10, 250, 310])),
        max_size=30,
    ),
    st.booleans(),
)
def test_blocks_equal_reference(answers: list[tuple[str, int]], exact: bool) -> None:
    """Windows of each key begin with the first answer after the last one ended."""
    frame = answers_at(*(minute for _, minute in answers))
    frame["agent_kind"] = pd.Categorical([kind for kind, _ in answers], categories=["a", "b"])
    table = analysis.blocks(frame, exact=exact)
    for kind in "ab":
        times = [START + pd.Timedelta(minutes=m) for name, m in answers if name == kind]
        own = table[table["agent_kind"] == kind]
        found = own[["start", "first", "last", "answers"]].itertuples(index=False, name=None)
        assert list(found) == reference(times, exact)
        assert (own["end"] - own["start"]).unique().tolist() in ([], [FIVE])
    assert table["tokens"].sum() == 100 * len(answers)
    assert table["open"].sum() <= 2


def test_blocks_rates_and_forecast() -> None:
    """The open window goes on like that until its end, one that is over has its totals."""
    table = analysis.blocks(answers_at(0, 60, 400, 460), by=(), now=START + 8 * HOUR)
    over, now = table.to_dict("records")
    assert (over["open"], now["open"]) == (False, True)
    assert (over["tokens_per_hour"], over["forecast_tokens"], over["forecast_usd"]) == (200, 200, 2)
    # 14:50 + 400 min = 21:30, so it ends at 02:00; it is 22:50.
    assert now["start"] == pd.Timestamp("2026-01-14T21:00Z")
    assert now["remaining"] == pd.Timedelta("3h10min")
    assert now["usd_per_hour"] == pytest.approx(2 / (80 / 60))
    assert now["forecast_usd"] == pytest.approx(2 + 1.5 * 190 / 60)
    assert over["remaining"] == pd.Timedelta(0)
    (single,) = analysis.blocks(answers_at(0), by=())["forecast_usd"]
    assert math.isnan(single), "one answer is no rate"


def test_blocks_of_weeks_up_to_a_reset() -> None:
    """Weeks follow each other without gaps; one of them ends at the reset."""
    day = 60 * 24
    frame = answers_at(0, 3 * day, 8 * day, 40 * day)
    table = analysis.blocks(frame, "7d", by=(), resets_at="2026-01-15T17:00Z")
    assert table["end"].tolist() == [
        pd.Timestamp(f"2026-{text}T17:00Z") for text in ("01-15", "01-22", "02-26")
    ]
    assert table["answers"].tolist() == [1, 2, 1]
    weeks = analysis.blocks(frame, "7d", by=())
    assert weeks["start"].tolist()[:2] == [
        pd.Timestamp("2026-01-14T14:00Z"),
        pd.Timestamp("2026-01-22T14:00Z"),
    ]


def test_blocks_show_reported_limits() -> None:
    """The last report of the window and its account, and where it leads."""
    frame = answers_at(0, 60, 400)
    frame["agent_kind"] = pd.Categorical(["claude"] * 3)
    quotas = pd.DataFrame(
        {
            "timestamp": [START + pd.Timedelta(minutes=m) for m in (30, 60, 61, 62)],
            "account": pd.Categorical(["claude", "claude", "codex", "claude"]),
            "minutes": pd.array([300, 300, 300, 10_080], dtype="Int64"),
            "used_percent": [10.0, 20.0, 99.0, 70.0],
        }
    )
    table = analysis.blocks(frame, quotas=quotas, now=START + 2 * HOUR)
    assert table["used_percent"].tolist()[0] == 20
    assert math.isnan(table["used_percent"].tolist()[1])
    # 20 % in the first hour, and three hours and ten minutes are left after the report.
    assert table["forecast_percent"].tolist()[0] == pytest.approx(20 + 20 * 190 / 60)
    over = analysis.blocks(frame, quotas=quotas)
    assert over["forecast_percent"].tolist()[0] == 20
    assert analysis.blocks(frame, quotas=quotas.head(0))["used_percent"].isna().all()
    weekly = analysis.blocks(frame, "7d", quotas=quotas)
    assert weekly["used_percent"].tolist() == [70]
    assert analysis.blocks(frame, by=(), quotas=quotas)["used_percent"].tolist()[0] == 99


def test_blocks_refuse_what_is_no_length_or_time() -> None:
    """Errors name the argument and an example."""
    frame = answers_at(0)
    for length in (5, "5 apples", "-1h", None):
        with pytest.raises(InvalidEvent, match="length: expected a"):
            analysis.blocks(frame, length, by=())  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="resets_at: expected an ISO time"):
        analysis.blocks(frame, by=(), resets_at="Thursday")
    with pytest.raises(InvalidEvent, match="the frame has no column 'agent_kind'"):
        analysis.blocks(frame)
    with pytest.raises(InvalidEvent, match="tz: expected a time zone"):
        analysis.blocks(frame, by=(), tz="Europe/Nowhere")
    local = analysis.blocks(frame, by=(), tz="Europe/Paris")
    assert local["start"].dtype == "datetime64[us, Europe/Paris]"
    empty = analysis.blocks(frame.head(0), by=())
    assert empty.empty
    assert empty.columns.tolist() == analysis.blocks(frame, by=()).columns.tolist()
