"""What a plot shows, independent of the library that draws it.

Times are microseconds since 1970 UTC everywhere; the drawers convert them. Texts are plain: the
drawers escape what has a meaning to their library. Hover texts are functions, because only one of
the drawers needs them; "\\n" in them starts a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...columns import BoolArray, FloatArray

DASHED, DOTTED = 1, 2
"""Patterns of lines, as SeriesStyle has them."""
HoverTexts = Callable[[], Sequence[str]]
AxisKind = Literal["time", "number", "log", "names"]
NumberUnit = Literal["count", "usd", "percent", "ms"]


@dataclass(frozen=True, slots=True)
class SeriesStyle:
    """How a series looks.

    Attributes:
        color: ``#rrggbb``; "": the text color of the theme.
        pattern: number of the hatching or dash pattern that distinguishes series of one color; 0:
            none.
    """

    color: str
    pattern: int = 0


@dataclass(frozen=True, slots=True)
class AxisSpec:
    """An axis.

    Attributes:
        kind: "names": positions 0, 1, 2 … with a label each.
        label: what it measures; "": nothing.
        low, high: the range that is shown; None: chosen by the drawer.
        unit: unit of the numbers of kinds "number" and "log".
        names: labels of the positions of "names", in order; "" at positions without a label.
        zone: time zone of "time".
        first_at_top: "names": position 0 is at the top.
        whole_days: "time": all values are the begins of days.
        whole_numbers: "number": ticks are whole numbers.
    """

    kind: AxisKind
    label: str = ""
    low: float | None = None
    high: float | None = None
    unit: NumberUnit = "count"
    names: Sequence[str] = ()
    zone: Any = "UTC"
    first_at_top: bool = False
    whole_days: bool = False
    whole_numbers: bool = False


@dataclass(frozen=True, slots=True)
class BarLayer:
    """Vertical bars of one series.

    Attributes:
        left, width: on the x axis.
        bottom, height: on the y axis; bars of later layers are above those of earlier ones.
        pale: bars of periods that are not finished.
    """

    name: str
    style: SeriesStyle
    left: FloatArray
    width: FloatArray
    bottom: FloatArray
    height: FloatArray
    pale: BoolArray
    hover: HoverTexts


@dataclass(frozen=True, slots=True)
class SpanLayer:
    """Horizontal bars: what lasts from a start to an end, each in a row.

    Attributes:
        row: position on the y axis.
        thickness: height as a share of a row.
        outlined: draw an edge, so that short ones stay visible.
    """

    name: str
    style: SeriesStyle
    start: FloatArray
    end: FloatArray
    row: FloatArray
    thickness: float
    hover: HoverTexts
    outlined: bool = False
    in_legend: bool = True


@dataclass(frozen=True, slots=True)
class LineLayer:
    """A line, or an area below it.

    Attributes:
        low: lower edge of an area; None: a line.
        steps: the value holds until the next x.
        secondary: on the right y axis.
    """

    name: str
    style: SeriesStyle
    x: FloatArray
    y: FloatArray
    hover: HoverTexts
    low: FloatArray | None = None
    steps: bool = False
    width: float = 1.6
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class PointLayer:
    """Marks at points."""

    name: str
    style: SeriesStyle
    x: FloatArray
    y: FloatArray
    symbol: Literal["down", "cross", "diamond"]
    hover: HoverTexts
    size: float = 7.0


@dataclass(frozen=True, slots=True)
class CellLayer:
    """A heat map; NaN: no cell.

    Attributes:
        values: one row per position of the y axis.
        texts: text in each cell; None: none.
        log: colors by the logarithm.
        label: what the colors mean.
    """

    values: FloatArray
    texts: Sequence[Sequence[str]] | None
    hover: Callable[[], Sequence[Sequence[str]]]
    label: str
    unit: NumberUnit = "count"
    log: bool = False


@dataclass(frozen=True, slots=True)
class BoxLayer:
    """Horizontal boxes, one at each position of the y axis.

    Attributes:
        quantiles: one row per box: lower whisker, lower quartile, median, upper quartile, upper
            whisker.
    """

    styles: Sequence[SeriesStyle]
    quantiles: FloatArray
    hover: HoverTexts


@dataclass(frozen=True, slots=True)
class RuleLayer:
    """A horizontal line across the plot, with a label.

    Attributes:
        at: value on the y axis.
        secondary: on the right y axis.
    """

    label: str
    at: float
    style: SeriesStyle
    secondary: bool = False


Layer = BarLayer | SpanLayer | LineLayer | PointLayer | CellLayer | BoxLayer | RuleLayer


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot.

    Attributes:
        title: what it shows, over what.
        facts: total, period, time zone and what is left out, below the title.
        layers: from back to front.
        legend: title of the legend; "": no legend.
        width, height: inches of a new figure.
        secondary: the right y axis.
        square: cells are squares.
    """

    title: str
    facts: Sequence[str]
    x: AxisSpec
    y: AxisSpec
    layers: Sequence[Layer]
    legend: str = ""
    width: float = 10.0
    height: float = 4.2
    secondary: AxisSpec | None = None
    square: bool = False

    def has(self, kind: type[Layer]) -> bool:
        """Return whether a layer is of this kind."""
        return any(isinstance(layer, kind) for layer in self.layers)

    @property
    def subtitle(self) -> str:
        """The facts on one line."""
        return " · ".join(fact for fact in self.facts if fact)


def as_floats(values: Any) -> FloatArray:
    """Return values as an array of floats; microseconds since 1970 stay exact."""
    return np.asarray(values, np.float64)
