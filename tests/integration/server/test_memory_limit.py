"""A server without memory ends in good order, and what it acknowledged is stored."""

from __future__ import annotations

import json
import re
import resource
import sys
import threading
from http.client import HTTPException

import pytest

from tests.helpers.database_files import history_rows
from tests.integration.conftest import Serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit is a call of Linux")

SPARE_BYTES = 24 << 20
SENDERS = 8


def test_server_without_memory_ends_on_sigterm(serve: Serve) -> None:
    """Requests fail or not, but the process ends, and nothing acknowledged is lost."""
    server = serve()
    # Tornado logs the traceback of a connection that finds no memory.
    server.faults = re.compile("htmlgraph.*failed")
    process = server.process
    assert process is not None
    pid = process.pid
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))
    acknowledged: list[str] = []

    def send(sender: int) -> None:
        for number in range(12):
            ids = [f"e-{sender}-{number}-{n}" for n in range(300)]
            events = [
                {"agent_id": f"a{sender}", "event_id": one, "extra": {"text": "x" * 9_000}}
                for one in ids
            ]
            try:
                response = server.request("POST", "/api/events", json.dumps(events).encode())
                server.request("GET", "/api/history?limit=10000&tool=none")
            except (OSError, HTTPException):
                continue
            if response.status == 200:
                acknowledged.extend(ids)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.terminate()
    process.wait(30)
    stored = {str(row[0]) for row in history_rows(str(server.db), "event_id")}
    assert set(acknowledged) <= stored
