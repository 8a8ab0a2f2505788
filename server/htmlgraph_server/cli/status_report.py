"""The status of a server as text for a terminal: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1_000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1_000
    return f"{n:.1f} TB"


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{n} {unit}" for n, unit in parts if n][:2]
    return " ".join(shown) or "0 s"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


def _watching(told: Mapping[str, Any]) -> str:
    if not told["folders"]:
        return "no session files"
    where = ", ".join(told["folders"])
    return f"{told['followed']} of {told['files']} session files in {where}"


def status_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the lines of a two-column table of a status report."""
    agents, clients = report["agents"], report["clients"]
    latency, frames = report["latency_ms"], report["frames"]
    lagging = f", {clients['lagging']} lagging" if clients["lagging"] else ""
    rows = [
        ("version", report["version"]),
        ("up for", _span(report["uptime_s"])),
        ("agents", ", ".join(f"{n} {status}" for status, n in agents.items())),
        ("clients", f"{clients['total']}{lagging}"),
        (
            "updates",
            f"{report['updates']['per_second']:.1f}/s, {report['updates']['total']} in all",
        ),
        ("frames", f"{frames['per_second']:.1f}/s, {frames['total']} in all"),
        ("latency", f"p50 {_ms(latency['p50'])}, p99 {_ms(latency['p99'])}"),
        ("queue", f"{_bytes(report['queue']['bytes'])}, {report['queue']['writes']} writes"),
        ("watching", _watching(report["watching"])),
        ("database", f"{report['database']['path']} ({_bytes(report['database']['bytes'])})"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]
