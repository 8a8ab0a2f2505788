"""The database is damaged under a running server, as by a failing disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.helpers.database_files import damage_pages
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until


def test_server_refuses_events_after_a_reader_found_damage(server: Server) -> None:
    """It does not acknowledge what goes to a file that cannot be read, and says what to do."""
    for n in range(3):
        events = [
            {"agent_id": f"a{k % 9}", "event_type": "prompt", "event_id": f"{n}-{k}"}
            for k in range(1_000)
        ]
        assert server.post("/api/events", events).status == 200
    with closing(sqlite3.connect(server.db)) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    damage_pages(str(server.db))
    assert server.post("/api/events", {"agent_id": "a", "event_type": "prompt"}).status == 200
    response = server.get("/api/history?limit=10000")
    assert (response.status, response.error["code"]) == (503, "store_damaged")
    wait_until(lambda: server.post("/api/events", {"agent_id": "a"}).status == 503)
    refused = server.post("/api/events", {"agent_id": "a", "event_type": "prompt"})
    assert (refused.status, refused.error["code"]) == (503, "store_damaged")
    assert "restore a backup" in refused.error["message"]
    error = server.get("/api/status").json()["database"]["error"]
    assert error == refused.error["message"]
    assert server.get("/api/presence").status == 200
