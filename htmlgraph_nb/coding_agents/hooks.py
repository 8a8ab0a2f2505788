"""Convert hook inputs of coding agents to events: the code that all agents share. Pure.

Claude Code's input is the common form. Codex uses the same form, and Gemini CLI's input is
converted to it. A HookFormat describes the hooks of one agent; see the modules ``hooks`` of the
agents.

Kept are names, ids, durations, counts and the keywords of the format. Prompts, tool inputs and
results, messages and error texts never become part of an event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..core.ids import agent_id_of, call_key, shorten_id
from ..core.model import MAX_TERM_CHARS, Event
from ..core.timestamps import to_utc
from ..core.validation import format_value, parse_time, validate_count, validate_string
from ..errors import InvalidEvent
from .content_rules import (
    ends_with_question,
    is_at_rest,
    limit_facts,
    question_extra,
    was_interrupted,
)
from .fields import (
    count,
    label,
    project_name,
    safe_keyword,
    string,
    whole_path,
    without_none,
)

_TOOL_HOOKS = frozenset(
    "PreToolUse PostToolUse PostToolUseFailure PermissionRequest PermissionDenied".split()
)
# Sources can disagree about how a call ended, but it ends once: all ends share one step.
_STEPS = {
    "PreToolUse": "PreToolUse",
    "PostToolUse": "PostToolUse",
    "PostToolUseFailure": "PostToolUse",
    "PermissionDenied": "PermissionDenied",
}
_CALL_STEPS = ("PreToolUse", "PostToolUse")
_TITLE_HOOKS = frozenset({"SessionStart", "UserPromptSubmit"})
_CONTEXT_HOOKS = frozenset({"SessionStart", "PostModelSwitch"})
_FORM_CLOSED = ("elicitation_complete", "elicitation_response")
_SENDER_FIELDS: dict[str, Callable[[object, str], Any]] = {
    **dict.fromkeys(("event_id", "agent_id", "feature_id", "host", "project"), validate_string),
    "timestamp": parse_time,
    "input_hash": validate_count,
}

_Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HookFormat:
    """The hooks of one kind of agent.

    Attributes:
        agent: name of the agent, the prefix of the ids of its agents.
        types: hook → event type; any other hook is an ``activity`` with the name of the hook.
        ignored: hooks that are no evidence of the agent's work.
        extra_fields: hook → its fields that are kept in ``extra`` if they are keywords or counts.
        question_tools: tools that wait for the user → "input" or "plan".
        cannot_work: error of a failed turn → why the agent cannot work.
        reports_failure: whether a failed tool call has a separate hook or a mark, so that a call
            that ends without it succeeded.
    """

    agent: str
    types: Mapping[str, str]
    ignored: frozenset[str] = frozenset()
    extra_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    question_tools: Mapping[str, str] = field(default_factory=dict)
    cannot_work: Mapping[str, str] = field(default_factory=dict)
    reports_failure: bool = True

    @property
    def source(self) -> str:
        """The ``source`` of its events."""
        return f"{self.agent}-hook"


def events_from_payload(
    hook_format: HookFormat, payload: Mapping[str, Any], received_at: datetime
) -> list[Event]:
    """Return the events that one hook input reports, in order.

    Usually one. Two if a hook reports on two agents (SubagentStart: the parent's ``subagent_start``
    and the child's ``prompt``; SubagentStop: ``subagent_stop`` and the child's ``session_end``) or
    on a tool call that the user interrupted. None for hooks that are no evidence of work, such as
    ConfigChange. An unknown hook is an ``activity``.

    Args:
        payload: the JSON object that the hook received, in the common form. The sender may add
            ``event_id``, ``timestamp``, ``host``, ``agent_id`` (name of the main agent),
            ``feature_id``, ``project`` and ``input_hash`` (of the tool call) under ``htmlgraph``.
        received_at: the timestamp of the events if the sender added none.

    Raises:
        InvalidEvent: ``session_id`` or ``hook_event_name`` is missing or not a string, or a value
            of ``htmlgraph`` is invalid; ``field`` names it.
    """
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = _required(payload, "hook_event_name")
    session = _required(payload, "session_id")
    sent = _sender_fields(payload)
    if hook in hook_format.ignored:
        return []
    common = _common(hook_format, payload, session, sent, received_at)
    main = sent.get("agent_id") or agent_id_of(session, hook_format.agent)
    if hook in ("SubagentStart", "SubagentStop") and hook in hook_format.types:
        events = _subagent_events(hook_format, payload, hook, main)
    else:
        events = _agent_events(hook_format, payload, hook, main, common["timestamp"])
        if _STEPS.get(hook) in _CALL_STEPS:
            events[0]["input_hash"] = sent.get("input_hash")
    # Other sources report the same call, so an id derived from the call precedes the sender's.
    key = _derived_id(hook_format, payload, hook, session) or sent.get("event_id")
    return [
        Event(**common, **fields, event_id=_numbered(key, index))
        for index, fields in enumerate(events)
    ]


def _required(payload: Mapping[str, Any], name: str) -> str:
    value = string(payload.get(name), None)
    if value is None:
        actual = format_value(payload[name]) if name in payload else "nothing"
        raise InvalidEvent(f"{name}: expected a string, got {actual}", name)
    return shorten_id(value)


def _sender_fields(payload: Mapping[str, Any]) -> _Fields:
    """Return the validated fields that the sender added under ``htmlgraph``."""
    added = payload.get("htmlgraph")
    if added is None:
        return {}
    if not isinstance(added, Mapping):
        raise InvalidEvent(f"htmlgraph: expected an object, got {format_value(added)}", "htmlgraph")
    fields: _Fields = {}
    for name, validate in _SENDER_FIELDS.items():
        value = added.get(name)
        if value is not None:
            fields[name] = validate(value, f"htmlgraph.{name}")
    return fields


def _common(
    hook_format: HookFormat,
    payload: Mapping[str, Any],
    session: str,
    sent: _Fields,
    received_at: datetime,
) -> _Fields:
    return {
        "timestamp": sent.get("timestamp") or to_utc(received_at),
        "cwd": whole_path(payload.get("cwd")),
        "session_id": session,
        "feature_id": sent.get("feature_id"),
        "model": string(payload.get("model")),
        "project": project_name(payload.get("cwd"), sent.get("project")),
        "host": sent.get("host"),
        "source": hook_format.source,
    }


def _derived_id(
    hook_format: HookFormat, payload: Mapping[str, Any], hook: str, session: str
) -> str | None:
    call, step = string(payload.get("tool_use_id")), _STEPS.get(hook)
    if not call or not step:
        return None
    identifier = string(payload.get("agent_id"), None)
    child = None if identifier is None else agent_id_of(identifier, hook_format.agent)
    return call_key(session, call, step, child)


def _numbered(key: str | None, index: int) -> str | None:
    """Return the id of the event at ``index`` of those that share a key."""
    if key is None or index == 0:
        return key
    return shorten_id(f"{key}:{index + 1}")


def _subagent_events(
    hook_format: HookFormat, payload: Mapping[str, Any], hook: str, parent: str
) -> list[_Fields]:
    """Return the parent's event about a child, and the child's own: its first prompt or its end."""
    starts = hook == "SubagentStart"
    identifier = string(payload.get("agent_id"), None)
    extra = without_none(agent_type=string(payload.get("agent_type"), 128))
    event_type = hook_format.types[hook]
    if identifier is None:
        return [{"agent_id": parent, "event_type": event_type, "extra": extra}]
    child = agent_id_of(identifier, hook_format.agent)
    return [
        {
            "agent_id": parent,
            "event_type": event_type,
            "extra": {"child_agent_id": child, **(extra or {})},
        },
        {
            "agent_id": child,
            "parent_agent_id": parent,
            "event_type": "prompt" if starts else "session_end",
            **(_default_title(extra) if starts else {"extra": extra}),
        },
    ]


def _default_title(extra: _Fields | None) -> _Fields:
    """Return the type of a subagent as its title until another source reports a better one."""
    title = label((extra or {}).get("agent_type"))
    if title is None:
        return {"extra": extra}
    return {"title": title, "extra": {**(extra or {}), "title_default": True}}


def _agent_events(
    hook_format: HookFormat, payload: Mapping[str, Any], hook: str, main: str, at: datetime
) -> list[_Fields]:
    """Return the event of the agent that ran the hook, the main agent or a subagent."""
    identifier = string(payload.get("agent_id"), None)
    agent: _Fields = {"agent_id": main}
    if identifier is not None:
        agent = {"agent_id": agent_id_of(identifier, hook_format.agent), "parent_agent_id": main}
    event_type = _event_type(hook_format, payload, hook)
    fields = {**agent, "event_type": event_type, "extra": _extra(hook_format, payload, hook, at)}
    if hook in _TOOL_HOOKS:
        fields["tool_name"] = string(payload.get("tool_name"))
        fields["tool_use_id"] = string(payload.get("tool_use_id"))
        fields["duration_ms"] = count(payload.get("duration_ms"))
    if hook == "PreToolUse":
        fields["extra"] = question_extra(fields["tool_name"], hook_format.question_tools)
    if hook in _TITLE_HOOKS and identifier is None:
        # A person or a model chose it; the field does not say which.
        fields["title"] = label(payload.get("session_title"))
        if fields["title"] is not None:
            fields["extra"] = {**(fields["extra"] or {}), "title_generated": True}
    if hook in _CONTEXT_HOOKS and identifier is None:
        fields["context_tokens"] = count(payload.get("context_tokens")) or None
    if hook == "PostToolUse" and hook_format.reports_failure:
        fields["status"] = "ok"
    if hook != "PostToolUseFailure":
        return [fields]
    fields["status"] = "error"
    if not was_interrupted(payload):
        return [fields]
    fields["extra"] = {"is_interrupt": True}
    return [fields, {**agent, "event_type": "interrupt"}]


def _event_type(hook_format: HookFormat, payload: Mapping[str, Any], hook: str) -> str:
    if hook == "Notification" and payload.get("notification_type") in _FORM_CLOSED:
        return "answered"
    if hook == "PostCompact" and payload.get("trigger") == "manual":
        # The user ran the compaction at the prompt, so the agent waits at the prompt again.
        return "idle"
    return hook_format.types.get(hook, "activity")


def _extra(
    hook_format: HookFormat, payload: Mapping[str, Any], hook: str, at: datetime
) -> _Fields | None:
    names = hook_format.extra_fields.get(hook, ())
    extra: _Fields = {name: _keyword_or_count(payload.get(name)) for name in names}
    if hook == "PostCompact":
        extra["compacted"] = True
    if hook == "SessionStart":
        extra["agent_type"] = string(payload.get("agent_type"), 128)
    elif hook == "PermissionDenied":
        extra["decision"] = "denied"
    elif hook == "PermissionRequest":
        tool = string(payload.get("tool_name"))
        extra |= question_extra(tool, hook_format.question_tools) or {}
    elif hook == "Stop" and ends_with_question(payload):
        extra["question"] = True
    elif hook == "StopFailure":
        extra |= _cannot_work(hook_format, payload, at)
    elif hook == "Elicitation":
        extra["notification_type"] = "elicitation_dialog"
    if hook not in hook_format.types:
        extra["hook_event_name"] = hook[:MAX_TERM_CHARS]
    return without_none(**extra)


def _cannot_work(
    hook_format: HookFormat, payload: Mapping[str, Any], at: datetime
) -> dict[str, Any]:
    """Return why the agent cannot work after a failed turn, and until when."""
    kind = hook_format.cannot_work.get(safe_keyword(payload.get("error")) or "")
    facts = limit_facts(payload, at)
    if kind in (None, "rate_limited") and facts:
        kind = "usage_limited"
    return {"cannot_work": kind, "until": facts.get("until")}


def _keyword_or_count(value: object) -> str | int | None:
    """Return a keyword, a count, or the length of a list; None for a string that may be prose.

    Of background tasks, only running ones count.
    """
    if isinstance(value, str):
        return safe_keyword(value)
    if not isinstance(value, list):
        return count(value)
    return sum(not is_at_rest(item) for item in value)
