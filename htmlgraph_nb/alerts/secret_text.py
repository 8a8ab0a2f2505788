"""Texts of the alerts file that must not appear in logs, errors or responses."""

from __future__ import annotations

import os

from ..errors import ConfigError
from ..paths import open_regular

_MAX_BYTES = 65_536
_HIDDEN = "***"


class SecretText:
    """A secret, given as it is or by its place: ``env:NAME`` or ``file:PATH``.

    A place is read at each use, so that a changed secret needs no restart. ``str`` and ``repr``
    return ``***``.

    Args:
        text: the secret, ``env:NAME`` or ``file:PATH``.
        folder: relative paths begin here; "" is the current folder.
        field: name of the setting in errors.
    """

    __slots__ = ("_field", "_folder", "_text")

    def __init__(self, text: str, folder: str = "", field: str = "secret") -> None:
        self._text = text
        self._folder = folder
        self._field = field

    def __repr__(self) -> str:
        return _HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self._text, self._folder

    @property
    def is_literal(self) -> bool:
        """Whether the secret itself was given, not its place."""
        return not self._text.startswith(("env:", "file:"))

    def reveal(self) -> str:
        """Return the secret.

        Raises:
            ConfigError: the environment variable is not set, or the file cannot be read or is
                empty. The message names the place, not the secret.
        """
        kind, _, place = self._text.partition(":")
        if kind == "env":
            value = os.environ.get(place, "").strip()
            if not value:
                raise ConfigError(f"{self._field}: the environment variable {place} is not set")
            return value
        if kind == "file":
            return self._read(os.path.join(self._folder, os.path.expanduser(place)))
        return self._text

    def _read(self, path: str) -> str:
        try:
            with open_regular(path) as file:
                value = file.read(_MAX_BYTES + 1).decode().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"{self._field}: cannot read {path}: {reason}") from None
        if not value or len(value) > _MAX_BYTES:
            raise ConfigError(f"{self._field}: expected 1 to {_MAX_BYTES} bytes in {path}")
        return value
