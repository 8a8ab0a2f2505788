"""Draw a chart with matplotlib, which is imported with this module."""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from matplotlib import pyplot, rcParams
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.ticker import NullFormatter, NullLocator

from ...columns import FloatArray
from .chart import (
    AxisSpec,
    BarLayer,
    BoxLayer,
    CellLayer,
    Chart,
    Layer,
    LineLayer,
    PointLayer,
    RuleLayer,
    SeriesStyle,
    SpanLayer,
)
from .matplotlib_ticks import DurationLocator, UnitFormatter, use_local_time
from .number_text import short_label
from .palette import heat_color, is_dark
from .time_axis import DAY_US

_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "|||", "+++", "ooo")
_DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)), (0, (3, 3)))
_MARKERS = {"down": "v", "cross": "x", "diamond": "D"}
_PALE = 0.45
_CHARS_PER_INCH = 13
_MIN_FONT = 4.5
_CHAR_POINTS = 6.5
_STYLES = {"light": "default", "dark": "dark_background"}


def draw_matplotlib(chart: Chart, ax: Axes | None, theme: str | None) -> Axes:
    """Draw a chart into an Axes, or a new figure, and return the Axes."""
    context: AbstractContextManager[Any] = nullcontext()
    if theme is not None:
        context = pyplot.style.context(_STYLES[theme])
    with context:
        if ax is None:
            size = (chart.width, chart.height)
            ax = pyplot.subplots(figsize=size, layout="constrained")[1]
            for side in ("top", "right"):
                ax.spines[side].set_visible(False)
        _MatplotlibDrawing(chart, ax).draw()
    return ax


