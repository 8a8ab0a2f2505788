"""Hosts and offsets of forwarding among the rows of the table ``meta``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing

from htmlgraph_nb.forwarding.forward_plan import ForwardOffsets, stored_offsets
from htmlgraph_nb.forwarding.host_board import MAX_HOSTS_KNOWN, KnownHost, stored_host
from htmlgraph_nb.storage.schema import PUT_META

_HOST, _OFFSETS = "host:", "forwarded:"
_DELETE = "DELETE FROM meta WHERE key = ?"
_GET = "SELECT value FROM meta WHERE key = ?"
_ALL = "SELECT key, value FROM meta WHERE key > ? AND key < ?"


def read_hosts(db: sqlite3.Connection) -> list[KnownHost]:
    """Return the stored hosts."""
    with closing(db.execute(_ALL, (_HOST, "host;"))) as rows:
        return [host for _, value in rows if (host := stored_host(value)) is not None]


def put_hosts(db: sqlite3.Connection, hosts: Iterable[KnownHost]) -> None:
    """Store hosts."""
    db.executemany(PUT_META, [(f"{_HOST}{host.report.id}", host.to_json()) for host in hosts])


def drop_hosts(db: sqlite3.Connection, unknown: Sequence[KnownHost]) -> None:
    """Delete the stored hosts of which a server with too many knows nothing, beyond a number.

    Args:
        unknown: the stored hosts that it does not know.
    """
    oldest = sorted(unknown, key=lambda host: host.seen_at, reverse=True)[MAX_HOSTS_KNOWN:]
    db.executemany(_DELETE, [(f"{_HOST}{host.report.id}",) for host in oldest])


def read_offsets(db: sqlite3.Connection, url: str) -> ForwardOffsets:
    """Return how far the database was forwarded to a server.

    Args:
        url: address of that server.
    """
    with closing(db.execute(_GET, (f"{_OFFSETS}{url}",))) as rows:
        row = rows.fetchone()
    return stored_offsets(None if row is None else row[0])


def put_offsets(db: sqlite3.Connection, url: str, offsets: ForwardOffsets) -> None:
    """Store how far the database was forwarded to a server."""
    db.execute(PUT_META, (f"{_OFFSETS}{url}", offsets.to_json()))
