"""Heat map of activity: hours of each day, hours of the week, or a calendar."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...local_zone import Zone
from ...pricing.prices import Prices
from ..columns import BoolArray, FloatArray, IntArray, column_isin, time_zone, timestamp_micros
from ..costs import token_costs
from ..grouping import group_rows
from ..intervals import REQUIRED_COLUMNS, concurrency
from ..tools import tool_counts
from .charts.chart import AxisSpec, CellLayer, Chart, NumberUnit
from .charts.number_text import count_text, si_number, unit_text, usd_text
from .charts.time_axis import HOUR_US, WEEKDAY_NAMES, date_text, facts_of_period, month_text
from .drawing import Backend, Theme, checked_top, choice, draw_chart, in_time_zone
from .families import of_busiest_agents
from .period_axis import plotted_periods
from .stacked_bars import unpriced_fact

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LAYOUTS = ("day", "weekday", "calendar")
_MEASURES = {
    "active": "agent-hours active",
    "tool_calls": "tool calls",
    "prompts": "prompts",
    "total": "tokens",
    "usd": "US dollars",
}
_WORDS = {**_MEASURES, "active": "agent-hours", "usd": "US dollars"}
_MOST_HOURLY_DAYS = 35
_DAY_NAME = "%Y-%m-%d"


def plot_activity_heatmap(
    df: pd.DataFrame,
    measure: str = "active",
    layout: str | None = None,
    ax: Axes | None = None,
    *,
    top: int | None = None,
    prices: Prices | None = None,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot when agents work as a heat map.

    Args:
        df: as for ``timeline``, ``tool_counts`` or ``token_costs``, depending on ``measure``.
        measure: ``"active"``: hours that agents were active; ``"tool_calls"``, ``"prompts"``,
            ``"total"`` (tokens) or ``"usd"``.
        layout: ``"day"``: hours of each day; ``"weekday"``: hours of the week, averaged over the
            weeks; ``"calendar"``: one cell per day, one column per week. None: "day" up to five
            weeks, else "calendar".
        top: count only this many agents and their subagents, those with the most events. None: all.
        prices: as for ``token_costs``.
        ax, tz, backend, theme: as for ``plot_tool_counts``.

    Returns:
        As ``plot_tool_counts``.

    Raises:
        InvalidEvent: an argument is invalid, or as the function of the measure.
    """
    measure = choice(measure, "measure", _MEASURES)
    df = in_time_zone(df, "plot_activity_heatmap", tz, *REQUIRED_COLUMNS)
    df, left_out = of_busiest_agents(df, checked_top(top, None))
    first, last = _days_of(df)
    n_days = (last - first).days + 1
    if layout is None:
        layout = "day" if n_days <= _MOST_HOURLY_DAYS else "calendar"
    layout = choice(layout, "layout", _LAYOUTS)
    hourly, fact = _hourly(df, measure, prices)
    days = pd.date_range(first, last, freq="D")
    draw: dict[str, Callable[..., Chart]] = {
        "day": _day_chart,
        "weekday": _weekday_chart,
        "calendar": _calendar_chart,
    }
    total = float(hourly.sum())
    unit: NumberUnit = "usd" if measure == "usd" else "count"
    text = usd_text(total) if measure == "usd" else f"{si_number(total)} {_MEASURES[measure]}"
    facts = [
        text,
        fact,
        f"{count_text(left_out, 'agent')} not counted" if left_out else "",
        *facts_of_period(df, time_zone(df)),
    ]
    chart = draw[layout](_table(df, hourly, days), days, measure, unit, facts)
    return draw_chart(chart, ax, backend, theme)


