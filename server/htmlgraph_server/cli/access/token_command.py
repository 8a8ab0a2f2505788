"""``htmlgraph-nb token``: create, list and revoke tokens; with or without a running server."""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any, TypeVar

from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.core.timestamps import from_micros, to_micros, to_rfc3339, utc_now
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.storage.database import BUSY_TIMEOUT_S, open_reader, open_writer, sqlite_errors

from ...access.identity import DEFAULT_SPACE, Identity, Right
from ...access.token_table import StoredToken, add_token, new_token, read_tokens, remove_token
from ...setting_parsers import parse_duration
from ..options import Print, add_db_option, db_path
from ..text_table import Column, table_lines, terminal_width

T = TypeVar("T")
_COLUMNS = (
    *(Column("id", right=True), Column("label", shrinks=True), Column("space", shrinks=True)),
    *(Column("may"), Column("agents", shrinks=True), Column("created"), Column("expires")),
    Column("last used"),
)


def configure_token(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the subcommands of ``token``."""
    parser.description = (
        "Creates, lists and revokes tokens of a server. A running server notices within a second."
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="action", required=True)
    add = commands.add_parser("add", help="create a token and print it, once")
    add.add_argument(
        "--space", default=DEFAULT_SPACE, help="the space that it opens (default: default)"
    )
    add.add_argument(
        "--may",
        choices=[right.value for right in Right],
        default=Right.ADMIN.value,
        help="read: for dashboards; write: report events and read nothing, for hosts and hooks; "
        "read,write: both; admin: everything (default)",
    )
    add.add_argument("--agent-prefix", default="", help="report only agents whose id begins so")
    add.add_argument("--label", default="", help="a name for people, and for revoke")
    add.add_argument("--expires", help="when it ends, such as 30d (default: never)")
    add_db_option(add)
    add.set_defaults(run=lambda arguments: _add(arguments, out))
    listed = commands.add_parser("list", help="list the tokens, without their texts")
    listed.add_argument("--json", action="store_true", help="print JSON")
    add_db_option(listed)
    listed.set_defaults(run=lambda arguments: _list(arguments, out))
    revoke = commands.add_parser("revoke", help="end a token, and the connections that use it")
    revoke.add_argument("token", metavar="ID|LABEL", help="its number or label")
    add_db_option(revoke)
    revoke.set_defaults(run=lambda arguments: _revoke(arguments, out))


def _write(path: str, job: Callable[[sqlite3.Connection], T]) -> T:
    """Run ``job`` in a transaction on the database, and return its result."""
    with closing(open_writer(path, "NORMAL", BUSY_TIMEOUT_S)) as db, sqlite_errors(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            result = job(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return result


def stored_tokens(path: str) -> list[StoredToken]:
    """Return the tokens of a database.

    Raises:
        StoreError: it cannot be read.
    """
    with closing(open_reader(path)) as db, sqlite_errors(path):
        return read_tokens(db)


def _add(arguments: argparse.Namespace, out: Print) -> int:
    now = utc_now()
    expires_at = None
    if arguments.expires is not None:
        try:
            seconds = parse_duration(arguments.expires)
        except ValueError as error:
            raise ConfigError(f"--expires: {error}, got {shorten(arguments.expires)}") from None
        if not seconds:
            raise ConfigError("--expires: expected a duration such as 30d, got 0")
        expires_at = to_micros(now + timedelta(seconds=seconds))
    identity = Identity(
        arguments.space, Right(arguments.may), arguments.agent_prefix, arguments.label
    )
    token = new_token()
    number = _write(
        db_path(arguments),
        lambda db: add_token(db, token, identity, to_micros(now), expires_at),
    )
    # Only the token on stdout, for scripts.
    out(token)
    sys.stderr.write(
        f"token {number}: may {identity.right.value} in space {identity.space}; "
        "it is not shown again\n"
    )
    return 0


def _list(arguments: argparse.Namespace, out: Print) -> int:
    tokens = stored_tokens(db_path(arguments))
    if arguments.json:
        out(json.dumps([_record(token) for token in tokens], indent=2))
        return 0
    if not tokens:
        out("no tokens; create one with: htmlgraph-nb token add")
        return 0
    rows = [_row(token) for token in tokens]
    out("\n".join(table_lines(_COLUMNS, rows, terminal_width())))
    return 0


def _record(token: StoredToken) -> dict[str, Any]:
    return {
        "id": token.token_id,
        "label": token.identity.label,
        "space": token.identity.space,
        "may": token.identity.right.value,
        "agent_prefix": token.identity.agent_prefix,
        "created_at": _time(token.created_at),
        "expires_at": _time(token.expires_at),
        "last_used_at": _time(token.last_used_at),
    }


def _time(micros: int | None) -> str | None:
    return None if micros is None else to_rfc3339(from_micros(micros))


def _row(token: StoredToken) -> list[str]:
    identity = token.identity
    ended = token.expires_at is not None and token.expires_at <= to_micros(utc_now())
    expires = _minute(token.expires_at) or "never"
    return [
        str(token.token_id),
        visible_text(identity.label),
        identity.space,
        identity.right.value,
        f"{visible_text(identity.agent_prefix)}…" if identity.agent_prefix else "all",
        _minute(token.created_at),
        f"{expires} (expired)" if ended else expires,
        _minute(token.last_used_at) or "never",
    ]


def _minute(micros: int | None) -> str:
    return "" if micros is None else from_micros(micros).astimezone().strftime("%Y-%m-%d %H:%M")


def _revoke(arguments: argparse.Namespace, out: Print) -> int:
    path = db_path(arguments)
    # Opened for reading first: without a database there is nothing to revoke.
    stored_tokens(path)
    number = _write(path, lambda db: remove_token(db, arguments.token))
    if number is None:
        raise ConfigError(
            f"expected the number or label of a token, got {shorten(arguments.token)}; "
            "see: htmlgraph-nb token list"
        )
    out(f"token {number} is revoked")
    return 0
