"""The two WebSocket routes of a real server process, message by message."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from htmlgraph_nb.core.protocol import MAX_CLIENT_FRAME_BYTES, STATE_PART_AGENTS, CloseCode
from tests.helpers.seed_fields import ORIGINAL_FIELDS
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import BOTH, Serve

SERVERS = BOTH


class JsonSocket:
    """One WebSocket connection that sends and receives JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def next(self) -> dict[str, Any]:
        """Return the next message."""
        message = json.loads(self.connection.recv(timeout=15))
        assert isinstance(message, dict)
        return message

    def until(self, message_type: str) -> dict[str, Any]:
        """Return the next message of a type."""
        while (message := self.next())["type"] != message_type:
            pass
        return message

    def send(self, message: Any) -> None:
        """Send a string unchanged, and anything else as JSON."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self.connection.send(text)

    def request(self, message: Any) -> dict[str, Any]:
        """Send a message and return the response."""
        self.send(message)
        return self.next()

    def closed(self) -> tuple[int, str]:
        """Read to the end and return the close code and reason."""
        with pytest.raises(ConnectionClosed) as ended:
            self._drain()
        frame = ended.value.rcvd
        assert frame is not None, "the connection ended without a close frame"
        return frame.code, frame.reason

    def _drain(self) -> None:
        while True:
            self.connection.recv(timeout=15)


@contextmanager
def opened(server: Server, path: str = "/ws/broadcasts", **options: Any) -> Iterator[JsonSocket]:
    """Open a connection."""
    with connect(server.ws(path), max_size=None, **options) as connection:
        yield JsonSocket(connection)


@contextmanager
def dashboard(server: Server, query: str = "") -> Iterator[JsonSocket]:
    """Open a dashboard and read its first message."""
    with opened(server, f"/ws/broadcasts{query}") as opening:
        opening.next()
        yield opening


def cursor_of(server: Server) -> str:
    """Return the server's position."""
    return str(server.get("/api/presence").json()["cursor"])


# What every client gets


def test_presence_update_is_compatible_with_old_clients(either_server: Server) -> None:
    """It has type, agent_id and presence with its eight fields in order."""
    with dashboard(either_server) as client:
        either_server.send("claude-1", tool_name="Read", session_id="s-1", feature_id="feat-1")
        message = client.next()
    assert message["type"] == "presence_update"
    assert message["event_type"] == "presence_update"
    agent_id, presence = message["agent_id"], message["presence"]
    assert agent_id == "claude-1"
    assert list(presence)[:8] == list(ORIGINAL_FIELDS)
    assert presence["agent_id"] == "claude-1"
    assert presence["status"] == "active"
    assert presence["current_feature_id"] == "feat-1"
    assert presence["last_tool_name"] == "Read"
    assert presence["total_tools_executed"] == 1
    assert presence["total_cost_tokens"] == 0
    assert presence["session_id"] == "s-1"
    assert presence["last_activity"].endswith("Z")
    assert message["timestamp"].endswith("Z")
    assert message["seq"] == presence["seq"] == 1


def test_presence_keeps_eight_fields_when_null(server: Server) -> None:
    """Of an unused agent the eight fields are null or 0, and empty optional fields are omitted."""
    with dashboard(server) as client:
        server.send("bare", "activity")
        presence = client.next()["presence"]
    assert list(presence)[:8] == list(ORIGINAL_FIELDS)
    assert presence["current_feature_id"] is None
    assert presence["last_tool_name"] is None
    assert presence["session_id"] is None
    assert "cost_usd" not in presence
    assert "attention" not in presence


def test_first_message_is_the_full_state(server: Server) -> None:
    """A new dashboard gets all agents first, even if there are none."""
    with opened(server) as client:
        empty = client.next()
    assert (empty["full"], empty["part"], empty["parts"]) == (True, 1, 1)
    assert (empty["seq"], empty["agents"], empty["removed"]) == (0, [], [])
    server.send("a")
    server.send("b")
    with opened(server) as client:
        state = client.next()
    assert state["type"] == "presence_state"
    assert f"{state['epoch']}:{state['seq']}" == cursor_of(server)
    assert [agent["agent_id"] for agent in state["agents"]] == ["a", "b"]


