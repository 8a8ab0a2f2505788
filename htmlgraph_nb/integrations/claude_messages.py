"""Convert the message stream of the Claude Agent SDK to events. Pure; does not import the SDK.

A completion arrives as several messages, one for each block of its content, all with the same
usage. The output count in it is usually a placeholder from the start of the completion. The result
message at the end of a turn contains the sum of the turn. So a completion is reported when the next
one starts, and the last one of a turn with the output that is missing from the sum, provided that
the inputs show that the sum is about the same completions. With partial messages each completion
reports its own output.

The id of a completion is the same as in session files, so both count once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..coding_agents.claude.constants import AGENT
from ..coding_agents.claude.lines import tokens_of
from ..coding_agents.fields import (
    count,
    identifier,
    mapping,
    safe_keyword,
    string,
    without_none,
)
from ..core.ids import agent_id_of, shorten_id
from .token_usage import TokenCounts

SDK_SOURCE = "claude-agent-sdk"
_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_MAX_REPORTED = 10_000
_ABORTED = ("aborted_streaming", "aborted_tools")

_Fields = dict[str, Any]


@dataclass(slots=True)
class _Completion:
    """A completion that may be incomplete."""

    key: str
    session_id: str
    model: str | None
    tokens: TokenCounts


@dataclass(slots=True)
class MessageReader:
    """Reads the messages of one stream, in order.

    Args:
        agent_id: id of the agent; None: the id of Claude Code's sessions.
    """

    agent_id: str | None = None
    _session: str | None = None
    # The keys of these two are ids of the parent tool call: subagents interleave.
    _open: dict[str | None, _Completion] = field(default_factory=dict)
    _streaming: dict[str | None, str] = field(default_factory=dict)
    _reported: dict[str, None] = field(default_factory=dict)
    _turn_tokens: TokenCounts = field(default_factory=dict)

    def feed(self, message: Any) -> list[_Fields]:
        """Return the events that are certain with this message, as fields of Event."""
        self._session = identifier(getattr(message, "session_id", None)) or self._session
        kind = type(message).__name__
        if kind == "SystemMessage":
            return self._on_system(message)
        if kind == "StreamEvent":
            self._on_stream_event(message)
            return []
        if kind == "AssistantMessage":
            return self._on_assistant(message)
        return self._on_result(message) if kind == "ResultMessage" else []

    def finish(self, *, ended: bool) -> list[_Fields]:
        """Return the events that wait for another message; ``ended``: also end the session."""
        events = self._report_all()
        if ended and self._session is not None:
            events.append(self._event(self._session, "session_end"))
        return events

    def _on_system(self, message: Any) -> list[_Fields]:
        if message.subtype != "init":
            return []
        facts = mapping(message.data)
        self._session = identifier(facts.get("session_id")) or self._session
        if self._session is None:
            return []
        # Each turn starts with such a message, but the session starts only once.
        key = shorten_id(f"{self._session}:SessionStart")
        model = string(facts.get("model"))
        return [self._event(self._session, "session_start", event_id=key, model=model)]

    def _on_assistant(self, message: Any) -> list[_Fields]:
        usage, parent = message.usage, message.parent_tool_use_id
        message_id = identifier(message.message_id) or identifier(message.uuid)
        if not isinstance(usage, Mapping) or message_id is None or self._session is None:
            return []
        key = shorten_id(f"{AGENT}:{message_id}")
        tokens: TokenCounts = {name: value or None for name, value in tokens_of(usage).items()}
        current = self._open.get(parent)
        if current is not None and current.key == key:
            if (tokens["output_tokens"] or 0) > (current.tokens["output_tokens"] or 0):
                current.tokens = tokens
            return []
        events = self._report(parent)
        if key not in self._reported:
            self._open[parent] = _Completion(key, self._session, string(message.model), tokens)
        return events

    def _on_stream_event(self, message: Any) -> None:
        """Update the output count at the end of a streamed completion."""
        event, parent = mapping(message.event), message.parent_tool_use_id
        message_id = identifier(mapping(event.get("message")).get("id"))
        if event.get("type") == "message_start" and message_id is not None:
            self._streaming[parent] = shorten_id(f"{AGENT}:{message_id}")
        output = count(mapping(event.get("usage")).get("output_tokens"))
        current = self._open.get(parent)
        ended = event.get("type") == "message_delta" and output is not None
        if ended and current is not None and current.key == self._streaming.get(parent):
            current.tokens["output_tokens"] = output

    def _on_result(self, message: Any) -> list[_Fields]:
        last = self._open.get(None)
        usage = message.usage
        if last is not None and isinstance(usage, Mapping):
            total = tokens_of(usage)
            counted = _add(self._turn_tokens, last.tokens)
            missing = (total["output_tokens"] or 0) - (counted.get("output_tokens") or 0)
            same_input = all((total[name] or 0) == (counted.get(name) or 0) for name in _INPUT)
            if missing > 0 and same_input:
                last.tokens["output_tokens"] = (last.tokens["output_tokens"] or 0) + missing
        events = self._report_all()
        self._turn_tokens = {}
        if self._session is None:
            return events
        if message.terminal_reason in _ABORTED:
            events.append(self._event(self._session, "interrupt"))
        elif message.is_error is True:
            extra = without_none(error=safe_keyword(message.subtype))
            events.append(self._event(self._session, "error", extra=extra))
        return events

    def _report_all(self) -> list[_Fields]:
        return [event for parent in list(self._open) for event in self._report(parent)]

    def _report(self, parent: str | None) -> list[_Fields]:
        """Return the event of an open completion, if there is one, and close it."""
        completion = self._open.pop(parent, None)
        if completion is None:
            return []
        self._reported[completion.key] = None
        while len(self._reported) > _MAX_REPORTED:
            del self._reported[next(iter(self._reported))]
        if parent is None:
            self._turn_tokens = _add(self._turn_tokens, completion.tokens)
        event = self._event(
            completion.session_id, "completion", event_id=completion.key, model=completion.model
        )
        return [{**event, **completion.tokens}]

    def _event(self, session: str, event_type: str, **fields: Any) -> _Fields:
        return {
            "event_type": event_type,
            "agent_id": self.agent_id or agent_id_of(session, AGENT),
            "session_id": session,
            "source": SDK_SOURCE,
            **fields,
        }


def _add(left: TokenCounts, right: TokenCounts) -> TokenCounts:
    return {name: (left.get(name) or 0) + (right.get(name) or 0) for name in {**left, **right}}
