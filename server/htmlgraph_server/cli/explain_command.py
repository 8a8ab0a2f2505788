"""``htmlgraph-nb explain AGENT``: the evidence and the rule behind an agent's status."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Sequence

from htmlgraph_nb.core.explanation import format_lines
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError, ServerRefused

from .options import Commands, Print, add_server_options, rest_client

_SHOWN_IDS = 5


def add_explain_parser(commands: Commands, out: Print) -> argparse.ArgumentParser:
    """Add the command to the parser and return its own; ``why`` is a hidden alias."""
    parser = commands.add_parser(
        "explain", help="show the evidence and the rule behind an agent's status"
    )
    # add_parser(aliases=…) would list the alias in the help.
    commands.choices["why"] = parser
    parser.add_argument("agent", metavar="AGENT", help="agent id, or a part of one")
    add_server_options(parser)
    parser.set_defaults(run=lambda arguments: _explain(arguments, out))
    return parser


def _explain(arguments: argparse.Namespace, out: Print) -> int:
    rest = rest_client(arguments)
    try:
        response = rest.explanation(arguments.agent)
    except ServerRefused as error:
        if error.code != "unknown_agent":
            raise
        response = rest.explanation(matching_agent(arguments.agent, list(rest.presence())))
    out(json.dumps(response, indent=2) if arguments.json else "\n".join(format_lines(response)))
    return 0


def matching_agent(text: str, agent_ids: Sequence[str]) -> str:
    """Return the only agent id that contains ``text``, in upper or lower case.

    If none does, ``text`` may be a short name as the page shows it: the start and the end of the
    id, as in ``codex-16df6486`` for ``codex-019eec26-793d-7ed6-f1cf-d99216df6486``.

    Raises:
        ConfigError: there is none, or several; the message names similar ids, or some of them.
    """
    part = text.lower()
    start, _, end = part.rpartition("-")
    matches = [agent_id for agent_id in agent_ids if part in agent_id.lower()]
    if not matches and start and end:
        matches = [
            agent_id
            for agent_id in agent_ids
            if agent_id.lower().startswith(f"{start}-") and agent_id.lower().endswith(end)
        ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        more = f" and {len(matches) - _SHOWN_IDS} more" if len(matches) > _SHOWN_IDS else ""
        shown = ", ".join(matches[:_SHOWN_IDS])
        raise ConfigError(
            f"agent: {shorten(text)} is in {len(matches)} ids, type more of one: {shown}{more}"
        )
    near = difflib.get_close_matches(text, agent_ids, _SHOWN_IDS, 0.4)
    hint = f"; similar ids: {', '.join(near)}" if near else ""
    raise ConfigError(f"unknown agent {shorten(text)}{hint}")
