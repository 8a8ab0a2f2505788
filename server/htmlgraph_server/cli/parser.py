"""``htmlgraph-nb``: the parser of the command line."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from htmlgraph_nb import __version__
from htmlgraph_nb.errors import HtmlgraphError

from .connect_command import add_connect_parser
from .data_commands import add_data_parsers
from .explain_command import add_explain_parser
from .history_commands import add_history_parsers
from .import_command import add_import_parser
from .serve_command import add_serve_parsers
from .status_command import add_status_parser
from .statusline_command import add_statusline_parser
from .uninstall_command import add_uninstall_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        0 for success, 1 for a check that failed, 2 for an error (described in one line on stderr),
        130 for Ctrl-C, 141 if the reader of the output has ended.
    """
    try:
        try:
            return _run(argv)
        finally:
            # A closed pipe shows here at the latest.
            sys.stdout.flush()
    except BrokenPipeError:
        return _on_broken_pipe()


def _on_broken_pipe() -> int:
    """End like other programs whose output goes to ``head``."""
    # Python writes what is left when it ends, and would report the error once more.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13


def _run(argv: Sequence[str] | None) -> int:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        parser.print_help()
        return 0
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        return int(arguments.run(arguments))
    except HtmlgraphError as error:
        print(f"htmlgraph-nb: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, without the usage of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; each command sets ``run`` to its function."""
    parser: argparse.ArgumentParser = _Parser(
        prog="htmlgraph-nb", description="Live monitoring of coding agents."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in (
        *add_serve_parsers(commands, print),
        add_status_parser(commands, print),
        add_connect_parser(commands, print),
        add_statusline_parser(commands),
        add_import_parser(commands, print),
        *add_history_parsers(commands, print),
        add_explain_parser(commands, print),
        *add_data_parsers(commands, print),
        add_uninstall_parser(commands, print),
    ):
        command.add_argument("--verbose", action="store_true", help="log debug messages to stderr")
    return parser
