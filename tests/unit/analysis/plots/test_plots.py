"""Every plot with both libraries: any frame, arguments, titles, axes, colors and labels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex

import htmlgraph_nb
from htmlgraph_nb import analysis
from htmlgraph_nb.analysis import plots
from htmlgraph_nb.analysis.plots import drawing
from htmlgraph_nb.analysis.plots.charts.palette import OTHERS_COLOR, STATUS_COLORS, color_of
from htmlgraph_nb.errors import InvalidEvent
from tests.benchmarks.analysis import history
from tests.helpers.paths import ROOT
from tests.unit.analysis.plots.frames import NEW_YORK, events, labelled, repeated_hour
from tests.unit.analysis.test_examples import example

Plot = Callable[..., Any]
MANY = history(3_000)
PERIOD = "14 Jan 2026, 09:50–09:55 · America/New_York"
"""The period of the example."""
PLOTS: dict[str, Plot] = {
    "timeline": plots.plot_timeline,
    "tool_counts": plots.plot_tool_counts,
    "token_costs": plots.plot_token_costs,
    "concurrency": plots.plot_concurrency,
    "transitions": plots.plot_tool_transitions,
    "durations": plots.plot_tool_durations,
    "ecdf": lambda df, **options: plots.plot_tool_durations(df, kind="ecdf", **options),
    "days": lambda df, **options: plots.plot_activity_heatmap(df, layout="day", **options),
    "week": lambda df, **options: plots.plot_activity_heatmap(
        df, "usd", layout="weekday", **options
    ),
    "calendar": lambda df, **options: plots.plot_activity_heatmap(
        df, "prompts", layout="calendar", **options
    ),
    "cumulative": plots.plot_cumulative_cost,
    "budget": lambda df, **options: plots.plot_cumulative_cost(
        df, 0.01, "model", until="2027-01-01T00:00Z", **options
    ),
    "context": lambda df, **options: plots.plot_context(with_context(df), **options),
}


def with_context(df: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the columns of a context."""
    tokens = pd.array(np.arange(len(df)) % 50 * 3_000, dtype="Int64")
    return df.assign(context_tokens=tokens, context_window=200_000)


def dates(values: Any) -> list[np.datetime64]:
    """Return a plotly array of times."""
    return [np.datetime64(value) for value in values]


def days(text: str) -> float:
    """Return a time as matplotlib's number: days since 1970 UTC."""
    return pd.Timestamp(text).timestamp() / 86_400


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize(
    "frame",
    [example(), MANY, example().iloc[:1], example()[:0]],
    ids=["two agents", "two hundred", "one event", "none"],
)
def test_plot_draws_any_frame(name: str, frame: pd.DataFrame) -> None:
    """Into its own figure, a given Axes, and with plotly; on light and dark."""
    plot = PLOTS[name]
    figure = plot(frame, theme="light", backend="plotly", tz="Asia/Kolkata")
    assert isinstance(figure, go.Figure)
    assert figure.layout.title.text
    assert json.loads(figure.to_json())["layout"]["xaxis"]
    with plt.style.context("dark_background"):
        given = plt.subplots()[1]
        assert plot(frame, ax=given) is given
    given.figure.canvas.draw()


@pytest.mark.parametrize("name", PLOTS)
def test_plot_names_period_and_zone(name: str) -> None:
    """The line below the title has the period and the time zone, with both libraries."""
    ax = PLOTS[name](example(), tz=NEW_YORK)
    assert PERIOD in " ".join(text.get_text() for text in ax.texts).replace("\n", " ")
    figure = PLOTS[name](example(), tz=NEW_YORK, backend="plotly")
    assert PERIOD in figure.layout.title.subtitle.text


