"""``htmlgraph-nb ls``: the agents of a server, as a table or JSON."""

from __future__ import annotations

import argparse
import json

from htmlgraph_nb.client.agent_view import (
    AGENT_STATES,
    SORT_KEYS,
    STATE_LABELS,
    count_states,
    label_projects,
    matches_text,
    sort_agents,
    state_of,
)
from htmlgraph_nb.core.timestamps import utc_now

from ..agent_table import agent_lines
from ..options import Print, add_server_options, rest_client
from ..text_table import plural, terminal_width


def configure_ls(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``ls``."""
    parser.description = (
        "Lists the agents that a server knows: those that wait for you first, the longest wait at "
        "the top. Agents that are offline are counted below the table, or listed with --all."
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="words that an agent must have")
    parser.add_argument("--all", action="store_true", help="also list agents that are offline")
    parser.add_argument(
        "--state",
        action="append",
        choices=AGENT_STATES,
        help="only agents in this state; can be repeated",
    )
    parser.add_argument("--sort", choices=SORT_KEYS, default="attention", help="order of the rows")
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    add_server_options(parser, "print a JSON array with all fields of each agent")
    parser.set_defaults(run=lambda arguments: _ls(arguments, out))


def _ls(arguments: argparse.Namespace, out: Print) -> int:
    agents = list(rest_client(arguments).presence().values())
    agents = agents if arguments.json else label_projects(agents)
    found = [agent for agent in agents if matches_text(agent, " ".join(arguments.words))]
    states = arguments.state or [s for s in AGENT_STATES if arguments.all or s != "offline"]
    shown = sort_agents(
        [agent for agent in found if state_of(agent) in states], arguments.sort, arguments.reverse
    )
    if arguments.json:
        rows = [{**agent.to_dict(), "state": state_of(agent)} for agent in shown]
        out(json.dumps(rows, indent=2))
        return 0
    for line in agent_lines(shown, utc_now(), terminal_width()):
        out(line)
    hidden = count_states(agent for agent in found if state_of(agent) not in states)
    if hidden:
        counts = ", ".join(f"{n:,} {STATE_LABELS[state]}" for state, n in hidden.items())
        option = "" if arguments.state else "; --all lists them"
        out(f"not listed: {counts}{option}")
    elif not shown:
        out("no agents" if not arguments.words else f"none of {plural(len(agents), 'agent')}")
    return 0
