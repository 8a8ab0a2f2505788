"""``htmlgraph-nb status``: the state of the running server."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from htmlgraph_nb.errors import ServerNotFound
from htmlgraph_nb.paths import default_db

from .options import Commands, Print, add_server_options, rest_client


def add_status_parser(commands: Commands, out: Print) -> argparse.ArgumentParser:
    """Add the command to the parser and return its own."""
    parser = commands.add_parser("status", help="show the state of the running server")
    add_server_options(parser)
    parser.set_defaults(run=lambda arguments: _status(arguments, out))
    return parser


def _status(arguments: argparse.Namespace, out: Print) -> int:
    try:
        report = rest_client(arguments).status_report()
    except ServerNotFound as error:
        raise ServerNotFound(f"{error}\nStored data: {default_db()}") from error
    out(json.dumps(report, indent=2) if arguments.json else "\n".join(status_lines(report)))
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
    if not watching["folders"]:
        return "no session files"
    folders = ", ".join(watching["folders"])
    return f"{watching['followed']} of {watching['files']} session files in {folders}"


def status_lines(report: Mapping[str, Any]) -> list[str]:
    """Return a status report as the lines of a two-column table."""
    agents, clients = report["agents"], report["clients"]
    latency, frames = report["latency_ms"], report["frames"]
    slow = f", {clients['lagging']} slow" if clients["lagging"] else ""
    rows = [
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
        ("database", f"{report['database']['path']} ({_size(report['database']['bytes'])})"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]
