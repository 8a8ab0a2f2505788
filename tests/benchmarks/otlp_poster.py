"""Sends log records over OTLP/HTTP as Claude Code does, and prints one JSON object.

    python -m tests.benchmarks.otlp_poster --url http://127.0.0.1:8765 --rate 5000 --batch 100

Works like ``poster``. Each record is an ``api_request`` or a ``tool_result`` with the attributes of
Claude Code 2.1. The records of a request belong to one session, because each agent process has its
own exporter.
"""

from __future__ import annotations

import argparse
import gzip
import json
import uuid
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2

from tests.benchmarks.poster import TOOLS, Connection, connect, figures_of, shared

_MIMES = {"protobuf": "application/x-protobuf", "json": "application/json"}
_SPACE = uuid.UUID("5f1b7d0e-0f2c-4d1a-9a53-2f6c0d9e8b7a")


def attributes_of(session: str, n: int) -> dict[str, str | int | float]:
    """Return the attributes of a session's ``n``-th record."""
    common: dict[str, str | int | float] = {
        "user.id": "5d9f9f6f4ed3e74fa85bbab456276b02352ab1e62812ed24afa724853e046f3a",
        "session.id": session,
        "organization.id": "0c6f5d0a-6f5f-4a53-8a5e-6b1d2c3e4f50",
        "terminal.type": "vscode",
        "event.timestamp": "2025-01-14T14:50:30.123Z",
        "event.sequence": n,
        "prompt.id": str(uuid.uuid5(_SPACE, f"{session}:{n // 20}")),
    }
    if n % 2:
        return {
            **common,
            "event.name": "tool_result",
            "tool_name": TOOLS[n % len(TOOLS)],
            "tool_use_id": f"toolu_{session[:8]}{n:016x}",
            "success": "true",
            "duration_ms": str(5 + n % 900),
            "tool_input_size_bytes": "47",
            "tool_result_size_bytes": str(n % 9_000),
        }
    return {
        **common,
        "event.name": "api_request",
        "model": "claude-sonnet-4-5",
        "input_tokens": 100 + n % 50,
        "output_tokens": 20 + n % 300,
        "cache_read_tokens": 9_000 + n % 700,
        "cache_creation_tokens": n % 300,
        "cost_usd": 0.0004 + (n % 90) / 10_000,
        "cost_usd_micros": 400 + n % 90,
        "duration_ms": 300 + n % 4_000,
        "request_id": f"req_{session[:8]}{n:012x}",
        "speed": "normal",
        "query_source": "sdk",
        "effort": "high",
    }


Record = tuple[dict[str, str | int | float], int]
"""Attributes, and nanoseconds since 1970."""

RESOURCE: dict[str, str | int | float] = {
    "service.name": "claude-code",
    "service.version": "2.1.197",
    "host.arch": "amd64",
    "os.type": "linux",
    "os.version": "6.1",
}
SCOPE = "com.anthropic.claude_code.events"
_PROTOBUF_KINDS = {str: "string_value", int: "int_value", float: "double_value"}
_JSON_KINDS = {str: "stringValue", int: "intValue", float: "doubleValue"}


def protobuf_of(records: list[Record]) -> bytes:
    """Return an export in protobuf."""
    request = logs_pb2.ExportLogsServiceRequest()
    group = request.resource_logs.add()
    _put(group.resource.attributes, RESOURCE)
    scoped = group.scope_logs.add()
    scoped.scope.name = SCOPE
    for values, at_ns in records:
        record = scoped.log_records.add(time_unix_nano=at_ns, observed_time_unix_nano=at_ns)
        record.body.string_value = f"claude_code.{values['event.name']}"
        _put(record.attributes, values)
    return request.SerializeToString()


def _put(pairs: Any, values: dict[str, str | int | float]) -> None:
    for key, value in values.items():
        setattr(pairs.add(key=key).value, _PROTOBUF_KINDS[type(value)], value)


def json_of(records: list[Record]) -> bytes:
    """Return an export in JSON."""
    logs = [
        {
            "timeUnixNano": str(at_ns),
            "observedTimeUnixNano": str(at_ns),
            "body": {"stringValue": f"claude_code.{values['event.name']}"},
            "attributes": _pairs(values),
        }
        for values, at_ns in records
    ]
    scopes = [{"scope": {"name": SCOPE}, "logRecords": logs}]
    group = {"resource": {"attributes": _pairs(RESOURCE)}, "scopeLogs": scopes}
    return json.dumps({"resourceLogs": [group]}).encode()


def _pairs(values: dict[str, str | int | float]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {_JSON_KINDS[type(v)]: v}} for key, v in values.items()]


ENCODERS: dict[str, Callable[[list[Record]], bytes]] = {"protobuf": protobuf_of, "json": json_of}


class OtlpConnection(Connection):
    """A connection to ``/v1/logs``."""

    encoding = "protobuf"
    compressed = False
    run = ""
    n_records = 0

    def send(self, batch: int, at: float) -> None:
        """Send the next export, with records of the wall-clock time ``at``."""
        records: list[Record] = []
        number = self.agents[self.sent // batch % len(self.agents)]
        session = str(uuid.uuid5(_SPACE, f"{self.run}:{number}"))
        for index in range(batch):
            records.append((attributes_of(session, self.sent), round(at * 1e9) + 1_000 * index))
            self.sent += 1
        body = ENCODERS[self.encoding](records)
        head = (
            f"POST {self.base.decode()}/v1/logs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"{self.access.decode()}Content-Type: {_MIMES[self.encoding]}"
        )
        if self.compressed:
            body = gzip.compress(body, 1)
            head += "\r\nContent-Encoding: gzip"
        self.n_records = batch
        self.transmit(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def outcome(self, body: bytes) -> dict[str, Any]:
        """Return the counts; an empty response means that the server accepted all records."""
        if body not in (b"", b"{}"):
            raise ValueError(f"POST /v1/logs: expected an empty response, got {body!r}")
        return {"accepted": self.n_records, "duplicates": 0}


def main() -> None:
    """Send and print the counts and latencies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True)
    parser.add_argument("--encoding", choices=ENCODERS, default="protobuf")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--rate", type=float, default=5_000, help="records a second")
    parser.add_argument("--batch", type=int, default=100, help="records in one request")
    parser.add_argument("--agents", type=int, default=100, help="sessions")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    connections: list[Connection] = []
    run = uuid.uuid4().hex
    for sessions in shared(options.agents, options.connections):
        plain = connect(options.url, sessions, False)
        connection = OtlpConnection(plain.socket, sessions, False, plain.base, plain.access)
        connection.encoding, connection.compressed = options.encoding, options.gzip
        connection.run = run
        connections.append(connection)
    print(json.dumps(figures_of(connections, options.rate, options.batch, options.seconds)))


if __name__ == "__main__":
    main()
