"""The events of a frame in the order of agents and times, and what each is a sign of.

What an event type means is learned by giving one event of it to ``evidence.observe``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.agent_state import ANSWER, INTERRUPTED, SEEN, SESSION_STARTED, TOOL, WORKED, AgentState
from ..core.model import Event
from ..core.reducer import background_tasks, reduce, requested_input, task_key
from ..core.timestamps import EPOCH
from ..core.validation import shorten
from ..errors import InvalidEvent
from .columns import BoolArray, IntArray, column_isin, encode_column, map_names, timestamp_micros

Rows = npt.NDArray[np.intp]
_KINDS = (ANSWER, INTERRUPTED, SEEN, SESSION_STARTED, TOOL, WORKED)
_SPEAKING = (
    *("stop", "notification", "tool_start"),
    *("subagent_start", "subagent_stop", "task_start", "task_stop"),
)
_READ = ("agent_id", "event_type", "session_id", "tool_name", "tool_use_id", "source", "extra")


@dataclass(frozen=True, slots=True)
class Signs:
    """One place an event, by agent and time; ``rows`` are the events' positions in the frame.

    Attributes:
        at: microseconds since 1970 UTC.
        agents: code of the agent.
        lives: places where an agent is known from nothing.
        begins: the same, and places where another session begins.
        forget: places where the agent leaves the roster.
        of: kind of sign, or effect → the places of that kind.
        heard: place of the agent's last sign, or where it was first spoken of.
        tool_ids, tool_names: the name of the call that a place opens or closes: its id, its tool.
        asked: name of the tool that a question is about; -1: not known.
        child_ids: name of the subagent.
        notices: kind of the notification; "" elsewhere.
        tasks: background tasks that go on after the end of a turn.
        asking: calls that are themselves a question to a person.
        refuses: answers of a person that name the call they are about.
    """

    rows: Rows
    at: IntArray
    agents: IntArray
    lives: BoolArray
    begins: BoolArray
    forget: BoolArray
    of: dict[str, BoolArray]
    heard: IntArray
    tool_ids: IntArray
    tool_names: IntArray
    asked: IntArray
    child_ids: IntArray
    notices: npt.NDArray[np.object_]
    tasks: IntArray
    asking: BoolArray
    refuses: BoolArray

    def last(self, places: BoolArray) -> IntArray:
        """Return for each place the last of ``places`` up to it in its session; -1: none."""
        return last_since(places, self.begins)


def last_since(places: BoolArray, begins: BoolArray) -> IntArray:
    """Return for each place the last of ``places`` up to it, since ``begins``; -1: none."""
    here = np.arange(len(places))
    found = np.maximum.accumulate(np.where(places, here, -1))
    start = np.maximum.accumulate(np.where(begins, here, -1))
    return np.where(found >= start, found, -1)


def _probe(event_type: str | None) -> AgentState:
    """Return the state of an agent of which one event of this type is all that is known."""
    # A day later: what was open in 1970 itself counts as closed.
    at = EPOCH + timedelta(days=1)
    return reduce(
        AgentState.new("any", at), Event(agent_id="any", event_type=event_type or "activity"), at
    )


_EFFECTS: dict[str, Callable[[AgentState], bool]] = {
    "ends_turn": lambda state: state.turn_end is not None,
    "ends_session": lambda state: state.ended is not None,
    "told": lambda state: state.last_signal_at is not None,
    "opens_tool": lambda state: bool(state.open_tools),
    "closes_tool": lambda state: bool(state.closed),
    "opens_child": lambda state: bool(state.children),
    "closes_child": lambda state: bool(state.stopped),
    "asks": lambda state: bool(state.questions),
    "counts_tasks": lambda state: state.background is not None,
}


def _shows(sign: str, state: AgentState) -> bool:
    return sign in state.latest


def read_signs(df: pd.DataFrame, forget_after: int) -> Signs:
    """Return the signs of a frame; what the server's clock said is left out.

    Args:
        forget_after: microseconds of silence until an agent is forgotten; 0: never.
    """
    rows, at = _in_order(df)
    part = df[[name for name in _READ if name in df.columns]].take(rows)
    types = encode_column(part, "event_type")
    states = {name: _probe(name) for name in [*map(str, types.values), None]}

    def places(fits: Callable[[AgentState], bool]) -> BoolArray:
        return map_names(types, lambda kind: fits(states[kind]), np.bool_)

    effects = {name: places(fits) for name, fits in _EFFECTS.items()}
    of = {sign: places(partial(_shows, sign)) for sign in _KINDS}
    forget = column_isin(part, "event_type", "forget")
    agents = encode_column(part, "agent_id").codes.astype(np.int64)
    lives = forget.copy()
    if len(lives):
        lives[0] = True
        lives[1:] |= (agents[1:] != agents[:-1]) | forget[:-1]
    sessions = encode_column(part, "session_id").codes
    if forget_after:
        lives |= _forgotten(at, np.arange(len(at)), agents, forget_after)
    while True:
        begins, foreign = _sessions(sessions, effects["ends_session"], lives)
        if not forget_after:
            break
        # What is no sign of life makes a silence longer. Who was forgotten in it begins anew, which
        # can change what follows, so only the first time of each agent is sure.
        heard = last_heard(effects["told"] & ~foreign, lives)
        fresh = np.flatnonzero(_forgotten(at, heard, agents, forget_after) & ~lives)
        if not len(fresh):
            break
        lives[fresh[np.unique(agents[fresh], return_index=True)[1]]] = True
    part_of = effects | of
    if foreign.any():
        # The end of a session that another one followed says nothing about the agent.
        part_of = {name: places & ~foreign for name, places in part_of.items()}
    heard = last_heard(part_of["told"], lives)
    children, notices, tasks, asking = _extras(part)
    known = (rows, at, agents, lives, begins, forget, part_of, heard, *_calls(part))
    refuses = column_isin(part, "event_type", "answered") & (
        encode_column(part, "tool_use_id").codes >= 0
    )
    return Signs(*known, children, notices, tasks, asking, refuses & ~foreign)


def _in_order(df: pd.DataFrame) -> tuple[Rows, IntArray]:
    """Return the positions of the events by agent, time and arrival, and their times."""
    at = timestamp_micros(df)
    by_clock = column_isin(df, "source", "timer")
    arrival = [df["seq"].to_numpy(dtype=np.int64)] if "seq" in df.columns else []
    order = np.lexsort((*arrival, at, encode_column(df, "agent_id").codes))
    order = order[~by_clock[order]]
    return order, at[order]


def last_heard(told: BoolArray, lives: BoolArray) -> IntArray:
    """Return for each place that of the agent's last sign, or where it was first spoken of."""
    return np.maximum.accumulate(np.where(told | lives, np.arange(len(told)), -1))


