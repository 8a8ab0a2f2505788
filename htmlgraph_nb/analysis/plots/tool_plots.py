"""Plots of tools: which follows which, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...local_zone import Zone
from ..columns import (
    FloatArray,
    encode_column,
    float_column,
    time_zone,
    tool_mask,
)
from ..tools import tool_durations, tool_transitions
from .charts.chart import AxisSpec, BoxLayer, CellLayer, Chart, LineLayer, as_floats
from .charts.number_text import count_text, short_label, unit_text
from .charts.palette import NOT_NAMED, series_styles
from .charts.time_axis import facts_of_period
from .drawing import (
    Backend,
    Theme,
    as_text,
    checked_top,
    choice,
    column_word,
    draw_chart,
    in_time_zone,
    names_of,
    single_column,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TOOLS = 25
_MOST_TEXTS = 16
_MOST_BOXES = 15
_MOST_LINES = 9
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_KINDS = ("box", "ecdf")
_MAX_ECDF_POINTS = 2_000


def plot_tool_transitions(
    df: pd.DataFrame,
    ax: Axes | None = None,
    *,
    top: int | None = None,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot which tool follows which as a heat map: rows are tools, columns the next tools.

    Colors are counts, on a logarithmic scale; numbers in the cells are the share of the row. Tools
    are in the order of their frequency.

    Args:
        df: as for ``tool_transitions``.
        ax, tz, backend, theme: as for ``plot_tool_counts``.
        top: only this many tools, the most frequent ones. None: 25.

    Returns:
        As ``plot_tool_counts``.

    Raises:
        InvalidEvent: an argument is invalid, or as ``tool_transitions``.
    """
    n_shown = checked_top(top, _MOST_TOOLS)
    df = in_time_zone(df, "plot_tool_transitions", tz)
    pairs = tool_transitions(df)
    first, following = as_text(pairs["tool_name"]), as_text(pairs["next_tool_name"])
    totals = pairs["count"].groupby(first).sum()
    totals = totals.add(pairs["count"].groupby(following).sum(), fill_value=0)
    tools = list(totals.sort_values(ascending=False, kind="stable").index[:n_shown])
    counts, shares = (
        pairs[name]
        .groupby([first, following])
        .sum()
        .unstack()
        .reindex(index=tools, columns=tools)
        .fillna(0.0)
        for name in ("count", "share")
    )
    of_row = pairs["count"].groupby(first).sum().reindex(tools).fillna(0).astype(int)
    n, share = counts.to_numpy(np.float64), shares.to_numpy(np.float64)

    def hover() -> list[list[str]]:
        return [
            [
                f"{tool}, then {following}\n{int(n[row, column]):,} of {of_row[tool]:,} "
                f"({share[row, column]:.0%})"
                for column, following in enumerate(tools)
            ]
            for row, tool in enumerate(tools)
        ]

    texts = None
    if len(tools) <= _MOST_TEXTS:
        texts = [[f"{part:.0%}" if part >= 0.005 else "" for part in row] for row in share]
    left_out = len(totals) - len(tools)
    side = 2.6 + 0.42 * max(len(tools), 3)
    chart = Chart(
        title="Which tool follows which",
        facts=[
            f"{int(pairs['count'].sum()):,} pairs",
            f"{left_out} rarer tools not shown" if left_out else "",
            "numbers: share of the row" if texts else "",
            *facts_of_period(df, time_zone(df)),
        ],
        x=AxisSpec("names", "next tool", names=tools),
        y=AxisSpec(
            "names", "tool", names=[f"{name} ({of_row[name]:,})" for name in tools],
            first_at_top=True,
        ),
        layers=[CellLayer(n, texts, hover, "times", log=True)] if tools else [],
        width=side + 2.4,
        height=side,
        square=True,
    )  # fmt: skip
    return draw_chart(chart, ax, backend, theme)


