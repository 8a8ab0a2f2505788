"""The tokens of the database in memory: one look-up a request, refreshed when the table changes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from htmlgraph_nb.storage.database import open_reader, sqlite_errors

from .token_table import (
    StoredToken,
    cookie_of,
    read_tokens,
    token_hash,
    tokens_revision,
)

USED_EVERY_US = 60_000_000
"""Least time between two notes that a token was used."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens at one revision."""

    revision: int = -1
    by_hash: Mapping[str, StoredToken] = field(default_factory=dict)
    by_cookie: Mapping[str, StoredToken] = field(default_factory=dict)
    by_id: Mapping[int, StoredToken] = field(default_factory=dict)


class TokenCache:
    """Looks up tokens. ``refresh`` may run in any one thread, all else runs on the event loop.

    Args:
        path: the database.
        clock: returns seconds since 1970.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._tokens = _Tokens()
        self._used: dict[int, int] = {}
        self._noted: dict[int, int] = {}

    def refresh(self) -> bool:
        """Read the table if it changed, and return whether it did.

        Raises:
            StoreError: the database cannot be read.
        """
        with closing(open_reader(self._path)) as db, sqlite_errors(self._path):
            return self._read(db)

    def _read(self, db: sqlite3.Connection) -> bool:
        if tokens_revision(db) == self._tokens.revision:
            return False
        db.execute("BEGIN")
        revision, rows = tokens_revision(db), read_tokens(db)
        db.execute("COMMIT")
        self._tokens = _Tokens(
            revision,
            {row.hash: row for row in rows},
            {row.cookie_hash: row for row in rows},
            {row.token_id: row for row in rows},
        )
        return True

    def find(self, token: str) -> StoredToken | None:
        """Return the row of a token, expired or not; None: unknown or revoked."""
        tokens = self._tokens.by_hash
        return tokens.get(token_hash(token)) if tokens else None

    def find_cookie(self, cookie: str) -> StoredToken | None:
        """Return the row of the token whose cookie this is; None: unknown or revoked."""
        tokens = self._tokens.by_cookie
        return tokens.get(token_hash(cookie)) if tokens else None

    def cookie(self, token: str) -> str | None:
        """Return the cookie of a token; None: it is unknown."""
        return None if self.find(token) is None else cookie_of(token)

    def is_valid(self, token_id: int) -> bool:
        """Return whether a token still exists and has not expired."""
        row = self._tokens.by_id.get(token_id)
        return row is not None and not self.is_expired(row)

    def is_expired(self, row: StoredToken) -> bool:
        """Return whether a token has expired."""
        return row.expires_at is not None and row.expires_at <= self._now()

    def note_use(self, row: StoredToken) -> None:
        """Remember that a token was used, if that was not noted within the last minute."""
        now = self._now()
        if now - self._noted.get(row.token_id, -USED_EVERY_US) >= USED_EVERY_US:
            self._noted[row.token_id] = self._used[row.token_id] = now

    def take_used(self) -> dict[int, int]:
        """Return number → time of the tokens used since the last call."""
        used, self._used = self._used, {}
        known = self._tokens.by_id
        self._noted = {number: at for number, at in self._noted.items() if number in known}
        return used

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)
