"""``htmlgraph-nb costs``: tokens and dollars by period and group, as a table or JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from htmlgraph_nb.client.agent_view import compact_count, short_agent_id, visible_text
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.reports.report_arguments import COST_KEYS, MAX_COST_KEYS

from .options import Print
from .text_table import Column, dollar_text, plural, table_lines, terminal_width

if TYPE_CHECKING:
    from htmlgraph_nb.reports.command_reports import CostSource

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PERIODS = {
    "hourly": ("h", "HOUR", 16),
    "daily": ("D", "DAY", 10),
    "weekly": ("", "WEEK OF", 10),
    "monthly": ("MS", "MONTH", 7),
    "yearly": ("YS", "YEAR", 4),
}
"""Option → freq, head of its column, characters of the start of a period to show."""
_ALIASES = {
    "agent": "agent_id",
    "session": "session_id",
    "feature": "feature_id",
    "kind": "agent_kind",
    "tier": "service_tier",
    "geo": "inference_geo",
    "root": "root_agent_id",
}
_TOKENS = ("input", "output", "cache_write", "cache_read", "total")
_TOKEN_COLUMNS = (
    Column("INPUT", right=True),
    Column("OUTPUT", right=True),
    Column("CACHE WRITE", right=True),
    Column("CACHE READ", right=True),
    Column("TOTAL", right=True),
    Column("COST", right=True),
)
_MAX_NAMED = 5


def configure_costs(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``costs``."""
    parser.description = (
        "Shows tokens and dollars of the stored history, by day unless you choose otherwise; "
        "without a database, of the session files of your coding agents. Dollars are computed "
        "from list prices; tokens of models without a known price are named."
    )
    periods = parser.add_mutually_exclusive_group()
    for name in _PERIODS:
        periods.add_argument(
            f"--{name}",
            dest="period",
            action="store_const",
            const=name,
            help=f"a row per {_PERIODS[name][1].lower().removesuffix(' of')}",
        )
    periods.add_argument(
        "--sessions",
        dest="period",
        action="store_const",
        const="sessions",
        help="a row per session, with those of its subagents, the newest first",
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
    keys = tuple(dict.fromkeys(_ALIASES.get(name, name) for name in names))
    unknown = [name for name in names if _ALIASES.get(name, name) not in COST_KEYS]
    if unknown or not 1 <= len(keys) <= MAX_COST_KEYS:
        known = ", ".join(dict.fromkeys([*_ALIASES, *COST_KEYS]))
        raise argparse.ArgumentTypeError(
            f"expected 1 to {MAX_COST_KEYS} of {known}, got {(unknown or [text])[0]!r}"
        )
    return keys


def _costs(arguments: argparse.Namespace, out: Print) -> int:
    # Imported here, with pandas.
    from htmlgraph_nb.reports.command_reports import CostSource

    source = CostSource(
        source=arguments.source,
        folder=arguments.files,
        token=arguments.token,
        since=arguments.since,
        until=arguments.until,
        tz=arguments.tz,
    )
    if arguments.period == "sessions":
        return _sessions(source, arguments, out)
    from htmlgraph_nb.reports.command_reports import command_costs

    period = arguments.period or (None if arguments.by else "daily")
    freq = None if period is None else _freq(period, arguments.week_start)
    report = command_costs(source, arguments.by, freq)
    if arguments.json:
        out(json.dumps(report, indent=2))
        return 0
    for line in cost_lines(report, period, terminal_width()):
        out(line)
    return 0


def _freq(period: str, week_start: str) -> str:
    return f"W-{week_start[:3].upper()}" if period == "weekly" else _PERIODS[period][0]


def cost_lines(
    report: Mapping[str, Any], period: str | None, width: int | None = None
) -> list[str]:
    """Return costs as the lines of a table, and what the numbers leave out.

    Args:
        report: the result of ``command_costs``.
        period: a name of the periods of the command; None: no periods.
        width: most cells of a line; None: nothing is cut.
    """
    if report["total"] is None:
        return [_empty_text(report), *_note_lines(report, period)]
    rows = report["groups"] if period is None else report["rows"]
    columns = [Column(_head(name), shrinks=True) for name in report["by"]]
    texts = [[_key_text(row[name], name) for name in report["by"]] for row in rows]
    total = [""] * len(columns)
    if period is not None:
        _, head, size = _PERIODS[period]
        columns.insert(0, Column(head))
        starts = [str(row["timestamp"])[:size].replace("T", " ") for row in rows]
        # A repeated period is shown once.
        for i, start in enumerate(starts):
            texts[i].insert(0, "" if i and starts[i - 1] == start else start)
        total.insert(0, "")
    total[0] = "all"
    lines = _fitting(columns, texts, rows, [*total], report["total"], width)
    return [*lines, *_note_lines(report, period)]


def _fitting(
    columns: Sequence[Column],
    texts: Sequence[Sequence[str]],
    rows: Sequence[Mapping[str, Any]],
    foot: Sequence[str],
    total: Mapping[str, Any],
    width: int | None,
) -> list[str]:
    """Return the lines with full numbers; with short ones, if they do not fit otherwise."""
    lines: list[str] = []
    for short in (False, True):
        lines = table_lines(
            [*columns, *_TOKEN_COLUMNS],
            [[*text, *_numbers(row, short)] for text, row in zip(texts, rows, strict=True)],
            width,
            foot=[*foot, *_numbers(total, short)],
        )
        if width is None or max(map(len, lines)) <= width:
            break
    return lines


def _numbers(row: Mapping[str, Any], short: bool) -> list[str]:
    counts = {**row, "cache_write": row["cache_write_5m"] + row["cache_write_1h"]}
    texts = [compact_count(counts[n]) if short else f"{counts[n]:,}" for n in _TOKENS]
    return [*texts, dollar_text(row["usd"], row["unpriced_tokens"])]


def _head(name: str) -> str:
    return name.removesuffix("_id").replace("_", " ").upper()


def _key_text(value: Any, name: str) -> str:
    if value is None:
        return "–"
    return short_agent_id(str(value)) if name.endswith("_id") else str(value)


def _empty_text(report: Mapping[str, Any]) -> str:
    bounds = " in this range of time" if report["since"] or report["until"] else ""
    return f"no tokens were reported{bounds}: {report['source']}"


def _note_lines(report: Mapping[str, Any], period: str | None = "daily") -> list[str]:
    """Return the source, the time zone, the prices, and what has no price or no tokens."""
    lines = [""]
    files = report["session_files"]
    read = "" if files is None else f"{plural(files, 'session file')} of "
    lines.append(f"source: {read}{report['source']}")
    if report["broken_lines"]:
        lines.append(f"{plural(report['broken_lines'], 'broken line')} skipped")
    prices = report["prices"] or {}
    named = " ".join(str(prices[key]) for key in ("source", "version") if prices.get(key))
    dated = f" of {prices['date']}" if prices.get("date") else ""
    zone = f"times in {report['tz']}; " if period is not None else ""
    lines.append(f"{zone}list prices: {named or 'your own'}{dated}")
    unpriced = report["unpriced"]
    if unpriced:
        names = [
            f"{row['model'] or 'model not reported'} ({row['unpriced_tokens']:,} tokens)"
            for row in unpriced[:_MAX_NAMED]
        ]
        more = f" and {plural(len(unpriced) - _MAX_NAMED, 'more model')}"
        lines.append(
            "? without a known price, not in COST: "
            + ", ".join(names)
            + (more if len(unpriced) > _MAX_NAMED else "")
        )
    lines += [
        f"no tokens reported by {plural(row['agents'], 'agent')} of kind "
        f"{row['agent_kind'] or 'unknown'} with {plural(row['calls'], 'tool call')}"
        for row in report["uncovered"]
    ]
    return [visible_text(line, 1_000) for line in lines]


_SESSION_COLUMNS = (
    Column("START"),
    Column("SESSION"),
    Column("TITLE", shrinks=True),
    Column("PROJECT", shrinks=True),
    Column("BRANCH", shrinks=True),
    Column("TIME", right=True),
    Column("TOTAL", right=True),
    Column("COST", right=True),
)


def _sessions(source: CostSource, arguments: argparse.Namespace, out: Print) -> int:
    from htmlgraph_nb.reports.command_reports import command_sessions

    if arguments.by:
        raise ConfigError("--by: not with --sessions; for a row per session use --by session")
    report = command_sessions(source)
    report["sessions"].sort(key=lambda row: str(row["start"]), reverse=True)
    if arguments.json:
        out(json.dumps(report, indent=2))
        return 0
    for line in session_lines(report, terminal_width()):
        out(line)
    return 0


def session_lines(report: Mapping[str, Any], width: int | None = None) -> list[str]:
    """Return sessions as the lines of a table; arguments as for ``cost_lines``."""
    rows = report["sessions"]
    if not rows:
        return [_empty_text(report), *_note_lines(report)]
    total = report["total"] or {"total": 0, "usd": None, "unpriced_tokens": 0}
    foot = [
        *("all", plural(len(rows), "session"), "", "", "", "", f"{total['total']:,}"),
        dollar_text(total["usd"], total["unpriced_tokens"]),
    ]
    texts = [
        [
            str(row["start"])[:16].replace("T", " "),
            short_agent_id(str(row["agent_id"])),
            row["title"] or "",
            row["project"] or "",
            row["branch"] or "",
            _span(row["wall_ms"]),
            f"{row['tokens']:,}",
            dollar_text(row["usd"], row["unpriced_tokens"]),
        ]
        for row in rows
    ]
    return [*table_lines(_SESSION_COLUMNS, texts, width, foot=foot), *_note_lines(report)]


def _span(milliseconds: int | None) -> str:
    minutes = 0 if milliseconds is None else milliseconds // 60_000
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