def test_large_state_is_split_into_parts(either_server: Server) -> None:
    """No part exceeds its limit of agents, all have one seq, and together they are complete."""
    n = 2 * STATE_PART_AGENTS + 1
    either_server.post("/api/events", [{"agent_id": f"a{i}"} for i in range(n)])
    with opened(either_server) as client:
        parts = [client.next() for _ in range(3)]
    assert [(part["part"], part["parts"]) for part in parts] == [(1, 3), (2, 3), (3, 3)]
    assert {part["seq"] for part in parts} == {n}
    assert [len(part["agents"]) for part in parts] == [STATE_PART_AGENTS, STATE_PART_AGENTS, 1]
    names = {agent["agent_id"] for part in parts for agent in part["agents"]}
    assert len(names) == n


def test_updates_are_ordered_and_complete(server: Server) -> None:
    """Each change is one frame with a higher seq, to every dashboard."""
    with dashboard(server) as first, dashboard(server) as second:
        for batch in range(5):
            server.post("/api/events", [{"agent_id": f"a{n}"} for n in range(batch, batch + 40)])
        for client in (first, second):
            assert [client.next()["seq"] for _ in range(200)] == list(range(1, 201))


def test_agent_ids_of_any_alphabet_round_trip(server: Server) -> None:
    """Markup, other alphabets and quotes arrive unchanged."""
    names = ['<img src=x onerror="a">', "агент-七", "🤖", 'a"b\\c', "line\nend"]
    with dashboard(server) as client:
        for name in names:
            server.send(name, tool_name=name)
        messages = [client.next() for _ in names]
    assert [message["agent_id"] for message in messages] == names
    assert [message["presence"]["last_tool_name"] for message in messages] == names


# Resuming


def test_resume_sends_only_changed_agents(either_server: Server) -> None:
    """With ?since= only agents that changed after it are sent, possibly none."""
    either_server.send("before")
    since = cursor_of(either_server)
    either_server.send("after")
    with opened(either_server, f"/ws/broadcasts?since={since}") as client:
        state = client.next()
    assert state["full"] is False
    assert [agent["agent_id"] for agent in state["agents"]] == ["after"]
    with opened(either_server, f"/ws/broadcasts?since={cursor_of(either_server)}") as client:
        assert client.next()["agents"] == []


def test_resume_works_after_a_server_restart(serve: Serve) -> None:
    """The cursor stays valid on the same database."""
    first = serve()
    first.send("before")
    since = cursor_of(first)
    first.send("after")
    first.stop()
    second = serve(home=first.home)
    with opened(second, f"/ws/broadcasts?since={since}") as client:
        state = client.next()
    assert (state["full"], [agent["agent_id"] for agent in state["agents"]]) == (False, ["after"])


@pytest.mark.parametrize("since", ["abcdef0123456789:1", "EPOCH:999999"])
def test_unknown_cursor_gets_full_state(server: Server, since: str) -> None:
    """The epoch differs, or the database has not reached the seq."""
    server.send("a")
    epoch = cursor_of(server).partition(":")[0]
    with opened(server, f"/ws/broadcasts?since={since.replace('EPOCH', epoch)}") as client:
        state = client.next()
    assert (state["full"], state["epoch"], len(state["agents"])) == (True, epoch, 1)


@pytest.mark.parametrize(
    "query",
    [
        "since=nonsense",
        "since=abc",
        "since=abc:",
        "since=:5",
        "since=abc:-5",
        "since=abc:1:2",
        "since=abc:%D9%A3",
        "since=abc:99999999999999999",
        "since=%ff",
        "replay=all",
        "session=%00",
        "session=%ff",
        "session=" + "x" * 257,
    ],
)
def test_invalid_parameters_close_with_4400(module_server: Server, query: str) -> None:
    """The close reason explains the error."""
    with opened(module_server, f"/ws/broadcasts?{query}") as client:
        code, reason = client.closed()
    assert code == CloseCode.BAD_PARAMETERS
    assert query.partition("=")[0].replace("since", "cursor") in reason or "UTF-8" in reason


def test_unknown_parameters_are_ignored(module_server: Server) -> None:
    """A dashboard may have parameters of its own."""
    with opened(module_server, "/ws/broadcasts?theme=dark") as client:
        assert client.next()["type"] == "presence_state"


def test_replay_parameter_sends_state_as_updates(server: Server) -> None:
    """With ?replay=updates the state arrives as updates ordered by seq."""
    for name in ("b", "a", "b"):
        server.send(name)
    with opened(server, "/ws/broadcasts?replay=updates") as client:
        messages = [client.next() for _ in range(2)]
        assert {message["type"] for message in messages} == {"presence_update"}
        assert [(m["agent_id"], m["seq"]) for m in messages] == [("a", 2), ("b", 3)]
        server.send("a")
        assert client.next()["seq"] == 4


