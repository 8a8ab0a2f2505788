"""The Arrow form of history: types of its columns, and dictionaries that grow while rows are read.

It needs pyarrow, so it is imported where columns are wanted and never by the floor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from .schema import HISTORY_COLUMNS, NAMED

DICTIONARY = pa.dictionary(pa.int32(), pa.string())
TIMESTAMP = pa.timestamp("us", tz="UTC")
STATUSES = ("ok", "error")
"""Texts of the column ``status``, at the places of their numbers in ``events``."""

_TYPES = {
    "seq": pa.int64(),
    "timestamp": TIMESTAMP,
    "status": DICTIONARY,
    "event_id": pa.string(),
    "tool_use_id": pa.string(),
    "extra": pa.string(),
    "cost_usd": pa.float64(),
    **dict.fromkeys(NAMED.values(), DICTIONARY),
}
HISTORY_SCHEMA = pa.schema(
    pa.field(name, _TYPES.get(name, pa.int64()), nullable=name not in ("seq", "timestamp"))
    for name in HISTORY_COLUMNS
)
"""Types of HISTORY_COLUMNS: ``seq`` int64, ``timestamp`` timestamp[us, UTC], ids, names and
``status`` dictionary<int32, string>, ``event_id``, ``tool_use_id`` and ``extra`` (JSON) string,
counts int64 with nulls, ``cost_usd`` float64 with nulls."""


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """Return the part of HISTORY_SCHEMA with these columns, in this order."""
    return pa.schema([HISTORY_SCHEMA.field(name) for name in columns])


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

    def encode(
        self, numbers: pa.Array, look_up: Callable[[Sequence[int]], Mapping[int, str]]
    ) -> pa.DictionaryArray:
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

    def _learn(
        self, unseen: Sequence[int], look_up: Callable[[Sequence[int]], Mapping[int, str]]
    ) -> None:
        if not unseen:
            return
        texts = look_up(unseen)
        for number in unseen:
            text = texts.get(number)
            code = None if text is None else self._texts.setdefault(text, len(self._texts))
            self._codes[number] = code
        if len(self._array) != len(self._texts):
            self._array = pa.array([*self._texts], pa.string())
