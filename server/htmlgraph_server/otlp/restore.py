"""Restores the token counters of telemetry from the stored events at server start."""

from __future__ import annotations

from contextlib import closing

from htmlgraph_nb.coding_agents.otel.events import SOURCE
from htmlgraph_nb.coding_agents.otel.metrics import TokenCounters
from htmlgraph_nb.core.dedup import METRIC_ID_PREFIX
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

MAX_RESTORED_ROWS = 50_000
"""Number of latest events to read; sessions that still report are among them."""

_SESSIONS = f"""
SELECT session.name, e.event_id LIKE '{METRIC_ID_PREFIX}%' AS is_metric, max(e.ts)
    FROM (SELECT * FROM events ORDER BY id DESC LIMIT {MAX_RESTORED_ROWS}) e
    JOIN names session ON session.id = e.session
    JOIN names type ON type.id = e.type AND type.name = 'completion'
    JOIN names source ON source.id = e.source AND source.name = '{SOURCE}'
    GROUP BY 1, 2
"""


def restore_token_counters(path: str) -> TokenCounters:
    """Return token counters that continue from the stored events.

    Raises:
        StoreError: the database cannot be read.
    """
    with closing(open_reader(path)) as db, sqlite_errors(path):
        rows = db.execute(_SESSIONS).fetchall()
    logged = [session for session, is_metric, _ in rows if not is_metric]
    # Events have microseconds, points nanoseconds.
    read_until = {session: (ts + 1) * 1_000 for session, is_metric, ts in rows if is_metric}
    return TokenCounters(logged, read_until)
