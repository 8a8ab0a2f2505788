"""Validators of the fields of an event: strings, counts, timestamps and JSON objects.

The message of an error reads ``field: expected X, got Y``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeGuard

from ..errors import InvalidEvent
from .timestamps import to_utc

MAX_ID_CHARS = 256
MAX_EXTRA_BYTES = 16_384
MAX_EXTRA_DEPTH = 64
MAX_INTEGER = 2**53 - 1
"""Largest count: the largest integer that JavaScript represents exactly."""

_SIMPLE_CHARS = MAX_EXTRA_BYTES // len(r"\u0000")
"""An object of at most this many ASCII characters never exceeds MAX_EXTRA_BYTES, even escaped."""
_HUGE_BYTES = 4 * MAX_EXTRA_BYTES
_MAX_WALK_DEPTH = 100
_SIMPLE_VALUE_CHARS = 22
"""Punctuation and digits around one key and its value."""

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def parse_time(value: object, name: str = "timestamp") -> datetime:
    """Return a datetime or an RFC 3339 string as a UTC datetime.

    Raises:
        InvalidEvent: another type, an unreadable string, or a year outside 2000 to 2199.
    """
    if not isinstance(value, str | datetime):
        raise InvalidEvent(f"{name}: expected an RFC 3339 string, got {format_value(value)}", name)
    try:
        timestamp = to_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError, OSError):
        # Near the years 1 and 9999 the conversion to UTC itself overflows.
        raise InvalidEvent(
            f"{name}: expected an RFC 3339 string such as 2025-01-14T14:50:30.123456Z, "
            f"got {shorten(str(value))}",
            name,
        ) from None
    if not is_in_range(timestamp):
        raise InvalidEvent(
            f"{name}: expected a year from 2000 to 2199, got {shorten(str(value))}", name
        )
    return timestamp


def is_in_range(timestamp: datetime) -> bool:
    """Return whether a timestamp lies in the years 2000 to 2199."""
    return _EARLIEST <= timestamp < _LATEST


def shorten(value: str, length: int = 60) -> str:
    """Return the repr of ``value``, cut to ``length`` characters for an error message."""
    return repr(value if len(value) <= length else value[:length] + "…")


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether ``value`` is a JSON object: a dict or another mapping."""
    # isinstance() with an abstract class is slow, and the value is nearly always a dict.
    return type(value) is dict or isinstance(value, Mapping)


def format_value(value: object) -> str:
    """Return ``value`` as error messages show it: in the terms of JSON, and truncated."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return shorten(value, 40)
    if isinstance(value, int):
        # Python refuses to format integers of thousands of digits.
        size = value.bit_length()
        return str(value) if size <= 128 else f"an integer of {size} bits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "an object" if isinstance(value, dict) else type(value).__name__


def validate_string(value: object, name: str, limit: int = MAX_ID_CHARS) -> str:
    """Return ``value`` if it is a storable string of 1 to ``limit`` characters.

    Raises:
        InvalidEvent: another type, empty, too long, or with a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidEvent(f"{name}: expected a string, got {format_value(value)}", name)
    if not value or len(value) > limit:
        raise InvalidEvent(f"{name}: expected 1 to {limit} characters, got {len(value)}", name)
    if not value.isascii() or "\0" in value:
        _validate_characters(value, name)
    return value


