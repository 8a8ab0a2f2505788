"""Plot a history frame with matplotlib; each function draws into an Axes and returns it.

Status and series colors work on light and dark backgrounds; all else follows the active style
sheet. Nothing is shown or saved: a notebook displays the returned Axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.roster import Limits
from ..pricing.prices import Prices
from . import concurrency, timeline, token_costs, tool_counts, tool_transitions
from .agent_labels import agent_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

STATUS_COLORS = {"active": "#2f9e5f", "waiting": "#e8930c", "idle": "#8a94a6"}
_MAX_SERIES = 9
_MAX_LABELS = 40
_MAX_LABEL_CHARS = 56
_OTHERS = "others"
_FREQS = ("1s", "5s", "15s", "1min", "5min", "15min", "1h", "3h", "6h", "D", "W-MON")


def plot_timeline(df: pd.DataFrame, ax: Axes | None = None, limits: Limits | None = None) -> Axes:
    """Plot when each agent was active, waiting and idle, one line per agent in order of start.

    Args:
        df: as for ``timeline``.
        ax: Axes to draw into. None: a new figure, higher with more agents.
        limits: as for ``timeline``.

    Returns:
        The Axes. Agents are labelled by their title, else project and branch, else id; with many
        agents only some are.

    Raises:
        InvalidEvent: as ``timeline``.
    """
    intervals = timeline(df, limits)
    agents = intervals.groupby("agent_id", observed=True)["start"].min().sort_values(kind="stable")
    ax = ax or _new_axes(10, min(2 + 0.3 * len(agents), 14))
    rows = pd.Series(np.arange(len(agents)), index=agents.index.astype(str))
    labels = agent_labels(df)
    position = intervals["agent_id"].astype(str).map(rows).to_numpy()
    start, end = _date_numbers(intervals["start"]), _date_numbers(intervals["end"])
    height = 0.8 if len(agents) <= _MAX_LABELS else 1.0
    for status, color in STATUS_COLORS.items():
        selected = (intervals["status"] == status).to_numpy() & (end > start)
        _rectangles(ax, start[selected], end[selected], position[selected], height, color)
        ax.bar(np.nan, np.nan, color=color, label=status)
    ax.set_ylim(max(len(agents), 1) - 0.5, -0.5)
    if len(intervals):
        ax.set_xlim(start.min(), max(end.max(), start.min() + 1e-6))
    _label_some(ax.yaxis, [labels.get(name, name) for name in rows.index])
    _time_axis(ax, intervals["start"])
    _legend(ax)
    ax.set_title("Agents")
    return ax


def plot_tool_counts(
    df: pd.DataFrame,
    freq: str | None = None,
    by: str = "tool_name",
    ax: Axes | None = None,
) -> Axes:
    """Plot the number of tool calls in each period, stacked by a column.

    Args:
        df: as for ``tool_counts``.
        freq: length of a period. None: one that gives some dozens of periods.
        by: the column; its rarest values are combined as "others". Agents are labelled as in
            ``plot_timeline``.
        ax: Axes to draw into. None: a new figure.

    Raises:
        InvalidEvent: as ``tool_counts``.
    """
    freq = freq or _choose_freq(df)
    counts = tool_counts(df, by, freq)
    ax = _plot_stacked(counts, by, "count", freq, ax, _names_of(df, by))
    ax.set_ylabel(f"calls in {freq}")
    ax.set_title("Tool calls")
    return ax


def plot_token_costs(
    df: pd.DataFrame,
    freq: str | None = None,
    by: str = "model",
    measure: str = "usd",
    ax: Axes | None = None,
    prices: Prices | None = None,
) -> Axes:
    """Plot dollars or tokens in each period, stacked by model or another column.

    Args:
        df, prices: as for ``token_costs``.
        freq, by, ax: as for ``plot_tool_counts``.
        measure: ``"usd"``, or a kind of tokens as ``"total"`` or ``"output"``. The title lists
            models without a price.

    Raises:
        InvalidEvent: as ``token_costs``.
    """
    freq = freq or _choose_freq(df)
    costs = token_costs(df, by, freq, prices=prices)
    ax = _plot_stacked(costs, by, measure, freq, ax, _names_of(df, by))
    unit = "US dollars" if measure == "usd" else f"{measure} tokens"
    ax.set_ylabel(f"{unit} in {freq}")
    unknown = costs.attrs["unknown_models"] if measure == "usd" else []
    names = ", ".join(map(_label, unknown[:3]))
    ax.set_title("Costs" + (f" without {names}" if unknown else ""))
    return ax


def plot_concurrency(df: pd.DataFrame, freq: str | None = None, ax: Axes | None = None) -> Axes:
    """Plot the average number of active, waiting and idle agents over time, and the peak.

    Args:
        df: as for ``concurrency``.
        freq, ax: as for ``plot_tool_counts``.

    Raises:
        InvalidEvent: as ``concurrency``.
    """
    freq = freq or _choose_freq(df)
    table = concurrency(df, freq)
    ax = ax or _new_axes(10, 4)
    starts = _date_numbers(table["timestamp"])
    levels = [table[status].to_numpy() for status in STATUS_COLORS]
    ax.stackplot(
        np.append(starts, starts[-1:] + _width(freq)),
        [np.append(level, level[-1:]) for level in levels],
        labels=list(STATUS_COLORS),
        colors=list(STATUS_COLORS.values()),
        step="post",
    )
    ax.step(
        np.append(starts, starts[-1:] + _width(freq)),
        np.append(table["peak"], table["peak"][-1:]),
        where="post",
        color=_text_color(),
        linewidth=1,
        label="peak, not idle",
    )
    if len(starts):
        ax.set_xlim(starts[0], starts[-1] + _width(freq))
    ax.set_ylim(bottom=0)
    _time_axis(ax, table["timestamp"])
    _legend(ax)
    ax.set_ylabel(f"agents in {freq}")
    ax.set_title("Agents at once")
    return ax


def plot_tool_transitions(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot which tool follows which as a heat map: rows are tools, columns the next tools.

    Args:
        df: as for ``tool_transitions``; only the 25 most frequent tools are shown.
        ax: Axes to draw into. None: a new figure.

    Raises:
        InvalidEvent: as ``tool_transitions``.
    """
    transitions = tool_transitions(df)
    transitions["tool_name"] = _as_text(transitions["tool_name"])
    transitions["next_tool_name"] = _as_text(transitions["next_tool_name"])
    totals = (
        transitions.groupby("tool_name")["count"]
        .sum()
        .add(transitions.groupby("next_tool_name")["count"].sum(), fill_value=0)
    )
    tools = sorted(totals.nlargest(25).index)
    labels = list(map(_label, tools))
    shares = transitions.pivot(index="tool_name", columns="next_tool_name", values="share")
    table = shares.reindex(index=tools, columns=tools).fillna(0.0).to_numpy()
    side = 3 + 0.4 * len(tools)
    ax = ax or _new_axes(side + 1, side)
    if not tools:
        table = np.zeros((1, 1))
    highest = float(table.max()) or 1.0
    image = ax.imshow(table, cmap=_heat_colors(), vmin=0, vmax=highest, aspect="equal")
    ax.set_xticks(range(len(tools)), labels, rotation=90 if len(tools) > 6 else 0)
    ax.set_yticks(range(len(tools)), labels)
    ax.grid(visible=False)
    if len(tools) <= 12:
        for row, column in np.argwhere(table >= 0.005):
            share = table[row, column]
            color = "white" if share < 0.6 * highest else "black"
            ax.text(column, row, f"{share:.0%}", ha="center", va="center", color=color, size=8)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.04)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_xlabel("next tool")
    ax.set_ylabel("tool")
    ax.set_title("Which tool follows which")
    return ax


