"""Requests that are expensive for the server, sent in a row by a separate process.

    python -m tests.benchmarks.heavy_requests --url http://127.0.0.1:8765 SENDER

It prints one line when it begins to send, sends until it is killed, and ignores the responses: most
of these requests are refused. Without SENDER it lists the senders.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.benchmarks.otlp_poster import attributes_of, json_of, protobuf_of
from tests.benchmarks.poster import event_of

MAX_BYTES = 8_388_608
"""The default of ``--max-body-bytes``."""
N_AGENTS = 10_000
MIX_CLIENTS = 200
_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"


@dataclass(frozen=True)
class Sender:
    """What one sender repeats.

    Attributes:
        path: the route.
        body: makes the body once; None: a GET request.
        mime: the Content-Type.
        encoding: the Content-Encoding; "": none.
        connections: number of connections, each with one request at a time.
        websocket: send ``body`` as WebSocket messages.
        agents: number of agents to create first.
        dashboards: number of dashboards that read meanwhile, half of them with filters.
    """

    path: str
    body: Callable[[], bytes] | None = None
    mime: str = _JSON
    encoding: str = ""
    connections: int = 1
    websocket: bool = False
    agents: int = 0
    dashboards: int = 0


def empty_groups() -> bytes:
    """Return 8 KB that inflate to 4 million empty groups of OTLP."""
    return gzip.compress(b"\n\0" * (MAX_BYTES // 2), 9)


def records(n: int) -> list[tuple[dict[str, str | int | float], int]]:
    """Return log records of OTLP."""
    now = time.time_ns()
    return [(attributes_of(f"session-{i % 50}", i), now + i) for i in range(n)]


def otlp_protobuf() -> bytes:
    """Return as many records as fit into a body."""
    return protobuf_of(records(11_000))[:MAX_BYTES]


def otlp_json() -> bytes:
    """Return as many records as fit into a body."""
    return json_of(records(6_000))


def empty_records() -> bytes:
    """Return 4 million empty records in one group."""
    inner = b"\x12\0" * ((MAX_BYTES - 30) // 2)

    def field(data: bytes, tag: int) -> bytes:
        return bytes((tag,)) + _varint(len(data)) + data

    return field(field(inner, 0x12), 0x0A)


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes((*parts, number))


def large_event() -> bytes:
    """Return an event of 8 MB in one string."""
    return json.dumps({"agent_id": "large", "extra": {"text": "x" * (MAX_BYTES - 100)}}).encode()


def many_keys() -> bytes:
    """Return an event of 8 MB with short keys."""
    keys = ",".join(f'"{i}":0' for i in range(MAX_BYTES // 11))
    return f'{{"agent_id":"large","extra":{{{keys}}}}}'.encode()


def few_keys() -> bytes:
    """Return an event with nearly as many keys as one JSON text may have."""
    keys = ",".join(f'"{i}":0' for i in range(490_000))
    return f'{{"agent_id":"large","extra":{{{keys}}}}}'.encode()


def small_values() -> bytes:
    """Return 4 million numbers."""
    return b"[" + b"0," * (MAX_BYTES // 2 - 2) + b"0]"


def small_objects() -> bytes:
    """Return nearly as many empty objects as one JSON text may have."""
    return b"[" + b"{}," * 240_000 + b"{}]"


def nested() -> bytes:
    """Return arrays that contain each other."""
    return b"[" * (MAX_BYTES - 1)


def nested_lists() -> bytes:
    """Return many arrays nested as deeply as Python reads."""
    part = b"[" * 900 + b"]" * 900
    return b"[" + b",".join([part] * 250) + b"]"


def large_number() -> bytes:
    """Return a number of 8 million digits."""
    return b'[{"agent_id":"large","input_tokens":' + b"9" * (MAX_BYTES - 100) + b"}]"


def large_numbers() -> bytes:
    """Return many numbers of 600 digits."""
    return b"[" + b",".join([b"9" * 600] * 13_000) + b"]"


def large_string() -> bytes:
    """Return one string of escapes."""
    return b'["' + rb"\u0041" * (MAX_BYTES // 6 - 2) + b'"]'


def valid_batch() -> bytes:
    """Return 10,000 events."""
    now = time.time()
    return json.dumps([event_of(i % 500, i, now) for i in range(10_000)]).encode()


def all_agents() -> bytes:
    """Return an event of each of N_AGENTS agents, without ids, so that none is a duplicate."""
    now = time.time()
    events = [event_of(i, i, now) for i in range(N_AGENTS)]
    for event in events:
        del event["event_id"], event["timestamp"]
    return json.dumps(events).encode()


def ndjson_batch() -> bytes:
    """Return 10,000 events as lines."""
    return b"\n".join(json.dumps(event).encode() for event in json.loads(valid_batch()))


def filters() -> bytes:
    """Return a subscription of 256 agents, about as long as a dashboard may send."""
    agents = [f"agent-{i:04d}-{'x' * 200}" for i in range(256)]
    return json.dumps({"type": "subscribe", "agents": agents}).encode()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "large event": large_event,
    "keys": few_keys,
    "too many keys": many_keys,
    "too many values": small_values,
    "objects": small_objects,
    "deep": nested,
    "deep lists": nested_lists,
    "long number": large_number,
    "long numbers": large_numbers,
    "long string": large_string,
}
ROUTES = {
    "events": "/api/events",
    "hook": "/api/hooks/claude",
    "otlp": "/v1/logs",
    "feature": "/api/broadcast/features/f",
    "rules": "/api/alerts/test",
}

SENDERS: dict[str, Sender] = {
    "empty groups, gzip": Sender("/v1/logs", empty_groups, _PROTOBUF, "gzip"),
    "empty records": Sender("/v1/logs", empty_records, _PROTOBUF),
    "records, gzip": Sender("/v1/logs", lambda: gzip.compress(otlp_json(), 6), encoding="gzip"),
    "records, protobuf": Sender("/v1/logs", otlp_protobuf, _PROTOBUF),
    "records, json": Sender("/v1/logs", otlp_json),
    "10,000 events": Sender("/api/events", valid_batch),
    "10,000 events, ndjson": Sender("/api/events", ndjson_batch, "application/x-ndjson"),
    "10,000 events, ws": Sender("/ws/events", valid_batch, websocket=True),
    "10,000 events, 8 senders": Sender("/api/events", valid_batch, connections=8),
    **{
        f"{what} to {name}": Sender(path, body)
        for name, path in ROUTES.items()
        for what, body in HOSTILE.items()
    },
    **{
        f"{what} to ws/events": Sender("/ws/events", body, websocket=True)
        for what, body in HOSTILE.items()
    },
    "large event, 8 senders": Sender("/api/events", large_event, connections=8),
    "filters to ws/broadcasts": Sender("/ws/broadcasts", filters, websocket=True, agents=N_AGENTS),
    "presence": Sender("/api/presence", agents=N_AGENTS),
    "presence, 600 at once": Sender("/api/presence", connections=600, agents=N_AGENTS),
    "status": Sender("/api/status", connections=8, agents=N_AGENTS),
    "metrics": Sender("/metrics", connections=8, agents=N_AGENTS),
    "alerts": Sender("/api/alerts", connections=8, agents=N_AGENTS),
    "history": Sender("/api/history?limit=10000", connections=8, agents=N_AGENTS),
    "activity": Sender("/api/activity", connections=8, agents=N_AGENTS),
    "costs": Sender("/api/costs", connections=2, agents=N_AGENTS),
    "sessions": Sender("/api/sessions", connections=2, agents=N_AGENTS),
    "coverage": Sender("/api/coverage", connections=8, agents=N_AGENTS),
    "joins": Sender("/ws/broadcasts", websocket=True, connections=4, agents=N_AGENTS),
    "10,000 changes": Sender("/api/events", all_agents, agents=N_AGENTS, dashboards=MIX_CLIENTS),
}


def _head(sender: Sender, host: str, body: bytes) -> bytes:
    lines = [
        f"{'GET' if sender.body is None else 'POST'} {sender.path} HTTP/1.1",
        f"Host: {host}",
        f"Content-Type: {sender.mime}",
        f"Content-Length: {len(body)}",
    ]
    if sender.encoding:
        lines.append(f"Content-Encoding: {sender.encoding}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def handshake(address: tuple[str, int], path: str) -> socket.socket:
    """Return an open WebSocket."""
    connection = socket.create_connection(address, 60)
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return connection


def text_frame(body: bytes) -> bytes:
    """Return a text frame whose masking key is zero."""
    size = len(body)
    if size < 126:
        return bytes((0x81, 0x80 | size)) + bytes(4) + body
    if size < 65_536:
        return b"\x81\xfe" + size.to_bytes(2, "big") + bytes(4) + body
    return b"\x81\xff" + size.to_bytes(8, "big") + bytes(4) + body


def _read_response(stream: socket.socket) -> bool:
    """Read one response; return whether the connection stays open."""
    with stream.makefile("rb") as file:
        length, closes = None, False
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.lower().partition(b":")
            if name == b"content-length":
                length = int(value)
            closes |= name == b"connection" and b"close" in value
        if line == b"":
            return False
        if length is None:
            while size := int(file.readline() or b"0", 16):
                file.read(size + 2)
            file.readline()
        else:
            file.read(length)
        return not closes


def _requests(address: tuple[str, int], sender: Sender, body: bytes) -> None:
    data = _head(sender, f"{address[0]}:{address[1]}", body) + body
    while True:
        try:
            with socket.create_connection(address, 60) as stream:
                stream.sendall(data)
                while _read_response(stream):
                    stream.sendall(data)
        except OSError:
            time.sleep(0.01)


def _messages(address: tuple[str, int], sender: Sender, body: bytes) -> None:
    frame = text_frame(body)
    while True:
        try:
            with handshake(address, sender.path) as stream:
                threading.Thread(target=_drain, args=(stream,), daemon=True).start()
                while sender.body is not None:
                    stream.sendall(frame)
                # A dashboard that joins, gets the first part of the state, and leaves.
                time.sleep(0.1)
        except OSError:
            time.sleep(0.01)


def _drain(stream: socket.socket) -> None:
    try:
        while stream.recv(262_144):
            pass
    except OSError:
        return


def _dashboards(address: tuple[str, int], n: int) -> list[socket.socket]:
    """Connect dashboards, half of them with a filter of their own."""
    opened = []
    for index in range(n):
        stream = handshake(address, "/ws/broadcasts")
        threading.Thread(target=_drain, args=(stream,), daemon=True).start()
        if index % 2:
            chosen = {"type": "subscribe", "agents": [f"agent-{index + i:04d}" for i in range(50)]}
            stream.sendall(text_frame(json.dumps(chosen).encode()))
        opened.append(stream)
    return opened


def _post(address: tuple[str, int], body: bytes) -> None:
    sender = Sender("/api/events", all_agents)
    with socket.create_connection(address, 60) as stream:
        stream.sendall(_head(sender, f"{address[0]}:{address[1]}", body) + body)
        _read_response(stream)


def send(address: tuple[str, int], sender: Sender) -> None:
    """Prepare, print a line, and send until the process is killed."""
    body = sender.body() if sender.body is not None else b""
    if sender.agents:
        _post(address, all_agents())
    _kept = _dashboards(address, sender.dashboards)
    work = _messages if sender.websocket else _requests
    threads = [
        threading.Thread(target=work, args=(address, sender, body), daemon=True)
        for _ in range(sender.connections)
    ]
    print("sending", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Send one sender's requests, or list the senders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="the server")
    parser.add_argument("sender", nargs="?", choices=SENDERS)
    options = parser.parse_args(arguments)
    if options.sender is None or options.url is None:
        print("\n".join(SENDERS))
        return
    parts = urlsplit(options.url)
    send((parts.hostname or "", parts.port or 80), SENDERS[options.sender])


if __name__ == "__main__":
    main()
