"""Build one pandas DataFrame from Arrow batches, column by column and without a second copy.

Fixed-width columns are copied out of each batch, so that it can be freed; strings stay in Arrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from ..storage.columnar.arrow_schema import DICTIONARY, HISTORY_SCHEMA, TIMESTAMP

TIMESTAMP_DTYPE = "datetime64[us, UTC]"
SOURCE_NAME = "source_name"
"""Column of rows of several sources: which of them the row is from."""
_REQUIRED = tuple(field.name for field in HISTORY_SCHEMA if not field.nullable)


def dtype_of(name: str) -> str:
    """Return the pandas dtype of a column of HISTORY_SCHEMA, or SOURCE_NAME."""
    kind = DICTIONARY if name == SOURCE_NAME else HISTORY_SCHEMA.field(name).type
    if kind == DICTIONARY:
        return "category"
    if kind == TIMESTAMP:
        return TIMESTAMP_DTYPE
    if kind == pa.string():
        return "string"
    if kind == pa.float64():
        return "float64"
    if kind == pa.bool_():
        return "boolean"
    return "int64" if name in _REQUIRED else "Int64"


class FrameBuilder:
    """Collect batches into a DataFrame.

    Args:
        columns: names of HISTORY_SCHEMA, and SOURCE_NAME.
        expected_rows: number of rows to allocate at first.
        zone: time zone of ``timestamp``.
    """

    def __init__(
        self, columns: Sequence[str], expected_rows: int = 0, zone: str | tzinfo = "UTC"
    ) -> None:
        self._columns = {name: _column(name, expected_rows, zone) for name in columns}
        self.n_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the rows of a batch."""
        self.n_rows += len(batch)
        for name, column in self._columns.items():
            column.add(batch.column(name))

    def frame(self) -> pd.DataFrame:
        """Return the DataFrame; the builder is empty afterwards."""
        columns, self._columns = self._columns, {}
        index = pd.RangeIndex(self.n_rows)
        series = {
            name: pd.Series(columns.pop(name).values(), index, copy=False) for name in [*columns]
        }
        return pd.DataFrame(series, index=index, copy=False)


def _column(
    name: str, n_rows: int, zone: str | tzinfo
) -> _Numbers | _Counts | _Strings | _Categories:
    dtype = dtype_of(name)
    if dtype == "category":
        return _Categories(n_rows)
    if dtype == "string":
        return _Strings()
    if dtype == TIMESTAMP_DTYPE:
        return _Times(n_rows, zone)
    if dtype == "boolean":
        return _Flags(n_rows)
    return _Counts(n_rows) if dtype == "Int64" else _Numbers(dtype, n_rows)


class _Buffer:
    """An array with free space at its end; appended values are copied once."""

    def __init__(self, dtype: npt.DTypeLike, n_rows: int) -> None:
        self._array = np.empty(n_rows, dtype)
        self._used = 0

    def append(self, values: npt.ArrayLike, n_values: int) -> None:
        self.room(n_values)[:] = values

    def room(self, n_values: int) -> npt.NDArray[Any]:
        """Return the next values, which the caller sets."""
        start, end = self._used, self._used + n_values
        if end > len(self._array):
            self._array = np.concatenate(
                [self._array[: self._used], np.empty(max(end, n_values), self._array.dtype)]
            )
        self._used = end
        return self._array[start:end]

    def widen(self, dtype: npt.DTypeLike) -> None:
        wider = np.empty(len(self._array), dtype)
        wider[: self._used] = self._array[: self._used]
        self._array = wider

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    def used(self) -> npt.NDArray[Any]:
        """Return the appended values, without much free space behind them."""
        values = self._array[: self._used]
        return values if self._used * 1.1 >= len(self._array) else values.copy()


class _Numbers:
    """``seq`` as int64, ``cost_usd`` as float64 with NaN for nulls."""

    def __init__(self, dtype: str, n_rows: int) -> None:
        self._buffer = _Buffer(dtype, n_rows)

    def add(self, array: pa.Array) -> None:
        self._buffer.append(array.to_numpy(zero_copy_only=False), len(array))

    def values(self) -> Any:
        return self._buffer.used()


class _Times(_Numbers):
    def __init__(self, n_rows: int, zone: str | tzinfo) -> None:
        super().__init__("int64", n_rows)
        self._zone = zone

    def add(self, array: pa.Array) -> None:
        super().add(array.cast(pa.int64()))

    def values(self) -> Any:
        times = pd.DatetimeIndex(super().values().view("datetime64[us]"), copy=False)
        return times.tz_localize("UTC").tz_convert(self._zone)


def _is_null(array: pa.Array) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return flags


