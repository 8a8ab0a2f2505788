"""The state of forwarding, and the hosts, as lines for a terminal. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from htmlgraph_nb.client.agent_view import visible_text

MAX_LISTED_HOSTS = 20
_CLOCK_S = 5.0
"""Difference between the clocks from which it is shown."""


def forwarding_lines(report: Mapping[str, Any] | None) -> list[str]:
    """Return the ``forwarding`` section of a status report as lines; None: no lines."""
    if report is None:
        return []
    detail = f": {visible_text(report['detail'])}" if report["detail"] else ""
    lines = [f"{report['state']} to {visible_text(report['url'])}{detail}"]
    lines.append(f"{report['sent']:,} events sent, {report['pending']:,} wait")
    if report["deleted"]:
        lines.append(f"{report['deleted']:,} were deleted before they were sent (--retain)")
    if report["skipped"]:
        lines.append(f"{report['skipped']:,} are not accepted by the other server, an older one")
    return lines


def host_lines(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the hosts of ``GET /api/hosts`` as lines."""
    lines = [_host_line(host) for host in hosts[:MAX_LISTED_HOSTS]]
    hidden = len(hosts) - MAX_LISTED_HOSTS
    return [*lines, *([f"and {hidden:,} more"] if hidden > 0 else [])]


def _host_line(host: Mapping[str, Any]) -> str:
    user = f" ({visible_text(host['user'])})" if host["user"] else ""
    parts = [f"{visible_text(host['label'])}{user}"]
    if host["connected"]:
        behind = f"{host['lag_events']:,} events behind" if host["lag_events"] else "up to date"
        parts.append(f"connected, {behind}")
    else:
        seen = datetime.fromisoformat(host["last_heartbeat"]).astimezone(UTC)
        parts.append(f"unreachable since {seen:%Y-%m-%d %H:%M} UTC")
    ahead = host["clock_ahead_s"] or 0.0
    if abs(ahead) >= _CLOCK_S:
        parts.append(f"its clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}")
    return ", ".join(parts)
