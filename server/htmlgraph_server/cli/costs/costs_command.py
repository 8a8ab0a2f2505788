"""``htmlgraph-nb costs``: tokens and dollars by period and group, as a table or JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.reports.report_arguments import COST_ALIASES, COST_KEYS, MAX_COST_KEYS

from ..options import Print
from ..text_table import terminal_width
from .cost_lines import COST_PERIODS, block_lines, cost_lines, session_lines

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def configure_costs(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``costs``."""
    parser.description = (
        "Shows tokens and dollars of the stored history, by day unless you choose otherwise; "
        "without a database, of the session files of your coding agents. Dollars are computed "
        "from list prices; tokens of models without a known price are named."
    )
    periods = parser.add_mutually_exclusive_group()
    for name in COST_PERIODS:
        periods.add_argument(
            f"--{name}",
            dest="period",
            action="store_const",
            const=name,
            help=f"a row per {COST_PERIODS[name][1].lower().removesuffix(' of')}",
        )
    periods.add_argument(
        "--sessions",
        dest="period",
        action="store_const",
        const="sessions",
        help="a row per session, with those of its subagents, the newest first",
    )
    periods.add_argument(
        "--blocks",
        nargs="?",
        const="5h",
        metavar="LENGTH",
        help="a row per window of a usage limit, of this length (default: 5h) from the first "
        "answer, with a forecast; a window per kind of agent, unless --by names other keys",
    )
    parser.add_argument(
        "--by",
        type=_keys,
        default=(),
        metavar="KEY",
        help="a row per model, project, branch, kind, agent, session, feature, user, host, root, "
        "speed, tier or geo; several with commas. Without a period: the highest cost first",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="first time to include: a date, 2026-01-14T14:50, 2h, 7d, today or yesterday",
    )
    parser.add_argument("--until", metavar="TIME", help="first time to exclude, in the same form")
    parser.add_argument(
        "--tz", metavar="ZONE", help="time zone of the days, such as Europe/Paris (default: local)"
    )
    parser.add_argument(
        "--week-start", choices=_DAYS, default="monday", help="first day of weeks (default: monday)"
    )
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument(
        "--files",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="read session files, not a database: those in FOLDER, or of all agents",
    )
    sources.add_argument(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="database file, server URL, or Parquet or Arrow file to read (default: the database "
        "of this user's server)",
    )
    parser.add_argument("--token", help="token of the server; also HTMLGRAPH_TOKEN")
    parser.add_argument(
        "--json", action="store_true", help="print JSON, as GET /api/costs returns it"
    )
    parser.set_defaults(run=lambda arguments: _costs(arguments, out))


def _keys(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    keys = tuple(dict.fromkeys(COST_ALIASES.get(name, name) for name in names))
    unknown = [name for name in names if COST_ALIASES.get(name, name) not in COST_KEYS]
    if unknown or not 1 <= len(keys) <= MAX_COST_KEYS:
        known = ", ".join(dict.fromkeys([*COST_ALIASES, *COST_KEYS]))
        raise argparse.ArgumentTypeError(
            f"expected 1 to {MAX_COST_KEYS} of {known}, got {(unknown or [text])[0]!r}"
        )
    return keys


def _costs(arguments: argparse.Namespace, out: Print) -> int:
    report, to_lines = _report(arguments)
    if arguments.json:
        out(json.dumps(report, indent=2))
        return 0
    for line in to_lines(report, width=terminal_width()):
        out(line)
    return 0


def _report(arguments: argparse.Namespace) -> tuple[dict[str, Any], Callable[..., list[str]]]:
    """Return the report that the arguments ask for, and the function that makes its lines.

    Raises:
        ConfigError: an option is not for this report.
    """
    # Imported here, with pandas.
    from htmlgraph_nb.reports.command_reports import (
        CostSource,
        command_blocks,
        command_costs,
        command_sessions,
    )

    source = CostSource(
        source=arguments.source,
        folder=arguments.files,
        token=arguments.token,
        since=arguments.since,
        until=arguments.until,
        tz=arguments.tz,
    )
    if arguments.period == "sessions":
        if arguments.by:
            raise ConfigError("--by: not with --sessions; for a row per session use --by session")
        report = command_sessions(source)
        report["sessions"].sort(key=lambda row: str(row["start"]), reverse=True)
        return report, session_lines
    if arguments.blocks is not None:
        keys = arguments.by or ("agent_kind",)
        return command_blocks(source, arguments.blocks, keys), block_lines
    period = arguments.period or (None if arguments.by else "daily")
    freq = None if period is None else _freq(period, arguments.week_start)
    return command_costs(source, arguments.by, freq), partial(cost_lines, period=period)


def _freq(period: str, week_start: str) -> str:
    return f"W-{week_start[:3].upper()}" if period == "weekly" else COST_PERIODS[period][0]
