"""The status decisions of a history frame: read where they are stored, else made by the Roster.

Frames without decisions are those of session files, of other programs, and of database files of
older versions until the server has filled them. There the Roster applies the events one by one, in
the order of their times, with its timers and its rules for parents and subagents.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import Event, PresenceStatus, new_event
from ..core.reducer import SESSION_END_TYPES, TURN_END_TYPES
from ..core.roster import TIMER_SETTINGS, Limits, Roster, timer_event, timers_of
from ..core.status_rules import FORGOTTEN, StatusDecision, keeps_active
from ..core.timestamps import EPOCH, from_micros, to_micros
from ..errors import HistoryWarning, level_of_caller
from .agent_rows import AgentRows, Rows
from .columns import (
    BoolArray,
    IntArray,
    column_isin,
    encode_column,
    map_names,
    parse_extra,
    timestamp_micros,
    topmost,
)

_COLUMNS = ("event_type", "session_id", "tool_name", "tool_use_id", "parent_agent_id", "source")
_WAITS_FOR_OTHERS = "background"
"""Detail of an agent that waits for subagents or background tasks."""
_MARGIN_US = 60_000_000
"""Delay with which a running server may apply a timer, or receive an event."""
_END = datetime.max.replace(tzinfo=UTC)


class Silence(NamedTuple):
    """The decision that a timer causes for an inactive agent.

    Attributes:
        after_us: microseconds since its last activity.
        decision: the decision from then on.
    """

    after_us: int
    decision: StatusDecision


class Inferred(NamedTuple):
    """Decisions between the rows of a frame, unordered.

    Attributes:
        rows: the row that precedes each decision: an index in AgentRows, or in the frame.
        at: microseconds since 1970 UTC.
        codes: index into a list of decisions.
    """

    rows: IntArray
    at: IntArray
    codes: IntArray


@dataclass(frozen=True, slots=True)
class RowDecisions:
    """The decisions that a Roster made for a frame.

    Attributes:
        decisions: all different decisions.
        codes: index into ``decisions`` for each row of the frame; -1: the row was not decided.
        inferred: decisions caused by timers, parents and subagents; ``rows`` are positions in the
            frame.
    """

    decisions: list[StatusDecision]
    codes: IntArray
    inferred: Inferred


def undecided_rows(df: pd.DataFrame) -> BoolArray:
    """Return a mask of the rows without a decision."""
    missing: BoolArray = encode_column(df, "agent_status").codes < 0
    return missing


def warn_incomplete(df: pd.DataFrame, undecided: BoolArray) -> None:
    """Warn if part of a loaded history is missing on which the statuses of agents depend.

    Args:
        df: a frame; only those of ``load_history`` and ``load_transcripts`` are checked, as other
            programs may have no such columns.
        undecided: the rows whose decisions are made here.
    """
    if not len(df) or not _LOADED_ATTRS & set(df.attrs):
        return
    needed = [*_STORED_COLUMNS, *((*_COLUMNS, "extra") if undecided.any() else ())]
    missing = [name for name in dict.fromkeys(needed) if name not in df.columns]
    if missing:
        text = f"lacks the columns {', '.join(missing)}; load it without columns="
    elif not column_isin(df, "event_type", *_END_TYPES).any() and _hours(df) > 1:
        text = "has no event that ends a turn; load it without event_types= and tools="
    else:
        return
    message = f"the times of active, waiting and idle agents can be wrong: the history {text}"
    warnings.warn(message, HistoryWarning, stacklevel=level_of_caller())


_LOADED_ATTRS = {"source", "files"}
_STORED_COLUMNS = ("session_id", "source")
_END_TYPES = TURN_END_TYPES | SESSION_END_TYPES


def _hours(df: pd.DataFrame) -> float:
    return float(np.ptp(timestamp_micros(df))) / 3_600e6


def silent_families(df: pd.DataFrame, limits: Limits) -> BoolArray:
    """Return a mask of the rows of families whose stored decisions say that silent agents work.

    A server applies the rules for parents and subagents as time passes. Where no server ran, or
    where the events of a parent arrived before those of its subagents, a parent waits for
    subagents that have been silent for longer than the idle timeout. Its family is decided again.
    """
    mask = np.zeros(len(df), np.bool_)
    roots = _family_of_agents(df)
    has_columns = all(name in df.columns for name in (*_COLUMNS, "extra"))
    if roots is None or not limits.idle_timeout_s or not has_columns:
        return mask
    agents = encode_column(df, "agent_id").codes
    is_member = (np.bincount(roots, minlength=len(roots))[roots] > 1)[agents]
    rows = np.flatnonzero(is_member)
    times = timestamp_micros(df)
    by_agent_and_time = rows[np.lexsort((times[rows], agents[rows]))]
    families = roots[agents[by_agent_and_time]]
    # Of each family by time, rows of one time by agent.
    order = np.lexsort((times[by_agent_and_time], families))
    rows, families = by_agent_and_time[order], families[order]
    ends = np.append(families[1:] != families[:-1], True)
    until = np.where(ends, times.max(initial=0), np.append(times[rows][1:], 0))
    active = column_isin(df, "agent_status", PresenceStatus.ACTIVE.value)
    detail = encode_column(df, "agent_detail")
    n_waiting, n_working = (
        _members_with(
            (active & map_names(detail, has_it, np.bool_))[by_agent_and_time],
            agents[by_agent_and_time],
            order,
            families,
        )
        for has_it in (_waits_for_others, _has_own_work)
    )
    idle_us = round(limits.idle_timeout_s * 1e6) + _MARGIN_US
    silent = (until - times[rows] > idle_us) & (n_waiting > 0) & (n_working == 0)
    if silent.any():
        mask = is_member & np.isin(roots, families[silent])[agents]
    return mask


def _family_of_agents(df: pd.DataFrame) -> IntArray | None:
    """Return the topmost ancestor of each agent of a frame; None: no row names a parent."""
    parents, agents = encode_column(df, "parent_agent_id"), encode_column(df, "agent_id")
    named = np.flatnonzero(parents.codes >= 0)
    if not len(named):
        return None
    parent_of = np.arange(len(agents.values))
    codes = pd.Index(agents.values).get_indexer(parents.values)[parents.codes[named]]
    known = codes >= 0
    parent_of[agents.codes[named[known]]] = codes[known]
    return topmost(parent_of)


def _waits_for_others(detail: str | None) -> bool:
    return detail == _WAITS_FOR_OTHERS


def _has_own_work(detail: str | None) -> bool:
    return detail != _WAITS_FOR_OTHERS and keeps_active(PresenceStatus.ACTIVE, detail or "")


def _members_with(
    flags: BoolArray, agents: npt.NDArray[np.integer[Any]], order: Rows, families: IntArray
) -> IntArray:
    """Return how many agents of a family have a flag after each row.

    Args:
        flags, agents: by rows, which are sorted by agent and time.
        order: those rows by family and time.
        families: the family of each row in ``order``.
    """
    before = np.append(False, flags[:-1]) & np.append(False, agents[1:] == agents[:-1])
    total = np.cumsum((flags.astype(np.int64) - before)[order])
    starts = np.flatnonzero(np.append(True, families[1:] != families[:-1]))
    base = np.append(0, total)[starts]
    counts: IntArray = total - np.repeat(base, np.diff(np.append(starts, len(families))))
    return counts


def decide_rows(df: pd.DataFrame, rows: Rows, limits: Limits) -> RowDecisions:
    """Return the Roster's decisions after each row, and those caused by timers until none is left.

    Args:
        rows: positions in the frame, in the order in which the events count.
    """
    roster = Roster(limits)
    code_of: dict[StatusDecision, int] = {}
    codes = np.full(len(df), -1)
    last_rows: dict[str, int] = {}
    inferred: list[tuple[int, int, int]] = []

    def apply(event: Event) -> int:
        decision = roster.apply(event, 0, event.timestamp or EPOCH).decision
        return code_of.setdefault(decision, len(code_of))

    def pass_time(agent_id: str, until: datetime) -> None:
        for at, event in roster.timers_due_before(agent_id, until):
            inferred.append((last_rows[event.agent_id], to_micros(at), apply(event)))

    for row, event in _events(df, rows):
        pass_time(event.agent_id, event.timestamp or EPOCH)
        codes[row] = apply(event)
        last_rows[event.agent_id] = row
    for agent_id in last_rows:
        pass_time(agent_id, _END)
    columns = np.array(inferred, np.int64).reshape(-1, 3).T
    return RowDecisions([*code_of], codes, Inferred(columns[0], columns[1], columns[2]))


def _events(df: pd.DataFrame, rows: Rows) -> Iterator[tuple[int, Event]]:
    """Yield each row with its event, as far as it matters for the status."""
    part = df.take(rows)
    times = map(from_micros, timestamp_micros(part).tolist())
    agents = encode_column(part, "agent_id")
    names = [str(name) for name in agents.values]
    columns = [_texts(part, name) for name in _COLUMNS]
    extras = part["extra"].tolist() if "extra" in part.columns else [None] * len(part)
    for row, code, at, extra, (kind, session, tool, call, parent, source) in zip(
        rows.tolist(),
        agents.codes.tolist(),
        times,
        extras,
        zip(*columns, strict=True),
        strict=True,
    ):
        yield (
            row,
            new_event(
                agent_id=names[code],
                event_type=kind or "activity",
                timestamp=at,
                session_id=session,
                tool_name=tool,
                tool_use_id=call,
                parent_agent_id=parent,
                source=source,
                extra=parse_extra(extra),
            ),
        )


def _texts(df: pd.DataFrame, column: str) -> list[str | None]:
    codes, values = encode_column(df, column)
    texts = np.array([*map(str, values), None], object)
    return texts[codes].tolist()  # type: ignore[no-any-return]


def silences_of(
    status: PresenceStatus, detail: str, limits: Limits, *, alive: bool = False, busy: bool = False
) -> list[Silence]:
    """Return the decisions that timers cause for an inactive agent with this status, by time.

    Args:
        alive: whether the agent's process is known to be running.
        busy: whether that process reports that it works.
    """
    silences: list[Silence] = []
    if detail == FORGOTTEN.detail:
        return silences
    open_work = keeps_active(status, detail) or (busy and status is PresenceStatus.ACTIVE)
    timers = timers_of(status, open_work, limits, alive=alive)
    strongest = len(timers)
    by_time = sorted(enumerate(timers), key=lambda entry: entry[1][1])
    for precedence, (event_type, after_s) in by_time:
        # After a timer only those of higher precedence change the status.
        if precedence < strongest:
            silences.append(Silence(int(after_s * 1e6), _after_timer(event_type)))
            strongest = precedence
    return silences


def _after_timer(event_type: str) -> StatusDecision:
    """Return the Roster's decision after the event of a timer."""
    roster = Roster()
    roster.apply(Event(agent_id="any", event_type="prompt", timestamp=EPOCH), 1, EPOCH)
    return roster.apply(timer_event("any", event_type, EPOCH, 0.0), 2, EPOCH).decision


