"""Columns of ``events`` become columns of HISTORY_SCHEMA."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from htmlgraph_nb.storage.columnar.arrow_schema import (
    HISTORY_SCHEMA,
    Encoder,
    GrowingDictionary,
    raw_name,
    raw_schema,
    select_schema,
)
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

STRINGS = {1: "Bash", 2: "Edit", 5: "Read"}


def look_up(ids: Sequence[int]) -> dict[int, str]:
    """Return the strings of these ids, without unknown ids."""
    return {string_id: STRINGS[string_id] for string_id in ids if string_id in STRINGS}


def test_history_schema_has_all_columns() -> None:
    """Columns are in order, and only seq and timestamp are required."""
    assert tuple(HISTORY_SCHEMA.names) == HISTORY_COLUMNS
    required = [field.name for field in HISTORY_SCHEMA if not field.nullable]
    assert required == ["seq", "timestamp"]


def test_select_schema_keeps_order_of_columns() -> None:
    """The schema of a query has its columns in its order."""
    assert select_schema(("extra", "seq")).names == ["extra", "seq"]


def test_growing_dictionary_extends_earlier_dictionaries() -> None:
    """Codes stay valid from batch to batch, and unknown ids are null."""
    dictionary = GrowingDictionary()
    first = dictionary.encode(pa.array([2, None, 2, 9]), look_up)
    second = dictionary.encode(pa.array([5, 2, 1]), look_up)
    assert first.to_pylist() == ["Edit", None, "Edit", None]
    assert second.to_pylist() == ["Read", "Edit", "Bash"]
    assert second.dictionary.to_pylist()[: len(first.dictionary)] == first.dictionary.to_pylist()


def test_encoder_converts_raw_columns() -> None:
    """Ids, status codes, times and decisions become strings, timestamps and flags."""
    decisions = [(7, "idle", "turn ended", "timer", 1)]
    columns = ("tool_name", "status", "timestamp", "agent_status", "agent_attention")
    encoder = Encoder(columns, look_up, lambda ids: [row for row in decisions if row[0] in ids])
    raw = {
        "tool_name": [1, None],
        "status": [1, None],
        "timestamp": [0, 1_000_000],
        "agent_status": [7, None],
        "agent_attention": [7, 8],
    }
    encoded = {
        name: encoder.encode(name, pa.array(values, pa.int64())) for name, values in raw.items()
    }
    assert {name: column.type for name, column in encoded.items()} == {
        name: HISTORY_SCHEMA.field(name).type for name in columns
    }
    assert encoded["tool_name"].to_pylist() == ["Bash", None]
    assert encoded["status"].to_pylist() == ["error", None]
    assert encoded["timestamp"].cast(pa.int64()).to_pylist() == [0, 1_000_000]
    assert encoded["agent_status"].to_pylist() == ["idle", None]
    assert encoded["agent_attention"].to_pylist() == [True, None]


def test_raw_name_is_a_column_of_events() -> None:
    """Names and decisions are stored as ids in other columns."""
    assert [raw_name(name) for name in ("seq", "tool_name", "agent_reason", "extra")] == [
        "id",
        "tool",
        "decision",
        "extra",
    ]


def test_raw_schema_has_each_column_of_events_once() -> None:
    """Ids, timestamps and flags are integers; other types are those of history."""
    assert raw_schema(("agent_status", "timestamp", "cost_usd", "agent_attention")) == pa.schema(
        [("decision", pa.int64()), ("ts", pa.int64()), ("cost_usd", pa.float64())]
    )
