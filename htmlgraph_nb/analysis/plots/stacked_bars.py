"""Bars over time, stacked by a column: tool calls, and dollars or tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import InvalidEvent
from ...local_zone import Zone
from ...pricing.prices import Prices
from ..columns import BoolArray, FloatArray, time_zone
from ..costs import token_costs
from ..periods import Length
from ..tools import tool_counts
from .charts.chart import AxisSpec, BarLayer, Chart, HoverTexts, NumberUnit, SeriesStyle, as_floats
from .charts.number_text import count_text, shown_value, si_number, unit_text, usd_text
from .charts.palette import OTHERS, series_styles
from .charts.time_axis import facts_of_period, hover_times
from .drawing import (
    Backend,
    Theme,
    as_text,
    checked_top,
    column_word,
    draw_chart,
    in_time_zone,
    names_of,
    single_column,
)
from .period_axis import PlottedPeriods, choose_freq, plotted_periods

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMED = 9
_MAX_TOP = 30
_MAX_UNPRICED = 3


def plot_tool_counts(
    df: pd.DataFrame,
    freq: str | None = None,
    by: str = "tool_name",
    ax: Axes | None = None,
    *,
    top: int | None = None,
    colors: Mapping[str, str] | None = None,
    tz: Zone = None,
    offset: Length | None = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot the number of tool calls in each period, stacked by a column.

    Bars of a period that the end of the frame cuts off are pale.

    Args:
        df: as for ``tool_counts``.
        freq: length of a period. None: one that gives some dozens of periods.
        by: the column; its rarest values are combined as "others". Agents are labelled as in
            ``plot_timeline``.
        ax: Axes of matplotlib to draw into. None: a new figure.
        top: how many values have their own color, 1 to 30; the others are grey. None: 9.
        colors: colors of some values, as ``{"Bash": "#b5442b"}``. Others have the color of their
            name, which is the same in every plot; values of one color differ in their pattern.
        tz: time zone, such as "Europe/Paris". None: that of ``timestamp``.
        offset: as for ``tool_counts``.
        backend: "matplotlib"; or "plotly" for zoom and hover, which needs
            ``pip install 'htmlgraph-nb[plotly]'``.
        theme: "light" or "dark". None: the active style sheet, or template of plotly.

    Returns:
        The Axes, or a ``plotly.graph_objects.Figure``.

    Raises:
        InvalidEvent: an argument is invalid, or as ``tool_counts``.
    """
    by = single_column(by, "plot_tool_counts")
    df = in_time_zone(df, "plot_tool_counts", tz)
    freq = freq or choose_freq(df)
    counts = tool_counts(df, by, freq, offset=offset)
    stack = _Stack(
        df, counts, by, "count", "count", freq, offset, checked_top(top, MAX_NAMED, _MAX_TOP)
    )
    total = count_text(int(counts["count"].sum()), "call")
    return draw_chart(
        stack.chart(f"Tool calls by {column_word(by)}", [total], "tool calls", colors),
        *(ax, backend, theme),
    )