def test_forgotten_agent_sends_presence_removed(serve: Serve) -> None:
    """A resuming dashboard gets the removal too."""
    server = serve("--forget-after", "1s")
    with dashboard(server) as client:
        server.send("ephemeral")
        since = f"{cursor_of(server)}"
        removed = client.until("presence_removed")
    assert (removed["agent_id"], removed["seq"]) == ("ephemeral", 2)
    with opened(server, f"/ws/broadcasts?since={since}") as client:
        state = client.next()
    assert (state["full"], state["agents"], state["removed"]) == (False, [], ["ephemeral"])


# Messages from a dashboard


@pytest.mark.parametrize("ping", ["ping", {"type": "ping"}, b'{"type":"ping"}'])
def test_ping_gets_pong(module_server: Server, ping: Any) -> None:
    """Both forms of ping are accepted."""
    with dashboard(module_server) as client:
        assert client.request(ping) == {"type": "pong"}


@pytest.mark.parametrize("message", ["subscribe", {"type": "subscribe"}])
def test_subscribe_without_lists_changes_nothing(server: Server, message: Any) -> None:
    """It is acknowledged."""
    with dashboard(server) as client:
        assert client.request(message) == {"type": "subscribed"}
        server.send("a")
        assert client.next()["agent_id"] == "a"


def test_subscribe_with_filter_narrows_messages(either_server: Server) -> None:
    """It is acknowledged, then the matching state and only matching messages follow."""
    either_server.send("a")
    either_server.send("b")
    with dashboard(either_server) as client:
        response = client.request({"type": "subscribe", "agents": ["b", "c"]})
        assert response == {"type": "subscribed", "agents": ["b", "c"]}
        state = client.next()
        assert (state["full"], [agent["agent_id"] for agent in state["agents"]]) == (True, ["b"])
        for name in ("a", "c"):
            either_server.send(name)
        assert client.next()["agent_id"] == "c"


@pytest.mark.parametrize(
    ("message", "inside", "outside"),
    [
        ({"sessions": ["s-1"]}, {"session_id": "s-1"}, {"session_id": "s-2"}),
        ({"features": ["f-1"]}, {"feature_id": "f-1"}, {"feature_id": "f-2"}),
        ({"statuses": ["active"]}, {"event_type": "prompt"}, {"event_type": "stop"}),
    ],
)
def test_agent_leaving_the_filter_is_removed(
    server: Server, message: dict[str, Any], inside: dict[str, str], outside: dict[str, str]
) -> None:
    """One presence_removed, then nothing until the agent matches again."""
    with dashboard(server) as client:
        client.request({"type": "subscribe", **message})
        client.next()
        for fields in (outside, inside, outside, outside, inside):
            server.post("/api/events", {"agent_id": "a", **fields})
        messages = [client.next() for _ in range(3)]
    kinds = [(message["type"], message["agent_id"], message["seq"]) for message in messages]
    assert kinds == [
        ("presence_update", "a", 2),
        ("presence_removed", "a", 3),
        ("presence_update", "a", 5),
    ]


def test_event_type_filter_selects_messages(server: Server) -> None:
    """An empty list removes the filter."""
    with dashboard(server) as client:
        client.request({"type": "subscribe", "event_types": ["track_updated"]})
        client.next()
        server.send("a")
        headers = {"X_Agent_ID": "a", "X_Session_ID": "s"}
        server.post("/api/broadcast/tracks/t", {}, **headers)
        assert client.next()["event_type"] == "track_updated"
        client.request({"type": "subscribe", "event_types": []})
        assert client.next()["type"] == "presence_state"
        server.send("a")
        assert client.next()["type"] == "presence_update"


