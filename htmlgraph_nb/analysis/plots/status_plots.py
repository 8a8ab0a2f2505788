"""Plots of the status of agents: one line per agent, and the number of agents at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...core.roster import Limits
from ...local_zone import Zone
from ..agent_labels import agent_labels
from ..columns import BoolArray, FloatArray, time_zone, timestamp_micros
from ..intervals import REQUIRED_COLUMNS, concurrency, timeline
from ..periods import Length
from .charts.chart import AxisSpec, Chart, HoverTexts, LineLayer, SeriesStyle, SpanLayer, as_floats
from .charts.number_text import count_text
from .charts.palette import STATUS_COLORS
from .charts.time_axis import (
    HOUR_US,
    duration_text,
    facts_of_period,
    hover_times,
    index_micros,
    time_range,
)
from .drawing import Backend, Theme, checked_top, draw_chart, in_time_zone
from .families import FamilyRow, family_rows, most_active, of_busiest_agents, pack_lanes, parents_of
from .period_axis import PlottedPeriods, choose_freq, plotted_periods

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_THICKNESS = 0.8
_IDLE_THICKNESS = 0.26
_ROW_INCHES = 0.3
_MANY_ROW_INCHES = 0.13
_MANY = 40
_MAX_INCHES = 50.0


def plot_timeline(
    df: pd.DataFrame,
    ax: Axes | None = None,
    limits: Limits | None = None,
    *,
    top: int | None = None,
    subagents: bool = True,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot when each agent was active, waiting and idle, one line per agent.

    Agents are in the order of their first event, subagents below their parent. Waits have an edge,
    so that short ones are visible in long plots.

    Args:
        df: as for ``timeline``.
        ax: Axes of matplotlib to draw into. None: a new figure, higher with more agents.
        limits: as for ``timeline``.
        top: only this many agents with their subagents, those that were active the longest. None:
            all.
        subagents: False: leave out subagents.
        tz, backend, theme: as for ``plot_tool_counts``.

    Returns:
        As ``plot_tool_counts``. Agents are labelled by their title, else project and branch, else
        id.

    Raises:
        InvalidEvent: an argument is invalid, or as ``timeline``.
    """
    df = in_time_zone(df, "plot_timeline", tz, *REQUIRED_COLUMNS)
    intervals = timeline(df, limits)
    rows, left_out = _rows(df, intervals, checked_top(top, None), subagents=subagents)
    chart = _timeline_chart(df, intervals, rows, left_out)
    return draw_chart(chart, ax, backend, theme)


def _rows(
    df: pd.DataFrame, intervals: pd.DataFrame, top: int | None, *, subagents: bool
) -> tuple[list[FamilyRow], int]:
    """Return the agents that are shown, and how many are left out."""
    agents = intervals["agent_id"].astype(str)
    starts = intervals["start"].groupby(agents).min().sort_values(kind="stable")
    rows = family_rows({str(name): None for name in starts.index}, parents_of(df))
    kept = most_active(intervals, {row.agent_id: row.root for row in rows}, top)
    shown = [
        row for row in rows if (kept is None or row.root in kept) and (subagents or row.depth == 0)
    ]
    return shown, len(rows) - len(shown)


