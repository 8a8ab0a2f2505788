"""``htmlgraph-nb top``: the agents live in the terminal."""

from __future__ import annotations

import argparse
import sys

from htmlgraph_nb.client.agent_view import GROUP_KEYS, SORT_KEYS
from htmlgraph_nb.errors import ConfigError

from ..options import Print, add_server_options

_CONNECT_S = 15.0


def configure_top(parser: argparse.ArgumentParser, _out: Print) -> None:
    """Add the arguments of ``top``."""
    parser.description = (
        "Shows the agents live in the terminal: those that wait for you first. Keys: s sorts, r "
        "reverses, g groups, / filters, a shows agents that are offline, w selects the next agent "
        "that waits, q quits. It reconnects if the server is restarted."
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="words that an agent must have")
    parser.add_argument("--sort", choices=SORT_KEYS, default="attention", help="order at the start")
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument("--group", choices=GROUP_KEYS, default="", help="groups at the start")
    parser.add_argument("--all", action="store_true", help="also show agents that are offline")
    add_server_options(parser, "")
    parser.set_defaults(run=_top)


def _top(arguments: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("expected a terminal; for a script use: htmlgraph-nb ls --json")
    # Imported here: no other command needs them.
    try:
        from .top_app import TopApp
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is missing; type: pip install textual"
        ) from None
    from htmlgraph_nb.client.presence_client import PresenceClient

    from .top_rows import TopSettings

    settings = TopSettings(
        sort=arguments.sort,
        descending=arguments.reverse,
        group=arguments.group,
        text=" ".join(arguments.words),
        show_offline=arguments.all,
    )
    with PresenceClient(arguments.url, token=arguments.token) as client:
        client.wait_settled(_CONNECT_S)
        client.wait_connected(0)
        app = TopApp(client, settings)
        app.run()
        return app.return_code or 0
