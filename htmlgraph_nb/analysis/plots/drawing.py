"""What all plots have in common: their arguments, and drawing with one of two libraries."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd

from ...errors import InvalidEvent
from ...local_zone import Zone, resolve_zone
from ..agent_labels import agent_labels
from ..columns import require_columns, time_zone, timestamp_micros, to_datetimes
from .charts.chart import Chart
from .charts.number_text import shown_value
from .charts.palette import NOT_NAMED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Backend = Literal["matplotlib", "plotly"]
Theme = Literal["light", "dark"] | None
_Default = TypeVar("_Default", int, None)

_BACKENDS = ("matplotlib", "plotly")
_THEMES = ("light", "dark")
_MAX_TOP = 1_000
_COLUMN_WORDS = {
    "tool_name": "tool",
    "next_tool_name": "next tool",
    "agent_id": "agent",
    "agent_kind": "kind of agent",
    "root_agent_id": "agent with its subagents",
    "parent_agent_id": "parent agent",
    "feature_id": "feature",
    "session_id": "session",
    "event_type": "event",
}


def draw_chart(chart: Chart, ax: Axes | None, backend: Backend, theme: Theme) -> Any:
    """Draw a chart.

    Args:
        ax: Axes to draw into; None: a new figure.
        backend: "matplotlib" or "plotly".
        theme: "light" or "dark"; None: the active style sheet or template.

    Returns:
        The Axes, or a plotly figure.

    Raises:
        InvalidEvent: an invalid argument, or plotly is not installed.
    """
    if backend not in _BACKENDS:
        raise InvalidEvent(
            f"backend: expected 'matplotlib' or 'plotly', got {shown_value(backend)}", "backend"
        )
    if theme is not None and theme not in _THEMES:
        raise InvalidEvent(
            f"theme: expected 'light', 'dark' or None, got {shown_value(theme)}", "theme"
        )
    if backend == "matplotlib":
        if ax is not None and theme is not None:
            raise InvalidEvent(
                "theme: expected None with ax=, which has the theme of its figure; "
                "create the figure in plt.style.context('dark_background')",
                "theme",
            )
        from .charts.matplotlib_drawer import draw_matplotlib

        return draw_matplotlib(chart, ax, theme)
    if ax is not None:
        raise InvalidEvent("ax: expected None with backend='plotly', which draws figures", "ax")
    if find_spec("plotly") is None:
        raise InvalidEvent(
            "backend: 'plotly' is not installed; type: pip install 'htmlgraph-nb[plotly]'",
            "backend",
        )
    from .charts.plotly_drawer import draw_plotly

    return draw_plotly(chart, theme)


def in_time_zone(df: pd.DataFrame, function: str, tz: Zone, *columns: str) -> pd.DataFrame:
    """Return a frame as ``require_columns`` does, with its ``timestamp`` in a time zone.

    Args:
        function: name of the calling function, for error messages.
        tz: name of a zone, or a tzinfo. None: the zone of ``timestamp``; naive times are UTC.
        columns: what the function needs besides ``timestamp``.

    Raises:
        InvalidEvent: no frame, a missing column, or an unknown zone.
    """
    df = require_columns(df, function, "timestamp", *columns)
    zone = time_zone(df) if tz is None else resolve_zone(tz)
    is_aware = isinstance(df["timestamp"].dtype, pd.DatetimeTZDtype)
    if is_aware and str(zone) == str(time_zone(df)):
        return df
    times = to_datetimes(timestamp_micros(df), zone)
    converted = df.copy(deep=False)
    converted["timestamp"] = times.array
    return converted


def single_column(by: object, function: str) -> str:
    """Return ``by`` if it is the name of one column.

    Raises:
        InvalidEvent: several columns, or another type.
    """
    if isinstance(by, str):
        return by
    raise InvalidEvent(
        f"{function}: by: expected the name of one column such as 'model', "
        f"got {shown_value(by)}; join several into one with "
        "df.assign(key=df.project.astype(str) + ' ' + df.host.astype(str))",
        "by",
    )


def checked_top(top: Any, default: _Default, most: int = _MAX_TOP) -> int | _Default:
    """Return ``top``, or the default for None.

    Raises:
        InvalidEvent: no whole number from 1 to ``most``.
    """
    if top is None:
        return default
    is_whole = isinstance(top, int | np.integer) and not isinstance(top, bool)
    if not is_whole or not 1 <= top <= most:
        raise InvalidEvent(
            f"top: expected a whole number from 1 to {most}, got {shown_value(top)}", "top"
        )
    return int(top)


def choice(value: object, name: str, choices: Mapping[str, object] | tuple[str, ...]) -> str:
    """Return a value if it is one of the choices.

    Raises:
        InvalidEvent: it is not; the message lists them.
    """
    if isinstance(value, str) and value in choices:
        return value
    raise InvalidEvent(
        f"{name}: expected one of {', '.join(choices)}; got {shown_value(value)}", name
    )


def column_word(column: str) -> str:
    """Return what the values of a column are, for titles and legends."""
    return _COLUMN_WORDS.get(column, column.replace("_", " "))


def names_of(df: pd.DataFrame, column: str) -> Mapping[str, str]:
    """Return the names to show for values of a column, unless these are shown themselves."""
    if column == "agent_id" or (column.endswith("agent_id") and "agent_id" in df.columns):
        return agent_labels(df)
    return {}


def as_text(names: pd.Series) -> pd.Series:
    """Return names as text; missing ones are "not named"."""
    return names.astype(object).where(names.notna(), NOT_NAMED).astype(str)
