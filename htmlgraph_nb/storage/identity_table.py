"""Decide which events repeat one that is stored, where their ids alone do not say so.

Gateways and relays repeat the ids of answers and of tool calls; see ``core.dedup``. Other names of
an answer are rows of ``observations``, of which the source is ``alias``.

Hooks and telemetry do not know how many calls of a session had the same id, and each source can
report late. So a report belongs to a stored call if it fits in time: between the start of a call
and a report of it there is no end of a call with this id, and between two reports of one end there
is no start. All other reports are about another call, which gets another name.
"""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

from ..core.dedup import (
    AnswerAliases,
    AnswerFacts,
    answer_aliases,
    answer_facts,
    input_total,
    repeated_answer,
)
from ..core.ids import CALL_STEPS, CallName, call_name, is_issued_id, repeated_call
from ..core.model import Event
from ..core.timestamps import to_micros
from .commit.event_scope import KnownEvent
from .database import select_in

_ALIAS = "alias"
_KNOWN = "SELECT dedup_key, event_id FROM observations WHERE dedup_key IN ({})"
_ADD = "INSERT INTO observations (ts, dedup_key, source, event_id) VALUES (?, ?, ?, ?)"
_INPUT = (
    "coalesce(e.input_tokens, 0) + coalesce(e.cache_read_tokens, 0) "
    "+ coalesce(e.cache_write_5m_tokens, 0) + coalesce(e.cache_write_1h_tokens, 0)"
)
_PLAIN = (
    "SELECT 1 FROM events e LEFT JOIN names s ON s.id = e.session WHERE e.event_id = ? "
    f"AND (e.ts = ? OR s.name = ?) AND {_INPUT} = ?"
)
_ANSWERS = (
    f"SELECT e.event_id, e.ts, s.name, {_INPUT} FROM events e "
    "LEFT JOIN names s ON s.id = e.session "
    "WHERE e.event_id = ? OR (e.event_id > ? AND e.event_id < ?) ORDER BY e.event_id"
)
_START, _END, _DENIED = CALL_STEPS
_SELECT = (
    "SELECT e.event_id, e.ts, s.name, o.name FROM events e LEFT JOIN names s ON s.id = e.session "
    "LEFT JOIN names o ON o.id = e.source WHERE "
)
_CALL = _SELECT + "e.event_id IN ({})"
_MAX_QUEUED_US = 60_000_000
_RANDOM = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[0-9A-Za-z]{16,}")
_NEIGHBORS = 8
_BEFORE = _SELECT + f"e.event_id > ? AND e.event_id < ? ORDER BY e.event_id DESC LIMIT {_NEIGHBORS}"
_AFTER = _SELECT + f"e.event_id >= ? AND e.event_id < ? ORDER BY e.event_id LIMIT {_NEIGHBORS}"
_TWICE_US = 2_000_000
"""Two hooks of one kind can report the same step, at most this far apart."""


def related_ids(events: Iterable[Event], known: Mapping[str, KnownEvent]) -> list[str]:
    """Return the ids of the other steps of calls of which a step may be known or be another's."""
    related: list[str] = []
    for event in events:
        same = None if event.event_id is None else known.get(event.event_id)
        if same is None or event.timestamp is None or _is_near(event, same):
            continue
        if (call := call_name(str(event.event_id))) is not None:
            related += [f"{call.name}:{step}" for step in CALL_STEPS if step != call.step]
    return related


def _is_near(event: Event, known: KnownEvent) -> bool:
    """Return whether an event is the known one with its id by its time and the form of its id.

    An id that looks random is not used again so soon.
    """
    apart = 0 if event.timestamp is None else abs(to_micros(event.timestamp) - known.ts)
    if apart == 0:
        return True
    return apart < _MAX_QUEUED_US and _RANDOM.search(event.tool_use_id or "") is not None


class _Report(NamedTuple):
    name: str
    step: str
    ts: int
    session: str | None = None
    source: str | None = None


