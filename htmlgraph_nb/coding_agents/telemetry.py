"""OpenTelemetry logs and metrics of coding agents: helpers for their translation to events, pure.

Each agent has a module ``telemetry`` with an ``AgentTelemetry``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .failures import kind_of_status, retry_extra
from .fields import count, identifier, safe_keyword, without_none
from .request_terms import inference_geo_of, service_tier_of, speed_of, web_searches_of

EventFields = dict[str, Any]
"""Fields of an event."""
LogAttributes = Mapping[str, Any]
"""Attributes of a log record."""
LogTranslation = Callable[[LogAttributes], EventFields | None]
"""Returns the fields of a log record's event; None if the record reports nothing."""
_ToolName = Callable[[LogAttributes], str | None]


@dataclass(frozen=True, slots=True)
class TokenMetric:
    """A counter of tokens.

    Attributes:
        fields: value of the attribute ``type`` → field of an event.
        input_includes_cached: whether its input tokens include those read from the cache.
    """

    fields: Mapping[str, str]
    input_includes_cached: bool


@dataclass(frozen=True, slots=True)
class AgentTelemetry:
    """The OpenTelemetry logs and metrics of one kind of agent.

    Attributes:
        log_prefix: prefix of the names of its log events.
        logs: name of a log event without the prefix → its translation.
        token_metrics: name of a metric → how it counts.
        span_names: its scopes and services, or prefixes of its scopes; their spans repeat its logs
            and are ignored, except ``turn_span``.
        log_scope: prefix of the scope whose log events have no prefix; "" if there is none.
        turn_span: name of its span that is a turn, of which only the end is read; "": its logs
            report the end of a turn.
        agent_spans: its scopes and services whose spans report what its logs do not; they follow
            the conventions for generative AI.
        inner_runs: names of its spans that are the same run of an agent as the one around them.
        span_tool_name: returns the name that its other sources give to a tool of a span.
    """

    log_prefix: str
    logs: Mapping[str, LogTranslation]
    token_metrics: Mapping[str, TokenMetric]
    span_names: tuple[str, ...]
    log_scope: str = ""
    turn_span: str = ""
    agent_spans: tuple[str, ...] = ()
    inner_runs: tuple[str, ...] = ()
    span_tool_name: Callable[[str], str] = str


def number(value: object) -> int | None:
    """Return a count, which some exporters write as a string; None if it is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return count(value)


def dollars(value: object) -> float | None:
    """Return an amount of at least 0, which may be a string; None if it is none."""
    try:
        amount = float(value) if isinstance(value, str | int | float) else -1.0
    except (ValueError, OverflowError):
        return None
    return amount if 0 <= amount < 1e12 else None


def uncached(total: int | None, cached: int | None) -> int | None:
    """Return the input tokens without the cached tokens, for vendors that count them together."""
    return None if total is None else max(0, total - (cached or 0))


_TERMS: dict[str, tuple[Callable[[object], str | int | None], tuple[str, ...]]] = {
    "speed": (speed_of, ("speed", "gen_ai.request.speed", "anthropic.speed")),
    "service_tier": (
        service_tier_of,
        (
            # What served the request, before what it asked for.
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "gen_ai.response.service_tier",
            "service_tier",
            "traffic_type",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
            "gen_ai.request.service_tier",
        ),
    ),
    "inference_geo": (
        inference_geo_of,
        ("inference_geo", "anthropic.inference_geo", "gen_ai.response.inference_geo"),
    ),
    "web_searches": (
        lambda value: web_searches_of(number(value)),
        (
            "web_search_requests",
            "gen_ai.usage.web_search_requests",
            "gen_ai.usage.server_tool_use.web_search_requests",
            "gen_ai.usage.details.web_search_requests",
        ),
    ),
}
"""Field of an event → its reader, and the attributes that contain it; the first that exists counts.

Sources: the "Monitoring" page of the Claude Code documentation, and the OpenTelemetry semantic
conventions for generative AI, current (``openai.…``) and earlier (``gen_ai.openai.…``). The
conventions have none for Anthropic's API, so its own names count.
"""


def terms_of_attributes(values: LogAttributes) -> EventFields:
    """Return the fields of a completion, besides model and tokens, that its price depends on."""
    return {
        field: read(next((values[name] for name in names if name in values), None))
        for field, (read, names) in _TERMS.items()
    }


def keyword_event(event_type: str, *keywords: str) -> LogTranslation:
    """Return a translation that keeps these attributes in ``extra`` if they are keywords."""

    def translate(values: LogAttributes) -> EventFields:
        facts = {name.replace(".", "_"): safe_keyword(values.get(name)) for name in keywords}
        return {"event_type": event_type, "extra": without_none(**facts)}

    return translate


def failure_event(event_type: str) -> LogTranslation:
    """Return a translation of a failed request, with the reason why the agent cannot work.

    Args:
        event_type: type of the event: "error" if the turn has ended.
    """

    def translate(values: LogAttributes) -> EventFields:
        code = number(values.get("status_code"))
        kind = kind_of_status(code)
        return {
            "event_type": event_type,
            "extra": without_none(
                status_code=None if code is None else str(code), cannot_work=kind
            ),
        }

    return translate


def retry_event(status: str = "status_code", failed: Iterable[str] = ()) -> LogTranslation:
    """Return a translation of a failed request that the agent repeats.

    Args:
        status: the attribute with the HTTP status.
        failed: kinds of failures that end the turn, because the agent does not repeat the request.
    """
    ends = frozenset(failed)

    def translate(values: LogAttributes) -> EventFields | None:
        kind = kind_of_status(number(values.get(status)))
        if kind is None:
            return None
        if kind in ends:
            return {"event_type": "error", "extra": {"cannot_work": kind}}
        extra = retry_extra(kind, number(values.get("attempt")), None, None)
        return {"event_type": "retry", "extra": extra}

    return translate


def tool_event(tool_name: _ToolName, call_id: str | None) -> LogTranslation:
    """Return a translation of the end of a tool call.

    Args:
        call_id: the attribute with the id of the call; None if there is none.
    """

    def translate(values: LogAttributes) -> EventFields:
        failed = str(values.get("success")).lower() == "false"
        return {
            "event_type": "tool_error" if failed else "tool_execute",
            "status": "error" if failed else "ok",
            "tool_name": tool_name(values),
            "tool_use_id": None if call_id is None else identifier(values.get(call_id)),
            "duration_ms": number(values.get("duration_ms")),
        }

    return translate


def decision_event(tool_name: _ToolName) -> LogTranslation:
    """Return a translation of the user's decision whether a tool may run."""

    def translate(values: LogAttributes) -> EventFields | None:
        # Most decisions are made by a rule; only a user's decision ends a wait.
        if not str(values.get("source", "")).lower().startswith("user"):
            return None
        return {
            "event_type": "answered",
            "tool_name": tool_name(values),
            "extra": without_none(decision=safe_keyword(values.get("decision"))),
        }

    return translate
