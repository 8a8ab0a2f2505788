"""Claude Code's telemetry, as sent by version 2.1.197.

Source: the "Monitoring" page of the Claude Code documentation.
"""

from __future__ import annotations

import json
import re

from ..fields import mapping, safe_keyword, string, without_none
from ..telemetry import (
    AgentTelemetry,
    EventFields,
    LogAttributes,
    TokenMetric,
    decision_event,
    dollars,
    failure_event,
    keyword_event,
    number,
    terms_of_attributes,
    tool_event,
)

_REPLACED = re.compile(r"[^A-Za-z0-9_-]")
"""Characters that Claude Code replaces in the names of MCP servers and their tools."""


def _tool_name(values: LogAttributes) -> str | None:
    name = string(values.get("tool_name"))
    parameters = values.get("tool_parameters")
    if name != "mcp_tool" or not isinstance(parameters, str):
        return name
    # With OTEL_LOG_TOOL_DETAILS they name the server and its tool.
    try:
        details = mapping(json.loads(parameters))
    except (ValueError, RecursionError):
        return name
    server, tool = string(details.get("mcp_server_name")), string(details.get("mcp_tool_name"))
    if server is None or tool is None:
        return name
    return string("__".join(_REPLACED.sub("_", part) for part in ("mcp", server, tool)))


def _completion(values: LogAttributes) -> EventFields:
    return {
        "event_type": "completion",
        "input_tokens": number(values.get("input_tokens")),
        "cache_read_tokens": number(values.get("cache_read_tokens")),
        "cache_write_5m_tokens": number(values.get("cache_creation_tokens")),
        "output_tokens": number(values.get("output_tokens")),
        # As in session files, 0 only says that the price is unknown.
        "cost_usd": dollars(values.get("cost_usd")) or None,
        "duration_ms": number(values.get("duration_ms")),
        "extra": without_none(request_id=safe_keyword(values.get("request_id"))),
        **terms_of_attributes(values),
    }


def _api_error(values: LogAttributes) -> EventFields:
    # It is sent once Claude Code gives up; after repeated requests api_retries_exhausted follows.
    attempts = number(values.get("attempt"))
    is_main = values.get("query_source") in (None, "main", "repl_main_thread")
    failure = failure_event("error")(values) or {}
    blocks = "cannot_work" in (failure.get("extra") or {})
    if attempts is not None and attempts <= 1 and is_main and blocks:
        return failure
    return keyword_event("activity", "status_code")(values) or {}


def _compaction(values: LogAttributes) -> EventFields:
    fields = keyword_event("activity", "trigger")(values) or {}
    if str(values.get("success")).lower() == "false":
        return fields
    return {**fields, "extra": {**(fields["extra"] or {}), "compacted": True}}


TELEMETRY = AgentTelemetry(
    log_prefix="claude_code.",
    log_scope="com.anthropic.claude_code",
    logs={
        "user_prompt": keyword_event("prompt"),
        "tool_result": tool_event(_tool_name, "tool_use_id"),
        "tool_decision": decision_event(_tool_name),
        "api_request": _completion,
        "api_error": _api_error,
        "api_retries_exhausted": failure_event("error"),
        "compaction": _compaction,
    },
    token_metrics={
        "claude_code.token.usage": TokenMetric(
            {
                "input": "input_tokens",
                "output": "output_tokens",
                "cacheRead": "cache_read_tokens",
                "cacheCreation": "cache_write_5m_tokens",
            },
            input_includes_cached=False,
        )
    },
    span_names=("com.anthropic.claude_code", "claude_code."),
)