def plot_tool_durations(
    df: pd.DataFrame,
    by: str = "tool_name",
    kind: str = "box",
    ax: Axes | None = None,
    *,
    top: int | None = None,
    colors: Mapping[str, str] | None = None,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot how long tool calls took, on a logarithmic scale.

    Args:
        df: as for ``tool_durations``; calls without a duration are left out.
        by: the column; values with few calls are left out, see ``top``.
        kind: ``"box"``: a box from the lower to the upper quartile with the median, and whiskers
            from the 5th to the 95th percentile. ``"ecdf"``: the share of calls that took at most
            so long.
        top: only this many values, those that took the most time in total. None: 15 boxes or 9
            lines.
        ax, colors, tz, backend, theme: as for ``plot_tool_counts``.

    Returns:
        As ``plot_tool_counts``.

    Raises:
        InvalidEvent: an argument is invalid, or as ``tool_durations``.
    """
    by = single_column(by, "plot_tool_durations")
    kind = choice(kind, "kind", _KINDS)
    n_shown = checked_top(top, _MOST_BOXES if kind == "box" else _MOST_LINES)
    needed = ("event_type", "tool_name", "duration_ms", by)
    df = in_time_zone(df, "plot_tool_durations", tz, *needed)
    table = tool_durations(df, by, _QUANTILES)
    timed = table[table["timed"] > 0].sort_values("total_ms", ascending=False, kind="stable")
    shown = timed.iloc[:n_shown]
    facts = [f"{count_text(int(shown['timed'].sum()), 'call')} with a duration"]
    if len(timed) > len(shown):
        facts.append(f"{len(timed) - len(shown)} more not shown")
    facts += facts_of_period(df, time_zone(df))
    draw = _box_chart if kind == "box" else _ecdf_chart
    return draw_chart(draw(df, shown, by, facts, colors), ax, backend, theme)


def _box_chart(
    df: pd.DataFrame,
    table: pd.DataFrame,
    by: str,
    facts: list[str],
    colors: Mapping[str, str] | None,
) -> Chart:
    table = table.sort_values("p50_ms", kind="stable")
    names = list(as_text(table[by]))
    labels = names_of(df, by)
    quantiles = table[[f"p{q * 100:g}_ms" for q in _QUANTILES]].to_numpy(np.float64)
    quantiles = np.maximum(quantiles, 1.0)
    styles = series_styles(by, names, colors)

    def hover() -> list[str]:
        return [
            f"{labels.get(name, name)}\nmedian {unit_text(median, 'ms')}\n"
            f"half of the calls {unit_text(lower, 'ms')} to {unit_text(upper, 'ms')}\n"
            f"90 % {unit_text(low, 'ms')} to {unit_text(high, 'ms')}\n"
            f"{count_text(timed, 'call')}, longest {unit_text(longest, 'ms')}"
            for name, timed, longest, (low, lower, median, upper, high) in zip(
                names, table["timed"], table["max_ms"], quantiles.tolist(), strict=True
            )
        ]

    return Chart(
        title=f"Durations of tool calls by {column_word(by)}",
        facts=[*facts, "boxes: half of the calls, whiskers: 90 %"],
        x=_duration_axis(quantiles),
        y=AxisSpec(
            "names",
            "",
            names=[
                f"{short_label(labels.get(name, name))} ({timed:,})"
                for name, timed in zip(names, table["timed"], strict=True)
            ],
        ),
        layers=[BoxLayer([styles[name] for name in names], quantiles, hover)],
        height=1.8 + 0.34 * max(len(names), 2),
    )


def _ecdf_chart(
    df: pd.DataFrame,
    table: pd.DataFrame,
    by: str,
    facts: list[str],
    colors: Mapping[str, str] | None,
) -> Chart:
    durations, keys = _durations(df, by)
    labels = names_of(df, by)
    names = list(as_text(table[by]))
    styles = series_styles(by, names, colors)
    layers, every = [], []
    for name in names:
        values = np.maximum(np.sort(durations[keys == name]), 1.0)
        share = 100 * np.arange(1, len(values) + 1) / len(values)
        # So many points are a smooth line already.
        kept = np.unique(np.linspace(0, len(values) - 1, _MAX_ECDF_POINTS).astype(int))
        values, share = values[kept], share[kept]
        label = labels.get(name, name)
        layers.append(
            LineLayer(
                label,
                styles[name],
                as_floats(np.append(values[0], values)),
                as_floats(np.append(0.0, share)),
                _ecdf_hover(label, values, share),
                steps=True,
                width=1.8,
            )
        )
        every.append(values)
    return Chart(
        title=f"Durations of tool calls by {column_word(by)}",
        facts=facts,
        x=_duration_axis(np.concatenate(every) if every else np.array([1.0])),
        y=AxisSpec("number", "share of calls that took at most so long", 0.0, 102.0, "percent"),
        layers=layers,
        legend=column_word(by),
    )


def _durations(df: pd.DataFrame, by: str) -> tuple[FloatArray, Any]:
    """Return the durations of tool calls, and the value of ``by`` of each."""
    milliseconds = float_column(df, "duration_ms")
    rows = np.flatnonzero(tool_mask(df) & ~np.isnan(milliseconds))
    column = encode_column(df, by)
    names = np.array([*map(str, column.values), NOT_NAMED], dtype=object)
    return milliseconds[rows], names[column.codes[rows]]


def _ecdf_hover(label: str, values: FloatArray, share: FloatArray) -> Any:
    def texts() -> list[str]:
        lines = [
            f"{label}\n{part:.0f} % took at most {unit_text(value, 'ms')}"
            for value, part in zip(values.tolist(), share.tolist(), strict=True)
        ]
        return [*lines[:1], *lines]

    return texts


def _duration_axis(values: FloatArray) -> AxisSpec:
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 1000.0)
    return AxisSpec("log", "duration", low / 1.3, max(high * 1.3, low * 4), "ms")
