"""``htmlgraph-nb explain AGENT``: the evidence and the rule behind an agent's status."""

from __future__ import annotations

import argparse
import json

from htmlgraph_nb.core.explanation import format_lines

from .options import Commands, Print, add_server_options, rest_client


def add_explain_parser(commands: Commands, out: Print) -> argparse.ArgumentParser:
    """Add the command to the parser and return its own; ``why`` is a hidden alias."""
    parser = commands.add_parser(
        "explain", help="show the evidence and the rule behind an agent's status"
    )
    # add_parser(aliases=…) would list the alias in the help.
    commands.choices["why"] = parser
    parser.add_argument("agent", metavar="AGENT", help='agent id, such as "claude-1"')
    add_server_options(parser)
    parser.set_defaults(run=lambda arguments: _explain(arguments, out))
    return parser


def _explain(arguments: argparse.Namespace, out: Print) -> int:
    response = rest_client(arguments).explanation(arguments.agent)
    out(json.dumps(response, indent=2) if arguments.json else "\n".join(format_lines(response)))
    return 0
