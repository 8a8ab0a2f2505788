"""The log of a server from start to stop: each line parses, and none has raw text of agents."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.helpers.server_process import Server
from tests.integration.conftest import Serve

HOSTILE = "evil\n\x1b[31mERROR forged\u2028{"


def provoke(server: Server) -> None:
    """Make a server refuse requests, and take its database away."""
    for _ in range(5):
        server.request("GET", "/api/status", b"", {"Host": "evil.example"})
    server.post("/api/events", [{"agent_id": HOSTILE, "title": HOSTILE}])
    server.post("/api/hooks/claude", {"hook_event_name": HOSTILE, "session_id": HOSTILE})
    server.post("/api/events", [{"agent_id": "large", "extra": {"text": "x" * 9_000}}])
    os.rename(server.db, f"{server.db}-moved")
    assert server.post("/api/events", [{"agent_id": "a"}]).status == 503
    os.rename(f"{server.db}-moved", server.db)


def test_log_lines_as_json(serve: Serve) -> None:
    """Start, stop, refusals and faults have one line each, not one for each request."""
    server = serve("--log-format", "json", "--max-body-bytes", "8000")
    provoke(server)
    server.stop()
    log = server.log()
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in log.split("\n") if line.startswith("{")
    ]
    for line in lines:
        assert line.keys() - {"exception"} == {"time", "level", "logger", "message"}
    messages = [line["message"] for line in lines]
    assert sum(message.startswith(f"started: url={server.url}") for message in messages) == 1
    assert messages[-1] == "stopped"
    for kind in ("status=403 code=host_refused", "status=413 code=body_too_large", "status=503"):
        assert sum(message.startswith(f"refused: {kind}") for message in messages) == 1, kind
    others = [line for line in log.split("\n") if line and not line.startswith("{")]
    assert [line for line in others if "WARNING" in line or "ERROR" in line] == []
    assert "forged" not in log


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
def test_log_lines_as_text(serve: Serve, verbose: tuple[str, ...]) -> None:
    """Text has no control characters, also with all details."""
    server = serve(*verbose, "--max-body-bytes", "8000")
    provoke(server)
    server.stop()
    log = server.log()
    assert "\x1b" not in log
    assert not any(line.startswith(("ERROR forged", "{")) for line in log.splitlines())