def _new_axes(width: float, height: float) -> Axes:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def _text_color() -> Any:
    from matplotlib import rcParams

    return rcParams["text.color"]


def _heat_colors() -> Colormap:
    from matplotlib import colormaps

    return colormaps["viridis"]


def _date_numbers(times: pd.Series) -> npt.NDArray[np.float64]:
    """Return times as matplotlib date numbers, in local time of their time zone."""
    local = times.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    days: npt.NDArray[np.float64] = local.astype(np.int64) / 86_400e6
    return days


def _width(freq: str) -> float:
    """Return the length of a period in days."""
    start = pd.Timestamp("2026-01-01")
    return (start + pd.tseries.frequencies.to_offset(freq) - start) / pd.Timedelta(days=1)


def _choose_freq(df: pd.DataFrame) -> str:
    """Return a period length of which the frame has some dozens."""
    if "timestamp" not in df.columns or not len(df):
        return "1h"
    timestamps = df["timestamp"]
    if timestamps.dtype == object:
        timestamps = pd.to_datetime(timestamps, utc=True)
    duration = timestamps.max() - timestamps.min()
    candidates = (freq for freq in _FREQS if duration <= 60 * pd.Timedelta(_width(freq), unit="D"))
    return next(candidates, "MS")


def _names_of(df: pd.DataFrame, by: str) -> Mapping[str, str]:
    """Return the names to show for values of a column, unless these are shown themselves."""
    return agent_labels(df) if by == "agent_id" else {}


