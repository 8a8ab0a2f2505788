"""``htmlgraph-nb space``: the spaces of a database, with or without a running server."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from ...access.identity import DEFAULT_SPACE
from ...access.space_files import space_db, spaces_folder
from ...access.token_table import spaces_of
from ..options import Print, add_db_option, db_path
from ..text_table import Column, table_lines, terminal_width
from .token_command import stored_tokens

_COLUMNS = (
    *(Column("space", shrinks=True), Column("tokens", right=True)),
    *(Column("bytes", right=True), Column("database", shrinks=True)),
)


def configure_space(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the subcommands of ``space``."""
    parser.description = (
        "Lists the spaces of a server. htmlgraph-nb token add --space NAME creates one."
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="action", required=True)
    listed = commands.add_parser("list", help="list the spaces")
    listed.add_argument("--json", action="store_true", help="print JSON")
    add_db_option(listed)
    listed.set_defaults(run=lambda arguments: _list(arguments, out))


def _list(arguments: argparse.Namespace, out: Print) -> int:
    rows = _spaces(db_path(arguments))
    if arguments.json:
        out(json.dumps(rows, indent=2))
        return 0
    cells = [
        [row["space"], str(row["tokens"]), f"{row['bytes']:,}", row["database"]] for row in rows
    ]
    out("\n".join(table_lines(_COLUMNS, cells, terminal_width())))
    return 0


def _spaces(db: str) -> list[dict[str, Any]]:
    """Return the default space, and those with tokens or a database."""
    counts = spaces_of(stored_tokens(db))
    for name in _database_names(spaces_folder(db)):
        counts.setdefault(name, 0)
    names = sorted(counts, key=lambda name: (name != DEFAULT_SPACE, name))
    return [
        {"space": name, "tokens": counts[name], "bytes": _size(path), "database": path}
        for name in names
        for path in [space_db(db, name)]
    ]


def _database_names(folder: str) -> list[str]:
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [name.removesuffix(".db") for name in files if name.endswith(".db")]


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        # Nothing was reported to it yet.
        return 0
