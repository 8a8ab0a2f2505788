"""Ticks and labels of matplotlib's axes: local times, and numbers with their unit."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import Formatter, Locator

from .chart import NumberUnit
from .number_text import tick_text
from .time_axis import DAY_US, TimeTick, duration_ticks, hover_times, time_ticks

_TICK_INCHES = 0.6


class LocalTimeLocator(Locator):
    """Ticks at round local times, both times where the clocks are set back.

    Args:
        zone: the time zone; positions are days since 1970 UTC.
    """

    def __init__(self, zone: Any) -> None:
        self.zone = zone

    def __call__(self) -> list[float]:
        """Return the positions of the ticks in the visible range."""
        axis: Any = self.axis
        return self.tick_values(*axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the positions of the ticks between two positions."""
        return [tick.at / DAY_US for tick in self.ticks(vmin, vmax)]

    def ticks(self, low: float, high: float) -> list[TimeTick]:
        """Return the ticks between two positions, as many as fit into the axis."""
        ax: Any = self.axis.axes  # type: ignore[union-attr, unused-ignore]
        inches = ax.get_position().width * ax.figure.get_size_inches()[0]
        most = max(2, int(inches / _TICK_INCHES))
        return time_ticks(min(low, high) * DAY_US, max(low, high) * DAY_US, self.zone, most)


class LocalTimeFormatter(Formatter):
    """The time, and below it the date where that changes.

    Args:
        locator: the locator of the same axis.
    """

    def __init__(self, locator: LocalTimeLocator) -> None:
        self.locator = locator

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the exact time at a position."""
        return hover_times([round(x * DAY_US)], self.locator.zone)[0]

    def format_ticks(self, values: Any) -> list[str]:
        """Return the labels of all ticks."""
        axis: Any = self.axis
        known = {
            tick.at / DAY_US: f"{tick.text}\n{tick.context}".rstrip()
            for tick in self.locator.ticks(*axis.get_view_interval())
        }
        return [known.get(float(value), "") for value in values]


class DurationLocator(Locator):
    """Ticks at round durations in milliseconds, for a logarithmic axis."""

    def __call__(self) -> list[float]:
        """Return the positions of the ticks in the visible range."""
        axis: Any = self.axis
        return self.tick_values(*axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the positions of the ticks between two positions."""
        return duration_ticks(vmin, vmax)


class UnitFormatter(Formatter):
    """Numbers with their unit."""

    def __init__(self, unit: NumberUnit) -> None:
        self.unit = unit

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label at a position; a dollar sign would start a formula."""
        return tick_text(x, self.unit).replace("$", r"\$")


def use_local_time(axis: Any, zone: Any) -> None:
    """Give an axis ticks in local time; positions are days since 1970 UTC."""
    locator = LocalTimeLocator(zone)
    formatter = LocalTimeFormatter(locator)
    axis.set_major_locator(locator)
    axis.set_major_formatter(formatter)
    axis.axes.fmt_xdata = formatter
