"""The status report of ``GET /api/status``."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from htmlgraph_nb import __version__
from htmlgraph_nb.core.timestamps import to_rfc3339, utc_now
from htmlgraph_nb.ingest.files.skipped_files import SkippedFiles
from htmlgraph_nb.pricing.price_list import table_status
from htmlgraph_nb.storage.file_guard import guard_problem

from ..service import Service


def database_bytes(path: str) -> int:
    """Return the size of a database file and its write-ahead log."""
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += os.path.getsize(path + suffix)
        except OSError:
            # The write-ahead log is absent until something is written.
            continue
    return total


def agents_by_status(service: Service) -> Counter[str]:
    """Return the number of agents in each status."""
    counts = service.hub.published.by_status
    return Counter({status.value: n for status, n in counts.items()})


def status_report(service: Service) -> dict[str, Any]:
    """Return the JSON object of ``GET /api/status``; rates are means over ten seconds."""
    hub, now = service.hub, time.monotonic()
    p50, p99 = hub.stats.latency_s(0.5, 0.99)
    n_with_session = sum(hub.sessions.values())
    return {
        "version": __version__,
        "started_at": to_rfc3339(service.started_at),
        "uptime_s": round(now - service.started_s, 3),
        "cursor": str(hub.published.cursor),
        "clients": {
            "total": len(hub.clients),
            "by_session": dict(hub.sessions),
            "without_session": len(hub.clients) - n_with_session,
            "lagging": hub.n_slow,
        },
        "agents": dict(agents_by_status(service)),
        "updates": {
            "total": hub.stats.updates.total,
            "per_second": hub.stats.updates.per_second(now),
        },
        "frames": {
            "total": hub.stats.frames.total,
            "per_second": hub.stats.frames.per_second(now),
            "bytes": hub.stats.n_bytes,
        },
        "latency_ms": {
            "p50": None if p50 is None else round(p50 * 1_000, 3),
            "p99": None if p99 is None else round(p99 * 1_000, 3),
        },
        "queue": {"bytes": hub.queue_bytes(), "writes": service.manager.n_queued},
        "watching": _watching(service),
        "forwarding": None if service.forwarder is None else service.forwarder.report(),
        "backfill": service.backfiller.status(),
        "prices": table_status(utc_now().date()),
        "database": {
            "path": service.manager.db_path,
            "bytes": database_bytes(service.manager.db_path),
            "owner_pid": service.leader_lock.leader_pid(),
            "error": guard_problem(service.manager.db_path) or service.manager.store.problem,
        },
    }


def _watching(service: Service) -> dict[str, Any]:
    if service.local_agents is None:
        nothing = {"folders": [], "files": 0, "followed": 0, "waiting": 0, "processes": 0}
        return {**nothing, **SkippedFiles().report()}
    return service.local_agents.status()
