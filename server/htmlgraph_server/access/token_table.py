"""The table ``tokens``: who may do what in which space.

A token is a random text of 256 bits. The table has only its SHA-256, which suffices for a text that
cannot be guessed, and that of the cookie that a browser gets in exchange for it. Each change
advances TOKENS_REVISION in ``meta``, by which servers notice it. Times are microseconds since 1970.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from htmlgraph_nb.core.validation import MAX_ID_CHARS, shorten, validate_string
from htmlgraph_nb.errors import ConfigError, InvalidEvent
from htmlgraph_nb.storage.schema import PUT_META

from .identity import DEFAULT_SPACE, Identity, Right

TOKEN_PREFIX = "hgnb_"
"""Start of every token, by which people and secret scanners recognize it."""
TOKENS_REVISION = "tokens_revision"
"""Key in ``meta``: number of the last change of the table."""
MAX_TOKENS = 10_000
_MAX_LABEL_CHARS = 100
_SPACE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_COLUMNS = (
    "token_id, hash, cookie_hash, space, may, agent_prefix, label, created_at, expires_at, "
    "last_used_at"
)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One row.

    Attributes:
        token_id: its number, which no other token ever gets.
        hash, cookie_hash: see ``token_hash``.
        identity: what it permits.
        created_at: when it was created.
        expires_at: when it ends; None: never.
        last_used_at: when it was used last, to the minute; None: never.
    """

    token_id: int
    hash: str
    cookie_hash: str
    identity: Identity
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None


def new_token() -> str:
    """Return a new random token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_hash(secret: str) -> str:
    """Return the hash of a token or of a cookie as it is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def cookie_of(token: str) -> str:
    """Return the value of the cookie of a token, which does not reveal the token."""
    return hashlib.sha256(b"cookie:" + token.encode()).hexdigest()


def check_space(name: str) -> str:
    """Return the name of a space.

    Raises:
        ConfigError: it is not safe as the name of a file.
    """
    # ".." could leave the folder, and Windows has no files that end with a period.
    if not _SPACE.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"space: expected 1 to 64 of a-z, 0-9 and . _ - inside, got {shorten(name)}"
        )
    return name


def add_token(
    db: sqlite3.Connection,
    token: str,
    identity: Identity,
    created_at: int,
    expires_at: int | None,
) -> int:
    """Store a token and return its number.

    Raises:
        ConfigError: its label or prefix is invalid, another token has the label, or there are
            MAX_TOKENS.
    """
    check_space(identity.space)
    _check_text("--label", identity.label, _MAX_LABEL_CHARS)
    _check_text("--agent-prefix", identity.agent_prefix, MAX_ID_CHARS)
    if identity.label.isdecimal():
        raise ConfigError(f"--label: expected a name, got the number {shorten(identity.label)}")
    if identity.agent_prefix and identity.right is Right.READ:
        raise ConfigError("--agent-prefix: a token that may only read reports no agents")
    (n_tokens,) = db.execute("SELECT count(*) FROM tokens").fetchone()
    if n_tokens >= MAX_TOKENS:
        raise ConfigError(f"there are {n_tokens} tokens; revoke some: htmlgraph-nb token list")
    same = db.execute(
        "SELECT token_id FROM tokens WHERE label = ? AND label <> ''", (identity.label,)
    ).fetchone()
    if same is not None:
        raise ConfigError(f"--label: token {same[0]} has the label {shorten(identity.label)}")
    token_id = _advance(db)
    db.execute(
        f"INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        (
            token_id,
            token_hash(token),
            token_hash(cookie_of(token)),
            identity.space,
            identity.right.value,
            identity.agent_prefix,
            identity.label,
            created_at,
            expires_at,
        ),
    )
    return token_id


def _check_text(flag: str, text: str, max_chars: int) -> None:
    try:
        if text:
            validate_string(text, flag, max_chars)
    except InvalidEvent as error:
        raise ConfigError(str(error)) from None


def _advance(db: sqlite3.Connection) -> int:
    revision = tokens_revision(db) + 1
    db.execute(PUT_META, (TOKENS_REVISION, revision))
    return revision


def tokens_revision(db: sqlite3.Connection) -> int:
    """Return the number of the last change; 0: there was none."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (TOKENS_REVISION,)).fetchone()
    return 0 if row is None else int(row[0])


def read_tokens(db: sqlite3.Connection) -> list[StoredToken]:
    """Return all tokens, the oldest first."""
    return [
        StoredToken(
            token_id,
            hash_,
            cookie_hash,
            Identity(space, Right(may), prefix, label, token_id),
            created_at,
            expires_at,
            last_used_at,
        )
        for (
            token_id,
            hash_,
            cookie_hash,
            space,
            may,
            prefix,
            label,
            created_at,
            expires_at,
            last_used_at,
        ) in db.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY token_id")
    ]


def remove_token(db: sqlite3.Connection, name: str) -> int | None:
    """Delete the token with this number or label and return its number; None: there is none."""
    number = int(name) if name.isascii() and name.isdecimal() and len(name) < 16 else -1
    row = db.execute(
        "SELECT token_id FROM tokens WHERE token_id = ? OR label = ?", (number, name)
    ).fetchone()
    if row is None or not name:
        return None
    db.execute("DELETE FROM tokens WHERE token_id = ?", row)
    _advance(db)
    return int(row[0])


def put_last_used(db: sqlite3.Connection, used: Mapping[int, int]) -> None:
    """Store when tokens were used last.

    Args:
        used: number of a token → time.
    """
    db.executemany(
        "UPDATE tokens SET last_used_at = ? WHERE token_id = ?",
        [(at, token_id) for token_id, at in used.items()],
    )


def spaces_of(tokens: list[StoredToken]) -> dict[str, int]:
    """Return the number of tokens of each space, the default space always included."""
    counts = {DEFAULT_SPACE: 0}
    for token in tokens:
        counts[token.identity.space] = counts.get(token.identity.space, 0) + 1
    return counts
