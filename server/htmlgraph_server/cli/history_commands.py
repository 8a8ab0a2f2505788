"""``htmlgraph-nb seal`` and ``htmlgraph-nb export``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.history.place import place_of
from htmlgraph_nb.paths import default_db, running_server
from htmlgraph_nb.storage.query import HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

Say = Callable[[str], None]
_LISTS = ("agent", "session", "tool", "feature", "event_type")


def add_parsers(
    commands: argparse._SubParsersAction[Any], say: Say
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Add both commands to a parser and return them.

    Args:
        say: takes each line for the user.
    """
    return _add_seal(commands, say), _add_export(commands, say)


def _add_seal(commands: argparse._SubParsersAction[Any], say: Say) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "seal",
        help="bring the columnar copy of history up to date",
        description="Writes sealed segments beside the database, from which history is loaded "
        "fast. The server does so in the background; they can be deleted at any time.",
    )
    parser.add_argument("--db", help="the database (default: that of the server that runs here)")
    parser.add_argument(
        "--verify", action="store_true", help="read every segment and compare its checksum"
    )
    parser.set_defaults(run=lambda arguments: _seal(arguments, say))
    return parser


def _seal(arguments: argparse.Namespace, say: Say) -> int:
    from htmlgraph_nb.storage.columnar.sealing import seal

    path = arguments.db or running_server().get("db") or default_db()
    with _bar("sealed") as bar:
        done = seal(
            path, verify=arguments.verify, on_segment=lambda segment: bar.update(segment.n_rows)
        )
    say(
        f"{done.n_segments:,} segments of {done.n_rows:,} rows are new beside {path} "
        f"({done.n_bytes / 1e6:,.1f} MB)"
    )
    if done.n_unusable or done.n_removed:
        say(
            f"{done.n_unusable:,} were missing or damaged, "
            f"{done.n_removed:,} files belonged to no rows any more"
        )
    return 0


def _add_export(commands: argparse._SubParsersAction[Any], say: Say) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write history to files",
        description="Writes a file that ends in .parquet, .arrow, .csv or .csv.gz, or a folder of "
        "Parquet files by day (day=2025-01-14/part-….parquet). Run it again to go on with a "
        "folder: after an interruption, or with what is new.",
    )
    parser.add_argument("target", help="the file or the folder")
    parser.add_argument(
        "--from", dest="source", help="a database or a server's URL (default: the one of this user)"
    )
    parser.add_argument("--token", help="the server's secret; also HTMLGRAPH_TOKEN")
    parser.add_argument("--since", help="from this time: as 2025-01-14T14:50, 2h, 3d, yesterday")
    parser.add_argument("--until", help="up to and not including this time")
    for name in _LISTS:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            action="append",
            metavar="NAME",
            help=f"only this {name.replace('_', ' ')}; can be given again",
        )
    parser.add_argument("--columns", help="names separated by commas (default: all)")
    parser.add_argument("--limit", type=_rows, help="most rows")
    parser.set_defaults(run=lambda arguments: _export(arguments, say))
    return parser


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:18]) >= 1):
        raise argparse.ArgumentTypeError(f"{shorten(text)}, expected a whole number from 1")
    return int(text[:18])


def _export(arguments: argparse.Namespace, say: Say) -> int:
    from htmlgraph_nb.history.arguments import parse_time
    from htmlgraph_nb.history.export import export_history

    columns = HISTORY_COLUMNS
    if arguments.columns is not None:
        columns = tuple(dict.fromkeys(name.strip() for name in arguments.columns.split(",")))
    query = HistoryQuery(
        since=parse_time(arguments.since, "--since"),
        until=parse_time(arguments.until, "--until"),
        agents=arguments.agent,
        sessions=arguments.session,
        tools=arguments.tool,
        features=arguments.feature,
        event_types=arguments.event_type,
        columns=columns,
        limit=arguments.limit,
    )
    source = place_of(arguments.source)
    if not arguments.target.strip():
        raise ConfigError("the target is empty, expected the name of a file or a folder")
    with _bar("exported") as bar:
        done = export_history(
            arguments.target, source, query=query, token=arguments.token, on_rows=bar.update
        )
    say(
        f"{done.n_rows:,} events of {source} written to {arguments.target} "
        f"({done.n_files:,} file{'' if done.n_files == 1 else 's'})"
    )
    return 0


def _bar(what: str) -> Any:
    from tqdm import tqdm

    # Not where nobody looks: None asks whether it is a terminal.
    return tqdm(
        desc=what, unit=" rows", unit_scale=True, file=sys.stderr, disable=None, leave=False
    )