class _MatplotlibDrawing:
    """A chart in an Axes."""

    def __init__(self, chart: Chart, ax: Axes) -> None:
        self.chart = chart
        self.ax: Any = ax
        self.text: Any = ax.title.get_color()
        self.right: Any = ax.twinx() if chart.secondary is not None else None

    def draw(self) -> None:
        """Draw everything."""
        for layer in self.chart.layers:
            self._draw_layer(layer)
        self._axis(self.ax.xaxis, self.chart.x)
        self._axis(self.ax.yaxis, self.chart.y)
        if self.right is not None and self.chart.secondary is not None:
            self._axis(self.right.yaxis, self.chart.secondary)
        self._titles()
        self._legend()

    def _draw_layer(self, layer: Layer) -> None:
        match layer:
            case BarLayer():
                self._bars(layer)
            case SpanLayer():
                self._spans(layer)
            case LineLayer():
                self._line(layer)
            case PointLayer():
                self._points(layer)
            case CellLayer():
                self._cells(layer)
            case BoxLayer():
                self._boxes(layer)
            case RuleLayer():
                self._rule(layer)

    def _color(self, style: SeriesStyle) -> Any:
        return style.color or self.text

    def _bars(self, layer: BarLayer) -> None:
        left, width = self._x(layer.left), _scaled(self.chart.x, layer.width)
        bars = self.ax.bar(
            left,
            layer.height,
            width,
            layer.bottom,
            align="edge",
            color=self._color(layer.style),
            edgecolor=self.ax.get_facecolor(),
            linewidth=0.4,
            hatch=_HATCHES[layer.style.pattern % len(_HATCHES)] or None,
            label=_plain(layer.name),
        )
        for index in np.flatnonzero(layer.pale):
            bars[index].set_alpha(_PALE)

    def _spans(self, layer: SpanLayer) -> None:
        start, end = self._x(layer.start), self._x(layer.end)
        low, high = layer.row - layer.thickness / 2, layer.row + layer.thickness / 2
        corners = [(start, low), (start, high), (end, high), (end, low)]
        shapes = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
        color = self._color(layer.style)
        pattern = _HATCHES[layer.style.pattern % len(_HATCHES)]
        # One collection is fast for 100,000 spans.
        self.ax.add_collection(
            PolyCollection(
                list(shapes),
                facecolor=color,
                edgecolor=self.ax.get_facecolor() if pattern else color,
                linewidth=1.0 if layer.outlined else 0.0,
                hatch=pattern or None,
                label=_plain(layer.name) if layer.in_legend else "_",
            ),
            autolim=True,
        )

    def _line(self, layer: LineLayer) -> None:
        ax = self.right if layer.secondary else self.ax
        x, color, label = self._x(layer.x), self._color(layer.style), _plain(layer.name)
        if layer.low is not None:
            step = "post" if layer.steps else None
            hatch = _HATCHES[layer.style.pattern % len(_HATCHES)] or None
            ax.fill_between(
                *(x, layer.low, layer.y),
                step=step,
                color=color,
                label=label,
                linewidth=0,
                hatch=hatch,
                edgecolor=self.ax.get_facecolor(),
            )
            return
        ax.plot(
            *(x, layer.y),
            color=color,
            label=label,
            linewidth=layer.width,
            linestyle=_DASHES[layer.style.pattern % len(_DASHES)],
            drawstyle="steps-post" if layer.steps else "default",
        )

    def _points(self, layer: PointLayer) -> None:
        marker = _MARKERS[layer.symbol]
        self.ax.plot(
            *(self._x(layer.x), layer.y),
            linestyle="none",
            marker=marker,
            markersize=layer.size,
            color=self._color(layer.style),
            markeredgecolor=self._color(layer.style) if marker == "x" else self.ax.get_facecolor(),
            markeredgewidth=1.4 if marker == "x" else 0.6,
            label=_plain(layer.name),
            clip_on=False,
            zorder=4,
        )

    def _cells(self, layer: CellLayer) -> None:
        dark = not is_dark(to_rgb(self.text))
        colors = ListedColormap([heat_color(step / 255, dark=dark) for step in range(256)])
        values = np.ma.masked_invalid(layer.values)
        highest = float(values.max()) if values.count() else 0.0
        norm = Normalize(0, highest or 1)
        if layer.log:
            values = np.ma.masked_less_equal(values, 0)
            norm = LogNorm(0.7, max(highest, 2))
        rows, columns = layer.values.shape
        mesh = self.ax.pcolormesh(
            np.arange(columns + 1) - 0.5,
            np.arange(rows + 1) - 0.5,
            values,
            cmap=colors,
            norm=norm,
            edgecolors=self.ax.get_facecolor(),
            linewidth=0.8,
        )
        if self.chart.square:
            self.ax.set_aspect("equal")
        self.ax.grid(visible=False)
        for row, texts in enumerate(layer.texts or ()):
            for column, text in enumerate(texts):
                if text:
                    background = colors(norm(layer.values[row, column]))
                    color = "white" if is_dark(background) else "#1c1d21"
                    self.ax.text(
                        *(column, row, text), ha="center", va="center", color=color, fontsize=7
                    )
        bar = self.ax.figure.colorbar(mesh, ax=self.ax, fraction=0.046, pad=0.02, aspect=25)
        bar.set_label(layer.label)
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_formatter(UnitFormatter(layer.unit))

    def _boxes(self, layer: BoxLayer) -> None:
        low, lower, median, upper, high = layer.quantiles.T
        rows = np.arange(len(median))
        self.ax.hlines(rows, low, high, color=self.text, linewidth=0.9)
        colors = [self._color(style) for style in layer.styles]
        bars = self.ax.barh(rows, upper - lower, 0.62, lower, color=colors, zorder=2)
        for bar, style in zip(bars, layer.styles, strict=True):
            bar.set_edgecolor(self.ax.get_facecolor())
            bar.set_linewidth(0.4)
            bar.set_hatch(_HATCHES[style.pattern % len(_HATCHES)] or None)
        self.ax.vlines(median, rows - 0.31, rows + 0.31, color=self.text, linewidth=2, zorder=3)
        for cap in (low, high):
            self.ax.vlines(cap, rows - 0.15, rows + 0.15, color=self.text, linewidth=0.9)

    def _rule(self, layer: RuleLayer) -> None:
        color = self._color(layer.style)
        ax = self.right if layer.secondary else self.ax
        dash = _DASHES[layer.style.pattern % len(_DASHES)]
        ax.axhline(layer.at, color=color, linestyle=dash, linewidth=1)
        ax.annotate(
            _plain(layer.label),
            (0.005, layer.at),
            (2, 3),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            color=color,
            fontsize="small",
            va="bottom",
        )

    def _x(self, values: FloatArray) -> FloatArray:
        return _scaled(self.chart.x, values)

    def _axis(self, axis: Any, spec: AxisSpec) -> None:
        ax, vertical = axis.axes, axis.axis_name == "y"
        limits = ax.set_ylim if vertical else ax.set_xlim
        if spec.low is not None or spec.high is not None:
            ends = [
                None if value is None else float(_scaled(spec, np.array([value]))[0])
                for value in (spec.low, spec.high)
            ]
            limits(*ends)
        if spec.label:
            axis.set_label_text(_plain(spec.label))
        if spec.kind == "time":
            use_local_time(axis, spec.zone)
        elif spec.kind == "names":
            self._names(axis, spec)
        else:
            if spec.kind == "log":
                (ax.set_yscale if vertical else ax.set_xscale)("log")
                axis.set_minor_formatter(NullFormatter())
                if spec.unit == "ms":
                    axis.set_major_locator(DurationLocator())
                    axis.set_minor_locator(NullLocator())
            elif spec.whole_numbers:
                axis.get_major_locator().set_params(integer=True)
            axis.set_major_formatter(UnitFormatter(spec.unit))

    def _names(self, axis: Any, spec: AxisSpec) -> None:
        vertical = axis.axis_name == "y"
        n = len(spec.names)
        ends = (n - 0.5, -0.5) if spec.first_at_top else (-0.5, n - 0.5)
        (self.ax.set_ylim if vertical else self.ax.set_xlim)(*(ends if n else (0, 1)))
        box = self.ax.get_position()
        size = self.ax.figure.get_size_inches() * (box.width, box.height)
        row = 72 * float(size[int(vertical)]) / max(n, 1)
        every = max(1, int(np.ceil(1.15 * _MIN_FONT / row)))
        shown = [index for index, name in enumerate(spec.names) if name][::every]
        texts = [_plain(spec.names[index]) for index in shown]
        axis.set_ticks(shown, texts)
        if vertical:
            smaller = min(axis.get_ticklabels()[0].get_size(), row * every * 0.9) if shown else 0
            axis.set_tick_params(labelsize=max(smaller, _MIN_FONT), length=0)
            return
        widest = _CHAR_POINTS * max(map(len, texts), default=0)
        apart = int(np.diff(shown).min()) if len(shown) > 1 else n
        if widest > 72 * float(size[0]) / max(n, 1) * apart:
            axis.set_tick_params(rotation=90)
        axis.set_tick_params(length=0)

    def _titles(self) -> None:
        place = rcParams["axes.titlelocation"]
        at = {"left": 0.0, "center": 0.5, "right": 1.0}[place]
        inches = self.ax.figure.get_size_inches()[0]
        if len(self.ax.figure.axes) > 1 + (self.right is not None) + self.chart.has(CellLayer):
            # Lines that are wider than the Axes would run into those of its neighbour.
            inches *= 1.15 * self.ax.get_position().width
        lines = textwrap.wrap(self.chart.subtitle, max(30, int(_CHARS_PER_INCH * inches)))
        self.ax.set_title(_plain(self.chart.title), pad=10 + 11 * len(lines))
        self.ax.annotate(
            _plain("\n".join(lines), whole=True),
            (at, 1.0),
            (0, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=place,
            va="bottom",
            fontsize="small",
            color=self.text,
            alpha=0.8,
            annotation_clip=False,
        )

    def _legend(self) -> None:
        if not self.chart.legend:
            return
        handles, labels = self.ax.get_legend_handles_labels()
        if self.right is not None:
            more, names = self.right.get_legend_handles_labels()
            handles, labels = [*handles, *more], [*labels, *names]
        if handles:
            legend = self.ax.legend(
                *(handles, labels),
                title=_plain(self.chart.legend),
                loc="upper left",
                bbox_to_anchor=(1.01 if self.right is None else 1.13, 1.0),
                frameon=False,
                fontsize="small",
                title_fontsize="small",
                alignment="left",
            )
            legend.set_in_layout(True)


def _scaled(spec: AxisSpec, values: FloatArray) -> FloatArray:
    """Return values as matplotlib needs them: times in days since 1970 UTC."""
    return values / DAY_US if spec.kind == "time" else values


def _plain(text: str, *, whole: bool = False) -> str:
    """Return text without a meaning to matplotlib; on one line and shortened, unless ``whole``."""
    line = text if whole else short_label(text)
    # A dollar sign starts a formula; a legend leaves out names that begin with an underscore.
    return ("\u200a" if line.startswith("_") else "") + line.replace("$", r"\$")
