"""Recorded spans of agent frameworks, sent to a real server in both encodings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.helpers.environ import clean_environ
from tests.helpers.framework_spans import RECORDINGS, Agent, Agents, exports_of, spans_of
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

PROTOBUF, JSON = "application/x-protobuf", "application/json"
FLAGS = ("--idle-timeout", "0", "--offline-timeout", "0", "--forget-after", "0")


def as_protobuf(body: bytes) -> bytes:
    """Return an export in OTLP JSON as protobuf."""
    export = json.loads(body)
    for group in export["resourceSpans"]:
        for scoped in group["scopeSpans"]:
            for span in scoped["spans"]:
                ids = [name for name in ("traceId", "spanId", "parentSpanId") if name in span]
                hexadecimal = {name: span.pop(name) for name in ids}
                span["name"] = json.dumps([hexadecimal, span["name"]])
    request = Parse(json.dumps(export), ExportTraceServiceRequest())
    for group in request.resource_spans:
        for scoped in group.scope_spans:
            for span in scoped.spans:
                hexadecimal, span.name = json.loads(span.name)
                span.trace_id = bytes.fromhex(hexadecimal["traceId"])
                span.span_id = bytes.fromhex(hexadecimal["spanId"])
                span.parent_span_id = bytes.fromhex(hexadecimal.get("parentSpanId", ""))
    return request.SerializeToString()


def send(server: Server, body: bytes, mime: str) -> None:
    """POST one export of spans."""
    response = server.request("POST", "/v1/traces", body, {"Content-Type": mime})
    assert (response.status, response.body) == (200, b"" if mime == PROTOBUF else b"{}")


def agent_of(presence: dict[str, Any]) -> Agent:
    """Return what is compared of an agent."""
    names = ("parent_agent_id", "status", "reason", "total_tools_executed", "total_errors")
    more = ("total_cost_tokens", "title", "model", "session_id")
    return Agent(*(presence[name] for name in (*names, *more)))


@pytest.mark.parametrize("recording", RECORDINGS)
def test_frameworks_in_both_encodings(serve: Serve, recording: str) -> None:
    """The server shows the agents that the spans lead to; a repetition changes nothing."""
    expected = Agents()
    expected.receive(spans_of(recording))
    server = serve(*FLAGS)
    for body in exports_of(recording):
        send(server, as_protobuf(body), PROTOBUF)
        send(server, body, JSON)
    found = {name: agent_of(presence) for name, presence in server.presence().items()}
    assert found == expected.agents
    history = server.get("/api/history?limit=1000").text
    assert "SCRUBBED" not in history


def test_frameworks_survive_a_restart(serve: Serve) -> None:
    """What waits when the server stops is stored, for the main agent of the conversation."""
    first = serve(*FLAGS)
    bodies = exports_of("agent_framework/spans.jsonl")
    send(first, bodies[0], JSON)
    assert first.stop() == 0
    second = serve(*FLAGS, home=first.home)
    for body in bodies:
        send(second, body, JSON)
    tokens = sum(presence["total_cost_tokens"] for presence in second.presence().values())
    expected = Agents()
    expected.receive(spans_of("agent_framework/spans.jsonl"))
    assert tokens == sum(agent.tokens for agent in expected.agents.values())


def test_frameworks_page_exports_spans(serve: Serve, tmp_path: Path) -> None:
    """The lines of FRAMEWORKS.md send a span that a program makes after them."""
    server = serve(*FLAGS)
    page = (ROOT / "notebooks/FRAMEWORKS.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = tmp_path / "program.py"
    program.write_text(f"{block}\n{MAKE_SPAN}")
    endpoint = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    environ = clean_environ(server.home, endpoint)
    subprocess.run([sys.executable, program], env=environ, timeout=60, check=True)
    assert server.presence()["planner-c-1"]["total_cost_tokens"] == 9


MAKE_SPAN = """
attributes = {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "planner"}
attributes |= {"gen_ai.conversation.id": "c-1", "gen_ai.usage.input_tokens": 9}
trace.get_tracer("t").start_span("chat m", attributes=attributes).end()
provider.shutdown()
"""


def test_frameworks_show_agents_at_work(serve: Serve) -> None:
    """An agent is shown before its run ends."""
    server = serve(*FLAGS)
    bodies = exports_of("pydantic_ai/spans.jsonl")
    send(server, bodies[0], JSON)
    agents = wait_until(server.presence, "an agent")
    assert "active" in {agent["status"] for agent in agents.values()}
