"""What a server that ran before has stored of telemetry's tokens."""

from __future__ import annotations

from contextlib import closing

from htmlgraph_nb.coding_agents.otel.events import SOURCE
from htmlgraph_nb.coding_agents.otel.metrics import TokenCounters
from htmlgraph_nb.core.dedup import METRIC
from htmlgraph_nb.storage.database import open_reader, sqlite_errors

LAST_ROWS = 50_000
"""How far back it is looked: sessions that still report are among them."""

_TOLD = f"""
SELECT DISTINCT session.name, e.event_id LIKE '{METRIC}%'
    FROM (SELECT * FROM events ORDER BY id DESC LIMIT {LAST_ROWS}) e
    JOIN names session ON session.id = e.session
    JOIN names type ON type.id = e.type AND type.name = 'completion'
    JOIN names source ON source.id = e.source AND source.name = '{SOURCE}'
"""


def meters_of(path: str) -> TokenCounters:
    """Return the token counters that go on where those of an earlier server ended.

    Raises:
        StoreError: the database cannot be read.
    """
    with closing(open_reader(path)) as db, sqlite_errors(path):
        told = db.execute(_TOLD).fetchall()
    metered = {session for session, by_metric in told if by_metric}
    return TokenCounters({session for session, by_metric in told if not by_metric}, metered)
