"""The status of every agent at every time, for all events of a frame at once.

The rules are those of ``evidence`` and ``verdict``, written for arrays, since events taken one by
one would need many seconds a million; the tests hold both to the same verdicts. Events count in the
order of their times, and silence as by a server whose clock never stops ticking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..core.agent_state import ANSWER, INTERRUPTED, SEEN, SESSION_STARTED, TOOL, WORKED
from ..core.roster import Limits
from .columns import BoolArray, IntArray
from .event_signals import Rows, Signs, read_signs

STATUSES = ("active", "waiting", "idle", "offline")
ACTIVE, WAITING, IDLE, OFFLINE = range(len(STATUSES))
_NEVER = np.iinfo(np.int64).max // 2


class Spells(NamedTuple):
    """Stretches of time in which an agent had one status, by agent and time.

    Attributes:
        rows: position in the frame of the last event before.
        agents: code of the agent.
        status: index into STATUSES.
        start, end: microseconds since 1970 UTC.
    """

    rows: Rows
    agents: IntArray
    status: IntArray
    start: IntArray
    end: IntArray

    def of(self, *statuses: int) -> IntArray:
        """Return how long each stretch is, 0 where its status is none of these."""
        return np.where(np.isin(self.status, statuses), self.end - self.start, 0)


class _Timers(NamedTuple):
    """Microseconds of silence until a status; _NEVER where there is no such timer."""

    idle: int
    offline: int
    forget: int


@dataclass(frozen=True, slots=True)
class _Openings:
    """Whether something is open at each place: a tool call, a subagent, a task, a question."""

    work: BoolArray
    permission: BoolArray
    input: BoolArray


def spells(df: pd.DataFrame, end: int, limits: Limits) -> Spells:
    """Return the statuses of a frame's agents up to ``end``.

    Args:
        end: microseconds since 1970 UTC; no event is later.
        limits: the timers to go by.
    """
    timers = _Timers(
        *(
            int(seconds * 1e6) or _NEVER
            for seconds in (limits.idle_timeout_s, limits.offline_timeout_s, limits.forget_after_s)
        )
    )
    signs = read_signs(df, timers.forget)
    if not len(signs.rows):
        none = np.empty(0, np.int64)
        return Spells(signs.rows, none, none, none, none)
    until = np.full(len(signs.at), end)
    until[:-1] = np.where(signs.agents[1:] == signs.agents[:-1], signs.at[1:], end)
    silent_from = signs.at[signs.heard]
    status, holds = _verdicts(signs, until - silent_from, timers)
    return _with_silence(signs, status, holds, until, silent_from, timers)


def _verdicts(signs: Signs, silence: IntArray, timers: _Timers) -> tuple[IntArray, BoolArray]:
    """Return each place's status, and whether evidence forbids to call it idle for silence."""
    of = signs.of
    ends_turn = of["ends_turn"] | (signs.notices == "idle_prompt")
    worked, ended = signs.last(of[WORKED]), signs.last(of["ends_session"])
    turn_end = signs.last(ends_turn)
    over = (ended >= 0) & np.where(
        # Its own end is undone by life alone, being marked offline by any later sign.
        of["told"][ended],
        ended > signs.last(of[SEEN]),
        ended > signs.last(of["told"]),
    )
    openings = _openings(signs, ends_turn)
    none = np.full(len(over), -1)

    def judge(idled: IntArray, silenced: IntArray) -> tuple[IntArray, BoolArray]:
        last_end = np.maximum(turn_end, idled)
        # Input that is asked for after the end of a turn is no more than the prompt.
        waits = openings.permission | (openings.input & (worked >= last_end))
        fresh = signs.last(of[SESSION_STARTED]) > np.maximum(ended, silenced)
        turn_over = ((last_end >= 0) & (last_end >= worked)) | (
            fresh & (np.maximum(ended, silenced) >= worked)
        )
        status = np.select(
            [signs.forget | over, waits, openings.work, turn_over],
            [OFFLINE, WAITING, ACTIVE, IDLE],
            ACTIVE,
        )
        return status, (waits | openings.work) & ~over

    status, holds = judge(none, none)
    idled = none
    if timers.idle < timers.offline:
        silent = (status == ACTIVE) & ~holds & (silence > timers.idle)
        # Who has been idle since the last sign of work does not become so again.
        idled = _marked(signs, silent)
        idled = _marked(signs, silent & ((idled < 0) | (idled < worked)))
        status, holds = judge(idled, none)
    silent = (status != OFFLINE) & ~holds & (silence > timers.offline)
    return judge(idled, _marked(signs, silent))


def _marked(signs: Signs, silent: BoolArray) -> IntArray:
    """Return for each place that of the newest sign before the last silence in its session."""
    after = np.zeros(len(silent), np.bool_)
    after[1:] = silent[:-1]
    last = signs.last(after & ~signs.begins)
    marks = np.where(last >= 0, signs.heard[np.maximum(last - 1, 0)], -1)
    start = np.maximum.accumulate(np.where(signs.begins, np.arange(len(marks)), -1))
    return np.where(marks >= start, marks, -1)


