"""The Arrow schema of history, and dictionaries that grow while rows are read.

It needs pyarrow, so no module of ``core`` imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import DECISION, HISTORY_COLUMNS, NAMED, ROOT, raw_name

DICTIONARY = pa.dictionary(pa.int32(), pa.string())
TIMESTAMP = pa.timestamp("us", tz="UTC")
EVENT_STATUSES = ("ok", "error")
"""Values of the column ``status``; ``events`` stores their index."""

_TYPES = {
    "seq": pa.int64(),
    "timestamp": TIMESTAMP,
    "status": DICTIONARY,
    "event_id": pa.string(),
    "tool_use_id": pa.string(),
    "extra": pa.string(),
    "cost_usd": pa.float64(),
    **dict.fromkeys((*NAMED.values(), *DECISION, ROOT), DICTIONARY),
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
    """Return HISTORY_SCHEMA with only these columns, in this order."""
    return pa.schema([HISTORY_SCHEMA.field(name) for name in columns])


SOURCES_OF_ROOT = ("parent_agent_id", "agent_id")
"""Columns that replace ROOT in files of older versions: the first that has a value."""


def missing_column(name: str, batch: pa.RecordBatch) -> pa.Array:
    """Return a column that a file of an older version does not have.

    Args:
        batch: rows of the file.

    Returns:
        Nulls; for ROOT the parent, else the agent itself, as far as ``batch`` has these columns.
    """
    known = [column for column in SOURCES_OF_ROOT if column in batch.schema.names]
    if name != ROOT or not known:
        return pa.nulls(len(batch), HISTORY_SCHEMA.field(name).type)
    texts = [batch.column(column).cast(pa.string()) for column in known]
    return pc.coalesce(*texts).dictionary_encode().cast(DICTIONARY)


def batch_of_lists(
    columns: Sequence[str], parts: Sequence[Mapping[str, Sequence[Any]]]
) -> pa.RecordBatch:
    """Return a batch of ``select_schema(columns)``.

    Args:
        columns: names of HISTORY_COLUMNS.
        parts: consecutive rows as the values of each column; times as microseconds since 1970,
            flags as 0 and 1.

    Raises:
        pyarrow.ArrowException: a value does not have the type of its column, or one is missing.
        KeyError: a part lacks a column.
    """
    schema = select_schema(columns)
    arrays = []
    for name in columns:
        kind = schema.field(name).type
        values = [value for part in parts for value in part[name]]
        if kind == DICTIONARY:
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        elif kind in (TIMESTAMP, pa.bool_()):
            arrays.append(pa.array(values, pa.int64()).cast(kind))
        else:
            arrays.append(pa.array(values, kind))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


LookUp = Callable[[Sequence[int]], Mapping[int, str]]
"""Returns strings by id; ids without a string may be missing."""
DecisionRow = tuple[int, str, str, str, int]
"""A row of ``decisions``: id, status, detail, reason, attention."""


class GrowingDictionary:
    """The strings of one column in order of first occurrence.

    The dictionary of a later batch starts with that of every earlier one, so codes stay valid and a
    stream can send new strings as a delta.
    """

    def __init__(self) -> None:
        self._strings: dict[str, int] = {}
        # None: an id without a string.
        self._codes: dict[int, int | None] = {}
        self._array = pa.array([], pa.string())

    def encode(self, ids: pa.Array, look_up: LookUp) -> pa.DictionaryArray:
        """Return the strings of ids of the table ``names``.

        Args:
            ids: int64, with nulls.
            look_up: returns strings by id; ids without a string may be missing.
        """
        encoded = ids.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        self._add([string_id for string_id in distinct if string_id not in self._codes], look_up)
        codes = pa.array([self._codes[string_id] for string_id in distinct], pa.int32())
        return pa.DictionaryArray.from_arrays(codes.take(encoded.indices), self._array)

    def _add(self, unseen: Sequence[int], look_up: LookUp) -> None:
        if not unseen:
            return
        known, strings = self._strings, look_up(unseen)
        for string_id in unseen:
            string = strings.get(string_id)
            code = None if string is None else known.setdefault(string, len(known))
            self._codes[string_id] = code
        if len(self._array) != len(known):
            self._array = pa.array([*known], pa.string())


def raw_schema(columns: Sequence[str]) -> pa.Schema:
    """Return the columns of ``events`` behind columns of history, each once."""
    types = {raw_name(name): HISTORY_SCHEMA.field(name).type for name in columns}
    converted = (DICTIONARY, TIMESTAMP, pa.bool_())
    return pa.schema([(name, pa.int64() if t in converted else t) for name, t in types.items()])


class Encoder:
    """Convert columns of ``events`` to those of HISTORY_SCHEMA.

    Args:
        columns: names of HISTORY_COLUMNS.
        look_up: as for ``GrowingDictionary.encode``.
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
        """Return a column of HISTORY_SCHEMA; ``values`` as in ``raw_schema``."""
        if name in self._dictionaries:
            look_up = partial(self._decided, name) if name in DECISION else self._look_up
            return self._dictionaries[name].encode(values, look_up)
        if name == "agent_attention":
            encoded = values.dictionary_encode()
            distinct = encoded.dictionary.to_pylist()
            flags = self._decided(name, distinct)
            codes = pa.array([flags.get(decision_id) for decision_id in distinct], pa.int64())
            return codes.cast(pa.bool_()).take(encoded.indices)
        if name == "status":
            codes = pc.index_in(values, value_set=pa.array(range(len(EVENT_STATUSES)), pa.int64()))
            return pa.DictionaryArray.from_arrays(codes, pa.array(EVENT_STATUSES, pa.string()))
        return values.cast(TIMESTAMP) if name == "timestamp" else values

    def _decided(self, name: str, ids: Sequence[int]) -> dict[int, Any]:
        """Return a column of ``decisions`` by id."""
        rows = self._decisions
        unseen = [decision_id for decision_id in ids if decision_id not in rows]
        if unseen:
            rows.update((row[0], row) for row in self._read_decisions(unseen))
        index = 1 + [*DECISION].index(name)
        return {row_id: rows[row_id][index] for row_id in ids if row_id in rows}
