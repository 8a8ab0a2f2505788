"""OpenTelemetry logs and spans of coding agents to Events, pure.

Read are the log events of Claude Code (``claude_code.*``), Codex (``codex.*``) and Gemini CLI
(``gemini_cli.*``), see otlp_agents.py, and the spans of any program that follows the semantic
conventions for generative AI (``gen_ai.*``, in development). Records of other names are taken and
prove nothing. The three agents' own spans repeat their logs and are left out.

An answer of a model is told with its tokens by one log or span. Its event id is that of the
request where it has one, so that a repetition, or the same answer in a session file, counts once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

from ...core.ids import call_key, shorten_id
from ...core.model import Event, new_event
from ...core.timestamps import from_micros
from ..fields import base_name, identifier, string
from ..registry import AGENTS
from ..session import known_agent
from ..telemetry import EventFields, number, uncached
from .signals import Attributes, LogRecord, Span

SOURCE = "otlp"
_TELEMETRY = {name: agent.telemetry() for name, agent in AGENTS.items()}
_SESSION_KEYS = ("session.id", "conversation.id", "session_id", "conversation_id")
_OWN_SPANS = tuple(name for each in _TELEMETRY.values() for name in each.span_names)
_FIRST_MICROS = 946_684_800_000_000
_LAST_MICROS = 7_258_118_400_000_000
"""The years 2000 to 2199, outside of which no event is."""


def events_from_log(record: LogRecord, *, received_at: datetime) -> list[Event]:
    """Return what a log record is evidence for: one event, or none.

    Args:
        received_at: the time of a record that tells none.
    """
    values = record.attributes
    agent, name = _event_name(
        string(record.attributes.get("event.name")) or "", record.name[:256], record.scope[:256]
    )
    telemetry = _TELEMETRY.get(agent)
    translate = None if telemetry is None else telemetry.logs.get(name)
    session = _session(record.resource, values)
    if translate is None or session is None:
        return []
    fields = translate(values)
    if fields is None:
        return []
    at = time_from_ns(record.at_ns, received_at)
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
    service = string(span.resource.get("service.name")) or ""
    if any(one in (span.scope, service) or span.scope.startswith(one) for one in _OWN_SPANS):
        return []
    operation = values.get("gen_ai.operation.name")
    translate = _SPANS.get(operation) if isinstance(operation, str) else None
    if translate is None:
        return []
    own = string(values.get("gen_ai.agent.id")) or string(values.get("gen_ai.agent.name"))
    agent_id = own or service or "agent"
    session = _session(span.resource, values) or identifier(span.trace_id)
    begun, ended = (time_from_ns(at, received_at) for at in (span.start_ns, span.end_ns))
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
                "event_id": shorten_id(f"{key}:{kind}"),
                "event_type": kind,
                **fields,
            }
        )
        for kind, at_start, fields in translate(span)
    ]


def time_from_ns(at_ns: int, received_at: datetime) -> datetime:
    """Return the time of nanoseconds since 1970; ``received_at`` where they tell none."""
    micros = at_ns // 1_000
    return from_micros(micros) if _FIRST_MICROS <= micros < _LAST_MICROS else received_at


@lru_cache(maxsize=1024)
def _event_name(given: str, name: str, scope: str) -> tuple[str, str]:
    """Return the kind of agent and the name of its event without the prefix; "" where unknown."""
    for whole in (given, name):
        for agent, telemetry in _TELEMETRY.items():
            if whole.startswith(telemetry.log_prefix):
                return agent, whole.removeprefix(telemetry.log_prefix)
    for agent, telemetry in _TELEMETRY.items():
        if telemetry.log_scope and scope.startswith(telemetry.log_scope):
            return agent, given
    return "", given


def _session(resource: Attributes, values: Attributes) -> str | None:
    for name in (*_SESSION_KEYS, "gen_ai.conversation.id"):
        found = identifier(values.get(name)) or identifier(resource.get(name))
        if found is not None:
            return found
    return None


def _common(resource: Attributes, values: Attributes) -> EventFields:
    folder = values.get("cwd") or resource.get("process.working_directory")
    return {
        "model": string(values.get("model") or values.get("gen_ai.response.model"))
        or string(values.get("gen_ai.request.model")),
        "host": string(resource.get("host.name")),
        "project": string(resource.get("project")) or base_name(folder),
        "feature_id": string(resource.get("feature.id")),
    }


def _key(fields: EventFields, session: str) -> str | None:
    """Return the id of what other sources, too, tell of under an id; None: it has none."""
    call = fields.get("tool_use_id")
    if call is not None and fields["event_type"] in ("tool_execute", "tool_error"):
        return call_key(session, call, "PostToolUse")
    request = (fields.get("extra") or {}).get("request_id")
    return None if request is None else shorten_id(f"{session}:answer:{request}")


def _derived_id(session: str, name: str, record: LogRecord) -> str:
    """Return an id that a repetition of the record has, too."""
    told = json.dumps(dict(record.attributes), sort_keys=True, default=str)
    digest = sha256(f"{record.at_ns}:{told}".encode("utf-8", "replace")).hexdigest()[:24]
    return shorten_id(f"{session}:{name}:{digest}")


_Part = tuple[str, bool, EventFields]


def _answer_span(span: Span) -> list[_Part]:
    values = span.attributes
    read = number(values.get("gen_ai.usage.cache_read.input_tokens"))
    written = number(values.get("gen_ai.usage.cache_creation.input_tokens"))
    whole = number(values.get("gen_ai.usage.input_tokens"))
    fields: EventFields = {
        "input_tokens": uncached(whole, (read or 0) + (written or 0)),
        "cache_read_tokens": read,
        "cache_write_5m_tokens": written,
        "output_tokens": number(values.get("gen_ai.usage.output_tokens")),
        "status": "error" if span.failed else "ok",
    }
    return [("completion", False, fields)]


def _tool_span(span: Span) -> list[_Part]:
    fields = {
        "tool_name": string(span.attributes.get("gen_ai.tool.name")) or string(span.name),
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
