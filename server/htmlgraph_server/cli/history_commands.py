"""``htmlgraph-nb seal`` and ``htmlgraph-nb export``."""

from __future__ import annotations

import argparse

from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.storage.query import NAME_FILTERS, HistoryQuery
from htmlgraph_nb.storage.schema import HISTORY_COLUMNS

from .options import Print, add_db_option, db_path, progress_bar
from .text_table import plural


def configure_seal(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``seal``."""
    parser.description = (
        "Writes sealed segments beside the database, from which history loads fast. The server "
        "does this in the background. The segments can be deleted at any time."
    )
    add_db_option(parser)
    parser.add_argument(
        "--verify", action="store_true", help="read every segment and verify its checksum"
    )
    parser.set_defaults(run=lambda arguments: _seal(arguments, out))


def _seal(arguments: argparse.Namespace, out: Print) -> int:
    from htmlgraph_nb.storage.columnar.sealing import seal

    path = db_path(arguments)
    with progress_bar(" rows", description="sealed", leave=False) as bar:
        report = seal(
            path, verify=arguments.verify, on_segment=lambda segment: bar.update(segment.n_rows)
        )
    out(
        f"sealed {report.n_segments:,} segments with {report.n_rows:,} rows beside {path} "
        f"({report.n_bytes / 1e6:,.1f} MB)"
    )
    if report.n_unusable or report.n_removed:
        out(
            f"{report.n_unusable:,} segments were missing or damaged; "
            f"removed {report.n_removed:,} files without rows"
        )
    return 0


def configure_export(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``export``."""
    parser.description = (
        "Writes a file that ends in .parquet, .arrow, .csv or .csv.gz, or a folder of Parquet "
        "files by day (day=2025-01-14/part-….parquet). Run it again to continue a folder after "
        "an interruption, or to add new events."
    )
    parser.add_argument("target", help="file or folder to write")
    parser.add_argument(
        "--db",
        "--from",
        dest="source",
        metavar="SOURCE",
        help="database file or server URL to read (default: this user's server or database)",
    )
    parser.add_argument("--token", help="token of the server; also HTMLGRAPH_TOKEN")
    parser.add_argument(
        "--since", help="first time to include, such as 2025-01-14T14:50, 2h, 3d or yesterday"
    )
    parser.add_argument("--until", help="first time to exclude, in the same form")
    for name in NAME_FILTERS:
        noun = name.replace("_", " ")
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            action="append",
            metavar="NAME",
            help=f"{noun} to include (default: all); can be repeated",
        )
    parser.add_argument("--columns", help="comma-separated columns to write (default: all)")
    parser.add_argument("--limit", type=_row_count, help="maximum number of events")
    parser.set_defaults(run=lambda arguments: _export(arguments, out))


def _row_count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:18]) >= 1):
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {shorten(text)}")
    return int(text[:18])


def _export(arguments: argparse.Namespace, out: Print) -> int:
    from htmlgraph_nb.history.arguments import resolve_time
    from htmlgraph_nb.history.export import export_history
    from htmlgraph_nb.history.sources import resolve_source

    columns = HISTORY_COLUMNS
    if arguments.columns is not None:
        columns = tuple(dict.fromkeys(name.strip() for name in arguments.columns.split(",")))
    query = HistoryQuery(
        since=resolve_time(arguments.since, "--since"),
        until=resolve_time(arguments.until, "--until"),
        columns=columns,
        limit=arguments.limit,
        **{name: getattr(arguments, option) for option, (name, _) in NAME_FILTERS.items()},
    )
    source = resolve_source(arguments.source)
    if not arguments.target.strip():
        raise ConfigError("target: expected the name of a file or folder, got an empty string")
    with progress_bar(" rows", description="exported", leave=False) as bar:
        report = export_history(
            arguments.target, source, query=query, token=arguments.token, on_rows=bar.update
        )
    out(
        f"exported {report.n_rows:,} events of {source} to {arguments.target} "
        f"({plural(report.n_files, 'file')})"
    )
    return 0
