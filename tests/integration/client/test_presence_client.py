"""PresenceClient with a scripted server: resume, refusals, reconnects, threads."""

from __future__ import annotations

import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from htmlgraph_nb.client.presence_client import PresenceClient, shared_client
from htmlgraph_nb.errors import ConnectError, ServerNotFound, ServerRefused
from tests.helpers.fake_websocket_server import (
    FakeWebSocketServer,
    announce,
    close,
    presence,
    send,
    state,
    stay,
    update,
)
from tests.helpers.server_files import announced_server
from tests.helpers.wait import wait_until


@pytest.fixture
def home(own_home, monkeypatch):
    """Return the client's data folder, which contains Jupyter's runtime folder."""
    runtime = own_home / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
    return own_home


@pytest.fixture
def closed_port():
    """Return a port of this machine on which no server listens."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return server.server_port


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("htmlgraph-")]


def test_client_follows_and_resumes_from_its_cursor(home):
    """First without a cursor; after a close with the last seq that it applied."""
    first = [state("e1", 5, presence("a", 3), presence("b", 5)), update("a", 6), close(1001, "bye")]
    second = [state("e1", 8, presence("a", 8, status="idle"), full=False, removed=("b",)), stay]
    with FakeWebSocketServer(first, second) as server, PresenceClient(server.url) as client:
        client.wait_for(lambda agents: agents.get("a") and agents["a"].seq == 6, 10)
        wait_until(lambda: client.status == "reconnecting", "the close")
        assert client.stale_since is not None
        assert client.agents.keys() == {"a", "b"}
        assert "1001 bye" in client.connection.detail
        announce(home)
        client.wait_connected(10)
        assert client.stale_since is None
        assert {name: str(agent.status) for name, agent in client.agents.items()} == {"a": "idle"}
        assert str(client.cursor) == "e1:8"
        assert server.paths == ["/ws/broadcasts", "/ws/broadcasts?since=e1%3A6"]


def test_client_keeps_the_server_info(home):
    """The server's last report about itself; it is not a change of agents."""
    reports = [{"type": "server_info", "quotas": [], "backfill": None}, {"type": "server_info"}]
    steps = [state("e1", 1, presence("a", 1)), *map(send, reports), update("a", 2), stay]
    with FakeWebSocketServer(steps) as server, PresenceClient(server.url) as client:
        assert client.server_info is None
        client.wait_for(lambda agents: agents.get("a") and agents["a"].seq == 2, 10)
        assert client.server_info == reports[-1]


def test_client_reconnects_after_three_seconds(home):
    """Without a new server file."""
    scripts = [[state("e", 1), close(4408, "stalled reader")], [state("e", 1), stay]]
    with FakeWebSocketServer(*scripts) as server, PresenceClient(server.url) as client:
        wait_until(lambda: len(server.requests) == 2, "the second connection")
        client.wait_connected(10)


def test_client_new_epoch_replaces_all_agents(home):
    """A state of another epoch is complete."""
    first = [state("e1", 50, presence("old", 50)), close(1001)]
    second = [state("e2", 2, presence("new", 2)), stay]
    changes: list[set[str]] = []
    with FakeWebSocketServer(first, second) as server, PresenceClient(server.url) as client:
        client.on_change(lambda changed, _: changes.append(changed))
        wait_until(lambda: client.status == "reconnecting", "the close")
        announce(home)
        client.wait_for(lambda agents: "new" in agents, 10)
        assert client.agents.keys() == {"new"}
        assert str(client.cursor) == "e2:2"
        assert changes[-1] == {"old", "new"}


def test_client_is_connected_after_the_last_part_of_the_state(home):
    """The first part alone does not count."""
    proceed = threading.Event()
    script = [
        state("e", 2, presence("a", 1), part=1, parts=2),
        lambda _: proceed.wait(10),
        state("e", 2, presence("b", 2), part=2, parts=2),
        stay,
    ]
    with FakeWebSocketServer(script) as server, PresenceClient(server.url) as client:
        client.wait_for(lambda agents: "a" in agents, 10)
        assert client.status == "connecting"
        proceed.set()
        client.wait_connected(10)
        assert client.agents.keys() == {"a", "b"}