def test_filters_are_separate_per_dashboard(server: Server) -> None:
    """Each dashboard gets its own part."""
    with dashboard(server) as first, dashboard(server) as second:
        for client, name in ((first, "a"), (second, "b")):
            client.request({"type": "subscribe", "agents": [name]})
            client.next()
        for name in ("b", "a"):
            server.send(name)
        assert (first.next()["agent_id"], second.next()["agent_id"]) == ("a", "b")


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ("hello", "invalid_message", None),
        ("", "invalid_message", None),
        ("[]", "invalid_message", None),
        ("null", "invalid_message", None),
        ('{"type":7}', "invalid_message", None),
        ('{"type":"subscribe","agents":NaN}', "invalid_message", None),
        ("[" * 60_000, "invalid_message", None),
        (b"\xff\xfe", "invalid_message", None),
        ({"type": "unsubscribe"}, "invalid", "type"),
        ('{"type":"\\ud800"}', "invalid", "type"),
        ({"type": "subscribe", "agent": ["a"]}, "invalid", "agent"),
        ({"type": "subscribe", "agents": "a"}, "invalid", "agents"),
        ({"type": "subscribe", "agents": [1]}, "invalid", "agents"),
        ({"type": "subscribe", "agents": ["\0"]}, "invalid", "agents"),
        ({"type": "subscribe", "agents": ["a"] * 257}, "invalid", "agents"),
        ('{"type":"subscribe","sessions":["\\ud800"]}', "invalid", "sessions"),
    ],
)
def test_unknown_message_gets_error_and_connection_stays(
    module_server: Server, message: Any, code: str, field: str | None
) -> None:
    """The error explains the problem; a ping after it still works."""
    with dashboard(module_server) as client:
        response = client.request(message)
        assert response["type"] == "error"
        assert (response["error"]["code"], response["error"]["field"]) == (code, field)
        assert response["error"]["message"]
        assert client.request("ping") == {"type": "pong"}


def test_oversized_client_message_closes_with_1009(module_server: Server) -> None:
    """A message of exactly the limit does not."""
    with dashboard(module_server) as client:
        assert client.request("x" * MAX_CLIENT_FRAME_BYTES)["type"] == "error"
        client.send("x" * (MAX_CLIENT_FRAME_BYTES + 1))
        assert client.closed()[0] == CloseCode.TOO_BIG


# Limits


@pytest.mark.parametrize(
    ("flags", "environ", "most"),
    [
        ((), {}, 10),
        (("--max-clients-per-session", "2"), {}, 2),
        ((), {"HTMLGRAPH_MAX_CLIENTS_PER_SESSION": "3"}, 3),
        (("--max-clients-per-session", "2"), {"HTMLGRAPH_MAX_CLIENTS_PER_SESSION": "3"}, 2),
    ],
)
def test_session_client_limit_closes_with_1008(
    serve: Serve, flags: tuple[str, ...], environ: dict[str, str], most: int
) -> None:
    """Other sessions can still connect, and a freed slot is used again."""
    server = serve(*flags, environ=environ)
    with ExitStack() as stack:
        first = stack.enter_context(opened(server, "/ws/broadcasts?session=s"))
        for _ in range(most - 1):
            stack.enter_context(dashboard(server, "?session=s"))
        with opened(server, "/ws/broadcasts?session=s") as refused:
            code, reason = refused.closed()
        assert code == CloseCode.POLICY
        assert str(most) in reason
        stack.enter_context(dashboard(server, "?session=other"))
        stack.enter_context(dashboard(server))
        first.connection.close()

        def free() -> bool:
            clients = server.get("/api/status").json()["clients"]
            return bool(clients["by_session"]["s"] == most - 1)

        wait_until(free, "the closed dashboard is removed")
        stack.enter_context(dashboard(server, "?session=s"))


def test_max_clients_limits_all_dashboards(serve: Serve) -> None:
    """--max-clients counts all sessions together."""
    server = serve("--max-clients", "2")
    with dashboard(server), dashboard(server), opened(server) as refused:
        assert refused.closed()[0] == CloseCode.POLICY
    wait_until(
        lambda: server.get("/api/status").json()["clients"]["total"] == 0, "all clients are removed"
    )


def test_server_shutdown_closes_with_1001(either_server: Server) -> None:
    """Pending messages are sent first."""
    with dashboard(either_server) as client:
        either_server.send("last")
        either_server.stop()
        assert client.next()["agent_id"] == "last"
        assert client.closed()[0] == CloseCode.GOING_AWAY