def _timeline_chart(
    df: pd.DataFrame, intervals: pd.DataFrame, rows: list[FamilyRow], left_out: int
) -> Chart:
    zone = time_zone(df)
    start = as_floats(index_micros(intervals["start"]))
    end = as_floats(index_micros(intervals["end"]))
    labels = agent_labels(df)
    agents = intervals["agent_id"].astype(str).to_numpy()
    # An agent that is offline needs no room.
    there = (intervals["status"] != "offline").to_numpy()
    position, row_labels = _positions(rows, agents[there], start[there], end[there], labels)
    row_of = as_floats([position.get(agent, np.nan) for agent in agents])
    names = np.array([labels.get(agent, agent) for agent in agents], dtype=object)

    def hover(status: str, chosen: BoolArray) -> HoverTexts:
        return _interval_hover(names[chosen], status, start[chosen], end[chosen], zone)

    low, high = time_range(start, end)
    n_roots = sum(row.depth == 0 for row in rows)
    facts = [count_text(n_roots, "agent")]
    if len(rows) > n_roots:
        facts[0] += f" and {count_text(len(rows) - n_roots, 'subagent')}"
    waited = _total(intervals, "waiting", row_of)
    facts.append(f"active {_total(intervals, 'active', row_of)}")
    facts += [f"waiting {waited}"] if waited != "0 s" else []
    facts += [f"{left_out} more not shown"] if left_out else []
    row_inches = _MANY_ROW_INCHES if len(row_labels) > _MANY else _ROW_INCHES
    height = 1.5 + row_inches * max(len(row_labels), 1)
    return Chart(
        title="Agents over time",
        facts=[*facts, *facts_of_period(df, zone)],
        x=AxisSpec("time", "", low, high, zone=zone),
        y=AxisSpec("names", "", names=row_labels, first_at_top=True),
        layers=status_layers(intervals, row_of, _THICKNESS, hover),
        legend="status",
        height=min(height, _MAX_INCHES),
    )


def status_layers(
    intervals: pd.DataFrame,
    row_of: FloatArray,
    thickness: float,
    hover: Callable[[str, BoolArray], HoverTexts],
    *,
    in_legend: bool = True,
) -> list[SpanLayer]:
    """Return when agents were idle, active and waiting, in the colors of the page.

    Args:
        intervals: as ``timeline`` returns them.
        row_of: the row of each interval; NaN: it is not shown.
        thickness: of active and waiting, as a share of a row.
        hover: returns the hover texts of the intervals of a status that a mask selects.
    """
    start = as_floats(index_micros(intervals["start"]))
    end = as_floats(index_micros(intervals["end"]))
    layers = []
    # Waits are in front, so that their edges are visible.
    for status in ("idle", "active", "waiting"):
        is_status = (intervals["status"] == status).to_numpy()
        chosen = is_status & (end > start) & ~np.isnan(row_of)
        layers.append(
            SpanLayer(
                *(status, SeriesStyle(STATUS_COLORS[status])),
                *(start[chosen], end[chosen], row_of[chosen]),
                _IDLE_THICKNESS if status == "idle" else thickness,
                hover(status, chosen),
                outlined=status == "waiting",
                in_legend=in_legend,
            )
        )
    return layers


def _positions(
    rows: list[FamilyRow],
    agents: npt.NDArray[Any],
    start: FloatArray,
    end: FloatArray,
    labels: Mapping[str, str],
) -> tuple[dict[str, int], list[str]]:
    """Return the row of each agent, and the labels of the rows.

    If there are many agents, subagents that do not overlap share a row.
    """
    if len(rows) <= _MANY:
        names = [
            f"{'↳' * row.depth} {labels.get(row.agent_id, row.agent_id)}"
            if row.depth
            else labels.get(row.agent_id, row.agent_id)
            for row in rows
        ]
        return {row.agent_id: number for number, row in enumerate(rows)}, names
    position = pack_lanes(rows, _spans(rows, agents, start, end))
    packed = [""] * (max(position.values()) + 1)
    below = Counter(row.root for row in rows if row.depth)
    for row in rows:
        if not row.depth:
            packed[position[row.agent_id]] = labels.get(row.agent_id, row.agent_id)
            if below[row.agent_id]:
                packed[position[row.agent_id] + 1] = (
                    f"↳ {count_text(below[row.agent_id], 'subagent')}"
                )
    return position, packed


def _spans(
    rows: list[FamilyRow], agents: npt.NDArray[Any], start: FloatArray, end: FloatArray
) -> dict[str, tuple[float, float]]:
    """Return the first and the last time of each agent."""
    spans = {row.agent_id: (0.0, 0.0) for row in rows}
    for agent, times in pd.DataFrame({"start": start, "end": end}).groupby(agents):
        spans[str(agent)] = (float(times["start"].min()), float(times["end"].max()))
    return spans


def _total(intervals: pd.DataFrame, status: str, row_of: FloatArray) -> str:
    shown = (intervals["status"] == status).to_numpy() & ~np.isnan(row_of)
    lengths = intervals["duration"][shown].dt.total_seconds()
    return duration_text(1e6 * float(lengths.sum()))


