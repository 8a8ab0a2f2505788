"""``htmlgraph-nb import``: past sessions into the database, those of the older project too."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.ingest.backfill import ImportReport, import_sessions
from htmlgraph_nb.ingest.session_files import find_sessions, total_bytes
from htmlgraph_nb.paths import default_db, running_server
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import price_of

from .import_legacy import AGENT as HTMLGRAPH
from .import_legacy import import_database
from .progress import bar

Say = Callable[[str], None]
_NAMED = 5


def add_parser(commands: argparse._SubParsersAction[Any], say: Say) -> argparse.ArgumentParser:
    """Add the command to a parser and return it.

    Args:
        say: takes each line for the user.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "import",
        help="take in the past sessions of a coding agent",
        description="Reads an agent's own session files into the database, or the database of the "
        "older HtmlGraph project (htmlgraph). What is there already is not counted again, so it "
        "can be run as often as one likes.",
    )
    parser.add_argument("agent", choices=(*AGENTS, HTMLGRAPH), help="whose sessions")
    parser.add_argument(
        "path",
        nargs="?",
        help="folder or file (default: the agent's own folder; .htmlgraph/htmlgraph.db in this "
        "one for htmlgraph)",
    )
    parser.add_argument("--db", help="the database (default: that of the server that runs here)")
    parser.add_argument(
        "--watch", action="store_true", help="follow the database of htmlgraph until Ctrl-C"
    )
    parser.set_defaults(run=lambda arguments: run(arguments, say))
    return parser


def run(arguments: argparse.Namespace, say: Say) -> int:
    """Import the sessions and tell what was done.

    Raises:
        ConfigError: the arguments do not fit together.
    """
    db = arguments.db or running_server().get("db") or default_db()
    if arguments.agent == HTMLGRAPH:
        with PresenceManager(db, price=price_of) as manager:
            import_database(manager, arguments.path, say, arguments.watch)
        return 0
    if arguments.watch:
        raise ConfigError(
            f"--watch is for htmlgraph; a server follows the sessions of {arguments.agent} by "
            "itself: htmlgraph-nb serve"
        )
    path = arguments.path or AGENTS[arguments.agent].sessions_dir()
    files, _ = find_sessions(path, arguments.agent)
    if not files:
        say(f"no sessions of {arguments.agent} in {path}")
        return 0
    with PresenceManager(db, price=price_of) as manager:
        with bar(total_bytes(files), "B") as progress:
            report = import_sessions(manager, files, utc_now(), progress.update)
        for line in _lines(report, manager.db_path):
            say(line)
    return 0


def _lines(report: ImportReport, db: str) -> list[str]:
    lines = [
        f"{report.accepted:,} events of {report.files:,} session files are new in {db}, "
        f"{report.known:,} were there already"
    ]
    if report.covered:
        lines.append(f"{report.covered:,} events are left out: hooks or telemetry told the same")
    for what, places in (
        ("broken lines are left out", report.broken),
        ("unreadable files are left out", report.unreadable),
    ):
        if places:
            more = ", …" if len(places) > _NAMED else ""
            lines.append(f"{len(places):,} {what}: {', '.join(places[:_NAMED])}{more}")
    return lines