@pytest.mark.parametrize("name", PLOTS)
def test_plot_keeps_the_zone_of_arrow_dtypes(name: str) -> None:
    """A frame of ``dtype_backend="pyarrow"`` is drawn as any other."""
    frame = example()
    frame["timestamp"] = frame["timestamp"].dt.tz_convert(NEW_YORK)
    arrow = pa.Table.from_pandas(frame).to_pandas(types_mapper=pd.ArrowDtype)
    figure = PLOTS[name](arrow, backend="plotly")
    assert PERIOD in figure.layout.title.subtitle.text


@pytest.mark.parametrize("name", PLOTS)
def test_plot_does_not_change_the_frame(name: str) -> None:
    """Neither its values nor the zone of its times."""
    frame = example()
    PLOTS[name](frame, tz=NEW_YORK)
    pd.testing.assert_frame_equal(frame, example())


@pytest.mark.parametrize("name", [name for name in htmlgraph_nb.__all__ if name[:5] == "plot_"])
def test_plots_have_the_same_options(name: str) -> None:
    """Each public plot takes top, tz, backend and theme."""
    plot = getattr(htmlgraph_nb, name)
    frame = with_context(example()[example()["agent_id"] == "claude-1"])
    assert plot(frame, top=2, tz=NEW_YORK, backend="matplotlib", theme=None).get_title()
    for argument, value, message in (
        ("top", 0, "top: expected a whole number from 1 to .*, got 0"),
        ("top", "all", "top: expected a whole number .*'all'"),
        ("tz", "Paris", 'tz: expected a time zone such as "Europe/Paris"'),
        ("backend", "altair", "backend: expected 'matplotlib' or 'plotly', got 'altair'"),
        ("theme", "blue", "theme: expected 'light', 'dark' or None, got 'blue'"),
    ):
        with pytest.raises(InvalidEvent, match=message):
            plot(frame, **{argument: value})
    with pytest.raises(InvalidEvent, match="expected a DataFrame from load_history"):
        plot([1, 2])


def test_plot_without_plotly_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command."""
    monkeypatch.setattr(drawing, "find_spec", lambda name: None)
    with pytest.raises(InvalidEvent, match=r"pip install 'htmlgraph-nb\[plotly\]'"):
        plots.plot_timeline(example(), backend="plotly")


def test_plot_fits_into_a_grid_of_axes() -> None:
    """The line below the title is wrapped to the width of its Axes."""
    figure, grid = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for ax in grid:
        plots.plot_timeline(example(), ax=ax, tz=NEW_YORK)
    figure.canvas.draw()
    left, right = (ax.texts[0].get_window_extent() for ax in grid)
    assert left.x1 < right.x0
    (alone,) = plots.plot_timeline(example(), tz=NEW_YORK).texts
    assert "\n" not in alone.get_text()


def test_plot_refuses_axes_with_plotly_or_theme() -> None:
    """Axes belong to matplotlib and have a theme already."""
    ax = plt.subplots()[1]
    with pytest.raises(InvalidEvent, match="ax: expected None with backend='plotly'"):
        plots.plot_timeline(example(), ax=ax, backend="plotly")
    with pytest.raises(InvalidEvent, match="theme: expected None with ax="):
        plots.plot_timeline(example(), ax=ax, theme="dark")


@pytest.mark.parametrize(("backend", "other"), [("matplotlib", "plotly"), ("plotly", "matplotlib")])
def test_plot_imports_only_its_library(backend: str, other: str) -> None:
    """plotly is an optional dependency, and either is slow to import."""
    code = f"""
