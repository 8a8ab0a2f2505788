"""Is this value storable, and what to say where it is not: texts, counts, times, JSON objects."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from ..errors import InvalidEvent
from .timestamps import to_utc

MAX_ID_CHARS = 256
MAX_EXTRA_BYTES = 16_384
MAX_EXTRA_DEPTH = 64
MAX_INTEGER = 2**53 - 1
"""Largest count: the largest integer that JavaScript keeps exact."""

_SIMPLE_CHARS = MAX_EXTRA_BYTES // len(r"\u0000")
"""Up to so many ASCII characters an object has no more than MAX_EXTRA_BYTES, whatever they are."""
_SIMPLE_VALUE_CHARS = 22
"""Marks and digits around one key and its value."""

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def parse_time(value: object, name: str = "timestamp") -> datetime:
    """Return a UTC datetime of RFC 3339 text or a datetime.

    Raises:
        InvalidEvent: it is neither, or lies outside the years 2000 to 2199.
    """
    if not isinstance(value, str | datetime):
        raise InvalidEvent(f"{name} is {type_name(value)}, expected RFC 3339 text", name)
    try:
        moment = to_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError, OSError):
        # Near the years 1 and 9999 the conversion to UTC itself overflows.
        raise InvalidEvent(
            f"{name} is {shorten(str(value))}, expected RFC 3339 as 2025-01-14T14:50:30.123456Z",
            name,
        ) from None
    if not is_in_range(moment):
        raise InvalidEvent(
            f"{name} is {shorten(str(value))}, expected a year from 2000 to 2199", name
        )
    return moment


def is_in_range(moment: datetime) -> bool:
    """Return whether a time lies in the years 2000 to 2199."""
    return _EARLIEST <= moment < _LATEST


def shorten(value: str, length: int = 60) -> str:
    """Return the repr of ``value``, shortened for an error text."""
    return repr(value if len(value) <= length else value[:length] + "…")


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether ``value`` is a JSON object, be it a dict or another mapping."""
    # The question to an abstract class takes long, and nearly always it is a dict.
    return type(value) is dict or isinstance(value, Mapping)


def type_name(value: object) -> str:
    """Return the JSON name of the type of ``value`` with a short sample."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"text {shorten(value, 40)}"
    if isinstance(value, int):
        # Python refuses to write integers of thousands of digits.
        size = value.bit_length()
        return f"integer {value}" if size <= 128 else f"an integer of {size} bits"
    if isinstance(value, float):
        return f"number {value}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "an object" if isinstance(value, dict) else type(value).__name__


def validate_string(value: object, name: str, limit: int = MAX_ID_CHARS) -> str:
    """Return ``value`` if it is storable text of 1 to ``limit`` characters.

    Raises:
        InvalidEvent: wrong type, empty, too long, or with a NUL or a lone surrogate in it.
    """
    if not isinstance(value, str):
        raise InvalidEvent(f"{name} is {type_name(value)}, expected text", name)
    if not value or len(value) > limit:
        raise InvalidEvent(f"{name} has {len(value)} characters, expected 1 to {limit}", name)
    if not value.isascii() or "\0" in value:
        _validate_characters(value, name)
    return value


def _validate_characters(value: str, name: str) -> None:
    if "\0" in value:
        raise InvalidEvent(f"{name} holds a NUL character", name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"{name} holds a lone surrogate at {error.start}", name) from None


def validate_count(value: object, name: str) -> int:
    """Return ``value`` as a count from 0 to MAX_INTEGER; InvalidEvent where it is none."""
    if type(value) is int and 0 <= value <= MAX_INTEGER:
        return value
    if type(value) is float and value.is_integer() and 0 <= value <= MAX_INTEGER:
        return int(value)
    raise InvalidEvent(f"{name} is {type_name(value)}, expected an integer from 0 to 2^53-1", name)


def validate_number(value: object, name: str) -> float:
    """Return ``value`` as a number from 0 to MAX_INTEGER; InvalidEvent where it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER:
        return float(value)
    raise InvalidEvent(f"{name} is {type_name(value)}, expected a number from 0 to 2^53-1", name)


def validate_outcome(value: object, name: str) -> str:
    """Return ``value`` if it is "ok" or "error"; InvalidEvent where it is neither."""
    if isinstance(value, str) and value in ("ok", "error"):
        return value
    raise InvalidEvent(f'{name} is {type_name(value)}, expected "ok" or "error"', name)


def validate_extra(value: object, name: str) -> dict[str, Any]:
    """Return a copy of the JSON object ``value``.

    Raises:
        InvalidEvent: it is none, too long, nested too deeply or cannot be written as JSON.
    """
    if not isinstance(value, dict):
        raise InvalidEvent(f"{name} is {type_name(value)}, expected an object", name)
    if _is_simple(value):
        return dict(value)
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        n_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name} holds a lone surrogate", name) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"{name} cannot be written as JSON: {error}", name) from None
    if n_bytes > MAX_EXTRA_BYTES:
        raise InvalidEvent(f"{name} has {n_bytes} bytes, expected at most {MAX_EXTRA_BYTES}", name)
    # A copy of its own: the sender may go on to change what it passed.
    copy: dict[str, Any] = json.loads(text)
    if text.count("[") + text.count("{") > MAX_EXTRA_DEPTH and _depth(copy) > MAX_EXTRA_DEPTH:
        raise InvalidEvent(f"{name} is nested deeper than {MAX_EXTRA_DEPTH} levels", name)
    return copy


def _is_simple(value: dict[object, object]) -> bool:
    """Return whether an object is flat, and so short that its JSON need not be written to know."""
    n_chars = 0
    for key, inner in value.items():
        if type(key) is not str or not key.isascii():
            return False
        if type(inner) is str and inner.isascii():
            n_chars += len(inner)
        elif type(inner) is not bool and not (type(inner) is int and abs(inner) <= MAX_INTEGER):
            return False
        n_chars += len(key) + _SIMPLE_VALUE_CHARS
    return n_chars <= _SIMPLE_CHARS


def _depth(value: dict[str, Any]) -> int:
    level: list[Any] = [value]
    depth = 0
    while level and depth <= MAX_EXTRA_DEPTH:
        depth += 1
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for items in inner for child in items if isinstance(child, dict | list)]
    return depth


def unknown_field(name: str, known: Mapping[str, Any], advice: str = "") -> InvalidEvent:
    """Return the error for a field that nothing knows, with the nearest name that exists."""
    near = difflib.get_close_matches(name[:MAX_ID_CHARS], list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else ""
    text = "; ".join(part for part in (f"unknown field {shorten(name)}", hint, advice) if part)
    # The field goes into answers as it is, so it must be storable text.
    return InvalidEvent(text, name[:60].encode("utf-8", "backslashreplace").decode())