def test_client_shows_refusal_and_retries_late(home):
    """1008: the server's reason is shown; the delay is long; a new server file shortens it."""
    scripts = [[close(1008, "10 clients in session s")], [state("e", 1), stay]]
    with FakeWebSocketServer(*scripts) as server, PresenceClient(server.url, session="s") as client:
        wait_until(lambda: "10 clients in session s" in client.connection.detail, "the reason")
        with pytest.raises(ServerRefused, match="10 clients in session s") as caught:
            client.wait_connected(0.05)
        assert caught.value.status == 1008
        assert server.paths == ["/ws/broadcasts?session=s"]
        announce(home)
        client.wait_connected(10)


def test_client_wrong_parameter_is_final(home):
    """4400: no second attempt; waiting calls raise at once, without a timeout."""
    with FakeWebSocketServer([close(4400, "bad cursor")]) as server:
        client = PresenceClient(server.url)
        with pytest.raises(ServerRefused, match="4400 bad cursor") as caught:
            client.wait_for(lambda agents: agents)
        assert caught.value.status == 4400
        assert client.status == "closed"
        assert "Not retried" in client.connection.detail
        wait_until(lambda: not own_threads(), "the end of the thread")
        client.close()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "message",
    ["{", "[]", '{"type":"presence_update","seq":2}'],
    ids=["cut", "array", "no presence"],
)
def test_client_requests_full_state_after_unreadable_message(home, message):
    """The copy may be wrong, so the next connection sends no cursor."""
    scripts = [[state("e", 1, presence("a", 1)), send(message), stay], [state("e", 1), stay]]
    with FakeWebSocketServer(*scripts) as server, PresenceClient(server.url) as client:
        wait_until(lambda: "unreadable message" in client.connection.detail, "the close")
        announce(home)
        client.wait_connected(10)
        assert server.paths == ["/ws/broadcasts"] * 2
        assert client.agents == {}


def test_client_sends_token_in_a_header_and_never_logs_it(home, caplog):
    """Not in the URL, and not in a log of any level."""
    caplog.set_level(logging.DEBUG)
    script = [state("e", 1), stay]
    with (
        FakeWebSocketServer(script) as server,
        PresenceClient(server.url, token="hunter2") as client,
    ):
        client.wait_connected(10)
        path, headers = server.requests[0]
        assert headers["Authorization"] == "Bearer hunter2"
        assert "hunter2" not in path + client.connection.detail + repr(client)
    logged = [
        record for record in caplog.records if not record.name.startswith("websockets.server")
    ]
    assert "hunter2" not in "".join(record.getMessage() for record in logged)


def test_client_follows_no_redirect(home):
    """Another server must not receive the token."""
    with FakeWebSocketServer([state("e", 1), stay]) as other:
        headers = Headers({"Location": f"ws://127.0.0.1:{other.port}/ws/broadcasts"})
        moved = Response(302, "Found", headers, b"")
        with (
            FakeWebSocketServer(response=moved) as server,
            PresenceClient(server.url, token="t") as client,
        ):
            wait_until(lambda: client.connection.detail, "the first attempt")
            assert "not an htmlgraph-nb server (" in client.connection.detail
        assert other.requests == []


def test_client_shows_error_of_a_rejected_handshake(home):
    """401 with the project's error body."""
    body = b'{"error":{"code":"unauthorized","message":"a token is needed","field":null}}'
    refusal = Response(401, "Unauthorized", Headers({"Content-Length": str(len(body))}), body)
    with FakeWebSocketServer(response=refusal) as server, PresenceClient(server.url) as client:
        wait_until(lambda: client.connection.detail, "the first attempt")
        with pytest.raises(ServerRefused, match="a token is needed") as caught:
            client.wait_connected(0.05)
        assert caught.value.status == 401


