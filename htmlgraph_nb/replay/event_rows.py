"""A history frame as arrays by agent and time: what each row means, and totals up to it.

It restates in numpy which rows ``evidence.observe`` counts, skips or takes as a new beginning, so
that totals need no folding; the verdicts themselves are left to the real Roster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.model import TOKEN_FIELDS, Event
from ..core.reducer import (
    ERROR_TYPES,
    KNOWN_TYPES,
    SESSION_END_TYPES,
    TOOL_END_TYPES,
    TURN_END_TYPES,
    requested_input,
    signals_of,
    task_key,
)
from ..core.validation import MAX_INTEGER, shorten
from ..errors import InvalidEvent

Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
NEEDED = ("timestamp", "agent_id", "event_type")
FACTS = ("feature_id", "tool_name", "model", "project", "host", "parent_agent_id")
_ASKS = frozenset({"permission_prompt", "agent_needs_input", "elicitation_dialog"})
ASKING = ("tool_start", "permission_request")
"""Types of which few ask for something special; their ``extra`` is read only where it may."""
SPEAKING = (
    *("stop", "notification", "subagent_start", "subagent_stop", "task_start", "task_stop"),
)
"""Types whose ``extra`` can mean something."""


def may_ask(extra: object) -> bool:
    """Return whether an ``extra``, or its JSON text, can say what is asked for."""
    return isinstance(extra, dict | str) and "asks" in extra


def marked(flags: Bools) -> Ints:
    """Return the numbers of the rows that are marked."""
    return np.flatnonzero(flags).astype(np.int32)


def last_marked(flags: Bools) -> Ints:
    """Return for each row the last marked row up to it; -1: none so far."""
    index = np.arange(len(flags), dtype=np.int32)
    return np.maximum.accumulate(np.where(flags, index, np.int32(-1)))


def last_of(some: Ints, row: int) -> int:
    """Return the last of these rows up to ``row``; -1: none so far."""
    # A number of another type would be searched for in a converted copy of the array.
    place = some.searchsorted(np.int32(row), "right")
    return int(some[place - 1]) if place else -1


def next_of(some: Ints, row: int, none: int) -> int:
    """Return the first of these rows after ``row``; ``none``: there is none."""
    place = some.searchsorted(np.int32(row), "right")
    return int(some[place]) if place < len(some) else none


@dataclass(frozen=True, slots=True)
class Names:
    """A column of names: a small number for each row (-1: none) and the names by number."""

    codes: Ints
    names: Sequence[Any]

    @classmethod
    def of(cls, frame: pd.DataFrame, name: str, order: Ints) -> Names:
        """Read a column in this order of rows; one that is not there holds nothing."""
        if name not in frame:
            return cls(np.full(len(order), -1, dtype=np.int8), [])
        codes, names = pd.factorize(frame[name])
        small: Ints = codes.astype(np.int16 if len(names) < 32_000 else np.int32)
        return cls(small[order], [str(one) for one in names])

    @property
    def known(self) -> Bools:
        """Which rows have a name."""
        return self.codes >= 0

    def among(self, wanted: Iterable[str]) -> Bools:
        """Which rows have one of these names."""
        found = set(wanted)
        flags = np.array([*(one in found for one in self.names), False], dtype=bool)
        return flags[self.codes]

    def at(self, row: int) -> Any:
        """Return the name of a row; None: it has none."""
        code = self.codes[row]
        return None if code < 0 else self.names[code]


def check_frame(frame: pd.DataFrame) -> None:
    """Raise InvalidEvent unless the frame has the columns of a history that a replay needs."""
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise InvalidEvent(
            f"the frame has no column {missing[0]}, expected those of load_history: "
            f"{', '.join(NEEDED)} and what else there is",
            missing[0],
        )
    for name in NEEDED:
        if frame[name].isna().any():
            raise InvalidEvent(f"{name} is missing in some rows, expected it in each", name)
    if not isinstance(frame["timestamp"].dtype, pd.DatetimeTZDtype) and len(frame):
        raise InvalidEvent(
            f"timestamp is of type {frame['timestamp'].dtype}, expected times with a zone, "
            "as load_history returns them; pd.to_datetime(..., utc=True) makes them",
            "timestamp",
        )


class Rows:
    """The rows of a history, sorted by agent, then time, then seq.

    Attributes:
        order: position in the frame of each row.
        times: microseconds since 1970; datetimes: the same as UTC datetimes are made on demand.
        agents: agent names; starts, ends: each agent's rows.
        life: the first row since the agent was last forgotten; part: since its session changed.
        skipped: rows that count in the token totals only: the end of a session that is over.
        told: rows that are a sign of the agent itself, and not of the clock or a person.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        check_frame(frame)
        self.frame = frame
        agent_codes, agents = pd.factorize(frame["agent_id"], sort=True)
        stamps = _micros(frame["timestamp"])
        seqs = frame["seq"].to_numpy("int64") if "seq" in frame else np.arange(1, len(frame) + 1)
        self.order = np.lexsort((seqs, stamps, agent_codes)).astype(np.int32)
        self.times, self.seqs = stamps[self.order], seqs[self.order]
        self.agents = [str(one) for one in agents]
        edges = np.searchsorted(agent_codes[self.order], np.arange(len(agents) + 1))
        self.starts, self.ends = edges[:-1], edges[1:]
        self.kinds = Names.of(frame, "event_type", self.order)
        self.sources = Names.of(frame, "source", self.order)
        self.sessions = Names.of(frame, "session_id", self.order)
        self.call_ids = Names.of(frame, "tool_use_id", self.order)
        self.facts = {name: Names.of(frame, name, self.order) for name in FACTS}
        self._n = len(frame)
        self._read_extra()
        self._read_lives()
        self._read_sessions()
        self._read_totals()

    def __len__(self) -> int:
        return self._n

    def column(self, name: str) -> Any:
        """Return a column of the frame in the order of the rows."""
        return self.frame[name].to_numpy()[self.order]

    def _read_extra(self) -> None:
        """Read ``extra`` where it can mean something; row → object."""
        self.extra: dict[int, dict[str, Any]] = {}
        if "extra" not in self.frame:
            return
        asking = self.kinds.among(ASKING)
        rows = np.flatnonzero(self.kinds.among(SPEAKING) | asking)
        texts = self.frame["extra"].iloc[self.order[rows]]
        quiet = asking[rows].tolist()
        for row, text, is_quiet in zip(rows.tolist(), texts.tolist(), quiet, strict=True):
            if is_quiet and not may_ask(text):
                continue
            found = _read_object(text) if isinstance(text, str) else text
            if isinstance(found, dict):
                self.extra[row] = found

    def _read_lives(self) -> None:
        self.forgotten = self.kinds.among(("forget",))
        begins = np.zeros(self._n, dtype=bool)
        begins[self.starts] = True
        begins[1:] |= self.forgotten[:-1]
        self._life_begins = begins
        self.life = last_marked(begins)

    def _read_sessions(self) -> None:
        named = self.sessions.known & ~self.forgotten
        ends = self.kinds.among(SESSION_END_TYPES)
        nth = np.cumsum(named, dtype=np.int32)
        first = named & (nth - nth[self.life] + named[self.life] == 1)
        # The end of another session than the present one speaks of one that is over.
        names = named & (~ends | first)
        entered = last_marked(names)
        self.session_row = np.where(entered >= self.life, entered, np.int32(-1))
        codes = self.sessions.codes
        self.skipped = named & ~names & (codes != codes[self.session_row])
        before = np.concatenate([[-1], entered])[: self._n].astype(np.int32)
        changes = names & (before >= self.life) & (codes != codes[before])
        self.part = last_marked(self._life_begins | changes)
        clock = self.sources.among(("timer",))
        silent = self.skipped | self.forgotten
        self.by_clock = clock & ~silent
        self.told = ~silent & ~clock & ~self.kinds.among(("offline",))
        self.counts = ~silent

    def _read_totals(self) -> None:
        kinds, tools = self.kinds, self.facts["tool_name"]
        done = kinds.among(TOOL_END_TYPES) | (tools.known & ~kinds.among(KNOWN_TYPES))
        failed = kinds.among(ERROR_TYPES)
        if "status" in self.frame:
            failed |= np.asarray(self.frame["status"] == "error", dtype=bool)[self.order]
        self.failed = failed
        self.tools = self._since_part(done & self.counts)
        self.errors = self._since_part(failed & self.counts)
        self.tokens = self._token_totals()
        self.costs, self.cost_known = self._cost_totals()

    def _since_part(self, flags: Bools) -> Ints:
        total = np.cumsum(flags, dtype=np.int32)
        return total - total[self.part] + flags[self.part]

    def _token_totals(self) -> Ints:
        spent = _total_tokens(self.frame)[self.order]
        spent[self.forgotten] = 0
        rough = np.cumsum(spent, dtype="float64")
        if self._n and rough[-1] >= 2**62:
            return self._clipped(spent)
        total = np.cumsum(spent)
        found: Ints = np.minimum(total - total[self.life] + spent[self.life], MAX_INTEGER)
        return found

    def _clipped(self, spent: Ints) -> Ints:
        """Add up numbers whose sum would overflow, each life by itself."""
        total = 0
        out = np.empty(self._n, dtype="int64")
        for row, tokens in enumerate(spent.tolist()):
            total = tokens if self._life_begins[row] else total + tokens
            total = out[row] = min(total, MAX_INTEGER)
        return out

    def _cost_totals(self) -> tuple[npt.NDArray[np.float64], Ints]:
        paid = np.full(self._n, np.nan)
        if "cost_usd" in self.frame:
            paid = self.frame["cost_usd"].to_numpy("float64", na_value=np.nan)[self.order]
        known = ~np.isnan(paid) & ~self.forgotten
        amounts = np.where(known, paid, 0.0)
        total = np.zeros(self._n)
        if known.any():
            # Each life by itself: a difference of sums would not be the sum to the last digit.
            edges = [*np.flatnonzero(self._life_begins).tolist(), self._n]
            for start, end in pairwise(edges):
                np.cumsum(amounts[start:end], out=total[start:end])
        return total, marked(known)

    # Rows by what they mean; each a sorted array of row numbers.

    def with_sign(self, sign: str) -> Ints:
        """Return the rows that are such a sign: LIFE, WORK, START, ANSWER, TOOL or HALT."""
        kinds = [kind for kind in self.kinds.names if sign in signals_of(kind)]
        return marked(self.kinds.among(kinds) & self.counts)

    def of_kind(self, *kinds: str) -> Ints:
        """Return the rows of these event types."""
        return marked(self.kinds.among(kinds) & self.counts)

    def turn_ends(self) -> Ints:
        """Return the rows that end a turn."""
        notices = self.of_kind("notification").tolist()
        at_prompt = [row for row in notices if self._notice(row) == "idle_prompt"]
        return np.union1d(self.of_kind(*TURN_END_TYPES), np.array(at_prompt, dtype=np.int32))

    def session_ends(self) -> Ints:
        """Return the rows that end a session."""
        return self.of_kind(*SESSION_END_TYPES)

    def questions(self) -> list[tuple[int, str, str]]:
        """Return (row, "permission" | "plan" | "input", tool or "") of each question."""
        found = []
        tools = self.facts["tool_name"]
        for row in self.of_kind("permission_request", "notification").tolist():
            notice = self._notice(row)
            if self.kinds.at(row) == "permission_request" or notice == "permission_prompt":
                kind = requested_input(self.about(row)) or "permission"
                found.append((row, kind, tools.at(row) or ""))
            elif notice in _ASKS:
                found.append((row, "input", ""))
        return found

    def _notice(self, row: int) -> Any:
        return self.extra.get(row, {}).get("notification_type")

    def openings(self) -> tuple[Ints, Ints]:
        """Return the rows that open a tool call, and for each the row that closes it.

        A call is known by its id, else by its tool's name; what is never closed is closed by the
        row after the last.
        """
        ids, tools = self.call_ids, self.facts["tool_name"]
        place = {name: code for code, name in enumerate(tools.names)}
        unnamed = place.setdefault("tool", len(place))
        numbers = len(ids.names) + np.arange(len(place))
        for code, name in enumerate(ids.names):
            if name in place:
                numbers[place[name]] = code
        names = numbers[np.where(tools.known, tools.codes, unnamed)]
        keys = np.where(ids.known, ids.codes, names)
        begun, done = self.of_kind("tool_start"), self.of_kind(*TOOL_END_TYPES)
        # The answer about a call ends it, too, where it was refused.
        with_id = np.concatenate([done, self.of_kind("answered")])
        with_id = with_id[ids.known[with_id]]
        closing = np.concatenate([done, with_id])
        closed = np.concatenate([names[done], keys[with_id]])
        return begun, self._paired(begun, keys[begun], closing, closed)

    def children(self) -> tuple[Ints, Ints]:
        """Return the rows that start a subagent or a task, and for each the one that ends it."""
        begun = self.of_kind("subagent_start", "task_start")
        done = self.of_kind("subagent_stop", "task_stop")
        keys = [task_key(self.about(row)) for row in np.concatenate([begun, done]).tolist()]
        codes = pd.factorize(np.array(keys, dtype=object))[0]
        return begun, self._paired(begun, codes[: len(begun)], done, codes[len(begun) :])

    def about(self, row: int) -> Event:
        """Return what ``extra`` and the type of a row say, as an event."""
        kind, call = self.kinds.at(row), self.call_ids.at(row)
        return Event(agent_id="", event_type=kind, tool_use_id=call, extra=self.extra.get(row))

    def _paired(self, begun: Ints, keys: Ints, closing: Ints, closed: Ints) -> Ints:
        """Return for each opening the next closing of the same agent and key."""
        both = np.concatenate([keys, closed]).astype("int64")
        agents = np.searchsorted(self.starts, np.concatenate([begun, closing]), "right")
        groups = pd.factorize(agents * (both.max(initial=0) + 1) + both)[0].astype("int64")
        size = self._n + 1
        wanted = groups[: len(begun)] * size + begun
        found = np.sort(groups[len(begun) :] * size + closing)
        found = np.append(found, np.iinfo("int64").max)
        nearest = found[np.searchsorted(found, wanted)]
        found = np.where(nearest // size == wanted // size, nearest % size, self._n)
        return found.astype(np.int32)


def _micros(times: pd.Series[Any]) -> Ints:
    """Return microseconds since 1970."""
    if not len(times):
        return np.empty(0, dtype="int64")
    utc = times.dt.tz_convert("UTC").dt.tz_localize(None)
    found: Ints = utc.to_numpy("datetime64[us]").view("int64")
    return found


def _total_tokens(frame: pd.DataFrame) -> Ints:
    """Return all tokens of each row: ``cost_tokens``, else the sum of the five kinds."""
    kinds = [frame[name].fillna(0) for name in TOKEN_FIELDS if name in frame]
    parts: Ints = np.zeros(len(frame), dtype="int64")
    for one in kinds:
        parts = np.minimum(parts + one.to_numpy("int64"), MAX_INTEGER)
    if "cost_tokens" not in frame:
        return parts
    given = frame["cost_tokens"]
    known = given.notna().to_numpy("bool")
    found: Ints = np.where(known, given.fillna(0).to_numpy("int64"), parts)
    return found


def _read_object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise InvalidEvent(f"extra is {shorten(text)}, expected JSON text", "extra") from None
