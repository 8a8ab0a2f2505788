"""Plot of the dollars spent so far, with a budget and the use of usage limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...local_zone import Zone
from ...pricing.prices import Prices
from ..columns import FloatArray, IntArray, require_columns, time_zone, timestamp_micros
from ..costs import COST_COLUMNS, Spending, check_budget, compute_spending, forecast_spending
from ..local_times import parse_micros
from .charts.chart import (
    DASHED,
    DOTTED,
    AxisSpec,
    Chart,
    Layer,
    LineLayer,
    PointLayer,
    RuleLayer,
    SeriesStyle,
    as_floats,
)
from .charts.number_text import usd_text
from .charts.palette import COLORS, ERROR_COLOR, OTHERS, color_of, series_styles
from .charts.time_axis import date_text, facts_of_period, hover_times, index_micros, time_range
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
from .stacked_bars import MAX_NAMED, unpriced_fact

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_POINTS = 1_500
_MAX_TOP = 30
_QUOTA_COLUMNS = ("timestamp", "account", "window", "used_percent", "resets_at")


def plot_cumulative_cost(
    df: pd.DataFrame,
    budget: float | None = None,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    until: str | datetime | pd.Timestamp | None = None,
    quotas: pd.DataFrame | None = None,
    prices: Prices | None = None,
    top: int | None = None,
    colors: Mapping[str, str] | None = None,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot the dollars spent since the begin of the frame.

    Args:
        df, prices: as for ``token_costs``.
        budget: US dollars; drawn as a line, with a mark where it is exceeded.
        by: a column that the dollars are divided by, such as ``"model"``. None: only the sum.
        until: end of the budget, as for ``forecast_budget``; the average rate is continued until
            then as a dashed line. None: no forecast.
        quotas: as ``load_quotas`` returns it; the used percent of each usage limit is drawn on the
            right axis.
        top: as for ``plot_tool_counts``, with ``by``.
        ax, colors, tz, backend, theme: as for ``plot_tool_counts``.

    Returns:
        As ``plot_tool_counts``. The line below the title names the tokens without a price.

    Raises:
        InvalidEvent: an argument is invalid, or as ``token_costs`` and ``forecast_budget``.
    """
    columns = () if by is None else (single_column(by, "plot_cumulative_cost"),)
    df = in_time_zone(df, "plot_cumulative_cost", tz, *COST_COLUMNS, *columns)
    n_named = checked_top(top, MAX_NAMED, _MAX_TOP)
    zone = time_zone(df)
    spending = compute_spending(df, prices)
    parts = _parts(df, spending, by, n_named)
    times = _grid(df)
    layers, spent = _spent_layers(df, parts, times, by, colors)
    low, high = time_range(as_floats(times))
    top_usd = float(spent[-1]) if len(spent) else 0.0
    end = int(high) if until is None else parse_micros(until, "until")
    limit = 0.0 if budget is None else check_budget(budget)
    table = forecast_spending(df, spending, limit, end)
    forecast = table.iloc[0]
    if until is not None and len(times) and end > times[-1]:
        layers.append(_forecast_line(int(times[-1]), end, top_usd, float(forecast["projected"])))
    facts = [usd_text(top_usd), "", unpriced_fact(table), *facts_of_period(df, zone)]
    if budget is not None:
        more, facts[1] = _budget_layers(forecast, has_end=until is not None)
        layers += more
    for layer in layers:
        if isinstance(layer, LineLayer) and len(layer.x):
            high, top_usd = max(high, float(layer.x.max())), max(top_usd, float(layer.y.max()))
    secondary = None
    if quotas is not None:
        limits = _quota_layers(quotas, low, max(low, float(times.max(initial=0))), zone)
        used = max((float(layer.y.max()) for layer in limits if len(layer.y)), default=0.0)
        secondary = AxisSpec("number", "used of the usage limit", 0.0, max(105.0, used), "percent")
        layers += [*limits, _limit_rule()]
    chart = Chart(
        title="Spent so far" + (f" by {column_word(by)}" if by else ""),
        facts=facts,
        x=AxisSpec("time", "", low, high, zone=zone),
        y=AxisSpec("number", "US dollars", 0.0, 1.08 * max(top_usd, limit) or 1.0, "usd"),
        layers=layers,
        legend=column_word(by) if by else "spent",
        secondary=secondary,
    )
    return draw_chart(chart, ax, backend, theme)


def _parts(
    df: pd.DataFrame, spending: Spending, by: str | None, top: int
) -> dict[str, tuple[IntArray, FloatArray]]:
    """Return times and dollars by name, the largest first; "" is the sum."""
    times = timestamp_micros(df)[spending.rows]
    usd = np.nan_to_num(spending.priced.usd)
    order = np.argsort(times, kind="stable")
    times, usd = times[order], usd[order]
    if by is None:
        return {"": (times, usd)}
    names = as_text(df[by].take(spending.rows)).to_numpy()[order]
    totals = pd.Series(usd).groupby(names).sum().sort_values(ascending=False, kind="stable")
    shown = [str(name) for name in totals.index[:top]]
    parts = {name: (times[names == name], usd[names == name]) for name in shown}
    if len(totals) > top:
        rest = ~np.isin(names, shown)
        parts[OTHERS] = (times[rest], usd[rest])
    return parts