def test_dashboard_that_never_reads_is_not_read_either(module_server: Server) -> None:
    """Once its responses pile up, its messages are not read, so memory is bounded."""
    message = json.dumps({"type": "subscribe", "event_types": [f"{n:0>240}" for n in range(250)]})
    # A masked text frame with a mask of zeros.
    frame = b"\x81\xfe" + len(message).to_bytes(2, "big") + b"\0\0\0\0" + message.encode()
    unsent = memoryview(frame * 500)
    with socket.create_connection(("127.0.0.1", module_server.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.sendall(handshake(module_server))
        # Each send waits this long for any progress at all.
        raw.settimeout(1.5)
        with pytest.raises(TimeoutError):
            send_all(raw, unsent)
    assert module_server.get("/api/status").status == 200


def send_all(raw: socket.socket, unsent: memoryview) -> None:
    """Send everything, each step within the socket's timeout."""
    while unsent:
        unsent = unsent[raw.send(unsent) :]


def handshake(server: Server, path: str = "/ws/broadcasts") -> bytes:
    """Return the bytes of a WebSocket handshake."""
    url = urlsplit(server.ws(path))
    return (
        f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


# Events over a WebSocket


def test_event_stream_acknowledges_each_frame(either_server: Server) -> None:
    """After the commit an object or array is acknowledged with its ids; repeats are duplicates."""
    with opened(either_server, "/ws/events") as stream:
        first = stream.request({"agent_id": "a", "event_id": "e-1"})
        assert {**first, "cursor": ""} == {
            "type": "ack",
            "n": 1,
            "accepted": 1,
            "duplicates": 0,
            "event_ids": ["e-1"],
            "cursor": "",
        }
        assert first["cursor"].endswith(":1")
        second = stream.request([{"agent_id": "a", "event_id": "e-1"}, {"agent_id": "b"}])
        assert (second["n"], second["accepted"], second["duplicates"]) == (2, 1, 1)
        assert second["event_ids"] == ["e-1", None]
        assert stream.request("[]")["accepted"] == 0
    assert set(either_server.presence()) == {"a", "b"}


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ("nonsense", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        ('{"agent_id":"a","cost_usd":NaN}', "invalid_json", None),
        ("{}", "invalid", "agent_id"),
        ("7", "invalid", None),
        ('[{"agent_id":"a"},{"agent_id":7}]', "invalid", "[1].agent_id"),
        ('{"agent_id":"a","tool":"x"}', "invalid", "tool"),
    ],
)
def test_event_stream_continues_after_invalid_frame(
    module_server: Server, frame: str | bytes, code: str, field: str | None
) -> None:
    """The error has the frame's number, nothing of it is stored, and the next one is accepted."""
    before = cursor_of(module_server)
    with opened(module_server, "/ws/events") as stream:
        response = stream.request(frame)
        assert (response["type"], response["n"]) == ("error", 1)
        assert (response["error"]["code"], response["error"]["field"]) == (code, field)
        assert cursor_of(module_server) == before
        assert stream.request({"agent_id": "good"})["n"] == 2


def test_event_stream_reports_full_roster(serve: Serve) -> None:
    """A new agent over the limit is refused; an existing one is accepted."""
    server = serve("--max-agents", "1")
    with opened(server, "/ws/events") as stream:
        assert stream.request({"agent_id": "a"})["type"] == "ack"
        assert stream.request({"agent_id": "b"})["error"]["code"] == "too_many_agents"
        assert stream.request({"agent_id": "a"})["type"] == "ack"


def test_oversized_event_frame_closes_with_1009(serve: Serve) -> None:
    """The limit is --max-body-bytes."""
    server = serve("--max-body-bytes", "10000")
    with opened(server, "/ws/events") as stream:
        stream.send("x" * 10_001)
        assert stream.closed()[0] == CloseCode.TOO_BIG


def test_streamed_events_reach_dashboards(either_server: Server) -> None:
    """Events from one socket are broadcast to the other."""
    with dashboard(either_server) as client, opened(either_server, "/ws/events") as stream:
        stream.send([{"agent_id": "a"}, {"agent_id": "b"}])
        assert [client.next()["agent_id"] for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("path", ["/ws/broadcasts", "/ws/events"])
def test_plain_http_request_returns_426(module_server: Server, path: str) -> None:
    """A GET without an upgrade is a 426, another method a 405."""
    response = module_server.get(path)
    assert (response.status, response.error["code"]) == (426, "upgrade_required")
    assert response.headers["upgrade"] == "websocket"
    assert module_server.post(path, {}).status == 405


HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.mark.parametrize("path", ["/ws/broadcasts", "/ws/events"])
@pytest.mark.parametrize(
    ("name", "value", "status", "message"),
    [
        ("Connection", "close", 400, "Connection: expected Upgrade, got 'close'"),
        ("Sec-WebSocket-Key", "", 400, "missing header Sec-WebSocket-Key"),
        ("Sec-WebSocket-Version", "8", 426, "Sec-WebSocket-Version: expected 13, got '8'"),
        ("Sec-WebSocket-Version", "", 426, "Sec-WebSocket-Version: expected 13, got ''"),
    ],
)
def test_invalid_handshake_explains_the_error(
    module_server: Server, path: str, name: str, value: str, status: int, message: str
) -> None:
    """The error has the common shape and names the supported version."""
    response = module_server.request("GET", path, headers={**HANDSHAKE, name: value})
    assert (response.status, response.error["message"]) == (status, message)
    assert response.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
