"""What the server says of itself."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from htmlgraph_nb import __version__
from htmlgraph_nb.core.timestamps import to_rfc3339

from ..service import Service


def database_bytes(path: str) -> int:
    """Return the size of a database file and its log."""
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += os.path.getsize(path + suffix)
        except OSError:
            # The log is absent while nothing was written.
            continue
    return total


def agents_by_status(service: Service) -> Counter[str]:
    """Return how many agents have each status."""
    counts = Counter({"active": 0, "idle": 0, "offline": 0})
    counts.update(entry.presence.status.value for entry in service.hub.board.entries.values())
    return counts


def status_report(service: Service) -> dict[str, Any]:
    """Return the JSON object of ``GET /api/status``; rates are means of the last ten seconds."""
    hub, now = service.hub, time.monotonic()
    p50, p99 = hub.meter.latency_s(0.5, 0.99)
    named = sum(hub.sessions.values())
    return {
        "version": __version__,
        "started_at": to_rfc3339(service.started_at),
        "uptime_s": round(now - service.started_s, 3),
        "cursor": str(hub.board.cursor),
        "clients": {
            "total": len(hub.clients),
            "by_session": dict(hub.sessions),
            "without_session": len(hub.clients) - named,
            "lagging": hub.n_slow,
        },
        "agents": dict(agents_by_status(service)),
        "updates": {
            "total": hub.meter.updates.total,
            "per_second": hub.meter.updates.per_second(now),
        },
        "frames": {
            "total": hub.meter.frames.total,
            "per_second": hub.meter.frames.per_second(now),
            "bytes": hub.meter.n_bytes,
        },
        "latency_ms": {
            "p50": None if p50 is None else round(p50 * 1_000, 3),
            "p99": None if p99 is None else round(p99 * 1_000, 3),
        },
        "queue": {"bytes": hub.queue_bytes(), "writes": service.manager.n_queued},
        "watching": _watching(service),
        "database": {
            "path": service.manager.db_path,
            "bytes": database_bytes(service.manager.db_path),
            "owner_pid": service.leader_lock.leader_pid(),
        },
    }


def _watching(service: Service) -> dict[str, Any]:
    if service.local_agents is None:
        return {"folders": [], "files": 0, "followed": 0, "processes": 0}
    return service.local_agents.status()
