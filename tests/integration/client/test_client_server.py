"""PresenceClient with a real server: HTTP calls, restart, tokens, filters."""

from __future__ import annotations

import time

import pytest

from htmlgraph_nb.client.presence_client import PresenceClient
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent, ServerRefused
from tests.helpers.fake_websocket_server import announce
from tests.helpers.wait import wait_until

TOKEN = "0123456789abcdef0123456789abcdef"


def test_client_http_calls(server):
    """Events are sent as objects and dicts; presence, one agent, status and offline."""
    with PresenceClient(server.url) as client:
        response = client.send_events(
            [
                Event(agent_id="a", event_type="tool_execute", tool_name="Bash", event_id="e1"),
                {"agent_id": "b", "event_type": "stop"},
                {"agent_id": "a", "event_type": "tool_execute", "event_id": "e1"},
            ]
        )
        assert (response["accepted"], response["duplicates"]) == (2, 1)
        assert client.presence().keys() == {"a", "b"}
        assert client.agent("a").last_tool_name == "Bash"
        assert client.status_report()["cursor"] == response["cursor"]
        assert client.mark_viewed("a") == {"success": True, "agent_id": "a"}
        client.mark_offline("a")
        offline = client.wait_for(
            lambda agents: "a" in agents and agents["a"].status == "offline" and agents["a"], 10
        )
        assert offline == client.agent("a")


def test_client_stays_connected_without_messages(server, monkeypatch):
    """Silence longer than the connect timeout does not end the connection."""
    monkeypatch.setattr("htmlgraph_nb.client.websocket.OPEN_TIMEOUT_S", 0.5)
    states = []
    with PresenceClient(server.url) as client:
        client.wait_connected(10)
        client.on_connection(lambda connection: states.append(connection.state))
        end = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > end, "the end of the silence")
        server.send("a")
        client.wait_for(lambda agents: "a" in agents, 10)
    assert states == ["closed"]


def test_client_raises_the_servers_errors(server):
    """An unknown agent, with an id that needs escaping; an invalid event."""
    client = PresenceClient(server.url)
    with pytest.raises(ServerRefused, match="a/b c") as caught:
        client.agent("a/b c")
    assert (caught.value.status, caught.value.code) == (404, "unknown_agent")
    with pytest.raises(InvalidEvent, match="agent_id: missing"):
        client.send_events([{"event_type": "stop"}])
    assert client.presence() == {}


@pytest.mark.parametrize("server", [("--token", TOKEN)], indirect=True)
def test_client_needs_the_token_for_http_and_websocket(server):
    """Without or with a wrong token both are refused; the right one opens both."""
    for token in (None, "wrong" * 8):
        with PresenceClient(server.url, token=token) as client:
            with pytest.raises(ServerRefused) as caught:
                client.presence()
            assert caught.value.status in (401, 403)
            wait_until(lambda client=client: client.connection.detail, "the first attempt")
            with pytest.raises(ServerRefused, match="HTTP 40"):
                client.wait_connected(0.05)
    with PresenceClient(server.url, token=TOKEN) as client:
        client.wait_connected(10)
        assert client.presence() == {}


@pytest.mark.parametrize("server", [("--token", TOKEN)], indirect=True)
def test_client_finds_server_and_token_in_the_server_file(server, monkeypatch):
    """Without any arguments."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(server.home))
    with PresenceClient() as client:
        client.wait_connected(10)
        assert client.connection.url == server.url
        assert client.status_report()["version"]


def test_client_resumes_after_a_server_restart(serve, own_home):
    """With the same database only later changes arrive, each once."""
    first = serve()
    port = str(first.port)
    changes: list[set[str]] = []
    with PresenceClient(first.url) as client:
        first.send("a")
        first.send("b")
        client.wait_for(lambda agents: {"a", "b"} <= agents.keys(), 10)
        epoch = client.cursor.epoch
        first.stop()
        wait_until(lambda: client.status == "reconnecting", "the loss")
        assert client.agents.keys() == {"a", "b"}
        client.on_change(lambda changed, _: changes.append(changed))
        second = serve("--port", port, home=first.home)
        announce(own_home)
        client.wait_connected(20)
        second.send("c")
        client.wait_for(lambda agents: "c" in agents, 10)
        assert client.cursor.epoch == epoch
        assert {name: agent.to_dict() for name, agent in client.agents.items()} == second.presence()
    assert set.union(*changes) == {"c"}


def test_client_removes_agents_that_leave_its_filter(server):
    """An agent that goes offline is removed, and returns with its next event."""
    server.send("other", "stop")
    with PresenceClient(server.url, filter={"statuses": ["active"]}) as client:
        client.wait_connected(10)
        server.send("a")
        client.wait_for(lambda agents: agents.keys() == {"a"}, 10)
        client.mark_offline("a")
        client.wait_for(lambda agents: not agents, 10)
        server.send("a")
        client.wait_for(lambda agents: agents.keys() == {"a"}, 10)