def plot_token_costs(
    df: pd.DataFrame,
    freq: str | None = None,
    by: str = "model",
    measure: str = "usd",
    ax: Axes | None = None,
    prices: Prices | None = None,
    *,
    top: int | None = None,
    colors: Mapping[str, str] | None = None,
    tz: Zone = None,
    offset: Length | None = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot dollars or tokens in each period, stacked by model or another column.

    Args:
        df, prices: as for ``token_costs``.
        freq, by, ax, top, colors, tz, offset, backend, theme: as for ``plot_tool_counts``.
        measure: ``"usd"``, or another column of ``token_costs`` such as ``"total"``, ``"output"``
            or ``"answers"``. The line below the title names the tokens without a price.

    Returns:
        As ``plot_tool_counts``.

    Raises:
        InvalidEvent: an argument is invalid, or as ``token_costs``.
    """
    by = single_column(by, "plot_token_costs")
    df = in_time_zone(df, "plot_token_costs", tz)
    freq = freq or choose_freq(df)
    costs = token_costs(df, by, freq, prices=prices, offset=offset)
    measures = [name for name in costs.columns if name not in ("timestamp", by)]
    if measure not in measures:
        # The most frequent questions come first.
        ordered = sorted(measures, key=lambda name: name not in ("usd", "total"))
        raise InvalidEvent(
            f"measure: expected one of {', '.join(sorted(ordered[:2], reverse=True))}, "
            f"{', '.join(ordered[2:])}; got {shown_value(measure)}",
            "measure",
        )
    total = float(costs[measure].sum())
    stack = _Stack(
        *(df, costs, by, measure, "usd" if measure == "usd" else "count", freq, offset),
        checked_top(top, MAX_NAMED, _MAX_TOP),
    )
    word = column_word(by)
    if measure == "usd":
        title, unit = f"Costs by {word}", "US dollars"
        facts = [usd_text(total), unpriced_fact(costs)]
    else:
        unit = "answers" if measure == "answers" else f"{measure.removesuffix('_tokens')} tokens"
        title, facts = f"{unit[0].upper()}{unit[1:]} by {word}", [f"{si_number(total)} {unit}"]
    return draw_chart(stack.chart(title, facts, unit, colors), ax, backend, theme)


def unpriced_fact(costs: pd.DataFrame) -> str:
    """Return which tokens are not in the dollars; "" if all are."""
    tokens = int(costs["unpriced_tokens"].sum())
    if not tokens:
        return ""
    models = [str(name) for name in costs.attrs.get("unknown_models", ())]
    more = len(models) - _MAX_UNPRICED
    names = ", ".join(models[:_MAX_UNPRICED]) + (f" and {more} more" if more > 0 else "")
    return f"without {si_number(tokens)} tokens that have no price" + (
        f": {names}" if names else ""
    )


@dataclass(frozen=True, slots=True)
class _Stack:
    """A table of one measure by period and a column, as bars."""

    df: pd.DataFrame
    table: pd.DataFrame
    by: str
    measure: str
    unit: NumberUnit
    freq: str
    offset: Length | None
    top: int

    def chart(
        self, title: str, facts: list[str], unit_word: str, colors: Mapping[str, str] | None
    ) -> Chart:
        wide, n_others = self._wide()
        zone = time_zone(self.df)
        periods = plotted_periods(self.df, wide.index.to_series(), self.freq, self.offset)
        styles = series_styles(self.by, [str(name) for name in wide.columns], colors)
        layers = self._layers(wide, periods, styles, n_others)
        heights = wide.to_numpy(np.float64).sum(axis=1)
        low, high = _limits(periods)
        return Chart(
            title=title,
            facts=[*facts, *facts_of_period(self.df, zone), periods.cut_off_fact],
            x=AxisSpec("time", "", low, high, zone=zone, whole_days=periods.whole_days),
            y=AxisSpec(
                "number",
                f"{unit_word} per {periods.text}",
                0.0,
                1.05 * float(heights.max(initial=0.0)) or 1.0,
                self.unit,
                whole_numbers=self.unit == "count",
            ),
            layers=layers,
            legend=column_word(self.by),
        )

    def _wide(self) -> tuple[pd.DataFrame, int]:
        """Return one column per shown name, the largest first, and how many "others" are."""
        names, values = as_text(self.table[self.by]), self.table[self.measure].fillna(0)
        totals = values.groupby(names).sum().sort_values(ascending=False, kind="stable")
        shown, n_others = list(totals.index), 0
        if len(totals) > self.top + 1 or (len(totals) > self.top and self.top < MAX_NAMED):
            shown, n_others = shown[: self.top], len(totals) - self.top
            names = names.where(names.isin(shown), OTHERS)
            shown.append(OTHERS)
        wide = values.groupby([self.table["timestamp"], names]).sum().unstack()
        return wide.reindex(columns=shown).fillna(0.0).astype(np.float64), n_others

    def _layers(
        self,
        wide: pd.DataFrame,
        periods: PlottedPeriods,
        styles: Mapping[str, SeriesStyle],
        n_others: int,
    ) -> list[BarLayer]:
        labels = names_of(self.df, self.by)
        bottom = np.zeros(len(wide))
        layers = []
        for name in wide.columns:
            height = wide[name].to_numpy(np.float64)
            label = f"{OTHERS} ({n_others})" if n_others and name == OTHERS else str(name)
            label = labels.get(label, label)
            used = height > 0
            layers.append(
                BarLayer(
                    label,
                    styles[str(name)],
                    as_floats(periods.start[used]),
                    periods.width[used] * 0.94,
                    bottom[used],
                    height[used],
                    periods.cut_off[used],
                    self._hover(label, periods, height, used),
                )
            )
            bottom = bottom + height
        return layers

    def _hover(
        self, label: str, periods: PlottedPeriods, height: FloatArray, used: BoolArray
    ) -> HoverTexts:
        zone = time_zone(self.df)
        unit = " calls" if self.measure == "count" else ""

        def texts() -> list[str]:
            starts = hover_times(periods.start[used], zone)
            ends = hover_times(periods.end[used], zone)
            return [
                f"{label}\n{start} to\n{end}\n{unit_text(value, self.unit)}{unit}"
                for start, end, value in zip(starts, ends, height[used].tolist(), strict=True)
            ]

        return texts


def _limits(periods: PlottedPeriods) -> tuple[float | None, float | None]:
    if not len(periods.start):
        return None, None
    margin = 0.03 * (periods.end[-1] - periods.start[0])
    return float(periods.start[0] - margin), float(periods.end[-1] + margin)
