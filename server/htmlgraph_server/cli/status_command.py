"""``htmlgraph-nb status``: the state of the running server, and the short form of it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from htmlgraph_nb.client.agent_view import (
    STATE_LABELS,
    compact_count,
    count_states,
    dollar_text,
    label_projects,
    sort_agents,
    state_of,
    visible_text,
)
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import HtmlgraphError, ServerNotFound, ServerRefused
from htmlgraph_nb.paths import default_db

from ..forwarding.forwarding_text import forwarding_lines, host_lines
from .agent_table import agent_lines
from .options import Print, add_server_options, rest_client
from .text_table import pair_lines, plural, terminal_width

_MAX_LISTED = 10


def configure_status(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``status``."""
    add_server_options(parser, "print the whole report as JSON")
    parser.set_defaults(run=lambda arguments: _status(arguments, out))


def _status(arguments: argparse.Namespace, out: Print) -> int:
    rest = rest_client(arguments)
    try:
        report = rest.status_report()
    except ServerNotFound as error:
        raise ServerNotFound(f"{error}\nStored data: {default_db()}") from error
    try:
        hosts = rest.call("GET", "/api/hosts")["hosts"]
    except ServerRefused:
        # An older server does not know hosts.
        hosts = []
    if arguments.json:
        out(json.dumps({**report, "hosts": hosts}, indent=2))
    else:
        out("\n".join(status_lines(report, hosts)))
    return 0


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1_000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1_000
    return f"{n:.1f} TB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{n} {unit}" for n, unit in parts if n][:2]
    return " ".join(shown) or "0 s"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


def _watching(watching: Mapping[str, Any]) -> str:
    """Return how many session files are read; all are, though few change at a time."""
    if not watching["folders"]:
        return "no session files"
    folders = ", ".join(map(visible_text, watching["folders"]))
    # An older server does not report the last two.
    waiting = f", {watching['waiting']:,} wait to be read" if watching.get("waiting") else ""
    n_skipped = watching.get("skipped", {}).get("count", 0)
    skipped = f"; {n_skipped:,} not read, see htmlgraph-nb doctor" if n_skipped else ""
    return (
        f"{plural(watching['files'], 'session file')} for changes, "
        f"{watching['followed']:,} changed recently{waiting} ({folders}){skipped}"
    )


def _prices(prices: Mapping[str, Any] | None) -> list[str]:
    """Return the version of the price table, and why costs may be wrong."""
    if prices is None:
        return ["not loaded yet"]
    notes = [visible_text(note) for note in prices["notes"]]
    return [f"genai-prices {prices['version']}, last changed {prices['date']}", *notes]


def status_lines(report: Mapping[str, Any], hosts: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return a status report as the lines of a two-column table.

    Args:
        hosts: the hosts that forward to the server.
    """
    agents, clients = report["agents"], report["clients"]
    latency, frames = report["latency_ms"], report["frames"]
    slow = f", {clients['lagging']} slow" if clients["lagging"] else ""
    return pair_lines(
        [
            ("version", report["version"]),
            ("uptime", _duration(report["uptime_s"])),
            ("agents", ", ".join(f"{n} {status}" for status, n in agents.items())),
            ("clients", f"{clients['total']}{slow}"),
            (
                "updates",
                f"{report['updates']['per_second']:.1f}/s, {report['updates']['total']} in total",
            ),
            ("frames", f"{frames['per_second']:.1f}/s, {frames['total']} in total"),
            ("latency", f"p50 {_ms(latency['p50'])}, p99 {_ms(latency['p99'])}"),
            ("queue", f"{_size(report['queue']['bytes'])}, {report['queue']['writes']} writes"),
            ("watching", _watching(report["watching"])),
            *(("forwarding", line) for line in forwarding_lines(report.get("forwarding"))),
            *(("" if n else "hosts", line) for n, line in enumerate(host_lines(hosts))),
            *(("prices", line) for line in _prices(report.get("prices"))),
            ("database", f"{report['database']['path']} ({_size(report['database']['bytes'])})"),
            *(("", visible_text(error)) for error in [report["database"].get("error")] if error),
        ]
    )


def overview_lines() -> Sequence[str]:
    """Return what runs here: server, agents, those that need a person, and the cost of today.

    Returns:
        No lines if no server runs.

    Raises:
        ConnectError: the server refuses the request, or the connection was lost.
    """
    rest = rest_client(argparse.Namespace(url=None, token=None))
    try:
        report = rest.status_report()
    except ServerNotFound:
        return []
    agents = list(rest.presence().values())
    counts = [f"{n:,} {STATE_LABELS[state]}" for state, n in count_states(agents).items()]
    rows = [
        ("server", f"htmlgraph-nb {report['version']} at {rest.server.address.url}"),
        ("agents", ", ".join(counts) or "none yet; htmlgraph-nb doctor says what is read"),
        ("today", _cost_today(report["database"]["path"])),
        ("more", "htmlgraph-nb top, ls, costs, open; all commands: htmlgraph-nb --help"),
    ]
    lines = pair_lines([(name, value) for name, value in rows if value])
    urgent = [agent for agent in agents if state_of(agent) in ("waiting", "cannot_work")]
    urgent = label_projects(urgent)
    table = agent_lines(sort_agents(urgent)[:_MAX_LISTED], utc_now(), terminal_width())
    hidden = len(urgent) - _MAX_LISTED
    more = [f"and {hidden:,} more; htmlgraph-nb ls lists them"] if hidden > 0 else []
    return [*lines, *(["", *table, *more] if table else [])]


def _cost_today(path: str) -> str:
    """Return the dollars since midnight; "" if the database is on another machine."""
    if not os.path.exists(path):
        return ""
    from htmlgraph_nb.ingest.backfill_report import known_cost
    from htmlgraph_nb.pricing.price_list import price_of

    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        usd, unpriced = known_cost(path, midnight, price_of)
    except HtmlgraphError as error:
        return f"cost unknown: {error}"
    names = f", and {compact_count(unpriced)} tokens without a known price" if unpriced else ""
    return f"{dollar_text(usd)} since midnight{names}"
