"""Changes to JSON inputs that keep them JSON: byte changes rarely get past the parser.

An input is a line that names a variant, then a JSON text or lines of JSON.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**53, 2**63, 2**64, 10**400, 1e308, -0.0, 0.5, "", "\ud800"),
    *("\0", "x" * 257, "é" * 200, [], {}, [[]], [{}], {"": None}, "2026-09-01T10:00:00Z", "1e999"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-13-45T99:99:99Z", "nan"),
    *(1_788_256_800, 1_788_256_800_000, "1788256800", "/", "..", "a" * 65, "\u2028", "-1"),
)
_LINE_CHANGES = ("drop", "copy", "swap", "value", "value", "value", "value", "value", "bytes")


class JsonMutator:
    """Changes inputs at random, with keys and values of the given ones.

    Args:
        inputs: those that the search begins with.
    """

    def __init__(self, inputs: Iterable[bytes]) -> None:
        keys: dict[str, None] = {}
        values: dict[str, Any] = {}
        heads: dict[bytes, None] = {}
        for data in inputs:
            head, _, body = data.partition(b"\n")
            heads[head] = None
            for line in (body, *body.split(b"\n")):
                _collect(_parsed(line), keys, values)
        self._keys = [*keys]
        self._values = [*_VALUES, *values.values()]
        self._heads = [*heads]

    def mutate(self, data: bytes, seed: int) -> bytes | None:
        """Return a changed input; None: change its bytes instead."""
        rng = random.Random(seed)
        if rng.random() < 0.15:
            return None
        head, _, body = data.partition(b"\n")
        if rng.random() < 0.02 and self._heads:
            return rng.choice(self._heads) + b"\n" + body
        whole = _parsed(body)
        if isinstance(whole, dict | list):
            changed = whole
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                changed = self._change(changed, rng)
            return head + b"\n" + _encoded(changed)
        lines = body.split(b"\n")
        for _ in range(rng.choice((1, 1, 2, 4))):
            self._change_line(lines, rng)
        return head + b"\n" + b"\n".join(lines)

    def _change_line(self, lines: list[bytes], rng: random.Random) -> None:
        at = rng.randrange(len(lines))
        kind = rng.choice(_LINE_CHANGES)
        if kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "copy":
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif kind == "swap":
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "bytes" and lines[at]:
            cut = rng.randrange(len(lines[at]))
            lines[at] = lines[at][:cut] + bytes([rng.randrange(256)]) + lines[at][cut + 1 :]
        else:
            record = _parsed(lines[at])
            if isinstance(record, dict | list):
                lines[at] = _encoded(self._change(record, rng))

    def _change(self, value: Any, rng: random.Random) -> Any:
        """Return a JSON value with one change at a random place."""
        if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
            if isinstance(value, dict) and rng.random() < 0.7 and self._keys:
                return {**value, rng.choice(self._keys): self._value(rng)}
            if isinstance(value, list) and rng.random() < 0.7:
                return [*value, rng.choice(value) if value else self._value(rng)]
            return self._value(rng)
        key = rng.choice([*value]) if isinstance(value, dict) else rng.randrange(len(value))
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        if rng.random() < 0.12:
            del copy[key]
        elif isinstance(copy, dict) and rng.random() < 0.05 and self._keys:
            copy[rng.choice(self._keys)] = copy.pop(key)
        else:
            copy[key] = self._change(copy[key], rng)
        return copy

    def _value(self, rng: random.Random) -> Any:
        if rng.random() < 0.05:
            nested: Any = 0
            for _ in range(rng.choice((3, 20, 70, 900))):
                nested = [nested] if rng.random() < 0.5 else {"a": nested}
            return nested
        return rng.choice(self._values)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return b"[" * 2_000


def _collect(value: Any, keys: dict[str, None], values: dict[str, Any]) -> None:
    if isinstance(value, dict):
        keys.update(dict.fromkeys(value))
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _collect(inner, keys, values)
    elif isinstance(value, str | int | float) and len(str(value)) < 100 and len(values) < 3_000:
        values[repr(value)] = value
