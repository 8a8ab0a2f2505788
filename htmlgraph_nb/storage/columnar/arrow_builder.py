"""Build an Arrow table of HISTORY_SCHEMA from events, each event once."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...core.dedup import AnswerFacts, answer_aliases, answer_facts, repeated_answer, supersedes
from ...core.ids import agent_kind_of, topmost_ancestor
from ...core.model import Event
from ...core.timestamps import to_micros
from ..schema import DECISION, ROOT
from .arrow_schema import DICTIONARY, HISTORY_SCHEMA

_MISSING = -1
"""Stands for a missing count or name; neither is ever negative."""


def _fields(*kinds: Callable[[pa.DataType], bool]) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in HISTORY_SCHEMA
        if field.name not in ("seq", *DECISION, ROOT)
        and any(is_kind(field.type) for is_kind in kinds)
    )


_COUNTS = _fields(pa.types.is_int64)
_NAMES = _fields(pa.types.is_dictionary)
_KIND = _NAMES.index("agent_kind")
_AGENT, _PARENT = _NAMES.index("agent_id"), _NAMES.index("parent_agent_id")
_STRINGS = tuple(name for name in _fields(pa.types.is_string) if name != "extra")
_counts_of: Callable[[Event], tuple[int | None, ...]] = attrgetter(*_COUNTS)
_names_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*_NAMES)
_strings_of: Callable[[Event], tuple[str | None, ...]] = attrgetter(*_STRINGS)


class ArrowBuilder:
    """Collect events, each ``event_id`` once: the first event, or the final completion.

    Memory grows by about 0.5 KB per event, whatever the size of the files they come from.
    """

    def __init__(self) -> None:
        self._times = array("q")
        self._counts = [array("q") for _ in _COUNTS]
        self._codes: list[dict[str | None, int]] = [{None: _MISSING} for _ in _NAMES]
        self._names = [array("i") for _ in _NAMES]
        self._strings: list[list[str | None]] = [[] for _ in _STRINGS]
        self._extra: list[str | None] = []
        self._usd: list[float | None] = []
        self._rows: dict[str, int] = {}
        # Only completions can be repeated with other counts.
        self._completions: dict[str, Event] = {}
        # Other name of an answer whose id may be repeated → its event id.
        self._aliases: dict[str, str] = {}
        # Issued id that several answers have → those after the first, and their event ids.
        self._repeated: dict[str, list[tuple[AnswerFacts, str]]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def extend(self, events: Iterable[Event]) -> None:
        """Add events; those without a timestamp are ignored."""
        for event in events:
            if event.timestamp is None:
                continue
            key = event.event_id
            if key is not None and "@" in key:
                key = self._known_answer(event) or key
            elif key in self._completions:
                key = self._answer_with_id(event, key)
            row = None if key is None else self._rows.get(key)
            if row is None:
                row = len(self)
                self._add_row()
            elif key not in self._completions or not supersedes(event, self._completions[key]):
                continue
            if key is not None:
                self._rows[key] = row
                if event.event_type == "completion":
                    self._completions[key] = event
            self._put(row, event, to_micros(event.timestamp))

    def _known_answer(self, event: Event) -> str | None:
        """Return the event id of the answer of which a completion is a copy; None: of none."""
        aliases = answer_aliases(event)
        if aliases is None or event.event_id in self._rows:
            return None
        known = next(filter(None, map(self._aliases.get, aliases.names)), None)
        for name in aliases.names:
            self._aliases.setdefault(name, known or str(event.event_id))
        return known

    def _answer_with_id(self, event: Event, key: str) -> str:
        """Return the event id of the answer that a completion belongs to.

        Args:
            key: the id of the event, which an answer has.
        """
        facts, first = answer_facts(event), answer_facts(self._completions[key])
        if facts is None or first is None or facts.is_copy_of(first):
            return key
        others = self._repeated.setdefault(key, [])
        for other, event_id in others:
            if facts.is_copy_of(other):
                return event_id
        others.append((facts, repeated_answer(key, facts.ts)))
        return others[-1][1]

    def _add_row(self) -> None:
        self._times.append(0)
        for column in (*self._counts, *self._names):
            column.append(_MISSING)
        for strings in (*self._strings, self._extra):
            strings.append(None)
        self._usd.append(None)

    def _put(self, row: int, event: Event, micros: int) -> None:
        self._times[row] = micros
        for counts, value in zip(self._counts, _counts_of(event), strict=True):
            counts[row] = _MISSING if value is None else value
        for names, codes, name in zip(self._names, self._codes, _names_of(event), strict=True):
            names[row] = codes.setdefault(name, len(codes) - 1)
        if event.agent_kind is None:
            kind, codes = agent_kind_of(event.source), self._codes[_KIND]
            self._names[_KIND][row] = codes.setdefault(kind, len(codes) - 1)
        for strings, text in zip(self._strings, _strings_of(event), strict=True):
            strings[row] = text
        self._extra[row] = _to_json(event.extra)
        self._usd[row] = event.cost_usd

    def to_arrow(self) -> pa.Table:
        """Return the events sorted by time, as HISTORY_SCHEMA; ``seq`` counts them from 1."""
        times = pa.array(np.array(self._times, np.int64))
        order = pc.sort_indices(times)
        columns: dict[str, pa.Array] = {
            "timestamp": times,
            "extra": pa.array(self._extra, pa.string()),
            "cost_usd": pa.array(self._usd, pa.float64()),
        }
        for name, counts in zip(_COUNTS, self._counts, strict=True):
            columns[name] = _nullable(np.array(counts, np.int64))
        for name, strings in zip(_STRINGS, self._strings, strict=True):
            columns[name] = pa.array(strings, pa.string())
        for name, codes, texts in zip(_NAMES, self._names, self._codes, strict=True):
            known = pa.array([text for text in texts if text is not None], pa.string())
            numbers = _nullable(np.array(codes, np.int32))
            columns[name] = pa.DictionaryArray.from_arrays(numbers, known)
        columns[ROOT] = self._roots()
        columns = {name: column.take(order) for name, column in columns.items()}
        columns["seq"] = pa.array(np.arange(1, len(self) + 1))
        for name in DECISION:
            columns[name] = pa.nulls(len(self), HISTORY_SCHEMA.field(name).type)
        return pa.table(
            [columns[field.name].cast(field.type) for field in HISTORY_SCHEMA],
            schema=HISTORY_SCHEMA,
        )

    def _roots(self) -> pa.Array:
        """Return the topmost ancestor of the agent of each row."""
        agents, parents = (np.array(self._names[i], np.int32) for i in (_AGENT, _PARENT))
        # The first name stands for a missing one.
        agent_ids, parent_ids = ([*map(str, self._codes[i])][1:] for i in (_AGENT, _PARENT))
        known = parents != _MISSING
        # The last row of each agent that names its parent.
        pairs = dict(zip(agents[known].tolist(), parents[known].tolist(), strict=True))
        parent_of = {agent_ids[agent]: parent_ids[parent] for agent, parent in pairs.items()}
        roots = [
            topmost_ancestor(agent_id, parent_of.get(agent_id), parent_of.get)
            for agent_id in agent_ids
        ]
        codes = pa.array(roots, pa.string()).dictionary_encode()
        return codes.take(pa.array(agents)).cast(DICTIONARY)


def _to_json(extra: dict[str, Any] | None) -> str | None:
    if extra is None:
        return None
    return json.dumps(extra, ensure_ascii=False, separators=(",", ":"))


def _nullable(numbers: np.ndarray[Any, Any]) -> pa.Array:
    return pa.array(numbers, mask=numbers == _MISSING)
