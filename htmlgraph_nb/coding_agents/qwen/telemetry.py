"""Qwen Code's OpenTelemetry logs and metrics to events, pure.

Source of the names: packages/core/src/telemetry of QwenLM/qwen-code, as of version 0.24.4, which
continues that of Gemini CLI.
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
    total, output = (
        number(values.get("total_token_count")),
        number(values.get("output_token_count")),
    )
    prompt = number(values.get("input_token_count"))
    if total is not None and prompt is not None and output is not None:
        # Some providers count thoughts as part of the output and some do not.
        output = max(output, total - prompt)
    return {
        "event_type": "completion",
        "input_tokens": uncached(prompt, cached),
        "cache_read_tokens": cached,
        "output_tokens": output,
        "duration_ms": number(values.get("duration_ms")),
        **terms_of_attributes(values),
    }


def _api_error(values: LogAttributes) -> EventFields | None:
    retry = retry_event(failed=("signed_out",))(values)
    return retry or keyword_event("activity", "status_code")(values)


def _compression(_values: LogAttributes) -> EventFields:
    return {"event_type": "activity", "extra": {"compacted": True}}


TELEMETRY = AgentTelemetry(
    log_prefix="qwen-code.",
    logs={
        "config": keyword_event("session_start"),
        "user_prompt": keyword_event("prompt"),
        "tool_call": tool_event(_tool_name, "call_id"),
        "api_response": _completion,
        "api_error": _api_error,
        "conversation_finished": keyword_event("stop"),
        "chat_compression": _compression,
    },
    token_metrics={
        "qwen-code.token.usage": TokenMetric(
            {
                "input": "input_tokens",
                "output": "output_tokens",
                "cache": "cache_read_tokens",
            },
            input_includes_cached=True,
        )
    },
    span_names=("qwen-code",),
    # In headless mode no log reports the end of a turn.
    turn_span="qwen-code.interaction",
)
