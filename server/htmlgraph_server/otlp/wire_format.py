"""The outer levels of a protobuf message, without decoding all of it at once.

Encoding: https://protobuf.dev/programming-guides/encoding/. The generated classes decode a whole
message in one call, which holds the event loop for as long as it takes; eight megabytes can have
four million messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from htmlgraph_nb.errors import InvalidEvent

MAX_WHOLE_BYTES = 65_536
"""A longer message is reduced before it is decoded."""
_MAX_SMALL_BYTES = 4_096
_VARINT, _FIXED64, _TEXT, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: its number in the schema.
        raw_start: where its key begins.
        start: where its value begins.
        end: where it ends.
        is_message: whether the value is a message, text or bytes.
    """

    number: int
    raw_start: int
    start: int
    end: int
    is_message: bool


def fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message at ``data[start:end]``.

    Raises:
        InvalidEvent: the bytes are no message.
    """
    position = start
    while position < end:
        raw_start = position
        key, position = _varint(data, position, end)
        kind = key & 7
        size = 0
        if kind == _TEXT:
            size, position = _varint(data, position, end)
        value_start = position
        if kind == _VARINT:
            _, position = _varint(data, position, end)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        elif kind == _TEXT:
            position += size
        else:
            raise InvalidEvent(f"body: expected protobuf, got wire type {kind}")
        if position > end:
            raise InvalidEvent("body: the protobuf message ends too early")
        yield Field(key >> 3, raw_start, value_start, position, kind == _TEXT)


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise InvalidEvent("body: the protobuf message ends too early")


def reduced(data: bytes, start: int, end: int) -> bytes:
    """Return a message that can be decoded at once: its fields, except for large structures.

    Fields of at most 4 KB are kept while they fit into MAX_WHOLE_BYTES; of the others only
    attributes that are one text, however long.
    """
    if end - start <= MAX_WHOLE_BYTES:
        return data[start:end]
    kept: list[bytes] = []
    room = MAX_WHOLE_BYTES
    for field in fields(data, start, end):
        size = field.end - field.raw_start
        if size > _MAX_SMALL_BYTES:
            if _is_text_attribute(data, field):
                kept.append(data[field.raw_start : field.end])
        elif size <= room:
            room -= size
            kept.append(data[field.raw_start : field.end])
        else:
            break
    return b"".join(kept)


def _is_text_attribute(data: bytes, field: Field) -> bool:
    """Return whether a field is a KeyValue whose value is a string."""
    value: Field | None = None
    try:
        for n, inner in enumerate(fields(data, field.start, field.end)):
            if n > 1:
                return False
            if inner.number == 2 and inner.is_message:
                value = inner
        if value is None:
            return False
        for n, inner in enumerate(fields(data, value.start, value.end)):
            if n or inner.number != 1 or not inner.is_message:
                return False
    except InvalidEvent:
        return False
    return True
