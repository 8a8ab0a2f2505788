"""OpenTelemetry signals for tests, generated or fixed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.otel.signals import LogRecord, Point, Span
from htmlgraph_nb.core.model import Event
from tests.helpers.strategies import json_values

NOW = datetime(2025, 1, 14, 14, 50, tzinfo=UTC)


names = st.sampled_from(
    "session.id conversation.id event.name event.kind model tool_name tool_use_id success "
    "tool_namespace call_id duration_ms request_id input_tokens output_tokens cost_usd source "
    "decision type tool_parameters "
    "input_token_count cached_token_count gen_ai.operation.name gen_ai.agent.name "
    "gen_ai.usage.input_tokens gen_ai.tool.name service.name cwd speed service_tier inference_geo "
    "openai.response.service_tier web_search_requests gen_ai.conversation.id gen_ai.agent.id "
    "openinference.span.kind traceloop.span.kind metadata llm.token_count.prompt tool.name "
    "gen_ai.usage.cost gen_ai.usage.cache_read.input_tokens gen_ai.system error.type "
    "crewai.crew.name traceloop.association.properties.thread_id".split()
)


attributes = st.dictionaries(names, json_values, max_size=8)


event_names = st.sampled_from(
    [
        *(f"claude_code.{name}" for name in ("user_prompt", "tool_result", "api_request")),
        *(f"codex.{name}" for name in ("sse_event", "tool_decision", "tool_result")),
        *(f"gemini_cli.{name}" for name in ("config", "api_response", "tool_call")),
        "something.else",
        "",
    ]
)


times = st.integers(0, 2**64 - 1)


logs = st.builds(
    LogRecord,
    resource=attributes,
    scope=st.text(max_size=9),
    name=event_names,
    attributes=attributes,
    at_ns=times,
)


operations = st.sampled_from("chat execute_tool invoke_agent create_agent".split())
scopes = st.sampled_from(
    """pydantic-ai openinference.instrumentation.langchain opentelemetry.instrumentation.langchain
    openinference.instrumentation.crewai autogen-core agent_framework""".split()
)
span_ids = st.sampled_from(["a1", "b2", "c3", "0000", ""]) | st.text(
    "0123456789abcdef", max_size=16
)


spans = st.builds(
    Span,
    resource=attributes,
    scope=st.text(max_size=9) | scopes,
    name=st.text(max_size=9),
    attributes=attributes
    | st.builds(
        lambda values, operation: {**values, "gen_ai.operation.name": operation},
        attributes,
        operations,
    ),
    start_ns=times,
    end_ns=times,
    trace_id=st.sampled_from(["1f" * 16, "2f" * 16]) | st.text("0123456789abcdef", max_size=32),
    span_id=span_ids,
    failed=st.booleans(),
    parent_id=span_ids,
    exception=st.none() | st.text(max_size=9),
)


def check(events: list[Event]) -> None:
    """Assert that every event is valid."""
    for event in events:
        event.checked()
        assert event.event_id


def point(value: float, at: int, *, start: int = 1, delta: bool, kind: str = "input") -> Point:
    """Return a point of Claude Code's token counter."""
    values: dict[str, Any] = {"session.id": "s", "type": kind, "model": "m"}
    metric = "claude_code.token.usage"
    return Point({}, "", metric, values, value, start, at, delta)
