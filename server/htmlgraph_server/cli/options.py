"""What several commands share: options, output and progress bars."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.paths import current_db
from htmlgraph_nb.storage.postgres.location import without_password

if TYPE_CHECKING:
    from htmlgraph_nb.client.rest import Rest

Print = Callable[[str], object]
"""Prints text for the user."""


def add_server_options(parser: argparse.ArgumentParser, json_help: str = "print JSON") -> None:
    """Add the options of a command that queries a server.

    Args:
        json_help: describes ``--json``; "": the command has no such option.
    """
    parser.add_argument("--url", help="address of the server (default: this user's running server)")
    parser.add_argument("--token", help="token of the server; also HTMLGRAPH_TOKEN")
    if json_help:
        parser.add_argument("--json", action="store_true", help=json_help)


def add_db_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of a command that works on a database."""
    parser.add_argument("--db", help="database file (default: that of this user's running server)")


def count_type(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return the ``type`` of an argument that is a whole number.

    Args:
        minimum, maximum: the first and the last number that is valid.
    """

    def parse(text: str) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) < 10
        if not (is_number and minimum <= int(text) <= maximum):
            raise argparse.ArgumentTypeError(
                f"expected {minimum} to {maximum}, got {shorten(text)}"
            )
        return int(text)

    return parse


def db_path(arguments: argparse.Namespace) -> str:
    """Return the database of ``--db``, of the running server, or of this user."""
    return without_password(str(arguments.db or current_db()))


def rest_client(arguments: argparse.Namespace) -> Rest:
    """Return a client of the server that the options name."""
    # Imported here: most commands need no connection.
    from htmlgraph_nb.client.discovery import candidates
    from htmlgraph_nb.client.rest import Rest

    return Rest(lambda: candidates(arguments.url, arguments.token))


def progress_bar(
    unit: str, total: int | None = None, description: str | None = None, *, leave: bool = True
) -> Any:
    """Return a context manager with ``update(n)``: a bar on stderr, if that is a terminal.

    Args:
        unit: what is counted; "B" is scaled.
        total: the expected count; None: unknown.
        description: text before the bar.
        leave: keep the bar after the end.
    """
    from tqdm import tqdm

    return tqdm(
        desc=description,
        total=total,
        unit=unit,
        unit_scale=unit == "B" or total is None,
        file=sys.stderr,
        # tqdm: None disables the bar unless stderr is a terminal.
        disable=None,
        leave=leave,
    )
