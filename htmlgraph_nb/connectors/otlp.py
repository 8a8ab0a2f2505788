"""OpenTelemetry logs and spans of coding agents to Events, pure.

Read are the log events of Claude Code (``claude_code.*``, of its "Monitoring" documentation), of
Codex (``codex.*``, codex-rs/otel of openai/codex) and of Gemini CLI (``gemini_cli.*``,
docs/cli/telemetry.md of google-gemini/gemini-cli), and the spans of any program that follows the
semantic conventions for generative AI (``gen_ai.*``, in development). Records of other names are
taken and prove nothing. The three agents' own spans repeat their logs and are left out.

An answer of a model is told with its tokens by one log or span. Its event id is that of the
request where it has one, so that a repetition, or the same answer in a session file, counts once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from ..model import Event, new_event
from ..times import from_micros
from .codex_lines import tool_name
from .fields import count, fit, identifier, keyword, last_part, mapping, named, text
from .hooks import call_key
from .session import known_agent
from .telemetry import Attributes, LogRecord, Span

SOURCE = "otlp"
_PREFIXES = {"claude_code.": "claude", "codex.": "codex", "gemini_cli.": "gemini"}
_SESSION_KEYS = ("session.id", "conversation.id", "session_id", "conversation_id")
_OWN_SPANS = ("com.anthropic.claude_code", "claude_code.", "codex", "gemini_cli", "gemini-cli")
_UNLIKE_NAMES = re.compile(r"[^A-Za-z0-9_-]")
"""What Claude Code replaces in names of servers and their tools."""
_FIRST_MICROS = 946_684_800_000_000
_LAST_MICROS = 7_258_118_400_000_000
"""The years 2000 to 2199, outside of which no event is."""

Fields = dict[str, Any]


def events_from_log(record: LogRecord, *, received_at: datetime) -> list[Event]:
    """Return what a log record is evidence for: one event, or none.

    Args:
        received_at: the time of a record that tells none.
    """
    values = record.attributes
    agent, name = _event_name(
        text(record.attributes.get("event.name")) or "", record.name[:256], record.scope[:256]
    )
    translate = _LOGS.get(agent, {}).get(name)
    session = _session(record.resource, values)
    if translate is None or session is None:
        return []
    fields = translate(values)
    if fields is None:
        return []
    at = moment_of(record.at_ns, received_at)
    return [
        new_event(
            agent_id=known_agent(session, agent),
            timestamp=at,
            session_id=session,
            event_id=_key(fields, session) or _derived_id(session, name, record),
            source=SOURCE,
            **_common(record.resource, values),
            **fields,
        )
    ]


def events_from_span(span: Span, *, received_at: datetime) -> list[Event]:
    """Return what a span of the conventions for generative AI is evidence for.

    ``chat`` and its like are answers with their tokens, ``execute_tool`` is a tool with its
    duration, ``invoke_agent`` is a turn: its prompt and its end.
    """
    values = span.attributes
    service = text(span.resource.get("service.name")) or ""
    if any(one in (span.scope, service) or span.scope.startswith(one) for one in _OWN_SPANS):
        return []
    operation = values.get("gen_ai.operation.name")
    translate = _SPANS.get(operation) if isinstance(operation, str) else None
    if translate is None:
        return []
    own = text(values.get("gen_ai.agent.id")) or text(values.get("gen_ai.agent.name"))
    agent_id = own or service or "agent"
    session = _session(span.resource, values) or identifier(span.trace_id)
    begun, ended = (moment_of(at, received_at) for at in (span.start_ns, span.end_ns))
    duration_ms = max(0, span.end_ns - span.start_ns) // 1_000_000 if span.start_ns else None
    key = f"span:{span.trace_id}:{span.span_id}"
    common = {
        "agent_id": agent_id[:256],
        "session_id": session,
        "source": SOURCE,
        **_common(span.resource, values),
    }
    return [
        new_event(
            **{
                **common,
                "timestamp": begun if at_start else ended,
                "duration_ms": None if at_start else duration_ms,
                "event_id": fit(f"{key}:{kind}"),
                "event_type": kind,
                **fields,
            }
        )
        for kind, at_start, fields in translate(span)
    ]


def moment_of(at_ns: int, received_at: datetime) -> datetime:
    """Return the time of nanoseconds since 1970; ``received_at`` where they tell none."""
    micros = at_ns // 1_000
    return from_micros(micros) if _FIRST_MICROS <= micros < _LAST_MICROS else received_at


@lru_cache(maxsize=1024)
def _event_name(given: str, name: str, scope: str) -> tuple[str, str]:
    """Return the kind of agent and the name of its event without the prefix; "" where unknown."""
    for whole in (given, name):
        for prefix, agent in _PREFIXES.items():
            if whole.startswith(prefix):
                return agent, whole.removeprefix(prefix)
    if scope.startswith("com.anthropic.claude_code"):
        return "claude", given
    return "", given


def _session(resource: Attributes, values: Attributes) -> str | None:
    for name in (*_SESSION_KEYS, "gen_ai.conversation.id"):
        found = identifier(values.get(name)) or identifier(resource.get(name))
        if found is not None:
            return found
    return None


def _common(resource: Attributes, values: Attributes) -> Fields:
    folder = values.get("cwd") or resource.get("process.working_directory")
    return {
        "model": text(values.get("model") or values.get("gen_ai.response.model"))
        or text(values.get("gen_ai.request.model")),
        "host": text(resource.get("host.name")),
        "project": text(resource.get("project")) or last_part(folder),
        "feature_id": text(resource.get("feature.id")),
    }


def _key(fields: Fields, session: str) -> str | None:
    """Return the id of what other sources, too, tell of under an id; None: it has none."""
    call = fields.get("tool_use_id")
    if call is not None and fields["event_type"] in ("tool_execute", "tool_error"):
        return call_key(session, call, "PostToolUse")
    request = (fields.get("extra") or {}).get("request_id")
    return None if request is None else fit(f"{session}:answer:{request}")


def _derived_id(session: str, name: str, record: LogRecord) -> str:
    """Return an id that a repetition of the record has, too."""
    told = json.dumps(dict(record.attributes), sort_keys=True, default=str)
    digest = sha256(f"{record.at_ns}:{told}".encode("utf-8", "replace")).hexdigest()[:24]
    return fit(f"{session}:{name}:{digest}")


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
        facts = {name.replace(".", "_"): keyword(values.get(name)) for name in keywords}
        return {"event_type": kind, "extra": named(**facts)}

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
        "extra": named(request_id=keyword(values.get("request_id"))),
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
            "extra": named(decision=keyword(values.get("decision"))),
        }

    return translate


_LOGS: dict[str, Mapping[str, Callable[[Attributes], Fields | None]]] = {
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

_Part = tuple[str, bool, Fields]


def _answer_span(span: Span) -> list[_Part]:
    values = span.attributes
    read = number(values.get("gen_ai.usage.cache_read.input_tokens"))
    written = number(values.get("gen_ai.usage.cache_creation.input_tokens"))
    whole = number(values.get("gen_ai.usage.input_tokens"))
    fields: Fields = {
        "input_tokens": uncached(whole, (read or 0) + (written or 0)),
        "cache_read_tokens": read,
        "cache_write_5m_tokens": written,
        "output_tokens": number(values.get("gen_ai.usage.output_tokens")),
        "status": "error" if span.failed else "ok",
    }
    return [("completion", False, fields)]


def _tool_span(span: Span) -> list[_Part]:
    fields = {
        "tool_name": text(span.attributes.get("gen_ai.tool.name")) or text(span.name),
        "tool_use_id": identifier(span.attributes.get("gen_ai.tool.call.id")),
        "status": "error" if span.failed else "ok",
    }
    return [("tool_error" if span.failed else "tool_execute", False, fields)]


def _turn_span(span: Span) -> list[_Part]:
    return [("prompt", True, {}), ("error" if span.failed else "stop", False, {})]


_SPANS: dict[str, Callable[[Span], list[_Part]]] = {
    **dict.fromkeys(("chat", "text_completion", "generate_content"), _answer_span),
    "execute_tool": _tool_span,
    "invoke_agent": _turn_span,
    "invoke_workflow": _turn_span,
}
