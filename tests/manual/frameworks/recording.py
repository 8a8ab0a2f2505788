"""Receives OTLP exports and removes from them what is no name, id or count."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SCRUBBED = "SCRUBBED"
"""Stands for the content of an attribute."""
_KEPT = frozenset(
    """gen_ai.operation.name gen_ai.agent.name gen_ai.agent.id gen_ai.conversation.id
    gen_ai.tool.name gen_ai.tool.type gen_ai.tool.call.id gen_ai.provider.name gen_ai.system
    gen_ai.request.model gen_ai.response.model gen_ai.response.id gen_ai.agent.call.id
    gen_ai.task.name gen_ai.task.status gen_ai.task.id gen_ai.task.parent.id
    openinference.span.kind llm.model_name llm.provider llm.system session.id tool.name agent.name
    agent_name model_name graph.node.id graph.node.parent_id crewai.crew.name crewai.agent.role
    traceloop.span.kind traceloop.entity.name traceloop.workflow.name traceloop.entity.path
    traceloop.association.properties.lc_agent_name
    traceloop.association.properties.thread_id traceloop.association.properties.session_id
    traceloop.association.properties.langgraph_node llm.request.type error.type
    exception.type service.name""".split()
)
_CONTENT = frozenset(
    """gen_ai.input.messages gen_ai.output.messages gen_ai.system_instructions
    gen_ai.tool.call.arguments gen_ai.tool.call.result gen_ai.tool.definitions input.value
    output.value traceloop.entity.input traceloop.entity.output gen_ai.task.input gen_ai.task.output
    pydantic_ai.all_messages final_result message crewai.task.description crewai.crew.result
    llm.input_messages.0.message.content""".split()
)
_KEPT_METADATA = ("lc_agent_name", "thread_id", "session_id", "langgraph_node")


class Recorder:
    """An OTLP receiver; use as a context manager.

    Attributes:
        url: its address on loopback.
        exports: the exports of spans, in order of arrival.
    """

    def __init__(self) -> None:
        recorder = self
        self.exports: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self._body()
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    recorder.exports.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                # As the exporters of Node send it.
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def log_message(self, *_: object) -> None:
                """Suppress the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Recorder:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def scrubbed_json(body: bytes) -> str:
    """Return an export in protobuf as OTLP JSON without content, on one line."""
    request = ExportTraceServiceRequest.FromString(body)
    export = MessageToDict(request, use_integers_for_enums=True)
    for group in export.get("resourceSpans", []):
        group["resource"] = {"attributes": _scrub(group["resource"].get("attributes", []))}
        for scoped in group.get("scopeSpans", []):
            scoped["spans"] = [_scrub_span(span) for span in scoped["spans"]]
    return json.dumps(export, separators=(",", ":"))


def _scrub_span(span: dict[str, Any]) -> dict[str, Any]:
    for name in ("traceId", "spanId", "parentSpanId"):
        if name in span:
            # MessageToDict writes bytes in base64, OTLP in hexadecimal.
            span[name] = base64.b64decode(span[name]).hex()
    if span["name"].endswith(".task"):
        # OpenLLMetry's spans of CrewAI's tasks are named after the prompt.
        span["name"] = f"{SCRUBBED}.task"
    span["attributes"] = _scrub(span.get("attributes", []))
    events = [event for event in span.pop("events", []) if event.get("name") == "exception"]
    if events:
        span["events"] = [{**event, "attributes": _scrub(event["attributes"])} for event in events]
    span.get("status", {}).pop("message", None)
    span.pop("links", None)
    return span


def _scrub(attributes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = []
    for pair in attributes:
        key, value = pair["key"], pair["value"]
        if key == "metadata" and "stringValue" in value:
            metadata = json.loads(value["stringValue"])
            known = {name: metadata[name] for name in _KEPT_METADATA if name in metadata}
            kept.append({"key": key, "value": {"stringValue": json.dumps(known)}})
        elif key in _KEPT or not {"stringValue", "arrayValue", "kvlistValue"} & set(value):
            kept.append(pair)
        elif key in _CONTENT:
            kept.append({"key": key, "value": {"stringValue": SCRUBBED}})
    return kept
