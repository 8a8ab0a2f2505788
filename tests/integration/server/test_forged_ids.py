"""Attacks: a sender uses the id of an event that another agent will report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.helpers.server_process import Server

SESSION = "0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f"
VICTIM = "claude-0b9d6f4e"
CALL = "toolu_01ABCdefGHIjklMNOpqrSTUv"
HOOK = {
    "hook_event_name": "PostToolUse",
    "session_id": SESSION,
    "tool_name": "Bash",
    "tool_use_id": CALL,
    "cwd": "/work/api",
}
STORED_ID = f"{CALL}:PostToolUse"


def send_http(server: Server, event: dict[str, Any]) -> dict[str, Any]:
    """Send an event over HTTP; return the response."""
    response = server.post("/api/events", event)
    assert response.status == 200
    return dict(response.json())


def send_ws(server: Server, event: dict[str, Any]) -> dict[str, Any]:
    """Send an event over a WebSocket; return the acknowledgement."""
    with connect(server.ws("/ws/events")) as socket:
        socket.send(json.dumps(event))
        return dict(json.loads(socket.recv(15)))


def tools(server: Server, agent: str = VICTIM) -> int:
    """Return the number of executed tools of an agent."""
    return int(server.presence().get(agent, {}).get("total_tools_executed", 0))


@pytest.mark.parametrize("send", [send_http, send_ws])
def test_ids_count_for_the_agent_of_their_sender(server: Server, send: Any) -> None:
    """An id that another agent used first makes no event a duplicate; a repetition is one."""
    event = {"event_type": "tool_execute", "tool_name": "Bash", "event_id": "e-1"}
    for agent in ("evil", "victim"):
        assert send(server, {**event, "agent_id": agent})["accepted"] == 1
        assert send(server, {**event, "agent_id": agent})["duplicates"] == 1
        assert tools(server, agent) == 1


def test_ids_of_one_request_count_for_each_agent(server: Server) -> None:
    """Also together."""
    event = {"event_type": "tool_execute", "tool_name": "Bash", "event_id": "e-1"}
    response = server.post("/api/events", [{**event, "agent_id": name} for name in "aabb"])
    assert (response.json()["accepted"], response.json()["duplicates"]) == (2, 2)


def test_own_ids_cannot_be_used_in_advance(server: Server) -> None:
    """Also the ids under which a victim's events would be stored instead."""
    event = {"event_type": "tool_execute", "tool_name": "Bash"}
    event_id = "e-1"
    for _ in range(12):
        send_http(server, {**event, "agent_id": "evil", "event_id": event_id})
        event_id = f"victim~{event_id}"
    assert send_http(server, {**event, "agent_id": "victim", "event_id": "e-1"})["accepted"] == 1
    assert tools(server, "victim") == 1


@pytest.mark.parametrize("agent", ["evil", VICTIM])
@pytest.mark.parametrize("session", ["evil", SESSION])
@pytest.mark.parametrize("source", [None, "evil-source"])
def test_hook_is_not_replaced_by_forged_event(
    server: Server, agent: str, session: str, source: str | None
) -> None:
    """The id of a call can be read in the history while it runs."""
    forged = {"agent_id": agent, "session_id": session, "source": source, "event_id": STORED_ID}
    send_http(server, {**forged, "event_type": "viewed"})
    for _ in range(2):
        assert server.post("/api/hooks/claude", HOOK).status in (200, 204)
    assert tools(server) == 1


def test_hook_is_not_replaced_by_hook_of_another_session(server: Server) -> None:
    """Only session files repeat the calls of other sessions."""
    assert server.post("/api/hooks/claude", {**HOOK, "session_id": "evil"}).status in (200, 204)
    assert server.post("/api/hooks/claude", HOOK).status in (200, 204)
    assert tools(server) == 1


def test_hook_is_not_replaced_by_telemetry_of_another_session(server: Server) -> None:
    """Its event has the same id as that of the hook."""
    values = {"session.id": "evil", "tool_name": "Bash", "tool_use_id": CALL, "success": "true"}
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
    record = {"body": {"stringValue": "claude_code.tool_result"}, "attributes": pairs}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    headers = {"Content-Type": "application/json"}
    assert server.request("POST", "/v1/logs", body, headers).status == 200
    assert server.post("/api/hooks/claude", HOOK).status in (200, 204)
    assert tools(server) == 1