import sys
from htmlgraph_nb import plot_timeline
from tests.unit.analysis.test_examples import example
assert not {{"matplotlib", "plotly"}} & set(sys.modules)
plot_timeline(example(), backend="{backend}")
assert "{backend}" in sys.modules
assert "{other}" not in sys.modules
"""
    environ = {**os.environ, "MPLBACKEND": "Agg"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environ)


def test_plot_dark_theme_has_light_text() -> None:
    """The style and the template of the theme, whatever is active."""
    ax = plots.plot_timeline(example(), theme="dark")
    assert to_hex(ax.get_facecolor()) == "#000000"
    assert to_hex(ax.title.get_color()) == "#ffffff"
    figure = plots.plot_timeline(example(), theme="dark", backend="plotly")
    assert figure.layout.template.layout.paper_bgcolor == "rgb(17,17,17)"
    with plt.style.context("dark_background"):
        assert to_hex(plots.plot_timeline(example()).title.get_color()) == "#ffffff"


# Names and labels


@pytest.mark.parametrize("by", [["model", "project"], None, ("model",), 7])
@pytest.mark.parametrize(
    "plot", [plots.plot_tool_counts, plots.plot_token_costs, plots.plot_tool_durations]
)
def test_plot_by_is_one_column(plot: Plot, by: object) -> None:
    """The message says how several columns become one."""
    with pytest.raises(InvalidEvent, match=r"by: expected the name of one column.*df\.assign"):
        plot(example(), by=by)


def test_plot_labels_agents_by_title_or_branch() -> None:
    """On the axis and in the legend; long names and signs of formulas do no harm."""
    expected = [r"Price in \$x_ and \${y <b>long long l…", "\u200a_private · main"]
    ax = plots.plot_timeline(labelled())
    assert [text.get_text() for text in ax.get_yticklabels()] == expected
    ax.figure.canvas.draw()
    for ax in (
        plots.plot_tool_counts(labelled(), by="agent_id"),
        plots.plot_token_costs(labelled(), by="agent_id", measure="total"),
    ):
        assert sorted(ax.get_legend_handles_labels()[1]) == sorted(expected)
        assert len(ax.get_legend().get_texts()) == 2
        ax.figure.canvas.draw()


def test_plotly_escapes_what_agents_supply() -> None:
    """Plotly would take tags as markup and dollars as formulas."""
    figure = plots.plot_timeline(labelled(), backend="plotly")
    name = "Price in &#36;x_ and &#36;{y &lt;b&gt;long long l…"
    assert figure.layout.yaxis.ticktext[0] == name
    assert figure.data[1].hovertext[0].startswith(f"{name}<br>active 1 min<br>2026-01-14 14:50:00")
    stacked = plots.plot_tool_counts(labelled(), by="agent_id", backend="plotly")
    assert name in [trace.name for trace in stacked.data]


def test_plot_stacks_by_labels() -> None:
    """Costs can be stacked by branch, calls by the title, also by the topmost agent."""
    labels = plots.plot_token_costs(labelled(), by="branch").get_legend_handles_labels()[1]
    assert labels == ["main"]
    assert len(plots.plot_tool_counts(labelled(), by="title").get_legend_handles_labels()[1]) == 2
    for plot in (plots.plot_tool_counts, plots.plot_token_costs):
        assert len(plot(labelled(), by="root_agent_id").get_legend_handles_labels()[1]) == 2
    ax = plots.plot_cumulative_cost(labelled(), by="root_agent_id")
    assert len(ax.get_legend_handles_labels()[1]) == 2


# Stacked bars


@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
def test_plot_bars_equal_counts(backend: str) -> None:
    """The heights of all bars add up to the tools and the tokens."""
    frame = MANY
    drawn = plots.plot_tool_counts(frame, "D", backend=backend)
    assert sum(heights(drawn)) == analysis.tool_counts(frame, ()).loc[0, "count"]
    drawn = plots.plot_token_costs(frame, "D", measure="total", backend=backend)
    assert sum(heights(drawn)) == frame["cost_tokens"].sum()


def heights(drawn: Any) -> list[float]:
    """Return the heights of all bars of an Axes or a figure."""
    if isinstance(drawn, go.Figure):
        return [float(height) for trace in drawn.data for height in trace.y]
    return [bar.get_height() for bar in drawn.patches]


def test_plot_bars_follow_the_clock() -> None:
    """Bars of the two hours 01:00 stand side by side, at the time in UTC."""
    ax = plots.plot_tool_counts(repeated_hour(), "1h", tz=NEW_YORK)
    found = {bar.get_x(): bar.get_width() for bar in ax.patches}
    begins = [days("2026-11-01T05:00Z"), days("2026-11-01T06:00Z")]
    assert sorted(found) == pytest.approx(begins, abs=1e-9)
    assert list(found.values()) == pytest.approx([0.94 / 24] * 2)
    ax.figure.canvas.draw()
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert [tick for tick in ticks if tick.startswith("01:00")] == ["01:00\n1 Nov", "01:00\nEST"]
    figure = plots.plot_tool_counts(repeated_hour(), "1h", tz=NEW_YORK, backend="plotly")
    begins = sorted(begin for trace in figure.data for begin in dates(trace.x))
    assert np.diff(begins) == [np.timedelta64(1, "h")]
    assert [text for text in figure.layout.xaxis.ticktext if "01:00" in text] == [
        "01:00<br>1 Nov",
        "01:00<br>EST",
    ]
    assert "01:00:00 EST" in figure.data[0].hovertext[0]


@pytest.mark.parametrize(
    ("freq", "lengths"), [("W-MON", {7}), ("W", {7}), ("MS", {28, 31}), ("D", {1})]
)
def test_plot_bars_are_as_wide_as_their_period(freq: str, lengths: set[int]) -> None:
    """Weeks have seven days, months their own number."""
    frame = history(2_000)
    ax = plots.plot_token_costs(frame, freq)
    assert {round(bar.get_width() / 0.94, 6) for bar in ax.patches} == lengths
    figure = plots.plot_token_costs(frame, freq, backend="plotly")
    widths = {round(width / 0.94 / 86_400_000, 6) for bars in figure.data for width in bars.width}
    assert widths == lengths


def test_plot_bars_of_an_unfinished_period_are_pale() -> None:
    """The line below the title says until when the frame goes."""
    frame = history(2_000)
    frame = frame[frame["timestamp"] < "2026-01-20T14:00Z"]
    ax = plots.plot_tool_counts(frame, "D", tz="UTC")
    last = max(bar.get_x() for bar in ax.patches)
    pale = {bar.get_x() for bar in ax.patches if bar.get_alpha() is not None}
    assert pale == {last}
    newest = frame["timestamp"].max()
    assert f"last day until {newest:%H:%M}" in ax.texts[0].get_text()
    figure = plots.plot_tool_counts(frame, "D", backend="plotly")
    newest_bar = max(begin for trace in figure.data for begin in dates(trace.x))
    for trace in figure.data:
        faded = np.asarray(trace.marker.opacity) < 1
        assert (faded == (np.array(dates(trace.x)) == newest_bar)).all()


def test_plot_combines_rare_series() -> None:
    """Thirty tools are drawn as nine and the others in grey; ``top`` changes the nine."""
    ax = plots.plot_tool_counts(MANY, "D")
    handles, names = ax.get_legend_handles_labels()
    assert len(names) == 10
    assert names[-1] == "others (21)"
    assert to_hex(handles[-1].patches[0].get_facecolor()) == OTHERS_COLOR
    assert ax.get_legend().get_title().get_text() == "tool"
    names = plots.plot_tool_counts(MANY, "D", top=3).get_legend_handles_labels()[1]
    assert len(names) == 4
    assert names[-1] == "others (27)"


@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
def test_plot_colors_do_not_depend_on_the_frame(backend: str) -> None:
    """A tool has the color of its name in each week, whatever its rank."""
    frame = MANY
    for part in (frame, frame[:700], frame[-700:]):
        drawn = plots.plot_tool_counts(part, "D", top=30, backend=backend)
        for name, color in series_colors(drawn).items():
            assert color == color_of("tool_name", name)
    own = plots.plot_tool_counts(frame, colors={"Tool7": "#123456"}, top=30, backend=backend)
    assert series_colors(own)["Tool7"] == "#123456"


def series_colors(drawn: Any) -> dict[str, str]:
    """Return the color of each series of bars."""
    if isinstance(drawn, go.Figure):
        return {trace.name: trace.marker.color for trace in drawn.data}
    handles, names = drawn.get_legend_handles_labels()
    colors = [to_hex(bars.patches[0].get_facecolor()) for bars in handles]
    return dict(zip(names, colors, strict=True))


def test_plot_bars_of_one_color_differ_in_pattern() -> None:
    """Two tools that do the same work have one color and two patterns."""
    frame = events(
        {"at": "2026-01-14T14:50Z", "type": "tool_execute", "tool": "Bash"},
        {"at": "2026-01-14T14:51Z", "type": "tool_execute", "tool": "exec_command"},
    )
    handles, names = plots.plot_tool_counts(frame).get_legend_handles_labels()
    bars = zip(names, handles, strict=True)
    hatches = {name: part.patches[0].get_hatch() for name, part in bars}
    assert hatches["Bash"] is None
    assert hatches["exec_command"]
    figure = plots.plot_tool_counts(frame, backend="plotly")
    shapes = {trace.name: trace.marker.pattern.shape for trace in figure.data}
    assert shapes["exec_command"]
    assert shapes["Bash"] is None


def test_plot_token_costs_names_unpriced_tokens() -> None:
    """The line below the title has the dollars, the tokens without a price and their model."""
    ax = plots.plot_token_costs(example())
    assert ax.get_title() == "Costs by model"
    assert r"\$0.0120 · without 600 tokens that have no price: my-model" in ax.texts[0].get_text()
    assert ax.get_ylabel() == "US dollars per 5 seconds"
    ax = plots.plot_token_costs(example(), "1h", measure="output")
    assert (ax.get_title(), ax.get_ylabel()) == ("Output tokens by model", "output tokens per hour")
    assert "no price" not in ax.texts[0].get_text()


@pytest.mark.parametrize("measure", ["cost", "timestamp", "model", None, ["usd"]])
def test_plot_token_costs_lists_the_measures(measure: object) -> None:
    """For a measure that does not exist."""
    with pytest.raises(InvalidEvent, match="measure: expected one of usd, total, answers, input"):
        plots.plot_token_costs(example(), measure=measure)  # type: ignore[arg-type]


# Status


@pytest.mark.parametrize("zone", [NEW_YORK, "UTC"])
def test_plot_timeline_draws_the_repeated_hour(zone: str) -> None:
    """A wait over the change of the clocks has its length and its place, in any zone."""
    ax = plots.plot_timeline(repeated_hour(), tz=zone)
    spans = {part.get_label(): part.get_paths() for part in ax.collections}
    (wait,) = spans["waiting"]
    assert wait.vertices[:, 0].min() == pytest.approx(days("2026-11-01T05:50Z"), abs=1e-9)
    assert wait.vertices[:, 0].max() == pytest.approx(days("2026-11-01T06:10Z"), abs=1e-9)
    figure = plots.plot_timeline(repeated_hour(), tz=zone, backend="plotly")
    (waits,) = (trace for trace in figure.data if trace.name == "waiting")
    assert list(waits.x) == [20 * 60 * 1000]
    assert dates(waits.base) == [np.datetime64("2026-11-01T05:50")]


def test_plotly_shows_local_times() -> None:
    """Without a change of the clocks times are local, so that plotly labels them at any zoom."""
    figure = plots.plot_timeline(example(), tz=NEW_YORK, backend="plotly")
    assert min(dates(figure.data[1].base)) == np.datetime64("2026-01-14T09:50")
    assert figure.layout.xaxis.type == "date"
    assert figure.layout.xaxis.tickvals is None
    assert figure.data[1].hovertext[0].endswith("09:51:00 EST")


def test_plot_timeline_has_the_colors_of_the_page() -> None:
    """Waits have an edge, so that a short one is visible among 200 agents."""
    ax = plots.plot_timeline(example_with_idle())
    parts = {part.get_label(): part for part in ax.collections}
    colors = {name: to_hex(part.get_facecolor()[0]) for name, part in parts.items()}
    assert colors == STATUS_COLORS
    assert parts["waiting"].get_linewidth() == [1.0]
    assert parts["active"].get_linewidth() == [0.0]
    assert ax.get_legend().get_title().get_text() == "status"


def example_with_idle() -> pd.DataFrame:
    """Return the example and an event later, so that an agent is idle in between."""
    later = example().iloc[-1:].assign(timestamp=pd.Timestamp("2026-01-14T14:58Z"))
    return pd.concat([example(), later], ignore_index=True)


def family() -> pd.DataFrame:
    """Return two agents; the first starts two subagents, one of which starts another."""
    rows: list[dict[str, Any]] = [
        {"at": "2026-01-14T14:00Z", "type": "prompt", "agent": "a"},
        {"at": "2026-01-14T14:01Z", "type": "prompt", "agent": "b"},
        {"at": "2026-01-14T14:02Z", "type": "tool_execute", "agent": "a/1", "parent": "a"},
        {"at": "2026-01-14T14:03Z", "type": "tool_execute", "agent": "a/1/x", "parent": "a/1"},
        {"at": "2026-01-14T14:04Z", "type": "tool_execute", "agent": "a/2", "parent": "a"},
        {"at": "2026-01-14T14:05Z", "type": "stop", "agent": "a"},
        {"at": "2026-01-14T14:20Z", "type": "stop", "agent": "b"},
    ]
    return events(*rows)


def test_plot_timeline_puts_subagents_below_their_parent() -> None:
    """In the order of their first event; they can be left out, and only the top be shown."""
    assert y_labels(plots.plot_timeline(family())) == ["a", "↳ a/1", "↳↳ a/1/x", "↳ a/2", "b"]
    assert y_labels(plots.plot_timeline(family(), subagents=False)) == ["a", "b"]
    top = plots.plot_timeline(family(), top=1)
    assert y_labels(top) == ["a", "↳ a/1", "↳↳ a/1/x", "↳ a/2"]
    assert "1 more not shown" in top.texts[0].get_text()
    figure = plots.plot_timeline(family(), backend="plotly")
    assert list(figure.layout.yaxis.ticktext)[:2] == ["a", "↳ a/1"]


def y_labels(ax: Any) -> list[str]:
    """Return the labels of the y axis."""
    return [text.get_text() for text in ax.get_yticklabels()]


def test_plot_timeline_packs_many_subagents() -> None:
    """Of 50 subagents, those that do not overlap share a row; all agents have a label."""
    rows: list[dict[str, Any]] = [{"at": "2026-01-14T10:00Z", "type": "prompt", "agent": "a"}]
    for number in range(50):
        begin = pd.Timestamp("2026-01-14T10:00Z") + pd.Timedelta(minutes=4 * number)
        child = {"agent": f"a/{number}", "parent": "a"}
        rows.append({"at": begin, "type": "prompt", **child})
        rows.append({"at": begin + pd.Timedelta(minutes=3), "type": "session_end", **child})
    ax = plots.plot_timeline(events(*rows))
    assert y_labels(ax) == ["a", "↳ 50 subagents"]
    labels = y_labels(plots.plot_timeline(MANY))
    assert len(labels) == 200
    assert labels[0] == "agent-" + labels[0].removeprefix("agent-")


def test_plot_concurrency_covers_the_frame() -> None:
    """Both ends are cut to the frame, and averaged over what it covers."""
    ax = plots.plot_concurrency(example(), "10min")
    (peak,) = ax.lines
    assert peak.get_xdata()[-1] == pytest.approx(days("2026-01-14T14:55Z"))
    active = next(part for part in ax.collections if part.get_label() == "active")
    assert active.get_paths()[0].vertices[:, 1].max() == pytest.approx(1.0)
    assert ax.get_ylabel() == "agents, average per 10 minutes"
    assert "last 10 minutes until 14:55" in ax.texts[0].get_text()
    figure = plots.plot_concurrency(example(), "10min", backend="plotly")
    assert [trace.name for trace in figure.data] == [*STATUS_COLORS, "peak of active and waiting"]
    assert figure.data[0].y[0] == pytest.approx(1.0)


def test_plot_concurrency_last_step_is_a_week() -> None:
    """The line reaches the end of the last period."""
    frame = history(2_000)
    frame = frame[frame["timestamp"] < "2026-01-19T00:00Z"]
    (peak,) = plots.plot_concurrency(frame, "W-MON").lines
    assert np.diff(peak.get_xdata())[-1] == pytest.approx(7, abs=0.1)


# Tools


def test_plot_tool_transitions_cells_equal_counts() -> None:
    """Tools are in the order of their frequency; cells have counts and the share of the row."""
    ax = plots.plot_tool_transitions(example())
    assert y_labels(ax) == ["Bash (1)", "Read (2)", "Edit (0)"]
    (mesh,) = (part for part in ax.collections if part.get_array() is not None)
    cells = np.ma.filled(mesh.get_array().astype(float), 0)
    np.testing.assert_array_equal(cells, [[0, 0, 1], [2, 0, 0], [0, 0, 0]])
    assert [text.get_text() for text in ax.texts][:2] == ["100%", "100%"]
    figure = plots.plot_tool_transitions(example(), backend="plotly")
    assert figure.data[0].hovertext[1][0] == "Read, then Bash<br>2 of 2 (100%)"
    assert len(y_labels(plots.plot_tool_transitions(MANY, top=5))) == 5


def test_plot_tool_durations_draws_quantiles() -> None:
    """Boxes have the quantiles of tool_durations, in the order of the median."""
    frame = MANY
    table = analysis.tool_durations(frame, quantiles=(0.25, 0.5, 0.75)).set_index("tool_name")
    ax = plots.plot_tool_durations(frame, top=4)
    names = [label.partition(" ")[0] for label in y_labels(ax)]
    assert len(names) == 4
    expected = table.loc[names]
    assert expected["p50_ms"].is_monotonic_increasing
    assert [bar.get_x() for bar in ax.patches] == pytest.approx(list(expected["p25_ms"]))
    widths = expected["p75_ms"] - expected["p25_ms"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(list(widths))
    assert ax.get_xscale() == "log"
    figure = plots.plot_tool_durations(frame, top=4, backend="plotly")
    boxes = [trace for trace in figure.data if trace.type == "box"]
    assert [box.median[0] for box in boxes] == pytest.approx(list(expected["p50_ms"]))


def test_plot_tool_durations_ecdf_ends_at_all_calls() -> None:
    """The line of a tool is at 50 % at its median, at 100 % at the longest call."""
    frame = MANY
    (line, *_) = plots.plot_tool_durations(frame, kind="ecdf").lines
    rows = analysis.tool_durations(frame, quantiles=(0.5,)).set_index("tool_name")
    row = rows.loc[line.get_label()]
    assert line.get_ydata()[-1] == 100
    assert line.get_xdata()[-1] == row["max_ms"]
    assert np.interp(row["p50_ms"], line.get_xdata(), line.get_ydata()) == pytest.approx(50, abs=2)


def test_plot_tool_durations_lists_kinds() -> None:
    """For a kind that does not exist."""
    with pytest.raises(InvalidEvent, match="kind: expected one of box, ecdf; got 'violin'"):
        plots.plot_tool_durations(example(), kind="violin")
