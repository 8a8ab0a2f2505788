"""Convert the message stream of the Claude Agent SDK to events. Pure; does not import the SDK.

A completion arrives as several messages, one for each block of its content, all with the same
usage. The output count in it is usually a placeholder from the start of the completion. The result
message at the end of a turn contains the sum of the turn. So a completion is reported when the next
one starts, and the last one of a turn with the output that is missing from the sum, provided that
the inputs show that the sum is about the same completions. With partial messages each completion
reports its own output.

The id of a completion is the same as in session files, or has the same id of a line, so both count
once.

Besides completions, these are read: retries of failed requests (``api_retry``), compactions, and
``RateLimitEvent``, which reports the use of one usage window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..coding_agents.claude.answers import Answers
from ..coding_agents.claude.constants import AGENT, CANNOT_WORK
from ..coding_agents.claude.lines import LineContext, context_tokens_of, tokens_of
from ..coding_agents.failures import after_ms, kind_of_status, retry_extra
from ..coding_agents.fields import (
    amount,
    count,
    identifier,
    mapping,
    safe_keyword,
    string,
    timestamp_of_seconds,
    whole_path,
    without_none,
)
from ..coding_agents.usage_windows import WEEK_MINUTES, quota_extra, usage_window
from ..core.ids import agent_id_of, shorten_id
from ..core.timestamps import to_rfc3339, utc_now
from .token_usage import TokenCounts, usage_terms

SDK_SOURCE = "claude-agent-sdk"
_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_MAX_REPORTED = 10_000
_WINDOWS = {
    "five_hour": (AGENT, 300),
    "seven_day": (AGENT, WEEK_MINUTES),
    "seven_day_opus": (f"{AGENT}-opus", WEEK_MINUTES),
    "seven_day_sonnet": (f"{AGENT}-sonnet", WEEK_MINUTES),
}
"""Type of a rate limit → the account and the minutes; those of one model count separately."""
_ABORTED = ("aborted_streaming", "aborted_tools")

_Fields = dict[str, Any]


@dataclass(slots=True)
class _Completion:
    """A completion that may be incomplete."""

    key: str
    message_id: str
    session_id: str
    model: str | None
    tokens: TokenCounts
    terms: _Fields
    context_tokens: int | None = None
    context_window: int | None = None


@dataclass(slots=True)
class MessageReader:
    """Reads the messages of one stream, in order.

    Args:
        agent_id: id of the agent; None: the id of Claude Code's sessions.
        now: the clock; returns the current time, UTC.
    """

    agent_id: str | None = None
    now: Callable[[], datetime] = utc_now
    _session: str | None = None
    # The keys of these two are ids of the parent tool call: subagents interleave.
    _open: dict[str | None, _Completion] = field(default_factory=dict)
    _streaming: dict[str | None, str] = field(default_factory=dict)
    _reported: dict[str, None] = field(default_factory=dict)
    _answers: Answers = field(default_factory=Answers)
    _turn_tokens: TokenCounts = field(default_factory=dict)
    _error: str | None = None
    _limited_until: datetime | None = None
    _quotas: dict[str, _Fields] = field(default_factory=dict)

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
        if kind == "UserMessage":
            self._answers.on_user_line(message.parent_tool_use_id or "", False)
        if kind == "RateLimitEvent":
            return self._on_rate_limit(message)
        return self._on_result(message) if kind == "ResultMessage" else []

    def finish(self, *, ended: bool) -> list[_Fields]:
        """Return the events that wait for another message; ``ended``: also end the session."""
        events = self._report_all()
        if ended and self._session is not None:
            events.append(self._event(self._session, "session_end"))
        return events

    def _on_system(self, message: Any) -> list[_Fields]:
        facts = mapping(message.data)
        self._session = identifier(facts.get("session_id")) or self._session
        if self._session is None:
            return []
        if message.subtype == "api_retry":
            return [self._event(self._session, "retry", extra=_retry(facts, self.now()))]
        if message.subtype == "compact_boundary":
            name = identifier(facts.get("uuid"))
            # The session file contains the same compaction, under the id of its line.
            key = None if name is None else f"{AGENT}:{name}:Info"
            extra = {"compacted": True}
            return [self._event(self._session, "session_info", event_id=key, extra=extra)]
        if message.subtype != "init":
            return []
        # Each turn starts with such a message, but the session starts only once.
        key = shorten_id(f"{self._session}:SessionStart")
        model = string(facts.get("model"))
        fields = {"event_id": key, "model": model, "cwd": whole_path(facts.get("cwd"))}
        return [self._event(self._session, "session_start", **fields)]

    def _on_assistant(self, message: Any) -> list[_Fields]:
        usage, parent = message.usage, message.parent_tool_use_id
        if parent is None:
            self._error = safe_keyword(getattr(message, "error", None))
        message_id = identifier(message.message_id) or identifier(message.uuid)
        if not isinstance(usage, Mapping) or message_id is None or self._session is None:
            return []
        key = self._key(message, message_id)
        tokens: TokenCounts = {name: value or None for name, value in tokens_of(usage).items()}
        current = self._open.get(parent)
        if current is not None and current.key == key:
            if (tokens["output_tokens"] or 0) > (current.tokens["output_tokens"] or 0):
                current.tokens, current.terms = tokens, usage_terms(usage)
            return []
        events = self._report(parent)
        if key not in self._reported:
            context = context_tokens_of(usage) if parent is None else None
            self._open[parent] = _Completion(
                *(key, message_id, self._session, string(message.model)),
                *(tokens, usage_terms(usage), context),
            )
        return events

    def _key(self, message: Any, message_id: str) -> str:
        """Return the event id of a completion."""
        agent, uuid = message.parent_tool_use_id or "", identifier(message.uuid)
        if uuid is None:
            return shorten_id(f"{AGENT}:{message_id}")
        context = LineContext(agent, None, "", self.now())
        part = {"id": message_id, "usage": message.usage}
        answer = self._answers.answer_of({"uuid": uuid}, part, context)
        return answer.key or shorten_id(f"{AGENT}:{message_id}")

    def _on_stream_event(self, message: Any) -> None:
        """Update the output count at the end of a streamed completion."""
        event, parent = mapping(message.event), message.parent_tool_use_id
        message_id = identifier(mapping(event.get("message")).get("id"))
        if event.get("type") == "message_start" and message_id is not None:
            self._streaming[parent] = message_id
        output = count(mapping(event.get("usage")).get("output_tokens"))
        current = self._open.get(parent)
        ended = event.get("type") == "message_delta" and output is not None
        if ended and current is not None and current.message_id == self._streaming.get(parent):
            current.tokens["output_tokens"] = output

    def _on_result(self, message: Any) -> list[_Fields]:
        self._answers.on_user_line("", True)
        last = self._open.get(None)
        usage = message.usage
        if last is not None and isinstance(usage, Mapping):
            total = tokens_of(usage)
            counted = _add(self._turn_tokens, last.tokens)
            missing = (total["output_tokens"] or 0) - (counted.get("output_tokens") or 0)
            same_input = all((total[name] or 0) == (counted.get(name) or 0) for name in _INPUT)
            if missing > 0 and same_input:
                last.tokens["output_tokens"] = (last.tokens["output_tokens"] or 0) + missing
        if last is not None and last.context_tokens is not None:
            windows = mapping(getattr(message, "model_usage", None))
            window = mapping(windows.get(last.model or "")).get("contextWindow")
            last.context_window = count(window) or None
        events = self._report_all()
        self._turn_tokens = {}
        if self._session is None:
            return events
        if message.terminal_reason in _ABORTED:
            events.append(self._event(self._session, "interrupt"))
        elif message.is_error is True:
            events.append(self._event(self._session, "error", extra=self._failure(message)))
        self._error = None
        return events

    def _failure(self, message: Any) -> _Fields | None:
        """Return the ``extra`` of a failed turn: its keyword, and why the agent cannot work."""
        status = count(getattr(message, "api_error_status", None))
        kind = CANNOT_WORK.get(self._error or "") or kind_of_status(status)
        until = self._limited_until if kind in (None, "rate_limited") else None
        return without_none(
            error=self._error or safe_keyword(message.subtype),
            cannot_work=kind if until is None else "usage_limited",
            until=None if until is None else to_rfc3339(until),
        )

    def _on_rate_limit(self, message: Any) -> list[_Fields]:
        info = message.rate_limit_info
        status, resets_at = info.status, timestamp_of_seconds(info.resets_at)
        self._limited_until = resets_at if status == "rejected" else None
        account, minutes = _WINDOWS.get(safe_keyword(info.rate_limit_type) or "", ("", 0))
        used = amount(info.utilization)
        percent = 100.0 if status == "rejected" else None if used is None else round(used * 100, 2)
        window = usage_window(minutes, percent, info.resets_at)
        if window is None or self._session is None:
            return []
        extra = quota_extra(account, None, [window])
        if self._quotas.get(account) == extra:
            return []
        self._quotas[account] = extra
        name = identifier(getattr(message, "uuid", None))
        key = None if name is None else f"{AGENT}:{name}"
        return [self._event(self._session, "quota", event_id=key, extra=extra)]

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
            completion.session_id,
            "completion",
            event_id=completion.key,
            model=completion.model,
            context_tokens=completion.context_tokens,
            context_window=completion.context_window,
            **completion.terms,
            **completion.tokens,
        )
        return [event]

    def _event(self, session: str, event_type: str, **fields: Any) -> _Fields:
        return {
            "event_type": event_type,
            "agent_id": self.agent_id or agent_id_of(session, AGENT),
            "session_id": session,
            "source": SDK_SOURCE,
            "agent_kind": AGENT,
            **fields,
        }


def _retry(facts: Mapping[str, Any], at: datetime) -> _Fields:
    """Return the ``extra`` of a request that Claude Code repeats."""
    kind = CANNOT_WORK.get(safe_keyword(facts.get("error")) or "")
    kind = kind or kind_of_status(count(facts.get("error_status")))
    until = after_ms(at, facts.get("retry_delay_ms"))
    return retry_extra(kind, facts.get("attempt"), facts.get("max_retries"), until)


def _add(left: TokenCounts, right: TokenCounts) -> TokenCounts:
    return {name: (left.get(name) or 0) + (right.get(name) or 0) for name in {**left, **right}}
