"""The Arrow form of history: types of its columns, and dictionaries that grow while rows are read.

It needs pyarrow, so it is imported where columns are wanted and never by the floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import DECISION, HISTORY_COLUMNS, NAMED

DICTIONARY = pa.dictionary(pa.int32(), pa.string())
TIMESTAMP = pa.timestamp("us", tz="UTC")
EVENT_STATUSES = ("ok", "error")
"""Texts of the column ``status``, at the places of their numbers in ``events``."""

_TYPES = {
    "seq": pa.int64(),
    "timestamp": TIMESTAMP,
    "status": DICTIONARY,
    "event_id": pa.string(),
    "tool_use_id": pa.string(),
    "extra": pa.string(),
    "cost_usd": pa.float64(),
    **dict.fromkeys((*NAMED.values(), *DECISION), DICTIONARY),
    "agent_attention": pa.bool_(),
}
HISTORY_SCHEMA = pa.schema(
    pa.field(name, _TYPES.get(name, pa.int64()), nullable=name not in ("seq", "timestamp"))
    for name in HISTORY_COLUMNS
)
"""Types of HISTORY_COLUMNS: ``seq`` int64, ``timestamp`` timestamp[us, UTC], ids, names and
``status`` dictionary<int32, string>, ``event_id``, ``tool_use_id`` and ``extra`` (JSON) string,
counts int64 with nulls, ``cost_usd`` float64 with nulls. Of the agent's status after the event
``agent_attention`` is bool and the others are dictionaries; all are null if it is not decided."""


def select_schema(columns: Sequence[str]) -> pa.Schema:
    """Return the part of HISTORY_SCHEMA with these columns, in this order."""
    return pa.schema([HISTORY_SCHEMA.field(name) for name in columns])


LookUp = Callable[[Sequence[int]], Mapping[int, str]]
"""Returns the texts of numbers; those without one may be left out."""
DecisionRow = tuple[int, str, str, str, int]
"""A row of ``decisions``: id, status, detail, reason, attention."""


class GrowingDictionary:
    """The texts of one column in the order in which they were first met.

    A dictionary of a later batch begins with that of every earlier one, so codes stay valid and a
    stream can send what is new as a delta.
    """

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        # None: a number that stands for no text.
        self._codes: dict[int, int | None] = {}
        self._array = pa.array([], pa.string())

    def encode(self, numbers: pa.Array, look_up: LookUp) -> pa.DictionaryArray:
        """Return the texts of numbers of the table ``names``.

        Args:
            numbers: int64, null where there is no text.
            look_up: returns the texts of numbers; those without one may be left out.
        """
        encoded = numbers.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        self._learn([number for number in distinct if number not in self._codes], look_up)
        codes = pa.array([self._codes[number] for number in distinct], pa.int32())
        return pa.DictionaryArray.from_arrays(codes.take(encoded.indices), self._array)

    def _learn(self, unseen: Sequence[int], look_up: LookUp) -> None:
        if not unseen:
            return
        texts = look_up(unseen)
        for number in unseen:
            text = texts.get(number)
            code = None if text is None else self._texts.setdefault(text, len(self._texts))
            self._codes[number] = code
        if len(self._array) != len(self._texts):
            self._array = pa.array([*self._texts], pa.string())


_RAW_NAMES = {
    "seq": "id",
    "timestamp": "ts",
    **{field: column for column, field in NAMED.items()},
    **dict.fromkeys(DECISION, "decision"),
}


def raw_name(name: str) -> str:
    """Return the column of ``events`` that a column of history stands for."""
    return _RAW_NAMES.get(name, name)


def raw_type(name: str) -> pa.DataType:
    """Return the Arrow type of that column of ``events``."""
    kind = HISTORY_SCHEMA.field(name).type
    return pa.int64() if kind in (DICTIONARY, TIMESTAMP, pa.bool_()) else kind


class Encoder:
    """Turns columns as they are in ``events`` into those of HISTORY_SCHEMA.

    Args:
        columns: names of HISTORY_COLUMNS.
        look_up: as GrowingDictionary.encode takes it.
        decisions: returns the rows of ``decisions`` with these ids.
    """

    def __init__(
        self,
        columns: Sequence[str],
        look_up: LookUp,
        decisions: Callable[[Sequence[int]], Iterable[DecisionRow]],
    ) -> None:
        self._look_up = look_up
        self._read_decisions = decisions
        self._decisions: dict[int, DecisionRow] = {}
        self._dictionaries = {
            name: GrowingDictionary()
            for name in columns
            if HISTORY_SCHEMA.field(name).type == DICTIONARY and name != "status"
        }

    def encode(self, name: str, values: pa.Array) -> pa.Array:
        """Return a column; ``values`` is of ``raw_type(name)``."""
        if name in self._dictionaries:
            look_up = partial(self._decided, name) if name in DECISION else self._look_up
            return self._dictionaries[name].encode(values, look_up)
        if name == "status":
            codes = pc.index_in(values, value_set=pa.array(range(len(EVENT_STATUSES)), pa.int64()))
            return pa.DictionaryArray.from_arrays(codes, pa.array(EVENT_STATUSES, pa.string()))
        if name == "agent_attention":
            encoded = values.dictionary_encode()
            known = encoded.dictionary.to_pylist()
            flags = self._decided(name, known)
            return (
                pa.array([flags.get(one) for one in known], pa.int64())
                .cast(pa.bool_())
                .take(encoded.indices)
            )
        return values.cast(TIMESTAMP) if name == "timestamp" else values

    def _decided(self, name: str, ids: Sequence[int]) -> dict[int, Any]:
        """Return a column of ``decisions`` by id."""
        unseen = [one for one in ids if one not in self._decisions]
        if unseen:
            self._decisions.update((row[0], row) for row in self._read_decisions(unseen))
        place = 1 + [*DECISION].index(name)
        return {one: self._decisions[one][place] for one in ids if one in self._decisions}