def _days_of(df: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last local day of a frame."""
    if not len(df):
        return pd.Timestamp(0), pd.Timestamp(0)
    times = df["timestamp"].dt.tz_localize(None)
    return times.min().normalize(), times.max().normalize()


def _hourly(df: pd.DataFrame, measure: str, prices: Prices | None) -> tuple[pd.Series, str]:
    """Return the measure by hour, and what the sum lacks."""
    if measure == "active":
        table = concurrency(df, "1h")
        periods = plotted_periods(df, table["timestamp"], "1h")
        newest = timestamp_micros(df).max(initial=0)
        # The last average is that of the part up to the newest timestamp.
        hours = (np.minimum(periods.end, newest) - periods.start) / HOUR_US
        return pd.Series(table["active"].to_numpy() * hours, index=table["timestamp"]), ""
    if measure == "tool_calls":
        return tool_counts(df, (), "1h").set_index("timestamp")["count"].astype(np.float64), ""
    if measure == "prompts":
        prompts = df[np.asarray(column_isin(df, "event_type", "prompt"))]
        groups = group_rows(prompts, (), "1h")
        counts = pd.Series(groups.count().astype(np.float64), index=groups.keys["timestamp"])
        return counts, ""
    costs = token_costs(df, (), "1h", prices=prices)
    values = costs.set_index("timestamp")[measure].fillna(0).astype(np.float64)
    return values, unpriced_fact(costs) if measure == "usd" else ""


def _table(df: pd.DataFrame, hourly: pd.Series, days: pd.DatetimeIndex) -> FloatArray:
    """Return one row per hour of the day and one column per day; NaN before and after the frame.

    An hour that a change of the clocks repeats is one cell; one that it skips is empty.
    """
    table = np.full((24, len(days)), np.nan)
    if not len(df):
        return table
    micros = timestamp_micros(df)
    zone = time_zone(df)
    covered = pd.date_range(
        pd.Timestamp(int(micros.min()), unit="us", tz="UTC").floor("15min"),
        pd.Timestamp(int(micros.max()), unit="us", tz="UTC"),
        freq="15min",
    ).tz_convert(zone)
    row, column, inside = _place(covered, days)
    table[row[inside], column[inside]] = 0.0
    row, column, inside = _place(pd.DatetimeIndex(hourly.index), days)
    np.add.at(table, (row[inside], column[inside]), hourly.to_numpy()[inside])
    return table


def _place(times: pd.DatetimeIndex, days: pd.DatetimeIndex) -> tuple[IntArray, IntArray, BoolArray]:
    """Return the hour and the number of the day of each time, and whether it is on a day."""
    local = times.tz_localize(None)
    column = (local.normalize() - days[0]).days.to_numpy()
    return local.hour.to_numpy(), column, (column >= 0) & (column < len(days))


def _day_chart(
    table: FloatArray, days: pd.DatetimeIndex, measure: str, unit: NumberUnit, facts: list[str]
) -> Chart:
    names = [f"{WEEKDAY_NAMES[day.day_of_week]} {date_text(day)}" for day in days]

    def hover() -> list[list[str]]:
        return [
            [
                f"{day:%a %Y-%m-%d} {_hour_text(hour)}\n{unit_text(value, unit)}"
                for hour, value in enumerate(values)
            ]
            for day, values in zip(days, table.T.tolist(), strict=True)
        ]

    return Chart(
        title=f"Activity by hour: {_MEASURES[measure]}",
        facts=facts,
        x=AxisSpec("names", "hour of the day", names=_hour_names()),
        y=AxisSpec("names", "", names=names, first_at_top=True),
        layers=[CellLayer(table.T, None, hover, f"{_WORDS[measure]} per hour", unit)],
        height=1.7 + 0.24 * max(len(days), 3),
    )


def _weekday_chart(
    table: FloatArray, days: pd.DatetimeIndex, measure: str, unit: NumberUnit, facts: list[str]
) -> Chart:
    weekdays = days.day_of_week.to_numpy()
    means = np.full((7, 24), np.nan)
    for weekday in np.unique(weekdays):
        hours = table[:, weekdays == weekday]
        n = np.isfinite(hours).sum(axis=1)
        means[weekday] = np.where(n, np.nansum(hours, axis=1) / np.maximum(n, 1), np.nan)

    def hover() -> list[list[str]]:
        return [
            [
                f"{WEEKDAY_NAMES[row]} {_hour_text(hour)}\n{unit_text(value, unit)} on average"
                for hour, value in enumerate(values)
            ]
            for row, values in enumerate(means.tolist())
        ]

    return Chart(
        title=f"Activity by hour of the week: {_MEASURES[measure]}",
        facts=facts,
        x=AxisSpec("names", "hour of the day", names=_hour_names()),
        y=AxisSpec("names", "", names=WEEKDAY_NAMES, first_at_top=True),
        layers=[CellLayer(means, None, hover, f"{_WORDS[measure]} per hour, average", unit)],
        height=3.6,
    )


def _calendar_chart(
    table: FloatArray, days: pd.DatetimeIndex, measure: str, unit: NumberUnit, facts: list[str]
) -> Chart:
    start = days[0] - pd.Timedelta(days=days[0].day_of_week)
    weeks = pd.date_range(start, days[-1], freq="7D")
    column, row = (days - start).days.to_numpy() // 7, days.day_of_week.to_numpy()
    cells = np.full((7, len(weeks)), np.nan)
    cells[row, column] = np.where(np.isfinite(table).any(axis=0), np.nansum(table, axis=0), np.nan)
    names = [
        month_text(week) if not number or week.month != weeks[number - 1].month else ""
        for number, week in enumerate(weeks)
    ]
    # A month of which only a week is shown would overlap the next name.
    for number in range(len(names) - 1):
        if names[number] and any(names[number + 1 : number + 3]):
            names[number] = ""
    dates = [[start + pd.Timedelta(days=7 * week + day) for week in range(len(weeks))]
             for day in range(7)]  # fmt: skip

    def hover() -> list[list[str]]:
        return [
            [
                f"{WEEKDAY_NAMES[day]} {dates[day][week].strftime(_DAY_NAME)}\n"
                f"{unit_text(value, unit)}"
                for week, value in enumerate(values)
            ]
            for day, values in enumerate(cells.tolist())
        ]

    return Chart(
        title=f"Activity by day: {_MEASURES[measure]}",
        facts=facts,
        x=AxisSpec("names", "", names=names),
        y=AxisSpec("names", "", names=WEEKDAY_NAMES, first_at_top=True),
        layers=[CellLayer(cells, None, hover, f"{_WORDS[measure]} per day", unit)],
        width=min(4.5 + 0.22 * len(weeks), 16),
        height=3.4,
        square=True,
    )


def _hour_names() -> list[str]:
    return [f"{hour:02}:00" if not hour % 2 else "" for hour in range(24)]


def _hour_text(hour: int) -> str:
    return f"{hour:02}:00–{hour + 1:02}:00"