def _openings(signs: Signs, ends_turn: BoolArray) -> _Openings:
    of = signs.of
    calls, refused = np.flatnonzero(of["closes_tool"]), np.flatnonzero(signs.refuses)
    both = np.concatenate([calls, refused])
    closers = np.concatenate([signs.tool_ids[both], signs.tool_names[calls]])
    closings = _Closings(closers, np.concatenate([both, calls]))
    halts = of["ends_session"] | signs.begins
    ends = ends_turn | halts
    opens = np.flatnonzero(of["opens_tool"])
    closed = np.minimum(closings.after(opens, signs.tool_ids[opens]), _next(ends, opens))
    tools = _open(opens, closed, len(ends))
    asks = signs.asking[opens]
    asking = _open(opens[asks], closed[asks], len(ends))
    opens, stops = np.flatnonzero(of["opens_child"]), np.flatnonzero(of["closes_child"])
    ended = _Closings(signs.child_ids[stops], stops).after(opens, signs.child_ids[opens])
    children = _open(opens, np.minimum(ended, _next(of[INTERRUPTED] | halts, opens)), len(ends))
    told = signs.last(ends_turn | of["counts_tasks"])
    tasks = (told >= 0) & (signs.tasks[told] > 0) & (told > signs.last(of["ends_session"]))
    permission, asked = _questions(signs, closings, ends | of[ANSWER])
    return _Openings(tools | children | tasks, permission | asking, asked)


def _questions(signs: Signs, tools: _Closings, settles: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return where a permission, and where an answer of a person is waited for."""
    of = signs.of
    needs = np.isin(signs.notices, ("agent_needs_input", "elicitation_dialog"))
    asks = of["asks"] | (signs.notices == "permission_prompt")
    opens = np.flatnonzero(asks | needs)
    about = np.where(needs[opens], -1, signs.asked[opens])
    # A question about the same tool takes the place of the one before.
    close = np.minimum(_next(settles, opens), _Closings(about, opens).after(opens, about))
    by_work = np.where(
        needs[opens],
        _next(of[WORKED], opens),
        np.where(about >= 0, tools.after(opens, about), _next(of[TOOL], opens)),
    )
    close = np.minimum(close, by_work)
    wait = needs[opens]
    n = len(settles)
    return _open(opens[~wait], close[~wait], n), _open(opens[wait], close[wait], n)


class _Closings:
    """Where the things of each name are closed.

    Args:
        names: of what is closed, at the same index of ``places``.
    """

    def __init__(self, names: IntArray, places: IntArray) -> None:
        self._size = int(max(places.max(initial=0), 1)) + 1
        self._found = np.sort((names + 1) * self._size + places)

    def after(self, places: IntArray, names: IntArray) -> IntArray:
        """Return where a thing of each name is closed first after its place; _NEVER: nowhere."""
        if not len(self._found):
            return np.full(len(places), _NEVER)
        wanted = (names + 1) * self._size
        at = np.searchsorted(self._found, wanted + np.minimum(places, self._size - 1), side="right")
        found = self._found[np.minimum(at, len(self._found) - 1)]
        fits = (at < len(self._found)) & (found < wanted + self._size)
        return np.where(fits, found - wanted, _NEVER)


def _next(places: BoolArray, after: IntArray) -> IntArray:
    """Return the first of ``places`` after each place; _NEVER: none."""
    found = np.append(np.flatnonzero(places), _NEVER)
    return found[np.searchsorted(found, after, side="right")]


def _open(opens: IntArray, closes: IntArray, n: int) -> BoolArray:
    """Return the places from an opening up to its closing."""
    change = np.bincount(opens, minlength=n + 1)[: n + 1]
    change = change - np.bincount(np.minimum(closes, n), minlength=n + 1)[: n + 1]
    return np.cumsum(change[:n]) > 0


def _with_silence(
    signs: Signs,
    status: IntArray,
    holds: BoolArray,
    until: IntArray,
    silent_from: IntArray,
    timers: _Timers,
) -> Spells:
    """Cut the stretch after each event where silence makes the agent idle and offline."""
    alive = status != OFFLINE
    offline = np.where(alive & ~holds, silent_from + timers.offline, _NEVER)
    offline = np.minimum(offline, np.where(alive, silent_from + timers.forget, _NEVER))
    idle = np.where((status == ACTIVE) & ~holds, silent_from + timers.idle, _NEVER)
    offline = np.clip(offline, signs.at, until)
    idle = np.minimum(np.clip(idle, signs.at, until), offline)
    edges = np.stack([signs.at, idle, offline, until], axis=1)
    cut = np.stack([status, np.full_like(status, IDLE), np.full_like(status, OFFLINE)], axis=1)
    start, end = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    # What is last, at the very end of the frame, is shown though it has lasted no time.
    present = np.zeros(cut.shape, np.bool_)
    last = np.append(signs.agents[1:] != signs.agents[:-1], True)
    present[:, 0] = last & (signs.at == until)
    keep = (end > start) | present.ravel()
    rows, agents = np.repeat(signs.rows, 3)[keep], np.repeat(signs.agents, 3)[keep]
    return Spells(rows, agents, cut.ravel()[keep], start[keep], end[keep])


def merged(found: Spells) -> Spells:
    """Return the stretches with neighbours of one agent and one status made one."""
    if not len(found.rows):
        return found
    begins = np.ones(len(found.rows), np.bool_)
    begins[1:] = (found.agents[1:] != found.agents[:-1]) | (found.status[1:] != found.status[:-1])
    ends = np.append(begins[1:], True)
    firsts = (found.rows[begins], found.agents[begins], found.status[begins], found.start[begins])
    return Spells(*firsts, found.end[ends])
