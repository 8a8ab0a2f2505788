"""``htmlgraph-nb statusline``: what ``htmlgraph-statusline`` does, which starts faster."""

from __future__ import annotations

import argparse

from htmlgraph_nb.hook.statusline import RUN, run_statusline

from .options import Print


def configure_statusline(parser: argparse.ArgumentParser, _out: Print) -> None:
    """Add the arguments of ``statusline``."""
    parser.description = (
        "Reports what Claude Code passes to status lines to the server of this machine, and "
        "prints a status line. Claude Code runs htmlgraph-statusline instead, which starts "
        "faster; htmlgraph-nb connect with --statusline adds it to its settings."
    )
    parser.add_argument(
        RUN,
        dest="run_command",
        metavar="COMMAND",
        default="",
        help="print the output of this shell command instead",
    )
    parser.set_defaults(run=_statusline)


def _statusline(arguments: argparse.Namespace) -> int:
    run_statusline([RUN, arguments.run_command] if arguments.run_command else [])
    return 0