def _interval_hover(
    names: npt.NDArray[Any], status: str, start: FloatArray, end: FloatArray, zone: Any
) -> HoverTexts:
    def texts() -> list[str]:
        return [
            f"{name}\n{status} {duration_text(length)}\n{begin} to\n{until}"
            for name, length, begin, until in zip(
                names, end - start, hover_times(start, zone), hover_times(end, zone), strict=True
            )
        ]

    return texts


def plot_concurrency(
    df: pd.DataFrame,
    freq: str | None = None,
    ax: Axes | None = None,
    *,
    top: int | None = None,
    tz: Zone = None,
    offset: Length | None = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot the average number of active, waiting and idle agents over time, and the peak.

    Args:
        df: as for ``concurrency``.
        freq, ax, tz, offset, backend, theme: as for ``plot_tool_counts``.
        top: count only this many agents and their subagents, those with the most events. None: all.

    Returns:
        As ``plot_tool_counts``.

    Raises:
        InvalidEvent: an argument is invalid, or as ``concurrency``.
    """
    df = in_time_zone(df, "plot_concurrency", tz, *REQUIRED_COLUMNS)
    df, left_out = of_busiest_agents(df, checked_top(top, None))
    freq = freq or choose_freq(df)
    table = concurrency(df, freq, offset=offset)
    zone = time_zone(df)
    periods = plotted_periods(df, table["timestamp"], freq, offset)
    x, shares = _covered(df, periods)
    peak = table["peak"].to_numpy(np.float64)

    def hover() -> list[str]:
        averages = table.assign(**{name: table[name] / shares for name in STATUS_COLORS})
        rows = zip(hover_times(periods.start, zone), averages.itertuples(), strict=True)
        texts = [
            f"{begin}\nactive {row.active:.3g}, waiting {row.waiting:.3g}, idle {row.idle:.3g}\n"
            f"peak {row.peak}"
            for begin, row in rows
        ]
        return [*texts, *texts[-1:]]

    layers, low = [], np.zeros(len(x))
    for status, color in STATUS_COLORS.items():
        level = table[status].to_numpy(np.float64) / shares
        high = low + np.append(level, level[-1:])
        layers.append(LineLayer(status, SeriesStyle(color), x, high, hover, low, steps=True))
        low = high
    layers.append(
        LineLayer(
            "peak of active and waiting",
            SeriesStyle(""),
            x,
            np.append(peak, peak[-1:]),
            hover,
            steps=True,
            width=1.1,
        )
    )
    hours = float((table["active"].to_numpy() * periods.width).sum()) / HOUR_US
    facts = [
        f"at most {int(peak.max(initial=0))} at once",
        f"{hours:,.1f} agent-hours active",
        f"{count_text(left_out, 'agent')} not counted" if left_out else "",
        *facts_of_period(df, zone),
        periods.cut_off_fact,
    ]
    first, last = (float(x[0]), float(x[-1])) if len(x) else (None, None)
    chart = Chart(
        title="Agents at once",
        facts=facts,
        x=AxisSpec("time", "", first, last, zone=zone, whole_days=periods.whole_days),
        y=AxisSpec("number", f"agents, average per {periods.text}", 0.0),
        layers=layers,
        legend="status",
    )
    return draw_chart(chart, ax, backend, theme)


def _covered(df: pd.DataFrame, periods: PlottedPeriods) -> tuple[FloatArray, FloatArray]:
    """Return the edges of periods as far as the frame covers them, and what share it covers.

    ``concurrency`` averages the first period over the time before the frame, too.
    """
    edges = as_floats(np.append(periods.start, periods.end[-1:]))
    if not len(edges):
        return edges, np.empty(0)
    micros = timestamp_micros(df)
    first, last = float(micros.min()), float(micros.max())
    shown = np.clip(edges, first, max(last, first + 1))
    whole = np.diff(np.minimum(edges, shown[-1]))
    lengths = np.diff(shown)
    return shown, np.divide(lengths, whole, out=np.ones(len(whole)), where=lengths > 0)