def _plot_stacked(
    table: pd.DataFrame,
    by: str,
    measure: str,
    freq: str,
    ax: Axes | None,
    shown_names: Mapping[str, str],
) -> Axes:
    from matplotlib import colormaps

    ax = ax or _new_axes(10, 4)
    names = _as_text(table[by])
    totals = table[measure].groupby(names).sum().sort_values(ascending=False, kind="stable")
    shown = list(totals.index[:_MAX_SERIES])
    if len(totals) > _MAX_SERIES + 1:
        names = names.where(names.isin(shown), _OTHERS)
        shown.append(_OTHERS)
    else:
        shown = list(totals.index)
    wide = table[measure].groupby([table["timestamp"], names]).sum().unstack().fillna(0)
    starts, width = _date_numbers(wide.index.to_series()), _width(freq)
    below = np.zeros(len(wide))
    colors: Any = colormaps["tab10"]
    for number, name in enumerate(shown):
        height, color = wide[name].to_numpy(), colors(number)
        label = _label(shown_names.get(name, name))
        ax.bar(starts, height, width * 0.9, below, align="edge", color=color, label=label)
        below = below + height
    if len(starts):
        ax.set_xlim(starts.min() - width / 2, starts.max() + 1.5 * width)
    ax.set_ylim(0, 1.05 * below.max(initial=0) or 1)
    _time_axis(ax, table["timestamp"])
    _legend(ax)
    ax.yaxis.set_major_formatter(_short_number)
    return ax


def _as_text(names: pd.Series) -> pd.Series:
    return names.astype(object).where(names.notna(), "not named").astype(str)


def _label(name: str) -> str:
    """Return a name as a label: short, on one line, and without a meaning to matplotlib."""
    line = " ".join(name.split())
    if len(line) > _MAX_LABEL_CHARS:
        line = line[: _MAX_LABEL_CHARS - 1].rstrip() + "…"
    # A dollar sign starts a formula; a legend leaves out names that begin with an underscore.
    return ("\u200a" if line.startswith("_") else "") + line.replace("$", r"\$")


def _short_number(value: float, _position: object) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"


def _rectangles(
    ax: Axes,
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    position: npt.NDArray[np.float64],
    height: float,
    color: str,
) -> None:
    """Draw all intervals of one color as one collection, which is fast for 100,000 intervals."""
    from matplotlib.collections import PolyCollection

    low, high = position - height / 2, position + height / 2
    corners = [(start, low), (start, high), (end, high), (end, low)]
    shapes = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    ax.add_collection(PolyCollection(list(shapes), facecolor=color, linewidth=0))


def _label_some(axis: Any, names: Sequence[str]) -> None:
    """Label the agents on an axis; if they do not fit, every second, fifth, tenth and so on."""
    steps = (1, 2, 5, 10, 20, 50, len(names) + 1)
    step = next(step for step in steps if len(names) <= _MAX_LABELS * step)
    positions = range(0, len(names), step)
    axis.set_ticks(list(positions), [_label(names[position]) for position in positions])


def _time_axis(ax: Axes, times: pd.Series) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
    ax.set_xlabel(str(getattr(times.dt, "tz", None) or "UTC"))


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