def _grid(df: pd.DataFrame) -> IntArray:
    """Return the times at which the sums are drawn: each event, or enough for a smooth line."""
    micros = np.unique(timestamp_micros(df))
    if len(micros) > _MAX_POINTS:
        return np.linspace(micros[0], micros[-1], _MAX_POINTS).astype(np.int64)
    return micros


def _spent_layers(
    df: pd.DataFrame,
    parts: Mapping[str, tuple[IntArray, FloatArray]],
    times: IntArray,
    by: str | None,
    colors: Mapping[str, str] | None,
) -> tuple[list[Layer], FloatArray]:
    """Return the areas, and the sum at each time."""
    zone, labels = time_zone(df), names_of(df, by or "")
    styles = {"": SeriesStyle(COLORS[5])} if by is None else series_styles(by, [*parts], colors)
    low = np.zeros(len(times))
    layers: list[Layer] = []
    for name, (at, usd) in parts.items():
        sums = np.append(0.0, np.cumsum(usd))[np.searchsorted(at, times, side="right")]
        label = labels.get(name, name) or "US dollars"

        def hover(label: str = label, sums: FloatArray = sums) -> list[str]:
            return [
                f"{label}\n{time}\n{usd_text(value)}"
                for time, value in zip(hover_times(times, zone), sums.tolist(), strict=True)
            ]

        area = None if by is None else low
        width = 2.2 if by is None else 1.6
        layers.append(
            LineLayer(
                *(label, styles[name], as_floats(times), low + sums, hover, area),
                steps=True,
                width=width,
            )
        )
        low = low + sums
    return layers, low


def _budget_layers(forecast: pd.Series, *, has_end: bool) -> tuple[list[Layer], str]:
    """Return the line of the budget, a mark where it is exceeded, and this in words.

    Args:
        forecast: the row of ``forecast_budget``.
        has_end: the caller named the end of the budget.
    """
    budget = float(forecast["budget"])
    rule = RuleLayer(f"budget {usd_text(budget)}", budget, SeriesStyle(ERROR_COLOR, DASHED))
    if forecast["remaining"] < 0:
        exceeded = forecast["exhausted_at"]
        text = f"budget exceeded {date_text(exceeded)} {exceeded:%H:%M}"
        place = as_floats(index_micros([exceeded])), as_floats([budget])
        style = SeriesStyle(ERROR_COLOR)
        mark = PointLayer("budget exceeded", style, *place, "diamond", lambda: [text])
        return [rule, mark], text
    if not has_end:
        return [rule], f"{usd_text(float(forecast['remaining']))} of {usd_text(budget)} left"
    kept = "within" if forecast["within_budget"] else "over"
    return [rule], f"forecast {usd_text(float(forecast['projected']))}, {kept} the budget"


def _forecast_line(now: int, end: int, spent: float, projected: float) -> LineLayer:
    x, y = as_floats([now, end]), as_floats([spent, projected])
    texts = [f"forecast\n{usd_text(value)}" for value in y.tolist()]
    style = SeriesStyle(COLORS[5], DASHED)
    return LineLayer("forecast at the average rate", style, x, y, lambda: texts)


def _quota_layers(quotas: pd.DataFrame, low: float, high: float, zone: Any) -> list[LineLayer]:
    """Return the used percent of each usage limit; it drops to 0 when the limit is reset.

    A limit has the color of its account; those of one account differ in their dashes.
    """
    quotas = require_columns(quotas, "plot_cumulative_cost: quotas", *_QUOTA_COLUMNS)
    layers: list[LineLayer] = []
    accounts, windows = quotas["account"].astype(str), quotas["window"].astype(str)
    names = sorted({*zip(accounts, windows, strict=True)})
    for number, (account, window) in enumerate(names):
        limit = f"{account} {window} limit"
        of_limit = (accounts == account) & (windows == window)
        rows = quotas[of_limit].sort_values("timestamp", kind="stable")
        at = as_floats(timestamp_micros(rows))
        resets = _micros_or_nan(rows["resets_at"])
        used = rows["used_percent"].to_numpy(np.float64)
        following = np.append(at[1:], max(high, at[-1]))
        was_reset = (resets > at) & (resets <= following) & (used > 0)
        x = np.concatenate([at, resets[was_reset]])
        y = np.concatenate([used, np.zeros(int(was_reset.sum()))])
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        inside = (x >= low) & (x <= high)
        x, y = x[inside], y[inside]

        def hover(limit: str = limit, x: FloatArray = x, y: FloatArray = y) -> list[str]:
            return [
                f"{limit}\n{time}\n{value:.0f} % used"
                for time, value in zip(hover_times(x, zone), y.tolist(), strict=True)
            ]

        before = sum(other == account for other, _ in names[:number])
        style = SeriesStyle(color_of("agent_kind", account), DOTTED + before)
        layers.append(LineLayer(limit, style, x, y, hover, steps=True, width=1.8, secondary=True))
    return layers


def _micros_or_nan(times: pd.Series) -> FloatArray:
    return np.where(times.isna(), np.nan, index_micros(times))


def _limit_rule() -> RuleLayer:
    return RuleLayer("usage limit", 100.0, SeriesStyle("", DOTTED), secondary=True)
