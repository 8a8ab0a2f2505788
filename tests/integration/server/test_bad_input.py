"""Hostile and broken input gets a clear error, stores nothing, and the server keeps serving."""

from __future__ import annotations

import itertools
import json
import os
import random
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import psutil
import pytest
from websockets.sync.client import connect

from htmlgraph_server.handlers.json_api import DRAIN_FACTOR
from htmlgraph_server.server import MAX_DIGITS
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.helpers.websocket_frames import RawSocket, client_frame
from tests.integration.conftest import Serve
from tests.integration.server.handlers.test_websockets import handshake

MIB = 1 << 20
GOOD = '{"agent_id":"good"}'


def fingerprint(server: Server) -> str:
    """Return a value that changes with every stored event."""
    return str(server.get("/api/presence").json()["cursor"])


def raw_connection(server: Server) -> socket.socket:
    """Return a TCP connection to the server."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    data = b""
    try:
        while part := connection.recv(65_536):
            data += part
    except ConnectionResetError:
        pass
    return data


# Events


WRONG_FIELDS: list[tuple[str, str]] = [
    ("{}", "agent_id"),
    ('{"agent_id":null}', "agent_id"),
    ('{"agent_id":7}', "agent_id"),
    ('{"agent_id":""}', "agent_id"),
    ('{"agent_id":["a"]}', "agent_id"),
    ('{"agent_id":"%s"}' % ("a" * MIB), "agent_id"),
    ('{"agent_id":"a\\u0000b"}', "agent_id"),
    ('{"agent_id":"\\ud800"}', "agent_id"),
    ('{"agent_id":"a","event_type":"%s"}' % ("t" * 65), "event_type"),
    ('{"agent_id":"a","event_type":5}', "event_type"),
    ('{"agent_id":"a","timestamp":"yesterday"}', "timestamp"),
    ('{"agent_id":"a","timestamp":1736866230}', "timestamp"),
    ('{"agent_id":"a","timestamp":"0001-01-01T00:00:00Z"}', "timestamp"),
    ('{"agent_id":"a","timestamp":"9999-12-31T23:59:59-23:59"}', "timestamp"),
    ('{"agent_id":"a","timestamp":"2025-02-30T00:00:00Z"}', "timestamp"),
    ('{"agent_id":"a","status":"fine"}', "status"),
    ('{"agent_id":"a","status":true}', "status"),
    ('{"agent_id":"a","cost_tokens":-1}', "cost_tokens"),
    ('{"agent_id":"a","cost_tokens":1.5}', "cost_tokens"),
    ('{"agent_id":"a","cost_tokens":true}', "cost_tokens"),
    ('{"agent_id":"a","cost_tokens":"1"}', "cost_tokens"),
    ('{"agent_id":"a","cost_tokens":9007199254740992}', "cost_tokens"),
    ('{"agent_id":"a","cost_tokens":1%s}' % ("0" * (MAX_DIGITS - 1)), "cost_tokens"),
    ('{"agent_id":"a","duration_ms":1e400}', "duration_ms"),
    ('{"agent_id":"a","cost_usd":1e400}', "cost_usd"),
    ('{"agent_id":"a","cost_usd":-0.01}', "cost_usd"),
    ('{"agent_id":"a","extra":[]}', "extra"),
    ('{"agent_id":"a","extra":{"n":1e400}}', "extra"),
    ('{"agent_id":"a","extra":{"s":"\\udfff"}}', "extra"),
    ('{"agent_id":"a","extra":{"s":"%s"}}' % ("x" * 16_384), "extra"),
    ('{{"agent_id":"a","extra":{}{{}}{}}}'.format('{"x":' * 70, "}" * 70), "extra"),
    ('{"agent_id":"a","tool":"Read"}', "tool"),
    ('{"agent_id":"a","\\ud800":1}', "\\ud800"),
    ('{"agent_id":"a","%s":1}' % ("k" * MIB), "k" * 60),
    ('{"agent_id":"a","agent_id ":"b"}', "agent_id "),
]


@pytest.mark.parametrize(
    ("body", "field"), WRONG_FIELDS, ids=[str(n) for n in range(len(WRONG_FIELDS))]
)
def test_invalid_field_returns_400(module_server: Server, body: str, field: str) -> None:
    """The error names the field: alone, in an array with its index, and in a line."""
    before = fingerprint(module_server)
    for text, prefix in (
        (body, ""),
        (f"[{GOOD},{body},{GOOD}]", "[1]."),
        (f"{GOOD}\n\n{body}\n{GOOD}", "line 3."),
    ):
        kind = "application/x-ndjson" if prefix.startswith("line") else "application/json"
        response = module_server.post("/api/events", text, Content_Type=kind)
        assert (response.status, response.error["code"]) == (400, "invalid")
        assert response.error["field"] == prefix + field
        assert len(response.text) < 1_000
    assert fingerprint(module_server) == before


NOT_EVENTS: list[tuple[bytes, str]] = [
    (b"", "invalid_json"),
    (b" ", "invalid_json"),
    (b"nonsense", "invalid_json"),
    (b"{", "invalid_json"),
    (b'{"agent_id":"a"} x', "invalid_json"),
    (b"{'agent_id':'a'}", "invalid_json"),
    (b'{"agent_id":"a","cost_usd":NaN}', "invalid_json"),
    (b'{"agent_id":"a","cost_usd":-Infinity}', "invalid_json"),
    (b'{"agent_id":"\xff"}', "invalid_json"),
    ('{"agent_id":"a"}'.encode("utf-16"), "invalid_json"),
    ('{"agent_id":"ä"}'.encode("latin-1"), "invalid_json"),
    (b"\x1f\x8b\x08\x00", "invalid_json"),
    (os.urandom(1_000), "invalid_json"),
    (b"[" * MIB, "invalid_json"),
    (b'{"a":' * MIB, "invalid_json"),
    (b'{"agent_id":1%s}' % (b"0" * MAX_DIGITS), "invalid_json"),
    (b"null", "invalid"),
    (b"true", "invalid"),
    (b'"text"', "invalid"),
    (b"1e400", "invalid"),
    (b"[[]]", "invalid"),
    (b"[null]", "invalid"),
    (b"[%s]" % b",".join([b'{"agent_id":"a"}'] * 10_001), "invalid"),
    (b"[%s]" % b",".join([b'{"agent_id":"a"}'] * 100_000), "invalid"),
    (b"[%s]" % b",".join([b"{}"] * 100_000), "invalid"),
]


@pytest.mark.parametrize(("body", "code"), NOT_EVENTS, ids=[str(n) for n in range(len(NOT_EVENTS))])
@pytest.mark.parametrize("path", ["/api/events", "/api/hooks/claude", "/api/broadcast/tracks/t"])
def test_invalid_body_returns_400(module_server: Server, path: str, body: bytes, code: str) -> None:
    """Invalid JSON and JSON of another shape, on every route with a body."""
    before = fingerprint(module_server)
    headers = {"X_Agent_ID": "a", "X_Session_ID": "s"} if "broadcast" in path else {}
    response = module_server.post(path, body, **headers)
    assert (response.status, response.error["code"]) == (400, code)
    assert len(response.text) < 1_000
    assert fingerprint(module_server) == before


@pytest.mark.parametrize(
    "body",
    [b"\n" * 20_001, b'{"agent_id":"a"}\n' * 10_001, b"{}\n" * 100_000, b"[\n]", b"\xff\n"],
    ids=["empty-lines", "events", "objects", "lines-of-one", "bytes"],
)
def test_invalid_ndjson_returns_400(module_server: Server, body: bytes) -> None:
    """Too many lines or broken lines; nothing is stored."""
    before = fingerprint(module_server)
    response = module_server.post("/api/events", body, Content_Type="application/x-ndjson")
    assert response.status == 400
    assert response.error["message"]
    assert fingerprint(module_server) == before


def test_largest_batch_is_accepted(server: Server) -> None:
    """Ten thousand events at once."""
    batch = [{"agent_id": f"a{n % 100}", "event_id": f"e{n}"} for n in range(10_000)]
    assert server.post("/api/events", batch).json()["accepted"] == 10_000
    assert len(server.presence()) == 100


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"session_id": "s"}, "hook_event_name"),
        ({"hook_event_name": "Stop"}, "session_id"),
        ({"hook_event_name": 7, "session_id": "s"}, "hook_event_name"),
        ({"hook_event_name": "Stop", "session_id": "s", "htmlgraph": 7}, "htmlgraph"),
    ],
)
def test_hook_without_required_fields_returns_400(
    module_server: Server, body: dict[str, Any], field: str
) -> None:
    """The error names the missing field."""
    response = module_server.post("/api/hooks/claude", body)
    assert (response.status, response.error["field"]) == (400, field)


@pytest.mark.parametrize("path", ["%00", "%ff", "%ed%a0%80", "x" * 257, "%F0%9F"])
def test_invalid_agent_id_in_path_returns_400(module_server: Server, path: str) -> None:
    """An id that no event can have is neither a 404 nor a 500."""
    assert module_server.get(f"/api/presence/{path}").status == 400
    assert module_server.post(f"/api/presence/{path}/offline").status == 400


# Too much


def chunks(n_bytes: int, size: int = 65_536) -> Iterator[bytes]:
    """Yield ``n_bytes`` of spaces."""
    yield from itertools.repeat(b" " * size, n_bytes // size)


@pytest.mark.parametrize("path", ["/api/events", "/api/broadcast/tracks/t", "/api/status"])
@pytest.mark.parametrize("chunked", [False, True])
def test_huge_body_is_refused_without_memory(
    module_server: Server, path: str, chunked: bool
) -> None:
    """The server's memory does not grow by it."""
    process = psutil.Process(module_server.pid)
    before = process.memory_info().rss
    peak = before
    size = 100 * MIB

    def watched() -> Iterator[bytes]:
        nonlocal peak
        for part in chunks(size):
            peak = max(peak, process.memory_info().rss)
            yield part

    length = {} if chunked else {"Content-Length": str(size)}
    response = module_server.request("POST", path, watched(), length)
    expected = (413, "body_too_large") if path != "/api/status" else (405, "method_not_allowed")
    assert (response.status, response.error["code"]) == expected
    assert peak - before < 40 * MIB


