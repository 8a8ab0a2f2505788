"""Plot of one session: its turns, status, tool calls and subagents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...errors import InvalidEvent
from ...local_zone import Zone
from ...pricing.prices import Prices
from ..agent_labels import agent_labels
from ..columns import (
    BoolArray,
    column_isin,
    encode_column,
    error_mask,
    float_column,
    time_zone,
    timestamp_micros,
    tool_mask,
)
from ..costs import COST_COLUMNS, token_costs
from ..intervals import REQUIRED_COLUMNS, timeline
from ..turns import turns
from .charts.chart import (
    AxisSpec,
    Chart,
    HoverTexts,
    Layer,
    PointLayer,
    SeriesStyle,
    SpanLayer,
    as_floats,
)
from .charts.number_text import count_text, shown_value, usd_text
from .charts.palette import ERROR_COLOR, OTHERS, OTHERS_COLOR, series_styles
from .charts.time_axis import duration_text, facts_of_period, hover_times, index_micros, time_range
from .context_plots import compaction_mask
from .drawing import Backend, Theme, as_text, checked_top, draw_chart, in_time_zone
from .families import family_rows, parents_of
from .stacked_bars import unpriced_fact
from .status_plots import status_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TOOLS = 12
_MOST_SUBAGENTS = 40
_MAX_LISTED = 5
_NOT_DONE = ("error", "interrupted", "cannot_work")
_US_PER_MS = 1000.0
_THICKNESS = 0.7


def plot_session(
    df: pd.DataFrame,
    session: str | None = None,
    ax: Axes | None = None,
    *,
    top: int | None = None,
    colors: Mapping[str, str] | None = None,
    prices: Prices | None = None,
    tz: Zone = None,
    backend: Backend = "matplotlib",
    theme: Theme = None,
) -> Any:
    """Plot one session: its turns, when it waited, each tool call, and its subagents.

    Args:
        df: as for ``timeline``, with tool_name, and uses duration_ms and tool_use_id.
        session: a session_id, or an agent_id for all sessions of the agent. None: the only one.
        top: only this many tools have their own row, those that took the most time. None: 12.
        colors: as for ``plot_tool_counts``.
        prices: as for ``token_costs``.
        ax, tz, backend, theme: as for ``plot_tool_counts``.

    Returns:
        As ``plot_tool_counts``. Calls that failed have a cross.

    Raises:
        InvalidEvent: an argument is invalid, a column is missing, the session is not in the frame,
            or the frame has several sessions and ``session`` is None.
    """
    df = in_time_zone(df, "plot_session", tz, *REQUIRED_COLUMNS, "tool_name")
    n_tools = checked_top(top, _MOST_TOOLS)
    picked = _pick(df, session)
    chart = _SessionChart(picked, n_tools, colors, prices).chart()
    return draw_chart(chart, ax, backend, theme)


@dataclass(frozen=True, slots=True)
class _Picked:
    """The events of a session.

    Attributes:
        df: the whole frame.
        main: mask of the events of the session itself.
        all: mask of these and of its subagents in the same time.
        subagents: ids of the subagents in order of their first event.
    """

    df: pd.DataFrame
    main: BoolArray
    all: BoolArray
    subagents: list[str]


def _pick(df: pd.DataFrame, session: str | None) -> _Picked:
    parents = parents_of(df)
    if session is None:
        session = _only_session(df, parents)
    main = column_isin(df, "session_id", session)
    if not main.any():
        main = column_isin(df, "agent_id", session)
    if not main.any():
        raise InvalidEvent(
            f"session: expected a session_id or agent_id of the frame, got "
            f"{shown_value(session)}; it has {_sessions_text(df, parents)}",
            "session",
        )
    owners = {str(agent) for agent in df["agent_id"][main].unique()}
    # Agents may report subagents under their own session.
    roots = {agent for agent in owners if parents.get(agent) not in owners}
    main = main & column_isin(df, "agent_id", *roots)
    micros = timestamp_micros(df)
    first, last = micros[main].min(), micros[main].max()
    during = (micros >= first) & (micros <= last)
    starts = pd.Series(micros[during]).groupby(df["agent_id"][during].astype(str).to_numpy()).min()
    order = {str(agent): None for agent in starts.sort_values(kind="stable").index}
    rows = family_rows(order, parents)
    below = [row.agent_id for row in rows if row.root in roots and row.agent_id not in roots]
    every = main | (during & column_isin(df, "agent_id", *below)) if below else main
    return _Picked(df, main, every, below)


def _only_session(df: pd.DataFrame, parents: Mapping[str, str]) -> str:
    sessions = _sessions(df, parents)
    if len(sessions) == 1:
        return str(sessions.index[0])
    raise InvalidEvent(
        "session: expected a session_id or agent_id, because the frame has "
        f"{_sessions_text(df, parents)}; type plot_session(df, {sessions.index[0]!r})"
        if len(sessions)
        else "session: expected a frame with a session, got no events",
        "session",
    )


def _sessions(df: pd.DataFrame, parents: Mapping[str, str]) -> pd.Series:
    """Return the number of events of each session of an agent without a parent."""
    if "session_id" in df.columns and df["session_id"].notna().any():
        own = df[~df["agent_id"].astype(str).isin(set(parents)).to_numpy()]
        counts = own["session_id"].value_counts()
    else:
        counts = df["agent_id"].value_counts()
    return counts[counts > 0]


def _sessions_text(df: pd.DataFrame, parents: Mapping[str, str]) -> str:
    counts = _sessions(df, parents)
    listed = ", ".join(shown_value(name) for name in counts.index[:_MAX_LISTED])
    more = len(counts) - _MAX_LISTED
    rest = f" and {more} more" if more > 0 else ""
    return f"{count_text(len(counts), 'session')}: {listed}{rest}"


class _SessionChart:
    """The rows of a session, from the top: turns, status, tools, subagents."""

    def __init__(
        self,
        picked: _Picked,
        n_tools: int,
        colors: Mapping[str, str] | None,
        prices: Prices | None,
    ) -> None:
        self.events = picked.df[picked.main]
        self.every = picked.df[picked.all]
        self.subagents = picked.subagents
        self.zone = time_zone(self.events)
        self.n_tools, self.colors, self.prices = n_tools, colors, prices
        self.rows: list[str] = []
        self.layers: list[Layer] = []

    def chart(self) -> Chart:
        """Return the chart."""
        self._add_turns()
        self._add_status()
        n_calls = self._add_tools()
        self._add_subagents()
        low, high = time_range(as_floats(timestamp_micros(self.events)))
        margin = 0.01 * (high - low)
        agent = str(self.events["agent_id"].iloc[0])
        label = agent_labels(self.events).get(agent, agent)
        if "title" in self.events.columns and self.events["title"].notna().any():
            label = str(self.events["title"].dropna().iloc[-1])
        facts = [
            duration_text(high - low),
            count_text(n_calls, "tool call"),
            count_text(len(self.subagents), "subagent") if self.subagents else "",
            *self._cost_facts(),
            *facts_of_period(self.events, self.zone),
        ]
        return Chart(
            title=f"Session: {label}",
            facts=facts,
            x=AxisSpec("time", "", low - margin, high + margin, zone=self.zone),
            y=AxisSpec("names", "", names=self.rows, first_at_top=True),
            layers=self.layers,
            legend="in the session",
            height=1.6 + 0.3 * max(len(self.rows), 3),
        )

    def _cost_facts(self) -> list[str]:
        if any(name not in self.every.columns for name in COST_COLUMNS):
            return []
        costs = token_costs(self.every, (), prices=self.prices)
        return [usd_text(float(costs["usd"].sum())), unpriced_fact(costs)]

    def _row(self, name: str) -> float:
        self.rows.append(name)
        return float(len(self.rows) - 1)

    def _add_turns(self) -> None:
        table = turns(self.events, self.prices, labels=())
        if not len(table):
            return
        row = self._row(f"turns ({len(table)})")
        not_done = table["outcome"].isin(_NOT_DONE).to_numpy()
        for name, pattern, chosen in (
            ("turn", 0, ~not_done),
            ("turn with an error or interrupt", 1, not_done),
        ):
            part = table[chosen]
            if len(part):
                start = as_floats(index_micros(part["start"]))
                end = as_floats(index_micros(part["end"]))
                style = SeriesStyle(OTHERS_COLOR, pattern)
                rows = np.full(len(part), row)
                hover = self._turn_hover(part)
                self.layers.append(SpanLayer(name, style, start, end, rows, 0.6, hover))
        marked = compaction_mask(self.events)
        if marked.any():
            at = as_floats(timestamp_micros(self.events)[marked])
            texts = [f"compacted\n{time}" for time in hover_times(at, self.zone)]
            place = np.full(len(at), row)
            self.layers.append(
                PointLayer("compaction", SeriesStyle(""), at, place, "down", lambda: texts)
            )

    def _turn_hover(self, table: pd.DataFrame) -> HoverTexts:
        def texts() -> list[str]:
            micros = index_micros(table["start"])
            columns = ("outcome", "tools", "tool_errors", "usd")
            lengths = 1e6 * table["duration"].dt.total_seconds()
            return [
                f"turn {number + 1}: {outcome}, {duration_text(length)}\n"
                f"{count_text(n, 'tool call')}, {failed} failed\n"
                f"{'no price' if np.isnan(usd) else usd_text(usd)}\n{time}"
                for number, length, time, outcome, n, failed, usd in zip(
                    *(table.index.tolist(), lengths.tolist(), hover_times(micros, self.zone)),
                    *(table[name].tolist() for name in columns),
                    strict=True,
                )
            ]

        return texts

    def _add_status(self) -> None:
        self._add_intervals(timeline(self.events), {None: self._row("status")}, in_legend=True)

    def _add_subagents(self) -> None:
        shown = self.subagents[:_MOST_SUBAGENTS]
        if not shown:
            return
        labels = agent_labels(self.every)
        rows: dict[str | None, float] = {
            agent: self._row(f"↳ {labels.get(agent, agent)}") for agent in shown
        }
        if len(self.subagents) > len(shown):
            rows[None] = self._row(f"↳ {len(self.subagents) - len(shown)} more subagents")
        below = self.every[np.asarray(column_isin(self.every, "agent_id", *self.subagents))]
        self._add_intervals(timeline(below), rows, in_legend=False)

    def _add_intervals(
        self, intervals: pd.DataFrame, rows: Mapping[str | None, float], *, in_legend: bool
    ) -> None:
        start = as_floats(index_micros(intervals["start"]))
        length = intervals["duration"].dt.total_seconds().to_numpy()
        agents = intervals["agent_id"].astype(str)
        row = agents.map(lambda name: rows.get(name, rows.get(None, np.nan))).to_numpy(np.float64)

        def hover(status: str, chosen: BoolArray) -> HoverTexts:
            def texts() -> list[str]:
                times = hover_times(start[chosen], self.zone)
                return [
                    f"{status} {duration_text(1e6 * seconds)}\n{time}\n{name}"
                    for seconds, time, name in zip(
                        length[chosen], times, agents[chosen], strict=True
                    )
                ]

            return texts

        self.layers += status_layers(intervals, row, _THICKNESS, hover, in_legend=in_legend)

    def _add_tools(self) -> int:
        calls = tool_spans(self.events)
        if not len(calls):
            return 0
        lengths = (calls["end"] - calls["start"]).groupby(calls["tool"]).sum()
        largest = lengths.sort_values(ascending=False, kind="stable").index
        named = set(largest[: self.n_tools] if len(largest) > self.n_tools + 1 else largest)
        lane = calls["tool"].where(calls["tool"].isin(named), OTHERS)
        order = [name for name in dict.fromkeys(lane) if name != OTHERS]
        order += [OTHERS] if (lane == OTHERS).any() else []
        styles = series_styles("tool_name", order, self.colors)
        rows = {}
        for name in order:
            part = calls[lane == name]
            rows[name] = self._row(f"{name} ({len(part):,})")
            self.layers.append(
                SpanLayer(
                    *(name, styles[name], as_floats(part["start"]), as_floats(part["end"])),
                    *(np.full(len(part), rows[name]), 0.7, self._call_hover(part)),
                    outlined=True,
                    in_legend=False,
                )
            )
        failed = calls[calls["failed"]]
        if len(failed):
            place = lane[calls["failed"]].map(rows).to_numpy(np.float64)
            at = as_floats(failed["end"])
            style = SeriesStyle(ERROR_COLOR)
            hover = self._call_hover(failed)
            self.layers.append(PointLayer("failed", style, at, place, "cross", hover, 5.0))
        return len(calls)

    def _call_hover(self, calls: pd.DataFrame) -> Any:
        def texts() -> list[str]:
            return [
                f"{tool}{' failed' if failed else ''}, {duration_text(end - start)}\n{time}"
                for tool, failed, start, end, time in zip(
                    *(calls[name].tolist() for name in ("tool", "failed", "start", "end")),
                    hover_times(calls["start"], self.zone),
                    strict=True,
                )
            ]

        return texts


def tool_spans(df: pd.DataFrame) -> pd.DataFrame:
    """Return the tool calls that ended: tool, start, end (microseconds since 1970) and failed.

    The start is that of the reported duration, else of the ``tool_start`` of the same call, else
    the end.
    """
    micros = timestamp_micros(df)
    rows = np.flatnonzero(tool_mask(df))
    end = micros[rows]
    milliseconds = float_column(df, "duration_ms")[rows]
    start = end - np.rint(_US_PER_MS * np.nan_to_num(milliseconds))
    untimed = np.isnan(milliseconds)
    if "tool_use_id" in df.columns and untimed.any():
        starts = np.flatnonzero(column_isin(df, "event_type", "tool_start"))
        column = encode_column(df, "tool_use_id").codes
        known = {code: micros[row] for code, row in zip(column[starts], starts, strict=True)}
        for index in np.flatnonzero(untimed):
            code = column[rows[index]]
            if code >= 0 and code in known:
                start[index] = min(known[code], end[index])
    calls = pd.DataFrame(
        {
            "tool": as_text(df["tool_name"].take(rows)).to_numpy(),
            "start": start.astype(np.int64),
            "end": end,
            "failed": error_mask(df)[rows],
        }
    )
    return calls.sort_values("start", kind="stable", ignore_index=True)
