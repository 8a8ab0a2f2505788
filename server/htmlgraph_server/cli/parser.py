"""``htmlgraph-nb``: the parser of the command line, and how commands end."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import logging
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import NoReturn

from htmlgraph_nb import __version__
from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import HtmlgraphError

from .command_list import COMMANDS, Command

_PIPE_STATUS = 128 + 13
"""The status with which shells report a program that SIGPIPE ended."""
_EXIT_STATUSES = """\
Exit status:
  0    success
  1    a check failed (connect --check, doctor), or a question was answered with no
  2    an error; stderr has one line that says what to do
  130  Ctrl-C
  141  the reader of the output has ended, as with | head
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        0 for success, 1 for a check that failed, 2 for an error (described in one line on stderr),
        130 for Ctrl-C, 141 if the reader of the output has ended.
    """
    _prepare_streams()
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            # A closed pipe shows here at the latest.
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:
        return _on_broken_pipe()


def _prepare_streams() -> None:
    """Let no command fail because of its streams: closed ones, or those with a small encoding."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The process was started with it closed, as by >&-.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _on_broken_pipe() -> int:
    """End like other programs whose output goes to ``head``."""
    # Python writes what is left when it ends, and would report the error once more.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except ValueError:
            # The stream is closed.
            continue
    return _PIPE_STATUS


def _run(argv: Sequence[str]) -> int:
    name = next((argument for argument in argv if not argument.startswith("-")), "")
    parser = make_parser([name])
    names = [command.name for command in COMMANDS]
    if name and name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f", did you mean {near[0]}?" if near else ""
        parser.error(f"unknown command {shorten(name)}{hint}")
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        return _overview(parser)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    return _guarded(lambda: int(arguments.run(arguments)))


def _overview(parser: argparse.ArgumentParser) -> int:
    """Print what runs here; the help, if nothing does."""
    from .status_command import overview_lines

    def print_lines() -> int:
        print("\n".join(overview_lines()) or parser.format_help().rstrip("\n"))
        return 0

    return _guarded(print_lines)


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except HtmlgraphError as error:
        lines = [visible_text(line, 1_000) for line in str(error).split("\n")]
        print("htmlgraph-nb: " + "\n".join(lines), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, without the usage of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _RootParser(_Parser):
    """Lists the commands by purpose."""

    def format_help(self) -> str:
        """Return the help of the command without arguments."""
        width = max(len(command.name) for command in COMMANDS)
        parts = [f"{self.format_usage()}\n{self.description}\n"]
        for group in dict.fromkeys(command.group for command in COMMANDS if command.group):
            lines = [
                f"  {command.name:<{width}}  {command.help}"
                for command in COMMANDS
                if command.group == group
            ]
            parts.append("\n".join([f"{group}:", *lines, ""]))
        parts.append(
            "Options:\n"
            f"  {'--help':<{width}}  show this help; after a command, its options\n"
            f"  {'--version':<{width}}  print the version\n"
        )
        parts.append(_EXIT_STATUSES)
        return "\n".join(parts)


def make_parser(names: Collection[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line; each command sets ``run`` to its function.

    Args:
        names: the commands that get their arguments, which loads their modules; None: all.
    """
    parser: argparse.ArgumentParser = _RootParser(
        prog="htmlgraph-nb",
        usage="htmlgraph-nb COMMAND …",
        description="Live monitoring of coding agents. Without a command it shows what runs here.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser, prog="htmlgraph-nb")
    for command in COMMANDS:
        own = commands.add_parser(command.name)
        if names is None or command.name in names:
            _configure(own, command)
    return parser


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of the arguments of one command.

    Args:
        name: the name of a command.
    """
    command = next(command for command in COMMANDS if command.name == name)
    parser: argparse.ArgumentParser = _Parser(prog=f"htmlgraph-nb {name}")
    _configure(parser, command)
    return parser


def _configure(parser: argparse.ArgumentParser, command: Command) -> None:
    """Load the module of a command and let it add its arguments."""
    if command.help:
        parser.description = f"{command.help[0].upper()}{command.help[1:]}."
    module = import_module(f".{command.module}", __package__)
    getattr(module, command.function)(parser, print)
    parser.add_argument("--verbose", action="store_true", help="log debug messages to stderr")
