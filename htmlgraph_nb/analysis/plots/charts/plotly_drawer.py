"""Draw a chart with plotly, which is imported with this module."""

from __future__ import annotations

from typing import Any

import numpy as np
from plotly import graph_objects, io

from .chart import (
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
from .palette import heat_color, is_dark, rgb_of
from .plotly_axes import (
    PlotlyX,
    axis_layout,
    escape_lines,
    escape_text,
    hover_lines,
    tick_texts,
    unit_affixes,
)

_PATTERNS = ("", "/", ".", "\\", "x", "-", "|", "+")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,6px", "12px,3px")
_SYMBOLS = {"down": "triangle-down", "cross": "x-thin", "diamond": "diamond"}
_PALE = 0.45
_PIXELS_PER_INCH = 96
_TITLE_PIXELS = 50
_MIN_PIXELS = 300
_TEMPLATES = {"light": "plotly_white", "dark": "plotly_dark"}
_HOVER = "%{hovertext}<extra></extra>"


def draw_plotly(chart: Chart, theme: str | None) -> Any:
    """Return a chart as a plotly figure."""
    template = io.templates.default if theme is None else _TEMPLATES[theme]
    figure = graph_objects.Figure(layout={"template": template})
    _PlotlyDrawing(chart, figure).draw()
    return figure


class _PlotlyDrawing:
    """A chart in a figure."""

    def __init__(self, chart: Chart, figure: Any) -> None:
        self.chart = chart
        self.figure = figure
        layout = figure.layout.template.layout
        self.ground = layout.plot_bgcolor or "white"
        self.text = layout.font.color or "#2a3f5f"
        self.x = PlotlyX(chart.x)

    def draw(self) -> None:
        """Draw everything."""
        for layer in self.chart.layers:
            self._draw_layer(layer)
        chart = self.chart
        layout: dict[str, Any] = {
            "title": {
                "text": f"<b>{escape_text(chart.title)}</b>",
                "subtitle": {"text": escape_text(chart.subtitle, whole=True)},
                "x": 0.02,
            },
            "xaxis": self.x.layout(),
            "yaxis": axis_layout(chart.y, vertical=True),
            "showlegend": bool(chart.legend),
            "legend": {"title": {"text": escape_text(chart.legend)}},
            "barmode": "stack" if chart.has(BarLayer) else "overlay",
            "hovermode": "closest",
            "height": max(round(chart.height * _PIXELS_PER_INCH) + _TITLE_PIXELS, _MIN_PIXELS),
            "margin": {"t": 90, "r": 30, "b": 60, "l": 60},
        }
        if chart.square:
            layout["yaxis"] |= {"scaleanchor": "x", "constrain": "domain"}
            layout["xaxis"] |= {"constrain": "domain"}
        if chart.secondary is not None:
            right = axis_layout(chart.secondary, vertical=True)
            layout["yaxis2"] = {**right, "overlaying": "y", "side": "right", "showgrid": False}
            layout["yaxis2"]["tickmode"] = "auto"
            layout["legend"]["x"] = 1.14
        self.figure.update_layout(layout)

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

    def _color(self, style: SeriesStyle) -> str:
        return style.color or self.text

    def _marker(self, style: SeriesStyle) -> dict[str, Any]:
        marker: dict[str, Any] = {
            "color": self._color(style),
            "line": {"width": 0.5, "color": self.ground},
        }
        if style.pattern:
            shape = _PATTERNS[style.pattern % len(_PATTERNS)]
            marker["pattern"] = {"shape": shape, "fgcolor": self.ground, "size": 6, "solidity": 0.2}
        return marker

    def _bars(self, layer: BarLayer) -> None:
        marker = self._marker(layer.style)
        marker["opacity"] = np.where(layer.pale, _PALE, 1.0)
        self.figure.add_trace(
            graph_objects.Bar(
                x=self.x.positions(layer.left),
                y=layer.height,
                width=self.x.lengths(layer.width),
                offset=0,
                name=escape_text(layer.name),
                marker=marker,
                hovertext=hover_lines(layer.hover),
                hovertemplate=_HOVER,
                showlegend=True,
            )
        )

    def _spans(self, layer: SpanLayer) -> None:
        marker = self._marker(layer.style)
        color = self._color(layer.style)
        marker["line"] = {"width": 1.5 if layer.outlined else 0, "color": color}
        self.figure.add_trace(
            graph_objects.Bar(
                orientation="h",
                base=self.x.positions(layer.start),
                x=self.x.lengths(layer.end - layer.start),
                y=layer.row,
                width=layer.thickness,
                name=escape_text(layer.name),
                marker=marker,
                hovertext=hover_lines(layer.hover),
                hovertemplate=_HOVER,
                showlegend=layer.in_legend,
                legendgroup=escape_text(layer.name),
            )
        )

    def _line(self, layer: LineLayer) -> None:
        is_area = layer.low is not None
        color = self._color(layer.style)
        shape = "hv" if layer.steps else "linear"
        dash = _DASHES[layer.style.pattern % len(_DASHES)]
        area: dict[str, Any] = {}
        if is_area:
            area = {"stackgroup": "areas", "fillcolor": color}
            if layer.style.pattern:
                area["fillpattern"] = {
                    "shape": _PATTERNS[layer.style.pattern % len(_PATTERNS)],
                    "fgcolor": self.ground,
                    "bgcolor": color,
                    "size": 6,
                    "solidity": 0.2,
                }
        self.figure.add_trace(
            graph_objects.Scatter(
                x=self.x.positions(layer.x),
                y=layer.y if layer.low is None else layer.y - layer.low,
                mode="lines",
                name=escape_text(layer.name),
                line={
                    "color": color,
                    "width": 0 if is_area else layer.width,
                    "shape": shape,
                    "dash": "solid" if is_area else dash,
                },
                hovertext=hover_lines(layer.hover),
                hovertemplate=_HOVER,
                showlegend=True,
                legendgroup=escape_text(layer.name),
                yaxis="y2" if layer.secondary else "y",
                **area,
            )
        )

    def _points(self, layer: PointLayer) -> None:
        color = self._color(layer.style)
        thin = layer.symbol == "cross"
        self.figure.add_trace(
            graph_objects.Scatter(
                x=self.x.positions(layer.x),
                y=layer.y,
                mode="markers",
                name=escape_text(layer.name),
                marker={
                    "symbol": _SYMBOLS[layer.symbol],
                    "color": color,
                    "size": layer.size * 1.4,
                    "line": {
                        "width": 1.8 if thin else 0.8,
                        "color": color if thin else self.ground,
                    },
                },
                hovertext=hover_lines(layer.hover),
                hovertemplate=_HOVER,
                showlegend=True,
                cliponaxis=False,
            )
        )

    def _cells(self, layer: CellLayer) -> None:
        dark = not is_dark(_rgb(self.text))
        scale = [[step / 16, _css(heat_color(step / 16, dark=dark))] for step in range(17)]
        values = layer.values.astype(np.float64)
        finite = values[np.isfinite(values)]
        highest = float(finite.max(initial=0.0))
        bar: dict[str, Any] = {"title": {"text": escape_text(layer.label)}, "outlinewidth": 0}
        low, high = 0.0, highest or 1.0
        if layer.log:
            with np.errstate(divide="ignore"):
                values = np.log10(np.where(values > 0, values, np.nan))
            low, high = np.log10(0.7), np.log10(max(highest, 2.0))
            ticks = [10.0**power for power in range(int(high) + 1)]
            bar |= {"tickvals": np.log10(ticks), "ticktext": tick_texts(ticks, layer.unit)}
        bar |= unit_affixes(layer.unit)
        texts: dict[str, Any] = {}
        if layer.texts is not None:
            texts = {"text": [list(row) for row in layer.texts], "texttemplate": "%{text}"}
        rows, columns = values.shape
        self.figure.add_trace(
            graph_objects.Heatmap(
                z=values,
                x=np.arange(columns),
                y=np.arange(rows),
                zmin=low,
                zmax=high,
                colorscale=scale,
                colorbar=bar,
                hovertext=[[escape_lines(text) for text in row] for row in layer.hover()],
                hovertemplate=_HOVER,
                hoverongaps=False,
                xgap=1,
                ygap=1,
                **texts,
            )
        )

    def _boxes(self, layer: BoxLayer) -> None:
        hover = hover_lines(layer.hover)
        for row, (style, values) in enumerate(zip(layer.styles, layer.quantiles, strict=True)):
            low, lower, median, upper, high = ([value] for value in values.tolist())
            color = self._color(style)
            self.figure.add_trace(
                graph_objects.Box(
                    orientation="h",
                    y=[row],
                    lowerfence=low,
                    q1=lower,
                    median=median,
                    q3=upper,
                    upperfence=high,
                    width=0.62,
                    fillcolor=color,
                    line={"color": self.text, "width": 1},
                    hoverinfo="skip",
                    showlegend=False,
                )
            )
        self.figure.add_trace(
            graph_objects.Scatter(
                x=layer.quantiles[:, 2],
                y=np.arange(len(layer.quantiles)),
                mode="markers",
                marker={"size": 16, "opacity": 0},
                hovertext=hover,
                hovertemplate=_HOVER,
                showlegend=False,
            )
        )

    def _rule(self, layer: RuleLayer) -> None:
        color = self._color(layer.style)
        self.figure.add_hline(
            layer.at,
            line={
                "color": color,
                "width": 1.2,
                "dash": _DASHES[layer.style.pattern % len(_DASHES)],
            },
            yref="y2" if layer.secondary else "y",
            annotation_text=escape_text(layer.label),
            annotation_position="top left",
            annotation_font_color=color,
        )


def _css(rgb: tuple[float, float, float]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(round(part * 255) for part in rgb))


def _rgb(color: str) -> tuple[float, float, float]:
    return rgb_of(color) if color.startswith("#") and len(color) == 7 else (0.2, 0.2, 0.2)
