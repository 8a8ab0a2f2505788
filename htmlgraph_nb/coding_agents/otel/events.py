"""OpenTelemetry logs of coding agents to events, pure.

The modules ``telemetry`` of the supported coding agents list their log events. Records with other
names are accepted and ignored; ``span_events`` reads spans.

One log reports a completion and its tokens. If it contains the id of the request, the event id is
derived from it, so a repetition, or the same completion in a session file, counts once.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

from ...core.ids import call_key, is_issued_id, shorten_id
from ...core.model import Event, new_event
from ...core.timestamps import from_micros
from ..fields import identifier, project_name, string, whole_path
from ..registry import AGENTS
from ..session import cached_agent_id
from ..telemetry import EventFields
from .signals import Attributes, LogRecord

SOURCE = "otlp"
_TELEMETRY = {
    name: telemetry
    for name, agent in AGENTS.items()
    if (telemetry := agent.telemetry()) is not None
}
_SESSION_KEYS = ("session.id", "conversation.id", "session_id", "conversation_id")
_MIN_MICROS = 946_684_800_000_000
_MAX_MICROS = 7_258_118_400_000_000
"""The years 2000 to 2199; timestamps outside of them are replaced."""


def events_from_log(record: LogRecord, *, received_at: datetime) -> list[Event]:
    """Return the event that a log record reports; an empty list if it reports none.

    Args:
        received_at: the timestamp of an event whose record has no timestamp.
    """
    values = record.attributes
    agent, name = _event_name(
        string(values.get("event.name")) or "", record.name[:256], record.scope[:256]
    )
    telemetry = _TELEMETRY.get(agent)
    translate = None if telemetry is None else telemetry.logs.get(name)
    session = _session(record.resource, values)
    if translate is None or session is None:
        return []
    fields = translate(values)
    if fields is None:
        return []
    return [
        new_event(
            agent_id=cached_agent_id(session, agent),
            timestamp=time_from_ns(record.at_ns, received_at),
            session_id=session,
            event_id=_key(fields, session, record.at_ns) or _content_key(session, name, record),
            source=SOURCE,
            agent_kind=agent,
            **_common(record.resource, values),
            **fields,
        )
    ]


def time_from_ns(at_ns: int, received_at: datetime) -> datetime:
    """Return the time of nanoseconds since 1970; ``received_at`` if they are out of range."""
    micros = at_ns // 1_000
    return from_micros(micros) if _MIN_MICROS <= micros < _MAX_MICROS else received_at


@lru_cache(maxsize=1024)
def _event_name(attribute: str, name: str, scope: str) -> tuple[str, str]:
    """Return the kind of agent and the name of its log event without the prefix; "" if unknown."""
    for full_name in (attribute, name):
        for agent, telemetry in _TELEMETRY.items():
            if full_name.startswith(telemetry.log_prefix):
                return agent, full_name.removeprefix(telemetry.log_prefix)
    for agent, telemetry in _TELEMETRY.items():
        if telemetry.log_scope and scope.startswith(telemetry.log_scope):
            return agent, attribute
    return "", attribute


def _session(resource: Attributes, values: Attributes) -> str | None:
    for name in (*_SESSION_KEYS, "gen_ai.conversation.id"):
        session = identifier(values.get(name)) or identifier(resource.get(name))
        if session is not None:
            return session
    return None


def _common(resource: Attributes, values: Attributes) -> EventFields:
    folder = values.get("cwd") or resource.get("process.working_directory")
    return {
        "model": string(values.get("model")),
        "host": string(resource.get("host.name")),
        "project": project_name(folder, string(resource.get("project"))),
        "cwd": whole_path(folder),
        "feature_id": string(resource.get("feature.id")),
    }


def _key(fields: EventFields, session: str, at_ns: int) -> str | None:
    """Return the event id that a repetition has, too; None if the event has no id of its own."""
    call = fields.get("tool_use_id")
    if call is not None and fields["event_type"] in ("tool_execute", "tool_error"):
        return call_key(session, call, "PostToolUse")
    request = (fields.get("extra") or {}).get("request_id")
    if request is None:
        return None
    # Gateways give several answers one id, also those of two processes of a session.
    time = "" if is_issued_id(request) else f":{at_ns}"
    return shorten_id(f"{session}:answer:{request}{time}")


def _content_key(session: str, name: str, record: LogRecord) -> str:
    """Return an event id that a repetition of the record has, too."""
    content = json.dumps(dict(record.attributes), sort_keys=True, default=str)
    digest = sha256(f"{record.at_ns}:{content}".encode("utf-8", "replace")).hexdigest()[:24]
    return shorten_id(f"{session}:{name}:{digest}")
