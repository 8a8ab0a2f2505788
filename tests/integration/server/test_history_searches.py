"""Searches of many rows wait for each other and not for them the pages of the history."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from htmlgraph_nb import Event, PresenceManager
from htmlgraph_server.history import history_reader
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve

N_ROWS = history_reader.QUICK_ROWS + 50_000


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with more rows than a query may search quickly."""
    path = tmp_path_factory.mktemp("db") / "h.db"
    with PresenceManager(str(path)) as manager:
        for start in range(0, N_ROWS, 10_000):
            manager.ingest([Event(agent_id="a", tool_name="Bash")] * min(10_000, N_ROWS - start))
    return path


def test_searches_do_not_delay_pages(serve: Serve, db: Path) -> None:
    """Of many searches at once some are refused; a page is answered while they wait."""
    server: Server = serve("--db", str(db))
    statuses: list[int] = []

    def search() -> None:
        statuses.append(server.request("GET", "/api/history?tool=none&limit=10").status)

    n_searches = history_reader.MAX_SEARCHES + 20
    threads = [threading.Thread(target=search) for _ in range(n_searches)]
    for thread in threads:
        thread.start()
    while len(statuses) < n_searches // 2:
        page = server.request("GET", "/api/history?limit=10&order=desc")
        assert page.status == 200
        if any(thread.is_alive() for thread in threads):
            continue
        break
    for thread in threads:
        thread.join()
    assert len(statuses) == n_searches
    assert set(statuses) <= {200, 429}
    assert 200 in statuses
