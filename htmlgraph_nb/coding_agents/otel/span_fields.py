"""The events that a span reports: a call with its tokens, the start and the end of a run. Pure.

Attributes with content (messages, prompts, arguments, results, system instructions) are not read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

from ...core.ids import call_key, shorten_id
from ...core.model import Event, new_event
from ..fields import identifier, project_name, safe_keyword, string, whole_path, without_none
from ..telemetry import EventFields, dollars, number, terms_of_attributes
from .events import SOURCE, time_from_ns
from .signals import Attributes, Span
from .span_facts import SpanFacts, SpanKind
from .span_origin import SpanOrigin

_MICROSECOND = timedelta(microseconds=1)

_INPUT = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "llm.usage.prompt_tokens",
)
_OUTPUT = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    *("llm.token_count.completion", "llm.usage.completion_tokens"),
)
_CACHE_READ = (
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    *("gen_ai.usage.details.cache_read_tokens", "gen_ai.usage.cached_tokens"),
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_WRITTEN = (
    *("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    *("gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.details.cache_write_tokens"),
    "llm.token_count.prompt_details.cache_write",
)
_REASONING = (
    *("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    *("gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning"),
)
_COST = ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "operation.cost", "llm.cost.total")
_MODEL = (
    *("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.response.model"),
    *("llm.request.model", "model"),
)
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")


def call_event(
    span: Span, facts: SpanFacts, origin: SpanOrigin, session: str | None, received_at: datetime
) -> Event:
    """Return the event of a call of a model or a tool, for the agent that it names.

    Without a name it is for the main agent of the conversation.

    Args:
        session: id of the conversation; None: unknown.
        received_at: the timestamp of an event whose span has no timestamp.
    """
    is_model = facts.kind is SpanKind.MODEL
    fields = completion_fields(span) if is_model else tool_fields(span)
    call = fields.get("tool_use_id")
    if not is_model:
        fields["tool_name"] = origin.tool_name(fields["tool_name"])
    if origin.agent is not None and call is not None and session is not None:
        # As in its session files and hooks.
        event_id = call_key(session, call, "PostToolUse")
    else:
        event_id = _event_id(span, fields["event_type"])
    return new_event(
        agent_id=origin.agent_id(facts.agent, session),
        timestamp=time_from_ns(span.end_ns, received_at),
        event_id=event_id,
        duration_ms=_duration_ms(span),
        status="error" if span.failed else "ok",
        **_common(span, facts, origin, session),
        **fields,
    )


def run_events(
    span: Span,
    facts: SpanFacts,
    origin: SpanOrigin,
    agent_id: str,
    session: str | None,
    received_at: datetime,
) -> list[Event]:
    """Return the start and the end of a run, which is a turn of its agent.

    Args:
        session: id of the conversation; None: unknown.
        received_at: the timestamp of an event whose span has no timestamp.
    """
    start, end = (time_from_ns(at_ns, received_at) for at_ns in (span.start_ns, span.end_ns))
    kind = error_type(span)
    ended = "error" if span.failed else "stop"
    common = {"agent_id": agent_id, **_common(span, facts, origin, session)}
    return [
        new_event(
            event_type="prompt",
            timestamp=min(start, end),
            event_id=_event_id(span, "prompt"),
            **common,
        ),
        new_event(
            event_type=ended,
            # After the calls inside, which can end in the same microsecond.
            timestamp=max(start, end) + _MICROSECOND,
            event_id=_event_id(span, ended),
            duration_ms=_duration_ms(span),
            extra=without_none(error_type=kind),
            **common,
        ),
    ]


def agent_event(
    span: Span,
    facts: SpanFacts,
    origin: SpanOrigin,
    agent_id: str,
    session: str | None,
    received_at: datetime,
) -> Event:
    """Return an event that only says that there is an agent; the arguments are as above."""
    common = _common(span, facts, origin, session)
    return new_event(
        agent_id=agent_id,
        event_type="session_info",
        timestamp=time_from_ns(span.end_ns, received_at),
        event_id=shorten_id(f"agent:{agent_id}"),
        **common,
    )


def _common(span: Span, facts: SpanFacts, origin: SpanOrigin, session: str | None) -> EventFields:
    values, resource = span.attributes, span.resource
    folder = values.get("cwd") or resource.get("process.working_directory")
    return {
        "session_id": session,
        "source": SOURCE,
        "title": facts.agent,
        "agent_kind": origin.kind,
        "host": string(resource.get("host.name")),
        "project": project_name(folder, string(resource.get("project"))),
        "cwd": whole_path(folder),
        "feature_id": string(resource.get("feature.id")),
    }


def _duration_ms(span: Span) -> int | None:
    if not span.start_ns:
        return None
    return max(0, span.end_ns - span.start_ns) // 1_000_000


def _event_id(span: Span, event_type: str) -> str:
    """Return an event id that a repetition of the span has, too."""
    if span.trace_id and span.span_id:
        return shorten_id(f"span:{span.trace_id}:{span.span_id}:{event_type}")
    content = f"{span.name}:{span.start_ns}:{span.end_ns}:{sorted(span.attributes.items())!r}"
    digest = sha256(content.encode("utf-8", "replace")).hexdigest()[:32]
    return f"span:{digest}:{event_type}"


def completion_fields(span: Span) -> EventFields:
    """Return the fields of the completion that a call of a model reports."""
    values = span.attributes
    read, written = _first_number(values, _CACHE_READ), _first_number(values, _CACHE_WRITTEN)
    total, output = _first_number(values, _INPUT), _first_number(values, _OUTPUT)
    reasoning = _first_number(values, _REASONING)
    cached = (read or 0) + (written or 0)
    if total is not None and total >= cached:
        # The conventions count cached tokens as input; some exporters for Anthropic do not.
        total -= cached
    if output is not None and reasoning is not None and reasoning > output:
        # The conventions count reasoning as output; some exporters for Google do not.
        output += reasoning
    return {
        "event_type": "completion",
        "model": _first_string(values, _MODEL),
        "input_tokens": total,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": written,
        "output_tokens": output,
        # 0 only says that the price is unknown.
        "cost_usd": dollars(_first(values, _COST)) or None,
        "extra": without_none(
            provider=safe_keyword(_first(values, _PROVIDER)),
            reasoning_tokens=reasoning or None,
            error_type=error_type(span),
        ),
        **terms_of_attributes(values),
    }


def tool_fields(span: Span) -> EventFields:
    """Return the fields of the event that the call of a tool reports."""
    values = span.attributes
    name = string(values.get("gen_ai.tool.name")) or string(values.get("tool.name"))
    name = name or string(values.get("traceloop.entity.name"))
    return {
        "event_type": "tool_error" if span.failed else "tool_execute",
        "tool_name": name or string(span.name.removeprefix("execute_tool ")),
        "tool_use_id": identifier(values.get("gen_ai.tool.call.id")),
        "extra": without_none(error_type=error_type(span)),
    }


def error_type(span: Span) -> str | None:
    """Return the kind of error with which a span failed; None if it did not, or it is unknown."""
    if not span.failed:
        return None
    return safe_keyword(span.attributes.get("error.type")) or safe_keyword(span.exception)


def _first(values: Attributes, names: tuple[str, ...]) -> object:
    return next((values[name] for name in names if name in values), None)


def _first_number(values: Attributes, names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in values and (found := number(values[name])) is not None:
            return found
    return None


def _first_string(values: Attributes, names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in values and (found := string(values[name])) is not None:
            return found
    return None
