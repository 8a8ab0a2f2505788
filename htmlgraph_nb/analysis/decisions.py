"""The status decisions of a history frame: read where they are stored, else made by the Roster.

Frames without decisions are those of session files, of other programs, and of database files of
older versions until the server has filled them. There the Roster takes in the events one by one, in
the order of their times, with its timers and its rules for parents and subagents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import Event, PresenceStatus, new_event
from ..core.roster import Limits, Roster, timer_event, timers_of
from ..core.status_rules import FORGOTTEN, StatusDecision, keeps_active
from ..core.timestamps import EPOCH, from_micros, to_micros
from ..core.validation import shorten
from ..errors import InvalidEvent
from .agent_rows import AgentRows, Rows
from .columns import BoolArray, IntArray, column_isin, encode_column, timestamp_micros

_COLUMNS = ("event_type", "session_id", "tool_name", "tool_use_id", "parent_agent_id", "source")
_END = datetime.max.replace(tzinfo=UTC)


class Silence(NamedTuple):
    """What a timer makes of an agent that is silent.

    Attributes:
        after_us: microseconds since its last activity.
        decision: its status from then on.
    """

    after_us: int
    decision: StatusDecision


class Inferred(NamedTuple):
    """Decisions between the rows of a frame, in no order.

    Attributes:
        rows: index in AgentRows of the row before.
        at: microseconds since 1970 UTC.
        codes: index into ``Decided.decisions``.
    """

    rows: IntArray
    at: IntArray
    codes: IntArray


@dataclass(frozen=True, slots=True)
class Decided:
    """The decisions made for a frame.

    Attributes:
        decisions: what the codes stand for.
        codes: code of each row of the frame; -1: the frame has the decision itself.
        between: what timers and relations made of agents after a row; positions in the frame.
    """

    decisions: list[StatusDecision]
    codes: IntArray
    between: Inferred


def undecided_rows(df: pd.DataFrame) -> BoolArray:
    """Return which rows have no decision."""
    missing: BoolArray = encode_column(df, "agent_status").codes < 0
    return missing


def decide_rows(df: pd.DataFrame, rows: Rows, limits: Limits) -> Decided:
    """Let the Roster decide after each row and between them, until no timer runs any more.

    Args:
        rows: positions in the frame, in the order in which the events count.
    """
    roster = Roster(limits)
    known: dict[StatusDecision, int] = {}
    codes = np.full(len(df), -1)
    last_rows: dict[str, int] = {}
    between: list[tuple[int, int, int]] = []

    def apply(event: Event) -> int:
        decision = roster.apply(event, 0, event.timestamp or EPOCH).decision
        return known.setdefault(decision, len(known))

    def pass_time(agent_id: str, until: datetime) -> None:
        for at, event in roster.overdue(agent_id, until):
            between.append((last_rows[event.agent_id], to_micros(at), apply(event)))

    for row, event in _events(df, rows):
        pass_time(event.agent_id, event.timestamp or EPOCH)
        codes[row] = apply(event)
        last_rows[event.agent_id] = row
    for agent_id in last_rows:
        pass_time(agent_id, _END)
    found = np.array(between, np.int64).reshape(-1, 3).T
    return Decided([*known], codes, Inferred(found[0], found[1], found[2]))


def _events(df: pd.DataFrame, rows: Rows) -> Iterator[tuple[int, Event]]:
    """Yield what the rows say about the status of their agents."""
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
                extra=_object(extra),
            ),
        )


def _texts(df: pd.DataFrame, column: str) -> list[str | None]:
    codes, values = encode_column(df, column)
    texts = np.array([*map(str, values), None], object)
    return texts[codes].tolist()  # type: ignore[no-any-return]


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InvalidEvent(
                f"extra: expected a JSON object, got {shorten(value)}", "extra"
            ) from None
    return dict(value) if isinstance(value, dict) else None


def silences_of(status: PresenceStatus, detail: str, limits: Limits) -> list[Silence]:
    """Return what the timers make of an agent with this status that is silent, in order of time."""
    found: list[Silence] = []
    if detail == FORGOTTEN.detail:
        return found
    timers = timers_of(status, keeps_active(status, detail), limits)
    strongest = len(timers)
    for place, (event_type, after_s) in sorted(enumerate(timers), key=lambda one: one[1][1]):
        # Nothing follows a stronger timer than a weaker one.
        if place < strongest:
            found.append(Silence(int(after_s * 1e6), _after_timer(event_type)))
            strongest = place
    return found


def _after_timer(event_type: str) -> StatusDecision:
    """Return the decision that a timer makes, as the Roster draws it."""
    roster = Roster()
    roster.apply(Event(agent_id="any", event_type="prompt", timestamp=EPOCH), 1, EPOCH)
    return roster.apply(timer_event("any", event_type, EPOCH, 0.0), 2, EPOCH).decision


def infer_silences(
    events: AgentRows,
    statuses: Sequence[tuple[PresenceStatus, str]],
    codes: npt.NDArray[np.signedinteger],
    limits: Limits,
) -> tuple[list[StatusDecision], Inferred]:
    """Return what silence made of agents after rows whose decisions are stored.

    A server that runs stores the events of its timers; this is for the time in which none ran, and
    for the end of a frame. Silence changes a status to the second.

    Args:
        statuses: status and detail that the codes stand for.
        codes: of each row; -1: it is left out.
    """
    silences = [silences_of(status, detail, limits) for status, detail in statuses]
    shortest = min((one.after_us for found in silences for one in found), default=0)
    decisions: dict[StatusDecision, int] = {}
    parts: list[tuple[Rows, IntArray, IntArray]] = []
    if shortest:
        lasts = events.lasts
        quiet = np.ones(len(events), np.bool_)
        quiet[:-1] = lasts[:-1] | (events.at[1:] - events.last_activity[:-1] > shortest)
        rows = np.flatnonzero(quiet & (codes >= 0))
        for code in np.unique(codes[rows]).tolist():
            of_code = rows[codes[rows] == code]
            for silence in silences[code]:
                at = np.maximum(
                    events.last_activity[of_code] + silence.after_us, events.at[of_code]
                )
                number = decisions.setdefault(silence.decision, len(decisions))
                parts.append((of_code, at, np.full(len(at), number)))
    columns = zip(*parts, strict=True) if parts else ([np.empty(0, np.int64)],) * 3
    return [*decisions], Inferred(*(np.concatenate([*column]) for column in columns))


def stored_limits(df: pd.DataFrame) -> Limits:
    """Return the timers that the server's own rows in a frame show, else the defaults."""
    if not {"source", "extra", "event_type"} <= set(df.columns):
        return Limits()
    by_clock = column_isin(df, "source", "timer")
    known: dict[str, Any] = {}
    for event_type, setting in _SETTINGS.items():
        rows = np.flatnonzero(by_clock & column_isin(df, "event_type", event_type))
        if len(rows):
            seconds = _after_s(df["extra"].iloc[rows[-1]])
            if seconds is not None:
                known[setting] = seconds
    return replace(Limits(), **known)


_SETTINGS = {
    "idle": "idle_timeout_s",
    "offline": "offline_timeout_s",
    "forget": "forget_after_s",
}


def _after_s(extra: Any) -> float | None:
    try:
        value = (json.loads(extra) if isinstance(extra, str) else extra)["after_s"]
    except (ValueError, TypeError, KeyError):
        return None
    return float(value) if isinstance(value, int | float) else None
