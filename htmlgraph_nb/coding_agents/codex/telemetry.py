"""Codex's telemetry, as sent by version 0.169.0.

Source: codex-rs/otel of openai/codex.
"""

from __future__ import annotations

from ..fields import string
from ..telemetry import (
    AgentTelemetry,
    EventFields,
    LogAttributes,
    TokenMetric,
    decision_event,
    keyword_event,
    number,
    retry_event,
    terms_of_attributes,
    tool_event,
    uncached,
)
from .lines import tool_name


def _tool_name(values: LogAttributes) -> str | None:
    return tool_name(string(values.get("tool_name")), values.get("tool_namespace"))


def _completion(values: LogAttributes) -> EventFields | None:
    # A response ends with two such events; only the second one has the counts.
    if values.get("event.kind") != "response.completed" or "input_token_count" not in values:
        return None
    cached = number(values.get("cached_token_count"))
    return {
        "event_type": "completion",
        "input_tokens": uncached(number(values.get("input_token_count")), cached),
        "cache_read_tokens": cached,
        "output_tokens": number(values.get("output_token_count")),
        **terms_of_attributes(values),
    }


TELEMETRY = AgentTelemetry(
    log_prefix="codex.",
    logs={
        "conversation_starts": keyword_event("session_start"),
        "user_prompt": keyword_event("prompt"),
        "tool_decision": decision_event(_tool_name),
        "tool_result": tool_event(_tool_name, "call_id"),
        "sse_event": _completion,
        "websocket_event": _completion,
        "api_request": retry_event("http.response.status_code"),
    },
    token_metrics={
        "codex.turn.token_usage": TokenMetric(
            {
                "input": "input_tokens",
                "output": "output_tokens",
                "cached_input": "cache_read_tokens",
            },
            input_includes_cached=True,
        )
    },
    span_names=("codex",),
)
