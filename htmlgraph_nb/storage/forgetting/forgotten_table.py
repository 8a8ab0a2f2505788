"""The table ``forgotten``: what was deleted on request, so that session files do not bring it back.

It holds keyed hashes, not names, and exists once something was forgotten. Events of a forgotten
agent, session or project up to the time in its row are dropped, whatever source reports them; later
ones are stored, because the agent goes on.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime

from ...core.timestamps import to_micros

FORGET_KEY = "forget_key"
"""Key in ``meta``: the key of the hashes."""
FORGET_COUNT = "forget_count"
"""Key in ``meta``: how often something was deleted; a change makes other processes read again."""
ALL = "all"
"""The kind of what stands for all agents."""
_PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_CREATE = (
    "CREATE TABLE IF NOT EXISTS forgotten (hash BLOB PRIMARY KEY, until BIGINT NOT NULL) "
    "WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO forgotten VALUES (?, ?) "
    "ON CONFLICT (hash) DO UPDATE SET until = excluded.until WHERE forgotten.until < excluded.until"
)


def forget_count(db: sqlite3.Connection) -> int:
    """Return how often something was deleted from a database."""
    with closing(db.execute("SELECT value FROM meta WHERE key = ?", (FORGET_COUNT,))) as rows:
        row = rows.fetchone()
    return 0 if row is None else int(row[0])


def add_forgotten(
    db: sqlite3.Connection, names: Iterable[tuple[str, str]], until: datetime
) -> None:
    """Store that events of these names up to a time are not to be stored again.

    Args:
        names: pairs of "agent", "session" or "project" and its name, or of ALL and "".
    """
    db.execute(_CREATE)
    key = read_key(db)
    if not key:
        key = secrets.token_bytes(16)
        db.execute(_PUT_META, (FORGET_KEY, key.hex()))
    db.executemany(_ADD, [(name_hash(key, *name), to_micros(until)) for name in names])


def count_forget(db: sqlite3.Connection) -> None:
    """Make other processes read the roster, the names and this table again."""
    db.execute(_PUT_META, (FORGET_COUNT, forget_count(db) + 1))


def clear_forgotten(db: sqlite3.Connection) -> None:
    """Let everything be stored again."""
    if forget_count(db):
        db.execute(_CREATE)
        db.execute("DELETE FROM forgotten")
        count_forget(db)


def read_key(db: sqlite3.Connection) -> bytes:
    """Return the key of the hashes; empty: nothing was forgotten."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (FORGET_KEY,)).fetchone()
    return b"" if row is None else bytes.fromhex(row[0])


def name_hash(key: bytes, kind: str, name: str) -> bytes:
    """Return the hash that stands for a name; arguments as for ``add_forgotten``."""
    text = f"{kind}:{name}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, key=key, digest_size=16).digest()