def _validate_characters(value: str, name: str) -> None:
    if "\0" in value:
        raise InvalidEvent(f"{name}: NUL characters are not allowed", name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidEvent(
            f"{name}: lone surrogates are not allowed, got one at index {error.start}", name
        ) from None


def validate_count(value: object, name: str) -> int:
    """Return ``value`` as a count from 0 to MAX_INTEGER.

    Raises:
        InvalidEvent: another type, a fraction, or out of range.
    """
    if type(value) is int and 0 <= value <= MAX_INTEGER:
        return value
    if type(value) is float and value.is_integer() and 0 <= value <= MAX_INTEGER:
        return int(value)
    raise InvalidEvent(
        f"{name}: expected an integer from 0 to 2^53-1, got {format_value(value)}", name
    )


def validate_number(value: object, name: str) -> float:
    """Return ``value`` as a number from 0 to MAX_INTEGER.

    Raises:
        InvalidEvent: another type, or out of range.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER:
        return float(value)
    raise InvalidEvent(
        f"{name}: expected a number from 0 to 2^53-1, got {format_value(value)}", name
    )


def validate_outcome(value: object, name: str) -> str:
    """Return ``value`` if it is "ok" or "error".

    Raises:
        InvalidEvent: any other value.
    """
    if isinstance(value, str) and value in ("ok", "error"):
        return value
    raise InvalidEvent(f'{name}: expected "ok" or "error", got {format_value(value)}', name)


def validate_extra(value: object, name: str) -> dict[str, Any]:
    """Return a copy of a JSON object.

    Raises:
        InvalidEvent: another type, too large, nested too deeply, or not encodable as JSON.
    """
    if not isinstance(value, dict):
        raise InvalidEvent(f"{name}: expected an object, got {format_value(value)}", name)
    if _is_simple(value):
        return dict(value)
    if _is_huge(value):
        raise InvalidEvent(
            f"{name}: at most {MAX_EXTRA_BYTES} bytes allowed, got more than {_HUGE_BYTES}", name
        )
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        n_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name}: lone surrogates are not allowed", name) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent(f"{name}: cannot be encoded as JSON: {error}", name) from None
    if n_bytes > MAX_EXTRA_BYTES:
        raise InvalidEvent(f"{name}: at most {MAX_EXTRA_BYTES} bytes allowed, got {n_bytes}", name)
    # A deep copy: the caller may modify its object later.
    copy: dict[str, Any] = json.loads(text)
    if text.count("[") + text.count("{") > MAX_EXTRA_DEPTH and _depth(copy) > MAX_EXTRA_DEPTH:
        raise InvalidEvent(f"{name}: at most {MAX_EXTRA_DEPTH} levels of nesting allowed", name)
    return copy


def _is_simple(value: dict[object, object]) -> bool:
    """Return whether an object is flat and certainly small enough without encoding it.

    False means that the full checks must run.
    """
    n_chars = 0
    if len(value) > _SIMPLE_CHARS // _SIMPLE_VALUE_CHARS:
        return False
    for key, inner in value.items():
        if type(key) is not str or not key.isascii():
            return False
        if type(inner) is str and inner.isascii():
            n_chars += len(inner)
        elif type(inner) is not bool and not (type(inner) is int and abs(inner) <= MAX_INTEGER):
            return False
        n_chars += len(key) + _SIMPLE_VALUE_CHARS
    return n_chars <= _SIMPLE_CHARS


def _is_huge(value: dict[object, object]) -> bool:
    """Return whether the JSON form has certainly more than _HUGE_BYTES, without encoding it."""
    room = _HUGE_BYTES
    rest: list[Iterator[object]] = [iter((value,))]
    while rest:
        for item in rest[-1]:
            room -= len(item) + 2 if isinstance(item, str) else 2
            if room < 0:
                return True
            if len(rest) > _MAX_WALK_DEPTH:
                continue
            if isinstance(item, dict):
                rest.append(chain(item.keys(), item.values()))
                break
            if isinstance(item, list | tuple):
                rest.append(iter(item))
                break
        else:
            rest.pop()
    return False


def _depth(value: dict[str, Any]) -> int:
    level: list[Any] = [value]
    depth = 0
    while level and depth <= MAX_EXTRA_DEPTH:
        depth += 1
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [child for items in inner for child in items if isinstance(child, dict | list)]
    return depth


def unknown_field(name: str, known: Mapping[str, Any], hint: str = "") -> InvalidEvent:
    """Return the error for an unknown field, with the most similar name that exists."""
    similar = difflib.get_close_matches(name[:MAX_ID_CHARS], list(known), n=1)
    suggestion = f"did you mean {similar[0]!r}?" if similar else ""
    text = "; ".join(part for part in (f"unknown field {shorten(name)}", suggestion, hint) if part)
    # The field is sent back to the client, so it must be a valid string.
    return InvalidEvent(text, name[:60].encode("utf-8", "backslashreplace").decode())
