"""Gemini CLI's telemetry, as sent by version 0.61.0.

Source: docs/cli/telemetry.md of google-gemini/gemini-cli.
"""

from __future__ import annotations

from ..fields import string
from ..telemetry import (
    AgentTelemetry,
    EventFields,
    LogAttributes,
    TokenMetric,
    keyword_event,
    number,
    retry_event,
    terms_of_attributes,
    tool_event,
    uncached,
)


def _tool_name(values: LogAttributes) -> str | None:
    return string(values.get("function_name"))


def _completion(values: LogAttributes) -> EventFields:
    cached = number(values.get("cached_content_token_count"))
    fresh = uncached(number(values.get("input_token_count")), cached)
    # The input excludes the tokens of tool results, the output those of thoughts.
    tool = number(values.get("tool_token_count"))
    outputs = [number(values.get(f"{kind}_token_count")) for kind in ("output", "thoughts")]
    return {
        "event_type": "completion",
        "input_tokens": None if fresh is None else fresh + (tool or 0),
        "cache_read_tokens": cached,
        "output_tokens": None if outputs == [None, None] else sum(filter(None, outputs)),
        "duration_ms": number(values.get("duration_ms")),
        **terms_of_attributes(values),
    }


def _api_error(values: LogAttributes) -> EventFields | None:
    retry = retry_event(failed=("signed_out",))(values)
    return retry or keyword_event("activity", "status_code")(values)


def _compression(_values: LogAttributes) -> EventFields:
    return {"event_type": "activity", "extra": {"compacted": True}}


TELEMETRY = AgentTelemetry(
    log_prefix="gemini_cli.",
    logs={
        "config": keyword_event("session_start"),
        "user_prompt": keyword_event("prompt"),
        "tool_call": tool_event(_tool_name, None),
        "api_response": _completion,
        "api_error": _api_error,
        "conversation_finished": keyword_event("stop"),
        "chat_compression": _compression,
    },
    token_metrics={
        "gemini_cli.token.usage": TokenMetric(
            {
                "input": "input_tokens",
                "output": "output_tokens",
                "thought": "output_tokens",
                "cache": "cache_read_tokens",
            },
            input_includes_cached=True,
        )
    },
    span_names=("gemini_cli", "gemini-cli"),
)
