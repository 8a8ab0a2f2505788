"""TokenTable and TokenCache: rows, hashes, expiry and use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.storage.database import open_writer
from htmlgraph_server.access import token_table
from htmlgraph_server.access.identity import Identity, Right
from htmlgraph_server.access.token_cache import TokenCache
from htmlgraph_server.access.token_table import (
    add_token,
    cookie_of,
    new_token,
    put_last_used,
    read_tokens,
    remove_token,
    tokens_revision,
)

TOKEN = "hgnb_example"
S = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of a database."""
    return str(tmp_path / "t.db")


@pytest.fixture
def db(path: str) -> Iterator[sqlite3.Connection]:
    """A connection to a new database."""
    connection = open_writer(path, "NORMAL", 5.0)
    yield connection
    connection.close()


def test_add_token_stores_no_secret(db: sqlite3.Connection) -> None:
    """Neither the token nor its cookie is in the row."""
    number = add_token(db, TOKEN, Identity("team-a", Right.WRITE, "ci-", "ci"), 5, 9)
    row = db.execute("SELECT * FROM tokens").fetchone()
    assert not {TOKEN, cookie_of(TOKEN)} & set(row)
    (stored,) = read_tokens(db)
    assert stored.identity == Identity("team-a", Right.WRITE, "ci-", "ci", number)
    assert (stored.created_at, stored.expires_at, stored.last_used_at) == (5, 9, None)


def test_token_numbers_are_not_used_again(db: sqlite3.Connection) -> None:
    """So that a connection of a revoked token never counts as that of a new one."""
    first = add_token(db, new_token(), Identity(label="a"), 0, None)
    assert remove_token(db, "a") == first
    assert add_token(db, new_token(), Identity(label="a"), 0, None) > first
    assert remove_token(db, str(first)) is None
    assert remove_token(db, "") is None
    assert tokens_revision(db) == 3


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (Identity(space="../x"), "space"),
        (Identity(space=""), "space"),
        (Identity(space="Team"), "space"),
        (Identity(space="a" * 65), "space"),
        (Identity(space="a..b"), "space"),
        (Identity(space="a."), "space"),
        (Identity(label="7"), "--label"),
        (Identity(label="x" * 101), "--label"),
        (Identity(label="used"), "token 1 has the label"),
        (Identity(right=Right.READ, agent_prefix="x"), "--agent-prefix"),
    ],
)
def test_add_token_refuses(db: sqlite3.Connection, identity: Identity, message: str) -> None:
    """Names that are no safe file names, numbers as labels, labels twice, prefixes for readers."""
    add_token(db, new_token(), Identity(label="used"), 0, None)
    with pytest.raises(ConfigError, match=message):
        add_token(db, new_token(), identity, 0, None)


def test_add_token_is_bounded(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server keeps all of them in memory."""
    monkeypatch.setattr(token_table, "MAX_TOKENS", 1)
    add_token(db, new_token(), Identity(), 0, None)
    with pytest.raises(ConfigError, match="revoke some"):
        add_token(db, new_token(), Identity(), 0, None)


def test_token_cache_follows_the_table(path: str, db: sqlite3.Connection) -> None:
    """It reads it again only after a change of tokens."""
    now = [10.0]
    cache = TokenCache(path, lambda: now[0])
    assert cache.find(TOKEN) is None
    number = add_token(db, TOKEN, Identity(), 0, 20 * S)
    assert cache.refresh()
    assert not cache.refresh()
    row = cache.find(TOKEN)
    assert row is not None
    assert cache.find_cookie(cache.cookie(TOKEN) or "") is row
    assert cache.cookie("hgnb_other") is None
    assert cache.is_valid(number)
    now[0] = 20.0
    assert cache.is_expired(row)
    assert not cache.is_valid(number)
    remove_token(db, str(number))
    assert cache.refresh()
    assert cache.find(TOKEN) is None
    assert not cache.is_valid(number)


def test_token_cache_notes_use_once_a_minute(path: str, db: sqlite3.Connection) -> None:
    """However many requests there are."""
    now = [100.0]
    cache = TokenCache(path, lambda: now[0])
    number = add_token(db, TOKEN, Identity(), 0, None)
    cache.refresh()
    row = cache.find(TOKEN)
    assert row is not None
    cache.note_use(row)
    now[0] = 159.0
    cache.note_use(row)
    assert cache.take_used() == {number: 100 * S}
    assert cache.take_used() == {}
    now[0] = 160.0
    cache.note_use(row)
    used = cache.take_used()
    put_last_used(db, used)
    assert read_tokens(db)[0].last_used_at == 160 * S
    assert not cache.refresh()