def test_huge_content_length_is_refused_at_once(module_server: Server) -> None:
    """A length far over the limit is refused before the body arrives."""
    for length, expect in ((1 << 40, ""), (100 * MIB, "Expect: 100-continue\r\n")):
        with raw_connection(module_server) as connection:
            head = f"POST /api/events HTTP/1.1\r\nHost: localhost\r\n{expect}"
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
            response = read_all(connection)
        assert response.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"body_too_large"' in response


def test_endless_chunked_body_is_cut_off(serve: Serve) -> None:
    """The server's memory does not grow by it."""
    server = serve("--max-body-bytes", "100000")
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    with raw_connection(server) as connection:
        connection.sendall(
            b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        part = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(part * 2_000)
    assert process.memory_info().rss - before < 20 * MIB
    assert server.get("/api/status").status == 200


def test_body_over_the_drain_limit_gets_the_error_shape(serve: Serve) -> None:
    """A body without a length is refused as soon as it is too long to be drained."""
    server = serve("--max-body-bytes", "100000")
    n_chunks = 100_000 * DRAIN_FACTOR // 65_536 + 1
    with raw_connection(server) as connection:
        connection.sendall(
            b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall((b"10000\r\n" + b" " * 65_536 + b"\r\n") * n_chunks)
        response = read_all(connection)
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in response


def test_large_bodies_in_parallel_are_accepted(module_server: Server) -> None:
    """Bodies of exactly the limit, eight at a time."""
    body = b'{"agent_id":"a","tool":"' + b"x" * (8 * MIB - 100) + b'"}'
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(module_server.post, "/api/events", body) for _ in range(16)]
        assert {job.result().status for job in jobs} == {400}


BUDGET = ("--max-body-bytes", "1000000", "--max-buffered-bytes", "4000000")


@pytest.mark.parametrize("server", [BUDGET], indirect=True)
def test_unfinished_bodies_share_a_budget(server: Server) -> None:
    """The largest unfinished bodies are given up; small ones are never refused because of them."""
    size = 1_000_000
    head = f"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
    with ExitStack() as stack:
        waiting = [stack.enter_context(raw_connection(server)) for _ in range(12)]
        for connection in waiting:
            connection.sendall(head.encode() + b" " * (size - 1))
            assert server.send("small").status == 200
        wait_until(lambda: metric(server, "htmlgraph_evicted_connections_total"), "one is given up")
        assert 0 < metric(server, "htmlgraph_buffered_bytes") <= 4_000_000
        responses = []
        for connection in waiting:
            connection.sendall(b" ")
            responses.append(connection.recv(65_536))
        refused = [response for response in responses if b" 503 " in response]
        assert len(refused) >= 8
        assert all(b'"code":"busy"' in r and b"Retry-After: 1" in r for r in refused)
        # The others held their bytes: their body is complete, and no JSON.
        assert all(b" 400 " in r for r in responses if r not in refused)
    wait_until(lambda: metric(server, "htmlgraph_buffered_bytes") == 0, "the budget is free again")


@pytest.mark.parametrize("server", [BUDGET], indirect=True)
@pytest.mark.parametrize("n_frames", [1, 4])
def test_unfinished_messages_share_a_budget(server: Server, n_frames: int) -> None:
    """Clients that never finish a message, and answer pings meanwhile, are closed with 1013."""
    parts = [b"x" * (900_000 // n_frames)] * n_frames
    frames = [client_frame(0x0 if n else 0x1, part, fin=False) for n, part in enumerate(parts)]
    if n_frames == 1:
        # One frame whose last bytes are withheld.
        frames = [client_frame(0x1, parts[0])[:-1]]
    with ExitStack() as stack:
        small = RawSocket(server, "/ws/events")
        stack.callback(small.close)
        waiting = []
        for _ in range(20):
            connection = RawSocket(server, "/ws/events")
            stack.callback(connection.close)
            connection.socket.sendall(b"".join(frames))
            waiting.append(connection)
            small.socket.sendall(client_frame(0x1, GOOD.encode()))
            ack = small.next_frame()
            assert ack is not None
            assert json.loads(ack.payload)["type"] == "ack"
        wait_until(
            lambda: metric(server, "htmlgraph_evicted_connections_total") >= 16, "they are given up"
        )
        assert metric(server, "htmlgraph_buffered_bytes") <= 4_000_000
        given_up = 0
        for connection in waiting:
            connection.socket.settimeout(0.2)
            with suppress(TimeoutError):
                frame = connection.next_frame()
                assert frame is not None
                assert (frame.opcode, frame.payload[:2]) == (0x8, (1013).to_bytes(2, "big"))
                given_up += 1
        assert given_up >= 16
    wait_until(lambda: metric(server, "htmlgraph_buffered_bytes") == 0, "the budget is free again")


@pytest.mark.parametrize("server", [("--stall-timeout", "1s")], indirect=True)
@pytest.mark.parametrize("path", ["/api/presence", "/api/history?limit=5000", "/api/openapi.json"])
def test_unread_responses_end(server: Server, path: str) -> None:
    """A client that does not read its response is disconnected; one that reads gets all of it."""
    agents = [{"agent_id": f"agent-{n}", "extra": {"x": "y" * 600}} for n in range(3_000)]
    assert server.post("/api/events", agents).status == 200
    whole = server.get(path).body
    process = psutil.Process(server.pid)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        before = process.num_fds()
        for _ in range(10):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", server.port))
            # Pipelined responses fill the kernel's buffers, whatever their size.
            connection.sendall(request * 60)
        wait_until(lambda: process.num_fds() > before, "they are connected")
        wait_until(lambda: process.num_fds() <= before, "they are disconnected")
        assert server.get(path).body == whole
    assert metric(server, "htmlgraph_buffered_bytes") == 0


def metric(server: Server, name: str) -> float:
    """Return the value of a metric."""
    lines = server.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_feature_fields_are_bounded(module_server: Server) -> None:
    """Many small changes of one feature are limited in total, and null removes fields."""
    headers = {"X_Agent_ID": "a", "X_Session_ID": "s"}
    path = "/api/broadcast/tracks/growing"
    text = "x" * 10_000
    responses = [module_server.post(path, {f"f{n}": text}, **headers) for n in range(8)]
    assert [response.status for response in responses] == [200] * 6 + [400] * 2
    assert "send null" in responses[-1].error["message"]
    assert module_server.post(path, {"f0": None, "f9": text}, **headers).status == 200


def test_new_agents_over_the_limit_return_429(serve: Serve) -> None:
    """Beyond --max-agents only existing agents are accepted, and those of other sources."""
    server = serve("--max-agents", "500")
    existing = [{"agent_id": f"a{n}"} for n in range(500)]
    assert server.post("/api/events", existing).status == 200
    for start in range(500, 10_500, 1_000):
        batch = [{"agent_id": f"a{n}"} for n in range(start, start + 1_000)]
        response = server.post("/api/events", batch)
        assert (response.status, response.error["code"]) == (429, "too_many_agents")
        assert response.headers["retry-after"] == "1"
        assert "--max-agents" in response.error["message"]
    mixed = server.post("/api/events", [{"agent_id": "a0"}, {"agent_id": "new"}])
    assert mixed.status == 429
    assert fingerprint(server).endswith(":500")
    assert server.send("a0").status == 200
    headers = {"X_Agent_ID": "new", "X_Session_ID": "s"}
    assert server.post("/api/broadcast/tracks/t", {}, **headers).status == 429
    hook = {"hook_event_name": "Stop", "session_id": "s"}
    assert server.post("/api/hooks/claude", hook).status == 204
    assert len(server.presence()) == 500


# Broken HTTP


def malformed() -> list[bytes]:
    """Return malformed requests, and random bytes with a fixed seed."""
    source = random.Random(1)
    good = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n"
    return [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET /%zz%ff?%00=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //evil.example/%2f.. HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        good + b"Content-Length: -1\r\n\r\n",
        good + b"Content-Length: 1_0\r\n\r\n0123456789",
        good + b"Content-Length: 99999999999999999999999\r\n\r\n",
        good + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        good + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        good + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        good + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        good + b"Transfer-Encoding: gzip\r\n\r\n{}",
        good + b"Content-Length: 5\r\n\r\n{}",
        b"GET /ws/broadcasts HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
        handshake_of_version(99),
        *(source.randbytes(source.randrange(1, 5_000)) for _ in range(50)),
        *(good + source.randbytes(source.randrange(1, 5_000)) for _ in range(50)),
    ]


def handshake_of_version(version: int) -> bytes:
    """Return a WebSocket handshake of an unsupported version."""
    return (
        "GET /ws/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: {version}\r\n\r\n"
    ).encode()


def test_malformed_http_never_returns_500(server: Server) -> None:
    """The next client is served."""
    for request in malformed():
        with raw_connection(server) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                # It was refused while it was still being sent.
                continue
            assert b" 500 " not in read_all(connection)[:20]
    assert server.get("/api/status").json()["updates"]["total"] == 0


def test_reset_connections_leave_no_trace(server: Server) -> None:
    """The connections are reset at any point, even within a long response."""
    batch = [{"agent_id": "a", "extra": {"x": "y" * 1_000}} for _ in range(5_000)]
    assert server.post("/api/events", batch).status == 200
    requests = [
        b"GET /api/history?format=ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/history?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/history?limit=5000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
        handshake(server),
        handshake(server, "/ws/events"),
        handshake(server, "/ws/broadcasts?since=nonsense"),
        handshake(server) + b"\x81\x84\0\0\0\0pi",
        b"GET /api/st",
    ]
    for request in requests * 5:
        with raw_connection(server) as connection:
            connection.sendall(request)
            # Closing with this option sends a reset instead of an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(
        lambda: server.get("/api/status").json()["clients"]["total"] == 0, "all clients are removed"
    )


# Broken WebSocket frames


def masked(head: bytes, payload: bytes = b"") -> bytes:
    """Return a frame with a mask of zeros."""
    return head + b"\0\0\0\0" + payload


FRAMES = {
    "unmasked": b"\x81\x04ping",
    "reserved-bits": masked(b"\xf1\x84", b"ping"),
    "reserved-opcode": masked(b"\x83\x84", b"ping"),
    "reserved-control": masked(b"\x8b\x80"),
    "fragment-of-nothing": masked(b"\x80\x84", b"ping"),
    "second-beginning": masked(b"\x01\x82", b"pi") + masked(b"\x81\x82", b"ng"),
    "fragmented-control": masked(b"\x09\x80"),
    "long-control": masked(b"\x89\xfe\x00\x7e", b"x" * 126),
    "not-utf-8": masked(b"\x81\x81", b"\xff"),
    "close-without-code": masked(b"\x88\x80"),
    "close-of-one-byte": masked(b"\x88\x81", b"\x03"),
    "close-of-no-code": masked(b"\x88\x82", b"\x00\x00"),
    "close-not-utf-8": masked(b"\x88\x83", b"\x03\xe8\xff"),
    "huge": masked(b"\x81\xff" + (1 << 40).to_bytes(8, "big")),
    "negative": masked(b"\x81\xff" + b"\xff" * 8),
    "huge-in-fragments": masked(b"\x01\xfe\xff\xff", b"x" * 65_535) * 2,
    "half": b"\x81\xfe\x10",
    "random": random.Random(2).randbytes(10_000),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("path", ["/ws/broadcasts", "/ws/events"])
def test_broken_frame_affects_its_connection_only(
    module_server: Server, path: str, name: str
) -> None:
    """It ends at most its own connection."""
    before = module_server.get("/api/status").json()
    with connect(module_server.ws("/ws/broadcasts")) as other:
        other.recv(timeout=10)
        with raw_connection(module_server) as connection:
            # The server may have ended the connection before it was sent all.
            with suppress(OSError):
                connection.sendall(handshake(module_server, path) + FRAMES[name])
                connection.shutdown(socket.SHUT_WR)
            assert read_all(connection).startswith(b"HTTP/1.1 101 ")
        other.send("ping")
        assert json.loads(other.recv(timeout=10)) == {"type": "pong"}
    after = module_server.get("/api/status").json()
    assert after["cursor"] == before["cursor"]


def test_fragmented_message_is_reassembled(module_server: Server) -> None:
    """A ping between the fragments is allowed."""
    fragments = masked(b"\x01\x82", b"pi") + masked(b"\x89\x80") + masked(b"\x80\x82", b"ng")
    with raw_connection(module_server) as connection:
        connection.sendall(handshake(module_server) + fragments)
        seen = b""
        while b'{"type":"pong"}' not in seen:
            part = connection.recv(65_536)
            assert part, seen
            seen += part


# Slow and many


def test_slow_requests_do_not_delay_others(server: Server) -> None:
    """Two hundred requests that never end do not affect the others."""
    beginnings = [
        b"G",
        b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        handshake(server) + b"\x81",
    ]
    with ExitStack() as stack:
        for beginning in itertools.islice(itertools.cycle(beginnings), 200):
            stack.enter_context(raw_connection(server)).sendall(beginning)
        assert server.send("a").status == 200
        with connect(server.ws("/ws/broadcasts")) as dashboard:
            assert json.loads(dashboard.recv(timeout=10))["agents"][0]["agent_id"] == "a"


def test_connections_over_descriptor_limit_are_closed(serve: Serve) -> None:
    """They are closed at once; the others are still served."""
    server = serve()
    with connect(server.ws("/ws/broadcasts")) as dashboard, ExitStack() as stack:
        dashboard.recv(timeout=10)
        psutil.Process(server.pid).rlimit(resource.RLIMIT_NOFILE, (128, 128))
        idle = [stack.enter_context(raw_connection(server)) for _ in range(300)]
        closed = 0
        for connection in idle:
            connection.setblocking(False)

        def refused() -> bool:
            nonlocal closed
            closed = sum(is_closed(connection) for connection in idle)
            return closed > 150

        wait_until(refused, "connections beyond the limit are closed")
        assert closed < 290
        dashboard.send("ping")
        assert json.loads(dashboard.recv(timeout=10)) == {"type": "pong"}
        assert "too many connections" in server.log()
    wait_until(lambda: responds(server), "the server accepts again")


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server closed a non-blocking connection."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def responds(server: Server) -> bool:
    """Return whether the server responds."""
    try:
        return server.get("/api/status").status == 200
    except OSError:
        return False


def test_events_survive_concurrent_malformed_input(server: Server) -> None:
    """Valid events of several senders are all stored while others send garbage."""
    stop = threading.Event()

    def disturb() -> None:
        source = random.Random(3)
        while not stop.is_set():
            server.post("/api/events", source.randbytes(500))
            with raw_connection(server) as connection:
                connection.sendall(handshake(server, "/ws/events") + source.randbytes(500))

    with ThreadPoolExecutor(6) as pool:
        noise = [pool.submit(disturb) for _ in range(2)]
        good = [
            pool.submit(lambda name=name: [server.send(name) for _ in range(50)])
            for name in ("a", "b", "c", "d")
        ]
        for job in good:
            job.result()
        stop.set()
        for job in noise:
            job.result()
    assert server.get("/api/status").json()["updates"]["total"] == 200
    assert {p["total_tools_executed"] for p in server.presence().values()} == {50}
