"""Attributes whose values are decoded when somebody asks for them: most of them nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Attributes(Mapping[str, Any]):
    """Key → value.

    Args:
        encoded: key → the value as it was sent.
        decode: returns the plain value.
    """

    __slots__ = ("_decode", "_encoded")

    def __init__(self, encoded: dict[str, Any], decode: Callable[[Any], Any]) -> None:
        self._encoded = encoded
        self._decode = decode

    def __getitem__(self, key: str) -> Any:
        return self._decode(self._encoded[key])

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key; ``default`` where it is absent."""
        found = self._encoded.get(key)
        return default if found is None else self._decode(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)