def test_client_without_server_lists_what_was_tried(home, closed_port):
    """Each address with its reason, and what to type."""
    client = PresenceClient(f"http://127.0.0.1:{closed_port}")
    with client, pytest.raises(ServerNotFound) as caught:
        client.wait_connected(0.5)
    text = str(caught.value)
    assert f"http://127.0.0.1:{closed_port} (as given): connection refused" in text
    assert "htmlgraph-nb serve" in text


def test_client_tries_candidates_until_one_answers(home, closed_port):
    """The server file of a killed server does not hide the running one."""
    runtime = home / "runtime"
    with (
        FakeWebSocketServer([state("e", 1), stay]) as server,
        announced_server(home, server.url, "run", pid=os.getpid()),
    ):
        (runtime / f"jpserver-{os.getppid()}.json").write_text(
            f'{{"url": "http://127.0.0.1:{closed_port}/", "token": "x"}}'
        )
        with PresenceClient() as client:
            client.wait_connected(10)
            assert client.connection.url == server.url
            assert server.requests[0][1]["Authorization"] == "Bearer run"


def test_client_tries_next_candidate_after_a_refusal(home):
    """If the first denies access, the next one is followed."""
    refusal = Response(403, "Forbidden", Headers({"Content-Length": "0"}), b"")
    with (
        FakeWebSocketServer([state("e", 1), stay]) as server,
        FakeWebSocketServer(response=refusal) as other,
        announced_server(home, other.url, pid=os.getppid()),
        announced_server(home, server.url, "run", pid=os.getpid(), age_s=1),
        PresenceClient() as client,
    ):
        client.wait_connected(10)
        assert client.connection.url == server.url


def test_client_lists_all_refusals(home, closed_port, monkeypatch):
    """Over the WebSocket and over HTTP; servers that do not answer are included."""
    default = f"http://127.0.0.1:{closed_port}"
    monkeypatch.setattr("htmlgraph_nb.client.discovery.DEFAULT_URL", default)
    body = b'{"error":{"code":"token_needed","message":"show the token","field":null}}'
    length = Headers({"Content-Length": str(len(body))})
    refusal = Response(403, "Forbidden", length, body)
    with (
        FakeWebSocketServer(response=refusal) as first,
        FakeWebSocketServer(response=refusal) as second,
        announced_server(home, first.url, pid=os.getppid()),
        announced_server(home, second.url, pid=os.getpid(), age_s=1),
        PresenceClient() as client,
    ):
        for call in (lambda: client.wait_connected(0.5), client.presence):
            with pytest.raises(ServerRefused) as caught:
                call()
            text = str(caught.value)
            refused = "refused: HTTP 403 show the token"
            assert f"{first.url} (the Jupyter Server of this kernel): {refused}" in text
            assert f"{second.url} (a server of this user): {refused}" in text
            assert f"{default} (the default address): connection refused" in text


