"""Plots of a history frame with matplotlib; each draws into an Axes and returns it.

Colours of status and of series suit light and dark backgrounds alike; all else is that of the style
sheet in force. Nothing is shown or saved: a notebook shows what a cell returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.roster import Limits
from ..pricing.prices import Prices
from . import concurrency, timeline, token_costs, tool_counts, tool_transitions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

STATUS_COLORS = {"active": "#2f9e5f", "waiting": "#e8930c", "idle": "#8a94a6"}
_MAX_SERIES = 9
_MAX_LABELS = 40
_OTHERS = "others"


def plot_timeline(df: pd.DataFrame, ax: Axes | None = None, limits: Limits | None = None) -> Axes:
    """Draw when each agent was active, waiting and idle, one line an agent, the first above.

    Args:
        df: as for ``timeline``.
        ax: where to draw; None: a new figure, the higher the more agents there are.
        limits: as for ``timeline``.

    Returns:
        The Axes. Agents are named as far as there is room for their names.

    Raises:
        InvalidEvent: as ``timeline``.
    """
    found = timeline(df, limits)
    agents = found.groupby("agent_id", observed=True)["start"].min().sort_values(kind="stable")
    ax = ax or _new_axes(10, min(2 + 0.3 * len(agents), 14))
    rows = pd.Series(np.arange(len(agents)), index=agents.index.astype(str))
    place = found["agent_id"].astype(str).map(rows).to_numpy()
    start, end = _numbers(found["start"]), _numbers(found["end"])
    thick = 0.8 if len(agents) <= _MAX_LABELS else 1.0
    for status, colour in STATUS_COLORS.items():
        these = (found["status"] == status).to_numpy() & (end > start)
        _rectangles(ax, start[these], end[these], place[these], thick, colour)
        ax.bar(np.nan, np.nan, color=colour, label=status)
    ax.set_ylim(max(len(agents), 1) - 0.5, -0.5)
    if len(found):
        ax.set_xlim(start.min(), max(end.max(), start.min() + 1e-6))
    _name_some(ax.yaxis, rows.index)
    _time_axis(ax, found["start"])
    _legend(ax)
    ax.set_title("Agents")
    return ax


def plot_tool_counts(
    df: pd.DataFrame,
    freq: str | None = None,
    by: str = "tool_name",
    ax: Axes | None = None,
) -> Axes:
    """Draw how many tools were executed in each period, stacked by a column.

    Args:
        df: as for ``tool_counts``.
        freq: length of a period; None: one that gives some dozens of them.
        by: the column; its rarest values are drawn as one.
        ax: where to draw; None: a new figure.

    Raises:
        InvalidEvent: as ``tool_counts``.
    """
    freq = freq or _fitting_freq(df)
    counts = tool_counts(df, by, freq)
    ax = _stacked(counts, by, "count", freq, ax)
    ax.set_ylabel(f"tools in {freq}")
    ax.set_title("Tools")
    return ax


def plot_token_costs(
    df: pd.DataFrame,
    freq: str | None = None,
    by: str = "model",
    measure: str = "usd",
    ax: Axes | None = None,
    prices: Prices | None = None,
) -> Axes:
    """Draw dollars or tokens in each period, stacked by model or another column.

    Args:
        df, prices: as for ``token_costs``.
        freq, by, ax: as for ``plot_tool_counts``.
        measure: ``"usd"``, or a kind of tokens as ``"total"`` or ``"output"``. The title names
            models that have no price.

    Raises:
        InvalidEvent: as ``token_costs``.
    """
    freq = freq or _fitting_freq(df)
    costs = token_costs(df, by, freq, prices=prices)
    ax = _stacked(costs, by, measure, freq, ax)
    unit = "US dollars" if measure == "usd" else f"{measure} tokens"
    ax.set_ylabel(f"{unit} in {freq}")
    unknown = costs.attrs["unknown_models"] if measure == "usd" else []
    ax.set_title("Costs" + (f" without {', '.join(unknown[:3])}" if unknown else ""))
    return ax


def plot_concurrency(df: pd.DataFrame, freq: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw how many agents were active, waiting and idle on average, and the peak, over time.

    Args:
        df: as for ``concurrency``.
        freq, ax: as for ``plot_tool_counts``.

    Raises:
        InvalidEvent: as ``concurrency``.
    """
    freq = freq or _fitting_freq(df)
    found = concurrency(df, freq)
    ax = ax or _new_axes(10, 4)
    at = _numbers(found["timestamp"])
    levels = [found[status].to_numpy() for status in STATUS_COLORS]
    ax.stackplot(
        np.append(at, at[-1:] + _width(freq)),
        [np.append(level, level[-1:]) for level in levels],
        labels=list(STATUS_COLORS),
        colors=list(STATUS_COLORS.values()),
        step="post",
    )
    ax.step(
        np.append(at, at[-1:] + _width(freq)),
        np.append(found["peak"], found["peak"][-1:]),
        where="post",
        color=_text_colour(),
        linewidth=1,
        label="most not idle",
    )
    if len(at):
        ax.set_xlim(at[0], at[-1] + _width(freq))
    ax.set_ylim(bottom=0)
    _time_axis(ax, found["timestamp"])
    _legend(ax)
    ax.set_ylabel(f"agents in {freq}")
    ax.set_title("Agents at once")
    return ax


