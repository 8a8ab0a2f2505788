"""OTLP over HTTP: real exports become presence and history, and each token counts once."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from tests.helpers.paths import ROOT
from tests.helpers.server_process import Response, Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

PAYLOADS = ROOT / "tests/payloads" / "otlp"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
FLAGS = ("--idle-timeout", "0", "--offline-timeout", "0", "--forget-after", "0")
"""No time passes for the servers: the payloads are of one day in the past."""


@pytest.fixture
def server(serve: Serve) -> Server:
    """One server, new for each test."""
    return serve(*FLAGS)


def send(server: Server, path: Path, **headers: str) -> Response:
    """POST one payload as its sender did."""
    signal = path.name.split(".")[0].rpartition("-")[2]
    kind = PROTOBUF if path.suffix == ".bin" else JSON
    if path.suffix == ".gz":
        headers["Content-Encoding"] = "gzip"
    return server.request(
        "POST", f"/v1/{signal}", path.read_bytes(), {"Content-Type": kind, **headers}
    )


def send_all(server: Server, agent: str) -> None:
    """POST all payloads of one sender in order."""
    paths = sorted(PAYLOADS.glob(f"{agent}-*"))
    assert paths
    for path in paths:
        response = send(server, path)
        assert response.status == 200, response.text
        assert response.body in (b"", b"{}"), "all records are accepted"


def history(server: Server) -> list[dict[str, Any]]:
    """Return the stored events."""
    events: list[dict[str, Any]] = server.get("/api/history?limit=1000").json()["events"]
    return events


def event_types(server: Server) -> Counter[str]:
    """Count the stored events by type."""
    return Counter(event["event_type"] for event in history(server))


def tokens(server: Server) -> tuple[int, int, int]:
    """Return the stored input, cached and output tokens."""
    names = ("input_tokens", "cache_read_tokens", "output_tokens")
    input_, cached, output = (sum(event[name] or 0 for event in history(server)) for name in names)
    return input_, cached, output


def test_claude_logs_and_metrics_count_once(either_server: Server) -> None:
    """Both report the same four completions."""
    for _ in range(2):
        send_all(either_server, "claude")
    assert event_types(either_server) == {"prompt": 1, "completion": 4, "tool_execute": 2}
    assert tokens(either_server) == (400, 160, 28)
    (agent,) = either_server.presence().values()
    assert agent["agent_id"].startswith("claude-")
    assert (agent["total_tools_executed"], agent["total_cost_tokens"]) == (2, 588)
    assert agent["model"] == "claude-sonnet-5"
    assert agent["cost_usd"] == pytest.approx(4 * 0.000417)


def test_claude_metrics_alone_are_counted(server: Server) -> None:
    """Without logs the counters count; a repeated export adds nothing."""
    for _ in range(2):
        for path in sorted(PAYLOADS.glob("claude-*-metrics.bin")):
            assert send(server, path).status == 200
    assert tokens(server) == (400, 160, 28)


def test_codex_logs_count_each_completion_once(server: Server) -> None:
    """A completion ends twice; its input includes the cached tokens."""
    for _ in range(2):
        send_all(server, "codex")
    assert event_types(server) == {
        "session_start": 1,
        "prompt": 1,
        "completion": 3,
        "tool_execute": 2,
    }
    assert tokens(server) == (180, 120, 21)
    (agent,) = server.presence().values()
    assert agent["agent_id"].startswith("codex-")
    assert agent["model"] == "gpt-5-codex"


def test_gemini_logs_and_counters_count_once(server: Server) -> None:
    """The cumulative counters repeat the logs."""
    for _ in range(2):
        send_all(server, "gemini")
    assert event_types(server) == {
        "session_start": 1,
        "prompt": 1,
        "completion": 3,
        "tool_execute": 2,
    }
    assert tokens(server) == (180, 120, 21)


def test_gemini_cumulative_counters_add_increments(server: Server) -> None:
    """A cumulative counter adds its increment."""
    (path,) = PAYLOADS.glob("gemini-*-metrics.json")
    assert send(server, path).status == 200
    assert tokens(server) == (180, 120, 21)
    grown = json.loads(path.read_bytes())
    for scope in grown["resourceMetrics"][0]["scopeMetrics"]:
        for metric in scope["metrics"]:
            for kind in ("sum", "histogram"):
                for point in metric.get(kind, {}).get("dataPoints", []):
                    point["timeUnixNano"] = str(int(point["timeUnixNano"]) + 10**9)
                    if "asInt" in point:
                        point["asInt"] = int(point["asInt"]) * 2
                    elif "asDouble" in point:
                        point["asDouble"] *= 2
    body = json.dumps(grown).encode()
    assert server.request("POST", "/v1/metrics", body, {"Content-Type": JSON}).status == 200
    assert tokens(server) == (360, 240, 42)


@pytest.mark.parametrize("name", ["node-1-traces.bin", "node-2-traces.json.gz"])
def test_node_exporter_spans_become_events(either_server: Server, name: str) -> None:
    """Node's exporters, in protobuf and gzipped JSON: a turn, its completion and its tool."""
    for _ in range(2):
        assert send(either_server, PAYLOADS / name).status == 200
    assert event_types(either_server) == {"prompt": 1, "completion": 1, "tool_error": 1, "stop": 1}
    assert tokens(either_server) == (100, 20, 30)
    agent = either_server.presence()["helper-conv-1"]
    assert (agent["status"], agent["detail"]) == ("idle", "done")
    assert (agent["session_id"], agent["model"]) == ("conv-1", "gpt-4o-2024-08-06")
    assert (agent["project"], agent["total_errors"]) == ("shop", 1)


