"""``htmlgraph-nb open``: the page of the running server in a browser."""

from __future__ import annotations

import argparse
from urllib.parse import urlencode

from htmlgraph_nb.errors import ConfigError

from ..agent_match import matching_agent
from ..browser import has_display, open_page, page_address
from ..options import Print, add_server_options, rest_client


def configure_open(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``open``."""
    parser.description = (
        "Opens the page of the running server in a browser, signed in if the server has a token."
    )
    parser.add_argument("agent", nargs="?", metavar="AGENT", help="show the details of this agent")
    parser.add_argument(
        "--print",
        dest="print_only",
        action="store_true",
        help="only print the address, with the token that signs in; keep it secret",
    )
    add_server_options(parser, "")
    parser.set_defaults(run=lambda arguments: _open(arguments, out))


def _open(arguments: argparse.Namespace, out: Print) -> int:
    rest = rest_client(arguments)
    agents = rest.presence()
    agent_id = matching_agent(arguments.agent, agents.values()) if arguments.agent else ""
    url, token = rest.server.address.url, rest.server.token or ""
    fragment = urlencode({"selected": agent_id}) if agent_id else ""
    if arguments.print_only:
        out(page_address(url, token, fragment))
        return 0
    shown = page_address(url, "", fragment)
    if not has_display():
        raise ConfigError(
            f"there is no display to open a browser on; open {shown} in yours, or print the "
            "address that signs in: htmlgraph-nb open --print"
        )
    try:
        is_open = open_page(url, token, fragment)
    except OSError as error:
        raise ConfigError(f"cannot write the page that signs in: {error.strerror}") from error
    if not is_open:
        raise ConfigError(f"no browser could be started; open {shown} in yours")
    out(f"opened {shown}")
    return 0
