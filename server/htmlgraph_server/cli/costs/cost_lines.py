"""Tables of costs for a terminal, from the plain values of ``htmlgraph_nb.reports``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from htmlgraph_nb.client.agent_view import (
    compact_count,
    dollar_text,
    short_agent_id,
    visible_text,
)

from ..text_table import Column, cell_width, plural, table_lines

COST_PERIODS = {
    "hourly": ("h", "HOUR", 16),
    "daily": ("D", "DAY", 10),
    "weekly": ("", "WEEK OF", 10),
    "monthly": ("MS", "MONTH", 7),
    "yearly": ("YS", "YEAR", 4),
}
"""Option → freq, head of its column, characters of the start of a period to show."""
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
        _, head, size = COST_PERIODS[period]
        columns.insert(0, Column(head))
        starts = [_time_text(row["timestamp"], size) for row in rows]
        # A repeated period is shown once.
        for i, start in enumerate(starts):
            texts[i].insert(0, "" if i and starts[i - 1] == start else start)
        total.insert(0, "")
    total[0] = "all"
    lines = _fitting(columns, texts, rows, total, report["total"], width)
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
        if width is None or max(map(cell_width, lines)) <= width:
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


def _time_text(value: Any, size: int = 16) -> str:
    """Return the start of an ISO time: 16 characters end with the minutes."""
    return str(value)[:size].replace("T", " ")


def _empty_text(report: Mapping[str, Any]) -> str:
    bounds = " in this range of time" if report["since"] or report["until"] else ""
    return f"no tokens were reported{bounds}: {report['source']}"


def _note_lines(report: Mapping[str, Any], period: str | None = "daily") -> list[str]:
    """Return the source, the time zone, the prices, and what has no price or no tokens.

    Args:
        report: a result of the functions of command_reports.
        period: None: the table has no times.
    """
    lines = [""]
    files = report["session_files"]
    read = "" if files is None else f"{plural(files, 'session file')} of "
    lines.append(f"source: {read}{report['source']}")
    if report["broken_lines"]:
        lines.append(f"{plural(report['broken_lines'], 'broken line')} skipped")
    if report["skipped_files"]:
        files = plural(report["skipped_files"], "file")
        lines.append(f"{files} not read; htmlgraph-nb doctor says which, and why")
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
            _time_text(row["start"]),
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


_BLOCK_COLUMNS = (
    Column("START"),
    Column("END"),
    Column("LEFT", right=True),
    Column("TOTAL", right=True),
    Column("COST", right=True),
    Column("COST/H", right=True),
    Column("FORECAST", right=True),
)


def block_lines(report: Mapping[str, Any], width: int | None = None) -> list[str]:
    """Return windows of usage limits as the lines of a table; arguments as for ``cost_lines``."""
    rows = report["blocks"]
    if not rows:
        return [_empty_text(report), *_note_lines(report)]
    keys = [Column(_head(name), shrinks=True) for name in report["by"]]
    texts = [
        [
            *(_key_text(row[name], name) for name in report["by"]),
            *(_time_text(row[name]) for name in ("start", "end")),
            _span(row["remaining_ms"]) if row["open"] else "",
            f"{row['tokens']:,}",
            dollar_text(row["usd"], row["unpriced_tokens"]),
            dollar_text(row["usd_per_hour"]),
            dollar_text(row["forecast_usd"]) if row["open"] else "",
        ]
        for row in rows
    ]
    colours = ["active" if row["open"] else "" for row in rows]
    return [*table_lines([*keys, *_BLOCK_COLUMNS], texts, width, colours), *_note_lines(report)]