def test_python_sdk_spans_arrive(server: Server) -> None:
    """The spans come from Python's own exporter."""
    resource = Resource.create({"service.name": "bot", "host.name": "lab"})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{server.url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("chat m") as span:
        span.set_attribute("gen_ai.conversation.id", "c-1")
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.request.model", "m")
        span.set_attribute("gen_ai.usage.input_tokens", 9)
        span.set_status(StatusCode.ERROR)
    provider.shutdown()
    agent = wait_until(lambda: server.presence().get("bot-c-1"), "the agent of the spans")
    assert (agent["total_cost_tokens"], agent["model"], agent["host"]) == (9, "m", "lab")


@pytest.mark.parametrize("kind", ["bin", "json"])
def test_node_sdk_chunked_exports_count_once(server: Server, kind: str) -> None:
    """All three signals, sent twice in chunks without a length, count once."""
    for _ in range(2):
        for signal in ("traces", "logs", "metrics"):
            body = (PAYLOADS / f"node-sdk-{signal}.{kind}").read_bytes()
            mime = PROTOBUF if kind == "bin" else JSON
            halves = iter([body[:100], body[100:]])
            response = server.request("POST", f"/v1/{signal}", halves, {"Content-Type": mime})
            assert (response.status, response.body) == (200, b"" if kind == "bin" else b"{}")
    agents = server.presence()
    (helper,) = (agent for name, agent in agents.items() if name.startswith("helper-"))
    assert helper["total_cost_tokens"] == 150
    assert (helper["total_tools_executed"], helper["total_errors"]) == (1, 1)
    assert agents["claude-8f14e45f"]["total_cost_tokens"] == 115
    assert agents["gemini-b6d767d2"]["total_cost_tokens"] == 40


def test_python_sdk_needs_two_variables(server: Server) -> None:
    """Endpoint and protocol configure all three signals."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = server.url
    environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    subprocess.run([sys.executable, "-c", PROGRAM], env=environ, timeout=60, check=True)
    agents = server.presence()
    assert agents["bot-c-1"]["total_cost_tokens"] == 9
    assert agents["claude-8f14e45f"]["total_cost_tokens"] == 12
    assert agents["gemini-b6d767d2"]["total_cost_tokens"] == 7
    assert len(agents) == 3


PROGRAM = """
import logging
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

spans = TracerProvider()
spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
attributes = {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "bot"}
attributes["gen_ai.conversation.id"] = "c-1"
attributes["gen_ai.usage.input_tokens"] = 9
spans.get_tracer("t").start_span("chat m", attributes=attributes).end()
spans.shutdown()

logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
session = "8f14e45f-ceea-467f-9575-5d1d2b4c6a70"
attributes = {"session.id": session, "event.name": "api_request"}
attributes |= {"input_tokens": 10, "output_tokens": 2}
record = LogRecord(timestamp=1_736_866_230_000_000_000, body="claude_code.api_request")
record.attributes = attributes
logs.get_logger("com.anthropic.claude_code.events").emit(record)
logs.shutdown()

meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
session = "b6d767d2-f8ed-4d21-a44b-0e5886680cb9"
attributes = {"type": "input", "model": "gemini-2.5-pro", "session.id": session}
meters.get_meter("gemini").create_counter("gemini_cli.token.usage").add(7, attributes)
meters.shutdown()
"""


def test_cumulative_counters_continue_after_restart(serve: Serve) -> None:
    """A counter that an earlier server has read adds only its increment."""
    first = serve(*FLAGS)
    assert counted(first, 40, at=1) == 40
    assert first.stop() == 0
    second = serve(*FLAGS, home=first.home)
    assert counted(second, 55, at=2) == 55
    assert counted(second, 60, at=3) == 60


def test_cumulative_counters_are_shared_by_two_servers(serve: Serve) -> None:
    """A sender that changes between servers of one file is counted as at one server."""
    first = serve(*FLAGS)
    second = serve(*FLAGS, "--db", str(first.db), home=first.home)
    servers = (first, second)
    for at in range(1, 9):
        assert counted(servers[at % 2], 50 * at, at=at) == 50 * at
    assert counted(first, 10, at=20, start=10) == 410, "another process of the session"
    assert counted(second, 30, at=30, start=10) == 430


def test_cumulative_counters_of_two_processes_add_up(serve: Serve) -> None:
    """The processes of one session have counters with the same labels and other start times."""
    server = serve(*FLAGS)
    totals = [
        counted(server, value, at, start)
        for value, at, start in (
            (100, 60, 0),
            (40, 130, 100),
            (150, 150, 0),
            (60, 190, 100),
            (150, 210, 0),
            (60, 250, 100),
        )
    ]
    assert totals == [100, 140, 190, 210, 210, 210]
    assert server.stop() == 0
    again = serve(*FLAGS, home=server.home)
    assert counted(again, 60, at=310, start=100) == 210, "unchanged since before the restart"
    assert counted(again, 7, at=320, start=300) == 217, "a process that started since"
    assert counted(again, 65, at=370, start=100) == 222


def send_log(server: Server, body: str, process: int, at: int, **values: str) -> None:
    """Send a log of one process, twice."""
    values = {"session.id": "s-1", **values}
    record = {
        "timeUnixNano": str((1_736_866_230 + at) * 10**9),
        "body": {"stringValue": body},
        "attributes": [
            {"key": key, "value": {"stringValue": text}} for key, text in values.items()
        ],
    }
    resource = {"attributes": [{"key": "process.pid", "value": {"intValue": str(process)}}]}
    scoped = {"resource": resource, "scopeLogs": [{"logRecords": [record]}]}
    sent = json.dumps({"resourceLogs": [scoped]}).encode()
    for _ in range(2):
        assert server.request("POST", "/v1/logs", sent, {"Content-Type": JSON}).status == 200


def test_logs_of_two_processes_count_each_answer_once(server: Server) -> None:
    """Their gateway gives all answers one id; a repeated export adds nothing."""
    for request_id, process, at in (
        ("req_proxy", 1, 1),
        ("req_proxy", 2, 2),
        ("req_proxy", 1, 3),
        ("req_011CUuXYZabcdefghijklmno", 1, 4),
        ("req_011CUuXYZabcdefghijklmnp", 2, 4),
    ):
        fields = {"input_tokens": "10", "request_id": request_id}
        send_log(server, "claude_code.api_request", process, at, **fields)
    assert event_types(server) == {"completion": 5}
    assert tokens(server) == (50, 0, 0)
    assert counted(server, 999, at=60) == 50, "the counters contain the same tokens"


def test_logs_of_two_processes_count_each_call_once(server: Server) -> None:
    """Their model numbers the calls of each answer from 0; a repeated export adds nothing."""
    call = {"tool_name": "Bash", "tool_use_id": "Bash:0", "duration_ms": "500", "success": "true"}
    for process, at in ((1, 10), (2, 20), (1, 30), (2, 10)):
        send_log(server, "claude_code.tool_result", process, at, **call)
    assert event_types(server) == {"tool_execute": 3}


def counted(server: Server, value: int, at: int, start: int = 0) -> int:
    """Send a point of a cumulative counter twice; return the tokens of its session.

    Args:
        at, start: seconds.
    """
    zero = 1_736_866_230
    point = {
        "asInt": str(value),
        "startTimeUnixNano": str((zero + start) * 10**9),
        "timeUnixNano": str((zero + at) * 10**9),
        "attributes": [
            {"key": "session.id", "value": {"stringValue": "s-1"}},
            {"key": "type", "value": {"stringValue": "input"}},
        ],
    }
    total = {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": True}
    metrics = [{"name": "gemini_cli.token.usage", "sum": total}]
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()
    for _ in range(2):
        assert server.request("POST", "/v1/metrics", body, {"Content-Type": JSON}).status == 200
    return sum(int(a["total_cost_tokens"]) for a in server.presence().values())


def test_large_export_is_stored_completely(server: Server) -> None:
    """It needs several transactions, and dashboards get all of them."""
    records = [
        {
            "timeUnixNano": str(1_736_866_230_000_000_000 + n * 1_000_000),
            "body": {"stringValue": "claude_code.tool_result"},
            "attributes": [
                {"key": "session.id", "value": {"stringValue": f"s-{n % 7}"}},
                {"key": "tool_name", "value": {"stringValue": "Bash"}},
                {"key": "tool_use_id", "value": {"stringValue": f"toolu_{n}"}},
            ],
        }
        for n in range(2_345)
    ]
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
    for _ in range(2):
        packed = gzip.compress(body, mtime=0)
        headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
        assert server.request("POST", "/v1/logs", packed, headers).status == 200
    tools = [agent["total_tools_executed"] for agent in server.presence().values()]
    assert sorted(tools) == [335] * 7


def log_of(**attributes: str) -> bytes:
    """Return a request with one log record of Claude Code."""
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    record = {"body": {"stringValue": "claude_code.tool_result"}, "attributes": pairs}
    scopes = [{"scope": {}, "logRecords": [record]}]
    return json.dumps({"resourceLogs": [{"scopeLogs": scopes}]}).encode()


def test_numeric_strings_are_read_as_numbers(server: Server) -> None:
    """Some exporters send every value as a string."""
    body = log_of(
        **{"session.id": "s", "tool_name": "Bash", "duration_ms": "42", "success": "false"}
    )
    assert server.request("POST", "/v1/logs", body, {"Content-Type": JSON}).status == 200
    (event,) = history(server)
    assert (event["event_type"], event["duration_ms"], event["status"]) == (
        "tool_error",
        42,
        "error",
    )


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"x", 415, "unsupported_media_type"),
        ({"Content-Type": PROTOBUF}, b"\xff\xff\xff", 400, "invalid"),
        ({"Content-Type": JSON}, b"{", 400, "invalid_json"),
        ({"Content-Type": JSON}, b"[]", 400, "invalid"),
        ({"Content-Type": JSON}, b'{"resourceLogs": 3}', 400, "invalid"),
        ({"Content-Type": JSON, "Content-Encoding": "br"}, b"{}", 415, "unsupported_encoding"),
        ({"Content-Type": JSON, "Content-Encoding": "gzip"}, b"{}", 400, "invalid"),
        (
            {"Content-Type": JSON, "Content-Encoding": "gzip"},
            gzip.compress(b"{}", mtime=0)[:-4],
            400,
            "invalid",
        ),
        (
            {"Content-Type": JSON, "Content-Encoding": "gzip"},
            gzip.compress(b" " * (9 << 20), mtime=0),
            413,
            "body_too_large",
        ),
    ],
)
def test_invalid_exports_return_the_error_shape(
    module_server: Server, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    """A compression bomb is refused too."""
    response = module_server.request("POST", "/v1/logs", body, headers)
    assert response.status == status, response.text
    assert response.error["code"] == code


@pytest.mark.parametrize("signal", ["logs", "traces", "metrics"])
def test_empty_export_is_accepted(module_server: Server, signal: str) -> None:
    """The response has the encoding of the request."""
    for kind, body, expected in ((PROTOBUF, b"", b""), (JSON, b"{}", b"{}")):
        response = module_server.request("POST", f"/v1/{signal}", body, {"Content-Type": kind})
        assert (response.status, response.body) == (200, expected)
        assert response.headers["content-type"].startswith(kind)