def plot_tool_transitions(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw which tool follows which: a row a tool, a column the one after it, shares as colours.

    Args:
        df: as for ``tool_transitions``; of more than 25 tools those used most.
        ax: where to draw; None: a new figure.

    Raises:
        InvalidEvent: as ``tool_transitions``.
    """
    found = tool_transitions(df)
    found["tool_name"] = _as_text(found["tool_name"])
    found["next_tool_name"] = _as_text(found["next_tool_name"])
    both = (
        found.groupby("tool_name")["count"]
        .sum()
        .add(found.groupby("next_tool_name")["count"].sum(), fill_value=0)
    )
    tools = sorted(both.nlargest(25).index)
    shares = found.pivot(index="tool_name", columns="next_tool_name", values="share")
    table = shares.reindex(index=tools, columns=tools).fillna(0.0).to_numpy()
    side = 3 + 0.4 * len(tools)
    ax = ax or _new_axes(side + 1, side)
    if not tools:
        table = np.zeros((1, 1))
    most = float(table.max()) or 1.0
    image = ax.imshow(table, cmap=_heat(), vmin=0, vmax=most, aspect="equal")
    ax.set_xticks(range(len(tools)), tools, rotation=90 if len(tools) > 6 else 0)
    ax.set_yticks(range(len(tools)), tools)
    ax.grid(visible=False)
    if len(tools) <= 12:
        for row, column in np.argwhere(table >= 0.005):
            share = table[row, column]
            colour = "white" if share < 0.6 * most else "black"
            ax.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour, size=8)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.04)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_xlabel("next tool")
    ax.set_ylabel("tool")
    ax.set_title("Which tool follows which")
    return ax


def _new_axes(width: float, height: float) -> Axes:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def _text_colour() -> Any:
    from matplotlib import rcParams

    return rcParams["text.color"]


def _heat() -> Colormap:
    from matplotlib import colormaps

    return colormaps["viridis"]


def _numbers(times: pd.Series) -> npt.NDArray[np.float64]:
    """Return times as matplotlib's numbers of days, by the clock of their time zone."""
    local = times.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    days: npt.NDArray[np.float64] = local.astype(np.int64) / 86_400e6
    return days


def _width(freq: str) -> float:
    begin = pd.Timestamp("2026-01-01")
    return (begin + pd.tseries.frequencies.to_offset(freq) - begin) / pd.Timedelta(days=1)


def _fitting_freq(df: pd.DataFrame) -> str:
    """Return a period of which the frame has some dozens."""
    if "timestamp" not in df.columns or not len(df):
        return "1h"
    moments = df["timestamp"]
    if moments.dtype == object:
        moments = pd.to_datetime(moments, utc=True)
    span = moments.max() - moments.min()
    fits = (freq for freq in _FREQS if span <= 60 * pd.Timedelta(_width(freq), unit="D"))
    return next(fits, "MS")


_FREQS = ("1s", "5s", "15s", "1min", "5min", "15min", "1h", "3h", "6h", "D", "W-MON")


def _stacked(table: pd.DataFrame, by: str, measure: str, freq: str, ax: Axes | None) -> Axes:
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
    at, width = _numbers(wide.index.to_series()), _width(freq)
    below = np.zeros(len(wide))
    colours: Any = colormaps["tab10"]
    for number, name in enumerate(shown):
        height, colour = wide[name].to_numpy(), colours(number)
        ax.bar(at, height, width * 0.9, below, align="edge", color=colour, label=name)
        below = below + height
    if len(at):
        ax.set_xlim(at.min() - width / 2, at.max() + 1.5 * width)
    ax.set_ylim(0, 1.05 * below.max(initial=0) or 1)
    _time_axis(ax, table["timestamp"])
    _legend(ax)
    ax.yaxis.set_major_formatter(_short_number)
    return ax


def _as_text(names: pd.Series) -> pd.Series:
    return names.astype(object).where(names.notna(), "not named").astype(str)


def _short_number(value: float, _place: object) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{sign}"
    return f"{value:g}"


def _rectangles(
    ax: Axes,
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    place: npt.NDArray[np.float64],
    thick: float,
    colour: str,
) -> None:
    """Draw all intervals of one colour as one collection: a hundred thousand of them stay fast."""
    from matplotlib.collections import PolyCollection

    low, high = place - thick / 2, place + thick / 2
    corners = [(start, low), (start, high), (end, high), (end, low)]
    shapes = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    ax.add_collection(PolyCollection(list(shapes), facecolor=colour, linewidth=0))


def _name_some(axis: Any, names: pd.Index) -> None:
    """Name the agents on an axis, of more than fit every second, fifth or tenth."""
    step = next(one for one in (1, 2, 5, 10, 20, 50, len(names) + 1) if len(names) <= 40 * one)
    places = range(0, len(names), step)
    axis.set_ticks(list(places), [str(names[place]) for place in places])


def _time_axis(ax: Axes, times: pd.Series) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
    ax.set_xlabel(str(getattr(times.dt, "tz", None) or "UTC"))


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
