"""JSON decoded in steps.

``json.loads`` holds the interpreter's lock until it returns, in a thread as well: a body of 8 MB
would delay all other requests for hundreds of milliseconds. Here the C decoder gets parts of at
most STEP_CHARS. Only containers that do not fit into a part are read item by item.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Generator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from htmlgraph_nb.core.protocol import MAX_JSON_VALUES, count_json_values, decode_json
from htmlgraph_nb.errors import WireError

STEP_CHARS = 65_536
"""Number of characters that one step decodes, about 2 ms."""
STEP_ITEMS = 500
"""Number of items that one step takes from a long list or object."""
STEP_BYTES = 262_144
"""Number of bytes that one step converts to text."""
MAX_OPEN_DEPTH = 16
"""Maximum nesting of containers that are each longer than STEP_CHARS."""
_ERROR_MARGIN = 16
"""An error this close to the end of a part may be caused by that end, as of an escape."""
_NUMBER_MARGIN = 2
"""Of a number that is cut within ``1.5`` or ``1e+9`` the decoder reads the first digits."""
_DENSE_CHARS = 20
"""A text with a value in fewer characters may have most of its punctuation in strings."""
_space = re.compile(r"[ \t\n\r]*").match


def json_steps(data: str | bytes, what: str = "body") -> Generator[None, None, Any]:
    """Decode like ``decode_json``; yield between the steps, return the value.

    Args:
        what: name of the text in error messages.

    Raises:
        WireError: as ``decode_json``; also for more than MAX_OPEN_DEPTH long containers around
            each other, and for a number longer than STEP_CHARS.
    """
    if len(data) <= STEP_CHARS:
        return decode_json(data, what)
    try:
        text = data if isinstance(data, str) else (yield from _text_steps(data))
        return (yield from _Decoder(text).value())
    except RecursionError:
        raise WireError(f"{what}: nested too deeply") from None
    except _TooManyValues:
        raise WireError(f"{what}: at most {MAX_JSON_VALUES} values and keys allowed") from None
    except UnicodeDecodeError as error:
        raise WireError(f"{what}: invalid UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise WireError(f"{what}: invalid JSON: {error}") from None


def _text_steps(data: bytes) -> Generator[None, None, str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    parts = []
    for start in range(0, len(data), STEP_BYTES):
        end = start + STEP_BYTES
        parts.append(decoder.decode(data[start:end], end >= len(data)))
        yield
    return "".join(parts)


class _TooManyValues(Exception):
    """The text has more than MAX_JSON_VALUES values."""


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


class _Decoder:
    """Decodes one text; ``_position`` is where it reads next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._n_values = 0
        self._n_items = 0
        # The part of the text that the C decoder has.
        self._start = -1
        self._part = ""
        self._decode: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(
            parse_constant=_refuse_constant
        ).raw_decode

    def value(self) -> Generator[None, None, Any]:
        """Decode the whole text."""
        self._skip_space()
        value = yield from self._value(0)
        self._skip_space()
        if self._position < len(self._text):
            raise self._error("Extra data")
        return value

    def _error(self, message: str, position: int | None = None) -> json.JSONDecodeError:
        at = self._position if position is None else position
        return json.JSONDecodeError(message, self._text, at)

    def _skip_space(self) -> str:
        """Move to the next character of the grammar, and return it; "" at the end."""
        character = self._text[self._position : self._position + 1]
        if character in " \t\n\r" and character:
            match = _space(self._text, self._position)
            self._position = match.end() if match is not None else self._position
            character = self._text[self._position : self._position + 1]
        return character

    def _value(self, depth: int) -> Generator[None, None, Any]:
        self._n_items += 1
        if self._n_items % STEP_ITEMS == 0:
            yield
        found = self._short_value()
        if found is None and self._position != self._start:
            # Try again with a part that begins here.
            yield
            self._start = self._position
            self._part = self._text[self._start : self._start + STEP_CHARS]
            found = self._short_value()
        if found is not None:
            return found[0]
        first = self._text[self._position : self._position + 1]
        if first == '"':
            self._count(1)
            value, self._position = scanstring(self._text, self._position + 1)
            return value
        if first not in ("[", "{"):
            raise self._error("Expecting value" if not first else "Number too long")
        if depth == MAX_OPEN_DEPTH:
            raise RecursionError
        self._count(1)
        self._position += 1
        return (yield from (self._list if first == "[" else self._object)(depth))

    def _short_value(self) -> tuple[Any] | None:
        """Return the next value; None if it does not end in the current part."""
        offset, part = self._position - self._start, self._part
        if offset >= len(part):
            return None
        is_last = self._start + len(part) == len(self._text)
        try:
            value, end = self._decode(part, offset)
        except json.JSONDecodeError as error:
            is_cut = error.pos >= len(part) - _ERROR_MARGIN or error.msg.startswith("Unterminated")
            if is_cut and not is_last:
                return None
            raise self._error(error.msg, self._start + error.pos) from None
        if end >= len(part) - _NUMBER_MARGIN and not is_last:
            # A number may go on.
            return None
        self._position = self._start + end
        self._count_values(part[offset:end])
        return (value,)

    def _count_values(self, text: str) -> None:
        n_values = 1 + count_json_values(text)
        if n_values > len(text) / _DENSE_CHARS or self._n_values > MAX_JSON_VALUES // 2:
            # Punctuation in strings does not count.
            n_values = 1 + count_json_values(text, outside_strings=True)
        self._count(n_values)

    def _count(self, n_values: int) -> None:
        self._n_values += n_values
        if self._n_values > MAX_JSON_VALUES:
            raise _TooManyValues

    def _list(self, depth: int) -> Generator[None, None, list[Any]]:
        items: list[Any] = []
        if self._skip_space() == "]":
            self._position += 1
            return items
        while True:
            items.append((yield from self._value(depth + 1)))
            if self._next_item("]"):
                return items
            self._skip_space()

    def _object(self, depth: int) -> Generator[None, None, dict[str, Any]]:
        members: dict[str, Any] = {}
        character = self._skip_space()
        if character == "}":
            self._position += 1
            return members
        while True:
            if character != '"':
                raise self._error("Expecting property name enclosed in double quotes")
            name, self._position = scanstring(self._text, self._position + 1)
            self._count(1)
            if self._skip_space() != ":":
                raise self._error("Expecting ':' delimiter")
            self._position += 1
            self._skip_space()
            members[name] = yield from self._value(depth + 1)
            if self._next_item("}"):
                return members
            character = self._skip_space()

    def _next_item(self, end: str) -> bool:
        """Read what follows an item; return whether the container ends."""
        character = self._skip_space()
        if character not in (",", end):
            raise self._error("Expecting ',' delimiter")
        self._position += 1
        return character == end
