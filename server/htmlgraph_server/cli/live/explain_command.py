"""``htmlgraph-nb explain AGENT``: the evidence and the rule behind an agent's status."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.core.explanation import format_lines
from htmlgraph_nb.errors import ServerRefused
from htmlgraph_nb.local_zone import local_zone_name

from ..agent_match import add_agent_argument, matching_agent
from ..options import Print, add_server_options, rest_client


def configure_explain(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``explain``, and of ``why``, its former name."""
    add_agent_argument(parser)
    add_server_options(parser)
    parser.set_defaults(run=lambda arguments: _explain(arguments, out))


def _explain(arguments: argparse.Namespace, out: Print) -> int:
    rest = rest_client(arguments)
    try:
        response = rest.explanation(arguments.agent)
    except ServerRefused as error:
        if error.code != "unknown_agent":
            raise
        response = rest.explanation(matching_agent(arguments.agent, rest.presence().values()))
    if arguments.json:
        out(json.dumps(response, indent=2))
    else:
        for line in format_lines(response, _local_text, local_zone_name()):
            out(visible_text(line))
    return 0


def _local_text(timestamp: str) -> str:
    return f"{datetime.fromisoformat(timestamp).astimezone():%Y-%m-%d %H:%M:%S}"
