"""Axes, times and texts as plotly takes them.

Times are the local times of their zone, because plotly knows no zones. If its clocks change within
the plot, they are times in UTC with ticks labelled in local time, so that the repeated hour has its
place.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...columns import FloatArray
from ...periods import on_clock
from .chart import AxisSpec, HoverTexts, NumberUnit
from .number_text import short_label, tick_text
from .time_axis import clocks_change, duration_ticks, time_ticks

_FEW = 6
_MANY = 40
_AFFIXES = {"usd": {"tickprefix": "$"}, "percent": {"ticksuffix": " %"}}


class PlotlyX:
    """The x axis of a chart.

    Args:
        spec: the axis.
    """

    def __init__(self, spec: AxisSpec) -> None:
        self.spec = spec
        known = spec.kind == "time" and not spec.whole_days
        self.in_utc = (
            known
            and spec.low is not None
            and spec.high is not None
            and clocks_change(spec.low, spec.high, spec.zone)
        )

    def positions(self, values: FloatArray) -> Any:
        """Return positions on the axis."""
        if self.spec.kind != "time":
            return values
        micros = np.rint(values).astype(np.int64)
        shown = micros if self.in_utc else on_clock(micros, self.spec.zone)
        return shown.view("datetime64[us]")

    def lengths(self, values: FloatArray) -> FloatArray:
        """Return lengths along the axis: milliseconds on a time axis."""
        return values / 1000 if self.spec.kind == "time" else values

    def layout(self) -> dict[str, Any]:
        """Return the layout of the axis."""
        spec = self.spec
        if spec.kind != "time":
            return axis_layout(spec, vertical=False)
        axis: dict[str, Any] = {"title": {"text": escape_text(spec.label)}, "type": "date"}
        if spec.low is not None and spec.high is not None:
            axis["range"] = self.positions(np.array([spec.low, spec.high]))
            if self.in_utc:
                ticks = time_ticks(spec.low, spec.high, spec.zone)
                axis["tickvals"] = self.positions(np.array([tick.at for tick in ticks], np.float64))
                axis["ticktext"] = [f"{tick.text}<br>{tick.context}" for tick in ticks]
        return axis


def axis_layout(spec: AxisSpec, *, vertical: bool) -> dict[str, Any]:
    """Return the layout of an axis of numbers or names."""
    axis: dict[str, Any] = {"title": {"text": escape_text(spec.label)}}
    if spec.kind == "names":
        n = len(spec.names)
        shown = [index for index, name in enumerate(spec.names) if name]
        axis |= {
            "tickvals": shown,
            "ticktext": [escape_text(spec.names[index]) for index in shown],
            "range": [n - 0.5, -0.5] if spec.first_at_top else [-0.5, n - 0.5],
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            "ticklabelstandoff": 5,
        }
        return axis | ({"tickfont": {"size": 9}} if vertical and n > _MANY else {})
    if spec.kind == "log":
        axis["type"] = "log"
        if spec.low and spec.high:
            axis["range"] = [float(np.log10(spec.low)), float(np.log10(spec.high))]
            ticks = duration_ticks(spec.low, spec.high)
            axis |= {"tickvals": ticks, "ticktext": tick_texts(ticks, spec.unit)}
        return axis
    if spec.low is not None:
        axis |= {"range": [spec.low, spec.high]} if spec.high else {"rangemode": "tozero"}
    if spec.whole_numbers and spec.high and spec.high < _FEW:
        axis["dtick"] = 1
    return axis | unit_affixes(spec.unit) | {"zeroline": False}


def unit_affixes(unit: NumberUnit) -> dict[str, Any]:
    """Return what plotly writes before and after the numbers of an axis."""
    return dict(_AFFIXES.get(unit, {}))


def tick_texts(values: Sequence[float] | FloatArray, unit: NumberUnit) -> list[str]:
    """Return the labels of ticks."""
    return [escape_text(tick_text(float(value), unit)) for value in values]


def hover_lines(hover: HoverTexts) -> list[str] | None:
    """Return hover texts; None if there are none."""
    return [escape_lines(text) for text in hover()] or None


def escape_lines(text: str) -> str:
    """Return lines of text without a meaning to plotly."""
    return "<br>".join(escape_text(line) for line in text.split("\n"))


def escape_text(text: str, *, whole: bool = False) -> str:
    """Return text without a meaning to plotly; on one line and shortened, unless ``whole``."""
    line = text if whole else short_label(text)
    # Where MathJax is loaded, dollar signs enclose a formula.
    return html.escape(line).replace("$", "&#36;")
