"""Plot of how full the context of each agent's model is, and when it was compacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...local_zone import Zone
from ..agent_labels import agent_labels
from ..columns import (
    BoolArray,
    encode_column,
    float_column,
    parse_extra,
    time_zone,
    timestamp_micros,
)
from .charts.chart import (
    DASHED,
    AxisSpec,
    Chart,
    Layer,
    LineLayer,
    PointLayer,
    RuleLayer,
    SeriesStyle,
    as_floats,
)
from .charts.number_text import count_text, si_number
from .charts.palette import series_styles
from .charts.time_axis import facts_of_period, hover_times, time_range
from .drawing import Backend, Theme, checked_top, draw_chart, in_time_zone

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_AGENTS = 6
_MAX_TOP = 30
_SHOWN_WINDOW = 2.5
"""A window is drawn if it is at most so many times as large as the largest context."""


def plot_context(
    df: pd.DataFrame,
    ax: Axes | None = None,
    *,
    relative: bool = False,
    top: int | None = None,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot the tokens in the context of each agent's model, with marks where it was compacted.

    Args:
        df: events; needs agent_id, timestamp and context_tokens, and uses context_window,
            session_id and extra.
        relative: percent of the model's window in place of tokens; agents whose window is unknown
            are left out.
        top: only this many agents, 1 to 30, those with the largest context. None: 6.
        ax, tz, backend, theme: as for ``plot_tool_counts``.

    Returns:
        As ``plot_tool_counts``.

    Raises:
        InvalidEvent: an argument is invalid, or a column is missing.
    """
    df = in_time_zone(df, "plot_context", tz, "agent_id", "context_tokens")
    n_shown = checked_top(top, _MOST_AGENTS, _MAX_TOP)
    events = _contexts(df, relative=relative)
    peaks = events.groupby("agent")["used"].max().sort_values(ascending=False, kind="stable")
    agents = [str(name) for name in peaks.index[:n_shown]]
    zone, labels = time_zone(df), agent_labels(df)
    styles = series_styles("agent_id", agents)
    layers: list[Layer] = []
    for agent in agents:
        rows = events[events["agent"] == agent]
        label = labels.get(agent, agent)
        layers.append(_context_line(rows, label, styles[agent], zone, relative=relative))
    marks, n_marks = _compactions(events[events["agent"].isin(agents)], labels, zone)
    layers += marks
    highest = float(peaks.max()) if len(peaks) else 1.0
    windows = events[events["agent"].isin(agents)]["window"].dropna().unique()
    shown_windows = [100.0] if relative else sorted(
        float(window) for window in windows if window <= _SHOWN_WINDOW * highest
    )  # fmt: skip
    for window in shown_windows:
        text = "window" if relative else f"window {si_number(window)}"
        layers.append(RuleLayer(text, window, SeriesStyle("", DASHED)))
    low, high = time_range(as_floats(events["at"]))
    facts = [
        f"at most {highest:.0f} % full" if relative else f"at most {si_number(highest)} tokens",
        count_text(n_marks, "compaction") if n_marks else "",
        f"{len(peaks) - len(agents)} more agents not shown" if len(peaks) > len(agents) else "",
        *facts_of_period(df, zone),
    ]
    chart = Chart(
        title="Context of the models",
        facts=facts,
        x=AxisSpec("time", "", low, high, zone=zone),
        y=AxisSpec(
            "number",
            "used of the context window" if relative else "tokens in the context",
            0.0,
            1.1 * max([highest, *shown_windows]) or 1.0,
            "percent" if relative else "count",
        ),
        layers=layers,
        legend="agent",
    )
    return draw_chart(chart, ax, backend, theme)


def _contexts(df: pd.DataFrame, *, relative: bool) -> pd.DataFrame:
    """Return the events with a context by agent and time, and the compactions.

    Columns: agent, session (code), at, used (tokens or percent; NaN: unknown), window, compacted.
    """
    tokens, window = float_column(df, "context_tokens"), float_column(df, "context_window")
    compacted = compaction_mask(df)
    kept = np.flatnonzero(~np.isnan(tokens) | compacted)
    events = pd.DataFrame(
        {
            "agent": df["agent_id"].astype(str).to_numpy()[kept],
            "session": encode_column(df, "session_id").codes[kept],
            "at": timestamp_micros(df)[kept],
            "used": tokens[kept],
            "window": window[kept],
            "compacted": compacted[kept],
        }
    ).sort_values(["agent", "at"], kind="stable", ignore_index=True)
    events["window"] = events.groupby("agent")["window"].transform(
        lambda part: part.ffill().bfill()
    )
    if relative:
        events["used"] = 100 * events["used"] / events["window"]
    # A compaction is marked at the size that it ended.
    events["before"] = events.groupby("agent")["used"].transform(lambda part: part.ffill().shift())
    known = events.groupby("agent")["used"].transform("count") > 0
    return events[known]


def compaction_mask(df: pd.DataFrame) -> BoolArray:
    """Return a mask of the events that report a compaction of the context."""
    mask = np.zeros(len(df), bool)
    if "extra" not in df.columns:
        return mask
    texts = df["extra"].astype(object)
    candidates = np.flatnonzero(
        texts.map(lambda text: isinstance(text, str) and '"compacted"' in text).to_numpy(bool)
    )
    for position in candidates:
        extra = parse_extra(texts.iloc[position]) or {}
        mask[position] = extra.get("compacted") is True
    return mask


def _context_line(
    rows: pd.DataFrame, label: str, style: SeriesStyle, zone: Any, *, relative: bool
) -> LineLayer:
    rows = rows[rows["used"].notna()]
    session = rows["session"].to_numpy()
    # A gap separates sessions of one agent.
    begins = np.flatnonzero(np.diff(session) != 0) + 1
    at, used = as_floats(rows["at"]), rows["used"].to_numpy(np.float64)
    x, y = np.insert(at, begins, at[begins]), np.insert(used, begins, np.nan)

    def hover() -> list[str]:
        sizes = [f"{value:.0f} %" if relative else f"{value:,.0f} tokens" for value in y.tolist()]
        times = hover_times(x, zone)
        return [f"{label}\n{time}\n{size}" for time, size in zip(times, sizes, strict=True)]

    return LineLayer(label, style, x, y, hover, steps=True)


def _compactions(
    events: pd.DataFrame, labels: dict[str, str], zone: Any
) -> tuple[list[Layer], int]:
    marks = events[events["compacted"] & events["before"].notna()]
    if not len(marks):
        return [], 0
    at, before = as_floats(marks["at"]), marks["before"].to_numpy(np.float64)

    def hover() -> list[str]:
        names = [labels.get(agent, agent) for agent in marks["agent"]]
        times = hover_times(at, zone)
        return [f"{name}\ncompacted\n{time}" for name, time in zip(names, times, strict=True)]

    style = SeriesStyle("")
    return [PointLayer("compaction", style, at, before, "down", hover)], len(marks)
