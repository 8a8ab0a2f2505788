"""The log events of coding agents' own telemetry: attributes to fields of an Event, pure.

Sources: Claude Code's "Monitoring" documentation, codex-rs/otel of openai/codex, and
docs/cli/telemetry.md of google-gemini/gemini-cli.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..codex.lines import tool_name
from ..fields import count, identifier, mapping, safe_keyword, text, without_none
from .signals import Attributes

Fields = dict[str, Any]
_UNLIKE_NAMES = re.compile(r"[^A-Za-z0-9_-]")
"""What Claude Code replaces in names of servers and their tools."""


def number(value: object) -> int | None:
    """Return a count that may be written as text, as some exporters do."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return count(value)


def dollars(value: object) -> float | None:
    """Return an amount from 0 that may be written as text."""
    try:
        amount = float(value) if isinstance(value, str | int | float) else -1.0
    except (ValueError, OverflowError):
        return None
    return amount if 0 <= amount < 1e12 else None


def _says(value: object, word: str) -> bool:
    return str(value).lower() == word


def _of_type(kind: str, *keywords: str) -> Callable[[Attributes], Fields]:
    """Return a translation to an event type that keeps these attributes if they are keywords."""

    def translate(values: Attributes) -> Fields:
        facts = {name.replace(".", "_"): safe_keyword(values.get(name)) for name in keywords}
        return {"event_type": kind, "extra": without_none(**facts)}

    return translate


_NameOf = Callable[[Attributes], str | None]


def _claude_tool(values: Attributes) -> str | None:
    name = text(values.get("tool_name"))
    told = values.get("tool_parameters")
    if name != "mcp_tool" or not isinstance(told, str):
        return name
    # With OTEL_LOG_TOOL_DETAILS it says which tool of which server.
    try:
        about = mapping(json.loads(told))
    except (ValueError, RecursionError):
        return name
    server, tool = text(about.get("mcp_server_name")), text(about.get("mcp_tool_name"))
    if server is None or tool is None:
        return name
    return text("__".join(_UNLIKE_NAMES.sub("_", part) for part in ("mcp", server, tool)))


def _codex_tool(values: Attributes) -> str | None:
    return tool_name(text(values.get("tool_name")), values.get("tool_namespace"))


def _gemini_tool(values: Attributes) -> str | None:
    return text(values.get("function_name"))


def _tool(name_of: _NameOf, call_name: str | None) -> Callable[[Attributes], Fields]:
    def translate(values: Attributes) -> Fields:
        failed = _says(values.get("success"), "false")
        call = None if call_name is None else identifier(values.get(call_name))
        return {
            "event_type": "tool_error" if failed else "tool_execute",
            "status": "error" if failed else "ok",
            "tool_name": name_of(values),
            "tool_use_id": call,
            "duration_ms": number(values.get("duration_ms")),
        }

    return translate


def _claude_answer(values: Attributes) -> Fields:
    return {
        "event_type": "completion",
        "input_tokens": number(values.get("input_tokens")),
        "cache_read_tokens": number(values.get("cache_read_tokens")),
        "cache_write_5m_tokens": number(values.get("cache_creation_tokens")),
        "output_tokens": number(values.get("output_tokens")),
        "cost_usd": dollars(values.get("cost_usd")),
        "duration_ms": number(values.get("duration_ms")),
        "extra": without_none(request_id=safe_keyword(values.get("request_id"))),
    }


def uncached(whole: int | None, cached: int | None) -> int | None:
    """Return the input without what came from the cache, where a vendor counts both together."""
    return None if whole is None else max(0, whole - (cached or 0))


def _sum(known: int | None, more: int | None) -> int | None:
    return None if known is None else known + (more or 0)


def _codex_answer(values: Attributes) -> Fields | None:
    # An answer ends with two such events, of which the second has the counts.
    if values.get("event.kind") != "response.completed" or "input_token_count" not in values:
        return None
    cached = number(values.get("cached_token_count"))
    return {
        "event_type": "completion",
        "input_tokens": uncached(number(values.get("input_token_count")), cached),
        "cache_read_tokens": cached,
        "output_tokens": number(values.get("output_token_count")),
    }


def _gemini_answer(values: Attributes) -> Fields:
    cached = number(values.get("cached_content_token_count"))
    tool = number(values.get("tool_token_count"))
    said = [number(values.get(f"{kind}_token_count")) for kind in ("output", "thoughts")]
    return {
        "event_type": "completion",
        # What tools put into the request is not in its input.
        "input_tokens": _sum(uncached(number(values.get("input_token_count")), cached), tool),
        "cache_read_tokens": cached,
        "output_tokens": None if said == [None, None] else sum(filter(None, said)),
        "duration_ms": number(values.get("duration_ms")),
    }


def _decision(name_of: _NameOf) -> Callable[[Attributes], Fields | None]:
    def translate(values: Attributes) -> Fields | None:
        # Only a person's answer ends a wait; most decisions are made by a rule.
        if not str(values.get("source", "")).lower().startswith("user"):
            return None
        return {
            "event_type": "answered",
            "tool_name": name_of(values),
            "extra": without_none(decision=safe_keyword(values.get("decision"))),
        }

    return translate


LOGS: dict[str, Mapping[str, Callable[[Attributes], Fields | None]]] = {
    "claude": {
        "user_prompt": _of_type("prompt"),
        "tool_result": _tool(_claude_tool, "tool_use_id"),
        "tool_decision": _decision(_claude_tool),
        "api_request": _claude_answer,
        "api_error": _of_type("activity", "status_code"),
        "api_retries_exhausted": _of_type("error"),
        "compaction": _of_type("activity", "trigger"),
    },
    "codex": {
        "conversation_starts": _of_type("session_start"),
        "user_prompt": _of_type("prompt"),
        "tool_decision": _decision(_codex_tool),
        "tool_result": _tool(_codex_tool, "call_id"),
        "sse_event": _codex_answer,
        "websocket_event": _codex_answer,
    },
    "gemini": {
        "config": _of_type("session_start"),
        "user_prompt": _of_type("prompt"),
        "tool_call": _tool(_gemini_tool, None),
        "api_response": _gemini_answer,
        "api_error": _of_type("activity", "status_code"),
        "conversation_finished": _of_type("stop"),
        "chat_compression": _of_type("activity"),
    },
}
"""Agent → event name without its prefix → translation; None: the record proves nothing."""