class Identities:
    """The answers and calls whose ids may be repeated, inside a transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._batch: Sequence[Event] = ()
        # Of the running batch: name of a call without its time → times of its starts, and ends.
        self._batch_times: dict[str, tuple[list[int], list[int]]] | None = None
        # Of this transaction: name of a call without its time → its events.
        self._reports: defaultdict[str, list[_Report]] = defaultdict(list)
        # Of this transaction: issued id of an answer → the answers that have it, and their ids.
        self._answers: defaultdict[str, dict[str, AnswerFacts]] = defaultdict(dict)

    def identify(self, events: Sequence[Event], known: Mapping[str, KnownEvent]) -> list[Event]:
        """Return the events with the ids under which they are stored or to be stored.

        Args:
            known: the known events, by id: those with an id of ``events``, and all steps of the
                calls that these are about.
        """
        self._batch, self._batch_times = events, None
        seen = dict(known)
        return [
            event if event.event_id is None else self._identify(event, event.event_id, seen)
            for event in events
        ]

    def _identify(self, event: Event, event_id: str, seen: dict[str, KnownEvent]) -> Event:
        call = call_name(event_id)
        if call is None or event.timestamp is None:
            if "@" not in event_id:
                return self._identify_issued(event, event_id, seen)
            return event if event_id in seen else self._identify_answer(event)
        ts = to_micros(event.timestamp)
        known = seen.get(event_id)
        if known is not None and _is_same_step(event, call, ts, known, seen):
            return event
        name = call.name
        if known is not None or call.name != call.plain:
            name = self._place(event, call, ts)
        stored_id = f"{name}:{call.step}"
        if stored_id not in seen:
            seen[stored_id] = KnownEvent(False, ts)
            report = _Report(name, call.step, ts, event.session_id, event.source)
            self._reports[call.plain].append(report)
        return event if name == call.name else replace(event, event_id=stored_id)

    def _identify_issued(
        self, event: Event, event_id: str, seen: Mapping[str, KnownEvent]
    ) -> Event:
        """Return an event; an answer of another session that only repeats an id, with a new one."""
        facts = answer_facts(event)
        if facts is None:
            return event
        batch, known = self._answers[event_id], seen.get(event_id)
        if known is None and not batch:
            batch[event_id] = facts
        elif known is None or known.ts != facts.ts:
            values = (event_id, f"{event_id}@", f"{event_id}A")
            stored = self._db.execute(_ANSWERS, values).fetchall()
            answers = {name: AnswerFacts(*known_facts) for name, *known_facts in stored} | batch
            copies = (name for name, other in answers.items() if facts.is_copy_of(other))
            stored_id = next(copies, repeated_answer(event_id, facts.ts))
            batch.setdefault(stored_id, facts)
            if stored_id != event_id:
                return replace(event, event_id=stored_id)
        return event

    def _identify_answer(self, event: Event) -> Event:
        """Return a completion with the id of the answer of which it is a copy, if there is one.

        The names of the answer that are new are recorded.
        """
        aliases = answer_aliases(event)
        if aliases is None:
            return event
        known = dict(select_in(self._db, _KNOWN, aliases.names))
        if known:
            event_id = next(iter(known.values()))
        else:
            has_plain_id = self._has_plain_id(event, aliases)
            event_id = aliases.plain_id if has_plain_id else event.event_id
        ts = to_micros(event.timestamp) if event.timestamp else 0
        rows = [(ts, name, _ALIAS, event_id) for name in aliases.names if name not in known]
        self._db.executemany(_ADD, rows)
        return event if event_id == event.event_id else replace(event, event_id=event_id)

    def _has_plain_id(self, event: Event, aliases: AnswerAliases) -> bool:
        """Return whether a source without lines, or an older version, reported the answer."""
        ts = to_micros(event.timestamp) if event.timestamp else 0
        values = (aliases.plain_id, ts, event.session_id, input_total(event))
        return self._db.execute(_PLAIN, values).fetchone() is not None

    def _place(self, event: Event, call: CallName, ts: int) -> str:
        """Return the name of the call that an event is about, a new name if it is another one."""
        reports = [*self._stored(call.plain, ts), *self._reports[call.plain]]
        others: set[str] = set()
        if not is_issued_id(call.plain):
            # A source reports a step of a call once.
            own = [r for r in reports if r.step == call.step and r.source == event.source]
            others = {r.name for r in own if abs(r.ts - ts) > _TWICE_US}
        elif copies := [r.name for r in reports if r.session != event.session_id]:
            # The session is a copy of the one with the call.
            return copies[0]
        starts, ends = self._times_in_batch(call.plain)
        starts = [*starts, *(r.ts for r in reports if r.step == _START)]
        ends = [*ends, *(r.ts for r in reports if r.step != _START)]
        name = (
            _place_start(ts, reports, sorted(ends), others)
            if call.step == _START
            else _place_end(call.step, ts, started_at(event, ts), reports, sorted(starts), others)
        )
        if name is not None:
            return name
        names = {report.name for report in reports}
        if call.name != call.plain and call.name not in names:
            return call.name
        name = call.plain
        while name in names:
            name, ts = repeated_call(call.plain, ts), ts + 1
        return name

    def _stored(self, plain: str, ts: int) -> list[_Report]:
        """Return the stored events of the calls with a name around a time."""
        at, least, most = (repeated_call(plain, time) for time in (ts, 0, 10**16 - 1))
        rows = select_in(self._db, _CALL, [f"{plain}:{step}" for step in CALL_STEPS])
        rows += self._db.execute(_BEFORE, (least, at)).fetchall()
        rows += self._db.execute(_AFTER, (at, f"{most}:~")).fetchall()
        named = [(call_name(event_id), *values) for event_id, *values in rows]
        return [_Report(call.name, call.step, *values) for call, *values in named if call]

    def _times_in_batch(self, plain: str) -> tuple[list[int], list[int]]:
        if self._batch_times is None:
            self._batch_times = {}
            for event in self._batch:
                call = None if event.event_id is None else call_name(event.event_id)
                if call is None or event.timestamp is None:
                    continue
                starts, ends = self._batch_times.setdefault(call.plain, ([], []))
                ts = to_micros(event.timestamp)
                (starts if call.step == _START else ends).append(ts)
        return self._batch_times.get(plain, ([], []))


def started_at(event: Event, ts: int) -> int | None:
    """Return when a call started, by the duration in its end; None: unknown."""
    return None if event.duration_ms is None else ts - event.duration_ms * 1000


def _is_same_step(
    event: Event, call: CallName, ts: int, known: KnownEvent, seen: Mapping[str, KnownEvent]
) -> bool:
    """Return whether an event is certain to be the known one with its id, without more queries."""
    if _is_near(event, known):
        return True
    if abs(ts - known.ts) > _TWICE_US:
        return False
    if call.step == _START:
        ends = (seen.get(f"{call.name}:{step}") for step in (_END, _DENIED))
        return ts >= known.ts and all(end is None or ts <= end.ts for end in ends)
    start = seen.get(f"{call.name}:{_START}")
    if ts < known.ts:
        return start is not None and start.ts <= ts
    started = started_at(event, ts)
    return started is not None and started <= known.ts


def _any_between(times: Sequence[int], after: int, until: int) -> bool:
    """Return whether one of the sorted times is later than ``after`` and not than ``until``."""
    index = bisect_right(times, after)
    return index < len(times) and times[index] <= until


def _place_start(
    ts: int, reports: Iterable[_Report], ends: Sequence[int], others: Set[str]
) -> str | None:
    """Return the name of the call that starts at ``ts``; None: a new one.

    Args:
        others: names of calls that it is not.
    """
    ended: dict[str, int] = {}
    started = set()
    for report in reports:
        if report.step != _START:
            ended[report.name] = max(report.ts, ended.get(report.name, 0))
            continue
        started.add(report.name)
        # An end at the time of the earlier one is that of a call of no duration.
        earlier, later = sorted((ts, report.ts))
        if report.name not in others and not _any_between(ends, earlier - 1, later - 1):
            return report.name
    waiting = [(end, name) for name, end in ended.items() if name not in started and end >= ts]
    if not waiting:
        return None
    end, name = min(waiting)
    return name if not _any_between(ends, ts - 1, end - 1) else None


def _place_end(
    step: str,
    ts: int,
    started: int | None,
    reports: Iterable[_Report],
    starts: Sequence[int],
    others: Set[str],
) -> str | None:
    """Return the name of the call that ends at ``ts``; None: a new one.

    Args:
        others: names of calls that it is not.
    """
    ended = set()
    open_starts: list[tuple[int, str]] = []
    for report in reports:
        if report.step == _START:
            open_starts.append((report.ts, report.name))
        if report.step != step:
            continue
        ended.add(report.name)
        earlier, later = sorted((ts, report.ts))
        is_other = report.name in others or (started is not None and started > report.ts)
        if not is_other and not _any_between(starts, earlier, later):
            return report.name
    open_calls = [(at, name) for at, name in open_starts if at <= ts and name not in ended]
    if not open_calls:
        return None
    at, name = max(open_calls)
    return name if not _any_between(starts, at, ts) else None