def infer_silences(
    events: AgentRows,
    statuses: Sequence[tuple[PresenceStatus, str, bool, bool]],
    codes: npt.NDArray[np.signedinteger],
    limits: Limits,
) -> tuple[list[StatusDecision], Inferred]:
    """Return the decisions that timers cause after rows whose decisions are stored.

    A running server stores the events of its timers. These decisions are for the time without a
    server, and for the end of a frame. They take effect as soon as a timer is due. That of open
    work is not inferred, as it depends on the agent's family.

    Args:
        statuses: each a status, its detail, and whether the agent's process is running and busy.
        codes: index into ``statuses`` for each row; -1: the row is ignored.

    Returns:
        The different decisions, and the inferred ones as indices into them.
    """
    silences = [
        silences_of(status, detail, limits, alive=alive, busy=busy)
        for status, detail, alive, busy in statuses
    ]
    shortest = min((each.after_us for group in silences for each in group), default=0)
    code_of: dict[StatusDecision, int] = {}
    parts: list[tuple[Rows, IntArray, IntArray]] = []
    if shortest:
        lasts = events.lasts
        quiet = np.ones(len(events), np.bool_)
        quiet[:-1] = lasts[:-1] | (events.at[1:] - events.silent_since[:-1] > shortest)
        rows = np.flatnonzero(quiet & (codes >= 0))
        for code in np.unique(codes[rows]).tolist():
            with_code = rows[codes[rows] == code]
            for silence in silences[code]:
                at = np.maximum(
                    events.silent_since[with_code] + silence.after_us, events.at[with_code]
                )
                inferred_code = code_of.setdefault(silence.decision, len(code_of))
                parts.append((with_code, at, np.full(len(at), inferred_code)))
    columns = zip(*parts, strict=True) if parts else ([np.empty(0, np.int64)],) * 3
    return [*code_of], Inferred(*(np.concatenate([*column]) for column in columns))


def stored_limits(df: pd.DataFrame) -> Limits:
    """Return the timers recorded in the frame's timer events, else the defaults."""
    if not {"source", "extra", "event_type"} <= set(df.columns):
        return Limits()
    from_timer = np.flatnonzero(column_isin(df, "source", "timer"))
    types = df[["event_type"]].take(from_timer)
    settings: dict[str, Any] = {}
    for event_type, setting in TIMER_SETTINGS.items():
        rows = from_timer[column_isin(types, "event_type", event_type)]
        if len(rows):
            seconds = _after_s(df["extra"].iloc[rows[-1]])
            if seconds is not None:
                settings[setting] = seconds
    return replace(Limits(), **settings)


def _after_s(extra: Any) -> float | None:
    try:
        value = (json.loads(extra) if isinstance(extra, str) else extra)["after_s"]
    except (ValueError, TypeError, KeyError):
        return None
    return float(value) if isinstance(value, int | float) else None
