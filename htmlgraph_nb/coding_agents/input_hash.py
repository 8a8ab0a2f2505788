"""The keyed hash of a tool call's input: the same for equal inputs, and it does not reveal them.

Pure, and of the standard library, because ``htmlgraph-hook`` imports it. Hooks and session files
describe the same input with the same JSON value, so their hashes are equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

KEY_BYTES = 32
_MAX_DEPTH = 100
_HASH_BITS = 53
"""The largest integer that JavaScript represents exactly has as many."""
_EXACT = 2**_HASH_BITS

_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

HashInput = Callable[[object], int | None]
"""Returns the hash of the input of a tool call; None: it has none."""


def no_hash(_: object) -> int | None:
    """Return None: a HashInput for readers whose events need no hash."""
    return None


def input_hash(value: object, key: bytes) -> int | None:
    """Return the hash of a JSON value, from 0 to 2^53-1.

    The order of keys does not matter, and numbers are compared as JavaScript reads them: 1.0 is 1,
    and integers beyond 2^53 are rounded.

    Args:
        value: the input; None: there is none.
        key: KEY_BYTES random bytes, the same for all hashes that are compared.

    Returns:
        None without an input, and for one that is no JSON value or has more than 100 levels.
    """
    if value is None:
        return None
    from hashlib import blake2b

    try:
        text = _to_json(_comparable(value, 0))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    digest = blake2b(text.encode("ascii"), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _HASH_BITS)


def _comparable(value: object, depth: int) -> Any:
    """Return an equal value in which equal numbers have the same type."""
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, int | float):
        number = value if isinstance(value, int) and abs(value) <= _EXACT else float(value)
        is_whole = isinstance(number, float) and abs(number) <= _EXACT and number.is_integer()
        return int(number) if is_whole else number
    if depth >= _MAX_DEPTH:
        raise ValueError("input: too many levels")
    if isinstance(value, dict):
        return {key: _comparable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(item, depth + 1) for item in value]
    # The encoder rejects it.
    return value
