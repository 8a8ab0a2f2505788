"""``htmlgraph-nb why AGENT``: the evidence and the rule behind an agent's status."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from htmlgraph_nb.client.discovery import candidates
from htmlgraph_nb.client.rest import Rest
from htmlgraph_nb.core.explanation import format_lines


def add_parser(commands: Any, say: Callable[[str], object]) -> argparse.ArgumentParser:
    """Add ``why`` to the commands and return its parser.

    Args:
        say: prints text to the user.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "why", help="why an agent has its status: the evidence, and the rule that decided"
    )
    parser.add_argument("agent", metavar="AGENT", help='id of the agent, as "claude-1"')
    parser.add_argument("--url", help="of the server (default: the one that runs here)")
    parser.add_argument("--token", help="its secret; also HTMLGRAPH_TOKEN")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=lambda arguments: _why(arguments, say))
    return parser


def _why(arguments: argparse.Namespace, say: Callable[[str], object]) -> int:
    answer = Rest(lambda: candidates(arguments.url, arguments.token)).explanation(arguments.agent)
    say(json.dumps(answer, indent=2) if arguments.json else "\n".join(format_lines(answer)))
    return 0