def _raw_values(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the values of an integer array without a copy; any value may be behind a null."""
    values = np.frombuffer(array.buffers()[1], dtype)
    return values[array.offset : array.offset + len(array)]


class _Counts:
    """Nullable counts, as Int64."""

    def __init__(self, n_rows: int) -> None:
        self._values = _Buffer("int64", n_rows)
        self._missing = _Buffer("bool", n_rows)

    def add(self, array: pa.Array) -> None:
        n_values = len(array)
        if not array.null_count:
            self._values.append(array.to_numpy(), n_values)
            self._missing.append(False, n_values)
            return
        missing = _is_null(array)
        self._missing.append(missing, n_values)
        # The value behind a null is the same for all sources.
        if array.null_count == n_values:
            self._values.append(0, n_values)
        else:
            np.multiply(_raw_values(array, np.int64), ~missing, out=self._values.room(n_values))

    def values(self) -> Any:
        return pd.arrays.IntegerArray(self._values.used(), self._missing.used())


class _Flags(_Counts):
    """Nullable flags, as boolean."""

    def __init__(self, n_rows: int) -> None:
        self._values = _Buffer("bool", n_rows)
        self._missing = _Buffer("bool", n_rows)

    def add(self, array: pa.Array) -> None:
        self._missing.append(_is_null(array), len(array))
        self._values.append(array.fill_null(False).to_numpy(zero_copy_only=False), len(array))

    def values(self) -> Any:
        return pd.arrays.BooleanArray(self._values.used(), self._missing.used())


class _Strings:
    """Mostly unique strings, as pandas string backed by Arrow."""

    def __init__(self) -> None:
        self._parts: list[pa.Array] = []

    def add(self, array: pa.Array) -> None:
        # Concatenation copies; a slice would keep its whole batch alive.
        self._parts.append(pa.concat_arrays([array.cast(pa.large_string())]))

    def values(self) -> Any:
        whole = pa.chunked_array(self._parts, pa.large_string())
        self._parts.clear()
        return pd.arrays.ArrowStringArray(whole)


class _Categories:
    """Names as categoricals; the categories are the names that occur, sorted."""

    def __init__(self, n_rows: int) -> None:
        self._names: dict[str, int] = {}
        self._codes = _Buffer(np.int8, n_rows)
        self._dictionary: pa.Array | None = None
        # The last element of these two stands for null.
        self._code_of = np.array([-1], np.int8)
        self._occurs = np.zeros(1, bool)

    def add(self, array: pa.DictionaryArray) -> None:
        if array.null_count == len(array):
            self._codes.append(-1, len(array))
            return
        if self._dictionary is None or not array.dictionary.equals(self._dictionary):
            self._add_dictionary(array.dictionary)
        indices = array.indices
        codes = self._codes.room(len(indices))
        # Only indices behind nulls can be out of range. Other modes copy the result once more.
        np.take(self._code_of, _raw_values(indices, np.int32), out=codes, mode="clip")
        if indices.null_count:
            np.copyto(codes, -1, where=_is_null(indices))
        self._occurs[codes] = True

    def _add_dictionary(self, dictionary: pa.Array) -> None:
        known = self._names
        codes = [
            -1 if name is None else known.setdefault(name, len(known))
            for name in dictionary.to_pylist()
        ]
        self._dictionary = dictionary
        occurs = np.zeros(len(known) + 1, bool)
        occurs[: len(self._occurs) - 1] = self._occurs[:-1]
        self._occurs = occurs
        if _narrowest(len(known)) != self._codes.dtype:
            self._codes.widen(_narrowest(len(known)))
        self._code_of = np.array([*codes, -1], self._codes.dtype)

    def values(self) -> Any:
        codes = self._codes.used()
        order = sorted((name, code) for name, code in self._names.items() if self._occurs[code])
        final = np.full(len(self._names) + 1, -1, _narrowest(len(order)))
        final[[code for _, code in order]] = np.arange(len(order), dtype=final.dtype)
        sorted_codes = codes if codes.dtype == final.dtype else np.empty(len(codes), final.dtype)
        is_sorted = np.array_equal(final[:-1], np.arange(len(final) - 1))
        for start in range(0, 0 if is_sorted else len(codes), _STEP):
            # In steps that fit into the CPU cache.
            sorted_codes[start : start + _STEP] = final[codes[start : start + _STEP]]
        categories = pd.Index([name for name, _ in order], dtype=_CATEGORY_DTYPE)
        dtype: Any = pd.CategoricalDtype(categories)
        return pd.Categorical.from_codes(sorted_codes, dtype=dtype, validate=False)  # type: ignore[arg-type]


_STEP = 32_768
_CATEGORY_DTYPE = pd.Index(["text"]).dtype


def _narrowest(n_names: int) -> np.dtype[Any]:
    """Return the dtype of codes that pandas uses for this number of categories."""
    return np.dtype(np.int8 if n_names < 2**7 else np.int16 if n_names < 2**15 else np.int32)


def build_frame(
    batches: Iterable[pa.RecordBatch],
    columns: Sequence[str],
    expected_rows: int = 0,
    zone: str | tzinfo = "UTC",
) -> pd.DataFrame:
    """Return the rows of batches as a DataFrame; arguments as for FrameBuilder."""
    builder = FrameBuilder(columns, expected_rows, zone)
    for batch in batches:
        builder.add(batch)
    return builder.frame()