class OtherProgram(BaseHTTPRequestHandler):
    """A web server of another program."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def test_client_detects_servers_of_other_programs(home):
    """Over the WebSocket and over HTTP."""
    server = HTTPServer(("127.0.0.1", 0), OtherProgram)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with PresenceClient(f"http://127.0.0.1:{server.server_port}") as client:
            wait_until(lambda: client.connection.detail, "the first attempt")
            assert "not an htmlgraph-nb server" in client.connection.detail
            with pytest.raises(ServerNotFound) as caught:
                client.presence()
            assert "not an htmlgraph-nb server (HTTP 404)" in str(caught.value)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_client_logs_callback_errors(home, caplog):
    """The other callbacks are called, and the thread continues."""
    calls: list[tuple[set[str], set[str]]] = []
    script = [state("e", 1, presence("a", 1)), update("b", 2), stay]

    def broken(changed, agents):
        raise ZeroDivisionError("in a callback")

    with FakeWebSocketServer(script) as server:
        client = PresenceClient(server.url, on_change=broken)
        client.on_change(lambda changed, agents: calls.append((changed, set(agents))))
        with client:
            client.wait_for(lambda agents: "b" in agents, 10)
            wait_until(lambda: calls and calls[-1][1] == {"a", "b"}, "the callbacks")
            assert set.union(*(changed for changed, _ in calls)) == {"a", "b"}
            assert client.status == "connected"
    assert "ZeroDivisionError: in a callback" in caplog.text


def test_client_on_change_returns_an_unsubscriber(home):
    """It may be called twice."""
    calls: list[set[str]] = []
    proceed = threading.Event()
    script = [state("e", 1, presence("a", 1)), lambda _: proceed.wait(10), update("b", 2), stay]
    with FakeWebSocketServer(script) as server:
        client = PresenceClient(server.url)
        unsubscribe = client.on_change(lambda changed, _: calls.append(changed))
        with client:
            wait_until(lambda: calls, "the first change")
            unsubscribe()
            unsubscribe()
            proceed.set()
            client.wait_for(lambda agents: "b" in agents, 10)
    assert calls == [{"a"}]


def test_client_wait_for_timeout_contains_the_last_state(home):
    """The message contains the connection and the agents."""
    script = [state("e", 1, presence("a", 1)), stay]
    with FakeWebSocketServer(script) as server, PresenceClient(server.url) as client:
        client.wait_connected(10)
        with pytest.raises(TimeoutError, match=r"connected .*1 agents: a active"):
            client.wait_for(lambda agents: "unknown" in agents, 0.02)


def test_client_close_wakes_waiting_threads(home):
    """wait_for raises instead of waiting for ever."""
    with FakeWebSocketServer([state("e", 1), stay]) as server:
        client = PresenceClient(server.url).wait_connected(10)
        threading.Timer(0.05, client.close).start()
        with pytest.raises(ConnectError, match="closed"):
            client.wait_for(lambda agents: agents)
        client.close()


@pytest.mark.parametrize("script", [[state("e", 1), stay], [stay]], ids=["connected", "silent"])
def test_client_close_ends_thread_and_keeps_agents(home, script):
    """Whether the server sends or not; a second close does nothing."""
    with FakeWebSocketServer(script) as server:
        client = PresenceClient(server.url).start()
        wait_until(lambda: server.requests, "the connection")
        client.close()
        assert own_threads() == []
        client.close()
        assert client.status == "closed"
        assert client.agents == {}


def test_client_close_interrupts_the_reconnect_delay(home, closed_port):
    """It does not wait for the next attempt."""
    client = PresenceClient(f"http://127.0.0.1:{closed_port}").start()
    wait_until(lambda: client.connection.detail, "the first attempt")
    client.close()
    assert own_threads() == []


def test_client_close_in_a_callback_does_not_deadlock(home):
    """A callback may close its own client."""
    with FakeWebSocketServer([state("e", 1, presence("a", 1)), stay]) as server:
        client = PresenceClient(server.url)
        client.on_change(lambda *_: client.close())
        client.start()
        wait_until(lambda: client.status == "closed" and not own_threads(), "the end")
        assert client.agents.keys() == {"a"}


def test_client_sends_and_applies_its_filter(home):
    """An agent outside the filter is not shown even if the server sends it."""
    server = FakeWebSocketServer()
    server.scripts.append(
        [server.listen, state("e", 2, presence("a", 1), presence("b", 2, status="idle")), stay]
    )
    with server, PresenceClient(server.url, filter={"statuses": {"active"}}) as client:
        client.wait_connected(10)
        assert server.received == ['{"type":"subscribe","statuses":["active"]}']
        assert client.agents.keys() == {"a"}


def test_shared_client_closes_with_the_last_lease(home):
    """Same address and token: same client; the last release closes it, once."""
    with FakeWebSocketServer(*[[state("e", 1), stay]] * 3) as server:
        first, second = shared_client(server.url), shared_client(server.url)
        other = shared_client(server.url, "t")
        assert first.client is second.client is not other.client
        first.client.wait_connected(10)
        first.release()
        first.release()
        assert second.client.status == "connected"
        second.release()
        assert second.client.status == "closed"
        again = shared_client(server.url)
        assert again.client is not second.client
        for lease in (other, again):
            lease.release()
        assert own_threads() == []
