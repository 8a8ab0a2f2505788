"""A coding agent's hook input to Event, pure: what the agents' hooks have in common.

Claude Code's form is the common one: Codex has taken it over, Gemini CLI's is brought to it. A
Dialect says which hook of an agent proves what; see claude.py, codex.py and gemini.py.

Kept are names, ids, durations, counts and the format's own keywords. Prompts, tool inputs and
results, messages and error texts never reach an Event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..core.ids import agent_id_of, call_key, shorten_id
from ..core.model import MAX_TYPE_CHARS, Event
from ..core.timestamps import to_utc
from ..core.validation import format_value, parse_time, validate_string
from ..errors import InvalidEvent
from .content_rules import ends_with_question, is_at_rest, question_extra, was_interrupted
from .fields import base_name, count, safe_keyword, string, without_none

_TOOL_EVENTS = frozenset(
    "PreToolUse PostToolUse PostToolUseFailure PermissionRequest PermissionDenied".split()
)
# A call ends once, however it ends: sources can disagree about that.
_STEPS = {
    "PreToolUse": "PreToolUse",
    "PostToolUse": "PostToolUse",
    "PostToolUseFailure": "PostToolUse",
    "PermissionDenied": "PermissionDenied",
}
FORM_CLOSED = ("elicitation_complete", "elicitation_response")

_Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HookFormat:
    """How one kind of agent's hooks are read.

    Attributes:
        agent: begins the ids of its agents, and names its source: ``claude`` → ``claude-hook``.
        types: hook → event type; any other is an ``activity`` that carries the hook's name.
        silent: hooks that prove nothing about the agent's work.
        facts: hook → its fields that are kept in ``extra`` when they are keywords or counts.
        question_tools: tools that wait for the user → "input" or "plan".
        tells_failure: whether a failed tool has a hook or a mark of its own, so that the end of a
            tool without it is a success.
    """

    agent: str
    types: Mapping[str, str]
    silent: frozenset[str] = frozenset()
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    question_tools: Mapping[str, str] = field(default_factory=dict)
    tells_failure: bool = True

    @property
    def source(self) -> str:
        """The ``source`` of its events."""
        return f"{self.agent}-hook"


def events_of(
    dialect: HookFormat, payload: Mapping[str, Any], received_at: datetime
) -> list[Event]:
    """Return the events that one hook input is evidence for, in order.

    Mostly one; two where a hook tells of two agents (SubagentStart: the parent's
    ``subagent_start`` and the child's ``prompt``; SubagentStop: ``subagent_stop`` and the child's
    ``session_end``) or of two facts (a tool call that the user interrupted); none for hooks that
    prove nothing about the agent's work, such as ConfigChange. A hook that is not known yields an
    ``activity``.

    Args:
        payload: the JSON object that the hook got, in the common form. Under ``htmlgraph`` the
            sender may add ``event_id``, ``timestamp``, ``host``, ``agent_id`` (names the main
            agent), ``feature_id`` and ``project``.
        received_at: the time of events whose sender gave none.

    Raises:
        InvalidEvent: ``session_id`` or ``hook_event_name`` is missing or no text, or a value of
            ``htmlgraph`` does not fit; ``field`` names it.
    """
    if not isinstance(payload, Mapping):
        raise InvalidEvent(f"hook input: expected an object, got {format_value(payload)}")
    hook = _needed(payload, "hook_event_name")
    session = _needed(payload, "session_id")
    sent = _sent(payload)
    if hook in dialect.silent:
        return []
    common = _common(dialect, payload, session, sent, received_at)
    main = sent.get("agent_id") or agent_id_of(session, dialect.agent)
    if hook in ("SubagentStart", "SubagentStop"):
        found = _child_events(dialect, payload, hook, main)
    else:
        found = _own_events(dialect, payload, hook, main)
    # Other sources tell of the same call, so its own id goes before the sender's.
    key = _derived_id(payload, hook, session) or sent.get("event_id")
    return [
        Event(**common, **fields, event_id=_nth(key, place)) for place, fields in enumerate(found)
    ]


def _needed(payload: Mapping[str, Any], name: str) -> str:
    found = string(payload.get(name), None)
    if found is None:
        actual = format_value(payload[name]) if name in payload else "nothing"
        raise InvalidEvent(f"{name}: expected a string, got {actual}", name)
    return shorten_id(found)


def _sent(payload: Mapping[str, Any]) -> _Fields:
    """Check what the sender added under ``htmlgraph``."""
    added = payload.get("htmlgraph")
    if added is None:
        return {}
    if not isinstance(added, Mapping):
        raise InvalidEvent(f"htmlgraph: expected an object, got {format_value(added)}", "htmlgraph")
    found: _Fields = {}
    for name in ("event_id", "agent_id", "feature_id", "host", "project", "timestamp"):
        value = added.get(name)
        if value is not None:
            check = parse_time if name == "timestamp" else validate_string
            found[name] = check(value, f"htmlgraph.{name}")
    return found


def _common(
    dialect: HookFormat,
    payload: Mapping[str, Any],
    session: str,
    sent: _Fields,
    received_at: datetime,
) -> _Fields:
    return {
        "timestamp": sent.get("timestamp") or to_utc(received_at),
        "session_id": session,
        "feature_id": sent.get("feature_id"),
        "model": string(payload.get("model")),
        "project": sent.get("project") or base_name(payload.get("cwd")),
        "host": sent.get("host"),
        "source": dialect.source,
    }


def _derived_id(payload: Mapping[str, Any], hook: str, session: str) -> str | None:
    call, step = string(payload.get("tool_use_id")), _STEPS.get(hook)
    return call_key(session, call, step) if call and step else None


def _nth(key: str | None, place: int) -> str | None:
    if key is None or place == 0:
        return key
    return shorten_id(f"{key}:{place + 1}")


def _child_events(
    dialect: HookFormat, payload: Mapping[str, Any], hook: str, parent: str
) -> list[_Fields]:
    """The parent's event about a child, and the child's own: it begins with its task, a prompt."""
    starts = hook == "SubagentStart"
    identifier = string(payload.get("agent_id"), None)
    about = without_none(agent_type=string(payload.get("agent_type"), 128))
    if identifier is None:
        return [{"agent_id": parent, "event_type": dialect.types[hook], "extra": about}]
    child = agent_id_of(identifier, dialect.agent)
    return [
        {
            "agent_id": parent,
            "event_type": dialect.types[hook],
            "extra": {"child_agent_id": child, **(about or {})},
        },
        {
            "agent_id": child,
            "parent_agent_id": parent,
            "event_type": "prompt" if starts else "session_end",
            "extra": about,
        },
    ]


def _own_events(
    dialect: HookFormat, payload: Mapping[str, Any], hook: str, main: str
) -> list[_Fields]:
    """The event of the agent in whose loop the hook fired: the main agent or a subagent."""
    identifier = string(payload.get("agent_id"), None)
    who: _Fields = {"agent_id": main}
    if identifier is not None:
        who = {"agent_id": agent_id_of(identifier, dialect.agent), "parent_agent_id": main}
    kind = _event_type(dialect, payload, hook)
    fields = {**who, "event_type": kind, "extra": _facts(dialect, payload, hook)}
    if hook in _TOOL_EVENTS:
        fields["tool_name"] = string(payload.get("tool_name"))
        fields["tool_use_id"] = string(payload.get("tool_use_id"))
        fields["duration_ms"] = count(payload.get("duration_ms"))
    if hook == "PreToolUse":
        fields["extra"] = question_extra(fields["tool_name"], dialect.question_tools)
    if hook == "PostToolUse" and dialect.tells_failure:
        fields["status"] = "ok"
    if hook != "PostToolUseFailure":
        return [fields]
    fields["status"] = "error"
    if not was_interrupted(payload):
        return [fields]
    fields["extra"] = {"is_interrupt": True}
    return [fields, {**who, "event_type": "interrupt"}]


def _event_type(dialect: HookFormat, payload: Mapping[str, Any], hook: str) -> str:
    if hook == "Notification" and payload.get("notification_type") in FORM_CLOSED:
        return "answered"
    if hook == "PostCompact" and payload.get("trigger") == "manual":
        # The user asked for it at the prompt, so the prompt is where the agent is again.
        return "idle"
    return dialect.types.get(hook, "activity")


def _facts(dialect: HookFormat, payload: Mapping[str, Any], hook: str) -> _Fields | None:
    facts: _Fields = {name: _fact(payload.get(name)) for name in dialect.facts.get(hook, ())}
    if hook == "SessionStart":
        facts["agent_type"] = string(payload.get("agent_type"), 128)
    elif hook == "PermissionDenied":
        facts["decision"] = "denied"
    elif hook == "PermissionRequest":
        facts |= question_extra(string(payload.get("tool_name")), dialect.question_tools) or {}
    elif hook == "Stop" and ends_with_question(payload):
        facts["question"] = True
    elif hook == "Elicitation":
        facts["notification_type"] = "elicitation_dialog"
    if hook not in dialect.types:
        facts["hook_event_name"] = hook[:MAX_TYPE_CHARS]
    return without_none(**facts)


def _fact(value: object) -> str | int | None:
    """A keyword of the format, or the length of a list; anything that could be prose is left.

    Of background tasks those count that run; a teammate is listed as running while it rests, too.
    """
    if isinstance(value, str):
        return safe_keyword(value)
    if not isinstance(value, list):
        return count(value)
    return sum(not is_at_rest(item) for item in value)
