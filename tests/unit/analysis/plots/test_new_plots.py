"""The heat map of activity, the cumulative cost, the context, and one session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from htmlgraph_nb import analysis
from htmlgraph_nb.analysis import plots
from htmlgraph_nb.analysis.plots.charts.palette import STATUS_COLORS, color_of
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.history.sample import sample_history
from tests.unit.analysis.plots.frames import NEW_YORK, events
from tests.unit.analysis.test_examples import example

BACKENDS = ["matplotlib", "plotly"]


@pytest.fixture(scope="module", name="sample")
def sample_frame() -> pd.DataFrame:
    """Return the sample history."""
    return sample_history()


def cells_of(drawn: Any) -> Any:
    """Return the values of a heat map; NaN: no cell."""
    if hasattr(drawn, "data"):
        return np.array(drawn.data[0].z, np.float64)
    (mesh,) = (part for part in drawn.collections if part.get_array() is not None)
    return np.ma.filled(mesh.get_array().astype(np.float64), np.nan)


def facts_of(ax: Any) -> str:
    """Return the line below the title."""
    return str(ax.texts[-1].get_text()).replace("\n", " ")


def line_named(drawn: Any, name: str) -> Any:
    """Return x and y of a line by its name in the legend."""
    if hasattr(drawn, "data"):
        (trace,) = (trace for trace in drawn.data if trace.name == name)
        return np.array(trace.x), np.array(trace.y, np.float64)
    (line,) = (line for line in drawn.lines if line.get_label() == name)
    return line.get_xdata(), line.get_ydata()


# Activity


def calls(*times: str) -> pd.DataFrame:
    """Return a tool call at each time."""
    return events(*({"at": at, "type": "tool_execute", "tool": "Bash"} for at in times))


@pytest.mark.parametrize("backend", BACKENDS)
def test_activity_heatmap_by_day_and_hour(backend: str) -> None:
    """Hours outside the frame have no cell; a repeated hour is one cell, a quiet one 0."""
    frame = calls(
        "2026-11-01T03:30Z", "2026-11-01T05:15Z", "2026-11-01T06:15Z", "2026-11-01T09:00Z"
    )
    drawn = plots.plot_activity_heatmap(
        frame, "tool_calls", layout="day", tz=NEW_YORK, backend=backend
    )
    cells = cells_of(drawn)
    assert cells.shape == (2, 24)
    assert cells[0, 23] == 1
    assert cells[1, :5].tolist() == [0, 2, 0, 0, 1]
    assert np.isnan(cells[0, :23]).all()
    assert np.isnan(cells[1, 5:]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_activity_heatmap_by_weekday_is_an_average(backend: str) -> None:
    """Two Wednesdays at 10: three calls and one call are two."""
    frame = calls(*["2026-01-14T10:05Z"] * 3, "2026-01-21T10:05Z", "2026-01-21T11:00Z")
    cells = cells_of(
        plots.plot_activity_heatmap(frame, "tool_calls", layout="weekday", backend=backend)
    )
    assert cells.shape == (7, 24)
    assert cells[2, 10] == 2
    assert cells[3, 10] == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_activity_heatmap_calendar_has_a_column_per_week(backend: str) -> None:
    """Mondays are at the top; days outside the frame have no cell."""
    frame = calls("2026-01-13T10:05Z", "2026-01-21T10:05Z", "2026-01-21T11:00Z")
    drawn = plots.plot_activity_heatmap(frame, "tool_calls", layout="calendar", backend=backend)
    cells = cells_of(drawn)
    assert cells.shape == (7, 2)
    assert cells[1, 0] == 1
    assert cells[2, 1] == 2
    assert np.isnan(cells[0, 0])
    assert np.isnan(cells[3, 1])


@pytest.mark.parametrize(
    ("measure", "total"), [("active", None), ("prompts", 2), ("total", 5800), ("usd", 0.012)]
)
def test_activity_heatmap_adds_up(measure: str, total: float | None) -> None:
    """All cells add up to the total of the frame, for each measure."""
    if total is None:
        table = analysis.timeline(example())
        active = table["duration"][table["status"] == "active"]
        total = active.sum() / pd.Timedelta("1h")
    cells = cells_of(plots.plot_activity_heatmap(example(), measure, layout="day"))
    assert np.nansum(cells) == pytest.approx(total)


def test_activity_heatmap_lists_measures_and_layouts() -> None:
    """For names that do not exist."""
    with pytest.raises(
        InvalidEvent, match=r"measure: expected one of active, tool_calls, .* 'cost'"
    ):
        plots.plot_activity_heatmap(example(), "cost")
    with pytest.raises(InvalidEvent, match="layout: expected one of day, weekday, calendar; got 7"):
        plots.plot_activity_heatmap(example(), layout=7)  # type: ignore[arg-type]


def test_activity_heatmap_chooses_the_layout() -> None:
    """Hours up to five weeks, then a calendar."""
    assert "by hour:" in plots.plot_activity_heatmap(example()).get_title()
    long = calls("2026-01-13T10:05Z", "2026-06-21T10:05Z")
    assert "by day:" in plots.plot_activity_heatmap(long, "tool_calls").get_title()


# Cumulative cost


@pytest.mark.parametrize("backend", BACKENDS)
def test_cumulative_cost_ends_at_the_total(sample: pd.DataFrame, backend: str) -> None:
    """The last value is the sum of token_costs; the parts are stacked."""
    total = analysis.token_costs(sample, ())["usd"].sum()
    _, spent = line_named(plots.plot_cumulative_cost(sample, backend=backend), "US dollars")
    assert spent[-1] == pytest.approx(total)
    assert (np.diff(spent) >= 0).all()
    drawn = plots.plot_cumulative_cost(sample, by="model", backend="plotly")
    assert sum(trace.y[-1] for trace in drawn.data) == pytest.approx(total)
    assert {trace.name: trace.fillcolor for trace in drawn.data} == {
        trace.name: color_of("model", trace.name) for trace in drawn.data
    }


def test_cumulative_cost_marks_the_budget(sample: pd.DataFrame) -> None:
    """Where and when it is exceeded; the time is that of forecast_budget."""
    ax = plots.plot_cumulative_cost(sample, 20)
    exceeded = analysis.forecast_budget(sample, 20, "2026-03-03T00:00Z").loc[0, "exhausted_at"]
    (mark,) = (line for line in ax.lines if line.get_label() == "budget exceeded")
    assert mark.get_xdata()[0] == pytest.approx(exceeded.timestamp() / 86_400)
    assert mark.get_ydata()[0] == 20
    assert f"budget exceeded 2 Mar {exceeded:%H:%M}" in facts_of(ax)
    assert r"budget \$20.00" in [text.get_text() for text in ax.texts]
    assert r"of \$100.00 left" in facts_of(plots.plot_cumulative_cost(sample, 100))


@pytest.mark.parametrize("backend", BACKENDS)
def test_cumulative_cost_draws_the_forecast(sample: pd.DataFrame, backend: str) -> None:
    """A line from now to the end of the budget, to the projected dollars."""
    drawn = plots.plot_cumulative_cost(sample, 40, until="2026-03-02T12:00Z", backend=backend)
    forecast = analysis.forecast_budget(sample, 40, "2026-03-02T12:00Z").loc[0]
    _, dollars = line_named(drawn, "forecast at the average rate")
    assert dollars[-1] == pytest.approx(forecast["projected"])


def test_cumulative_cost_forecasts_up_to_until(sample: pd.DataFrame) -> None:
    """A time without a zone is local, as for forecast_budget, also if the plot has another zone."""
    ax = plots.plot_cumulative_cost(sample, until="2026-03-02T12:00", tz=NEW_YORK)
    x, dollars = line_named(ax, "forecast at the average rate")
    forecast = analysis.forecast_budget(sample, 0, "2026-03-02T12:00").loc[0]
    assert x[-1] == pytest.approx(pd.Timestamp("2026-03-02T12:00Z").timestamp() / 86_400)
    assert dollars[-1] == pytest.approx(forecast["projected"])


def test_cumulative_cost_names_unpriced_tokens() -> None:
    """Dollars that lack tokens say so."""
    text = "without 600 tokens that have no price: my-model"
    assert text in facts_of(plots.plot_cumulative_cost(example()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_cumulative_cost_draws_usage_limits(sample: pd.DataFrame, backend: str) -> None:
    """On the right axis; a limit drops to 0 when it is reset."""
    quotas = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(
                ["2026-03-02T08:10Z", "2026-03-02T09:00Z", "2026-03-02T09:20Z"], utc=True
            ),
            "account": "claude",
            "window": "5h",
            "used_percent": [40.0, 95.0, 10.0],
            "resets_at": pd.to_datetime(
                ["2026-03-02T09:10Z", "2026-03-02T09:10Z", "2026-03-02T14:10Z"], utc=True
            ),
        }
    )
    drawn = plots.plot_cumulative_cost(sample, quotas=quotas, backend=backend)
    if backend == "plotly":
        x, used = line_named(drawn, "claude 5h limit")
        assert x[2] == np.datetime64("2026-03-02T09:10")
        assert drawn.layout.yaxis2.side == "right"
    else:
        (right,) = (axes for axes in drawn.figure.axes if axes is not drawn)
        x, used = line_named(right, "claude 5h limit")
        assert x[2] == pytest.approx(pd.Timestamp("2026-03-02T09:10Z").timestamp() / 86_400)
    assert used.tolist() == [40, 95, 0, 10]
    with pytest.raises(InvalidEvent, match="quotas: the frame has no column 'account'"):
        plots.plot_cumulative_cost(sample, quotas=quotas.drop(columns="account"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_cumulative_cost_separates_usage_limits(sample: pd.DataFrame, backend: str) -> None:
    """A limit has the color of its account; the windows of one account differ in their dashes."""
    reported = pd.Timestamp("2026-03-02T08:30Z")
    quotas = pd.DataFrame(
        {
            "timestamp": reported,
            "account": pd.Categorical(["claude", "claude", "codex"]),
            "window": pd.Categorical(["5h", "weekly", "5h"]),
            "used_percent": [40.0, 95.0, 10.0],
            "resets_at": pd.Series([pd.NaT] * 3, dtype="datetime64[us, UTC]"),
        }
    )
    drawn = plots.plot_cumulative_cost(
        sample, quotas=quotas, until="2026-03-03T00:00Z", backend=backend
    )
    if backend == "plotly":
        limits = [trace for trace in drawn.data if trace.yaxis == "y2"]
        looks = {trace.name: (trace.line.color, trace.line.dash) for trace in limits}
    else:
        (right,) = (axes for axes in drawn.figure.axes if axes is not drawn)
        lines = [line for line in right.lines if line.get_label().endswith(" limit")]
        looks = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in lines}
    assert list(looks) == ["claude 5h limit", "claude weekly limit", "codex 5h limit"]
    assert len(set(looks.values())) == 3
    for name, (color, _) in looks.items():
        assert color == color_of("agent_kind", name.split()[0])


# Context


@pytest.mark.parametrize("backend", BACKENDS)
def test_context_marks_compactions_at_the_size_before(backend: str) -> None:
    """The line has a gap between sessions, and the mark is where the context was largest."""
    compacted = '{"compacted": true}'
    frame = events(
        {"at": "2026-01-14T10:00Z", "type": "completion", "context_tokens": 50_000},
        {"at": "2026-01-14T10:01Z", "type": "completion", "context_tokens": 160_000},
        {"at": "2026-01-14T10:02Z", "type": "activity", "extra": compacted},
        {"at": "2026-01-14T10:03Z", "type": "completion", "context_tokens": 30_000},
        {"at": "2026-01-14T11:00Z", "type": "completion", "context_tokens": 9_000, "session": "2"},
    )
    drawn = plots.plot_context(frame, backend=backend)
    _, tokens = line_named(drawn, "claude-1")
    assert tokens[:3].tolist() == [50_000, 160_000, 30_000]
    assert np.isnan(tokens[3])
    x, at = line_named(drawn, "compaction")
    assert at.tolist() == [160_000]
    if backend == "matplotlib":
        assert x[0] == pytest.approx(pd.Timestamp("2026-01-14T10:02Z").timestamp() / 86_400)
        assert "at most 160k tokens · 1 compaction" in facts_of(drawn)
        assert "window 200k" in [text.get_text() for text in drawn.texts]
    _, percent = line_named(plots.plot_context(frame, relative=True, backend=backend), "claude-1")
    assert percent[:3].tolist() == [25, 80, 15]


def test_context_shows_the_largest(sample: pd.DataFrame) -> None:
    """Six agents unless ``top`` says otherwise."""
    assert "3 more agents not shown" in facts_of(plots.plot_context(sample))
    ax = plots.plot_context(sample, top=1)
    assert "Migrate the checkout to the new pay…" in ax.get_legend_handles_labels()[1]
    assert "8 more agents not shown" in facts_of(ax)


# Session


def spans_of(drawn: Any) -> dict[str, int]:
    """Return the number of bars of each series."""
    if hasattr(drawn, "data"):
        bars = [trace for trace in drawn.data if trace.type == "bar"]
        return {trace.name: len(trace.x) for trace in bars}
    return {part.get_label(): len(part.get_paths()) for part in drawn.collections}


@pytest.mark.parametrize("backend", BACKENDS)
def test_session_shows_turns_tools_and_subagents(sample: pd.DataFrame, backend: str) -> None:
    """A row for the turns, the status, each tool and each subagent."""
    drawn = plots.plot_session(sample, "claude-7be03d55", backend=backend)
    if backend == "plotly":
        labels = list(drawn.layout.yaxis.ticktext)
        assert spans_of(drawn)["Bash"] == 63
    else:
        labels = [text.get_text() for text in drawn.get_yticklabels()]
        assert drawn.get_title() == "Session: Migrate the checkout to the new payment API"
        assert "254 tool calls · 3 subagents" in facts_of(drawn)
    assert labels == [
        *("turns (10)", "status", "Read (64)", "Grep (1)", "Edit (126)", "Bash (63)"),
        *("↳ Explore the carts", "↳ Explore the payments", "↳ Explore the tests"),
    ]
    assert spans_of(drawn)["turn"] == 10


def test_session_marks_waits_and_failed_calls(sample: pd.DataFrame) -> None:
    """Waits have the color of the page, failed calls a cross."""
    ax = plots.plot_session(sample, "claude-4a9c1ab2")
    parts = {part.get_label(): part for part in ax.collections}
    from matplotlib.colors import to_hex

    assert to_hex(parts["waiting"].get_facecolor()[0]) == STATUS_COLORS["waiting"]
    assert len(parts["waiting"].get_paths()) == 3
    own = sample[sample["agent_id"] == "claude-4a9c1ab2"]
    n_failed = int(analysis.tool_errors(own, ())["errors"].sum())
    (crosses,) = (line for line in ax.lines if line.get_label() == "failed")
    assert len(crosses.get_xdata()) == n_failed


def test_session_draws_a_call_from_its_start() -> None:
    """The start follows from the duration, else from the tool_start of the same call."""
    frame = events(
        {"at": "2026-01-14T10:00:00Z", "type": "prompt"},
        {"at": "2026-01-14T10:00:10Z", "type": "tool_start", "tool": "Bash", "call": "c1"},
        {"at": "2026-01-14T10:00:40Z", "type": "tool_execute", "tool": "Bash", "call": "c1"},
        {
            "at": "2026-01-14T10:01:00Z",
            "type": "tool_error",
            "tool": "Bash",
            "call": "c2",
            "duration_ms": 5_000,
            "status": "error",
        },
        {"at": "2026-01-14T10:01:30Z", "type": "interrupt"},
    )
    figure = plots.plot_session(frame, backend="plotly")
    (bash,) = (trace for trace in figure.data if trace.name == "Bash")
    assert list(bash.x) == [30_000, 5_000]
    assert bash.hovertext[1].startswith("Bash failed, 5 s")
    (turn,) = (trace for trace in figure.data if trace.name == "turn with an error or interrupt")
    assert turn.hovertext[0].startswith("turn 1: interrupted, 1 min 30 s<br>2 tool calls, 1 failed")


def test_session_lists_the_sessions(sample: pd.DataFrame) -> None:
    """Without ``session``, and for one that does not exist."""
    with pytest.raises(InvalidEvent, match=r"the frame has 7 sessions: .*type plot_session\(df, "):
        plots.plot_session(sample)
    with pytest.raises(InvalidEvent, match=r"session: .* got 'x'; it has 7 sessions: "):
        plots.plot_session(sample, "x")
    with pytest.raises(InvalidEvent, match="expected a frame with a session, got no events"):
        plots.plot_session(sample[:0])