def _forgotten(at: IntArray, heard: IntArray, agents: IntArray, forget_after: int) -> BoolArray:
    """Return the places before which an agent was silent for so long that it was forgotten."""
    found = np.zeros(len(at), np.bool_)
    found[1:] = (at[1:] - at[heard[:-1]] >= forget_after) & (agents[1:] == agents[:-1])
    return found


def _sessions(
    sessions: npt.NDArray[Any], ends: BoolArray, lives: BoolArray
) -> tuple[BoolArray, BoolArray]:
    """Return where evidence begins anew, and which ends belong to a session that was over."""
    named = sessions >= 0
    here = np.arange(len(sessions))
    start = np.maximum.accumulate(np.where(lives, here, -1))
    n_named = np.cumsum(named)
    first = named & (n_named - n_named[start] + named[start] == 1)
    enters = named & (~ends | first)
    before = np.empty(len(sessions), np.int64)
    before[:1] = -1
    before[1:] = np.maximum.accumulate(np.where(enters, here, -1))[:-1]
    differs = named & (before >= start) & (sessions != sessions[before])
    return lives | (differs & ~ends), differs & ends


def _calls(part: pd.DataFrame) -> tuple[IntArray, IntArray, IntArray]:
    """Return the names of each place's call: its id, else its tool; its tool; the tool or -1."""
    ids, names = encode_column(part, "tool_use_id"), encode_column(part, "tool_name")
    # A call without an id is known by its tool, so ids and tools are names of one kind.
    tools = pd.Index([*map(str, names.values), "tool"], dtype=object)
    found = pd.Index(ids.values.astype(object)).get_indexer(tools)
    numbers = np.where(found >= 0, found, len(ids.values) + pd.factorize(tools)[0])
    tool_names = numbers[names.codes].astype(np.int64)
    tool_ids = np.where(ids.codes >= 0, ids.codes, tool_names).astype(np.int64)
    return tool_ids, tool_names, np.where(names.codes >= 0, tool_names, -1)


def _extras(part: pd.DataFrame) -> tuple[IntArray, npt.NDArray[np.object_], IntArray, BoolArray]:
    """Return children, kinds of notification, background tasks, and which calls ask a person."""
    child_ids = np.full(len(part), -1, np.int64)
    notices = np.full(len(part), "", object)
    tasks = np.zeros(len(part), np.int64)
    asking = np.zeros(len(part), np.bool_)
    numbers: dict[str, int] = {}
    for place, event in _with_extra(part):
        if event.event_type == "stop":
            tasks[place] = background_tasks(event)
        elif event.event_type == "notification":
            notices[place] = (event.extra or {}).get("notification_type")
        elif event.event_type == "tool_start":
            asking[place] = requested_input(event) is not None
        else:
            child_ids[place] = numbers.setdefault(task_key(event), len(numbers))
    return child_ids, notices, tasks, asking


def _with_extra(part: pd.DataFrame) -> Iterator[tuple[int, Event]]:
    """Yield the places whose ``extra`` can mean something, with what it and their type say."""
    texts = part["extra"].to_numpy(dtype=object) if "extra" in part.columns else None
    calls = encode_column(part, "tool_use_id")
    for kind in _SPEAKING:
        places = np.flatnonzero(column_isin(part, "event_type", kind))
        if kind == "tool_start":
            # Calls are many, and few ask.
            extras = () if texts is None else texts[places].tolist()
            places = places[np.fromiter(map(_may_ask, extras), np.bool_)] if extras else places[:0]
        for place in places.tolist():
            extra = None if texts is None else texts[place]
            call = None if calls.codes[place] < 0 else str(calls.values[calls.codes[place]])
            about = dict(_read_extra(extra))
            yield place, Event(agent_id="", event_type=kind, tool_use_id=call, extra=about)


def _may_ask(extra: object) -> bool:
    return isinstance(extra, str | dict) and "asks" in extra


def _read_extra(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InvalidEvent(
                f"extra is {shorten(value)}, expected a JSON object", "extra"
            ) from None
    return value if isinstance(value, Mapping) else {}
