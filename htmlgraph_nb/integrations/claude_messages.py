"""The message stream of the Claude Agent SDK as events, pure; it loads no SDK.

An answer of the model comes as several messages, one for each block of its content, which repeat
its usage. Its output is mostly that of the answer's first moment, a placeholder; the result at the
end of a turn has the sum of the turn. So an answer is told when the next one begins, and the last
one of a turn with the output that is still missing then, if the result is about the same answers:
if its input is theirs. With partial messages each answer tells its own output.

An answer's id is that of session files, so that one which is known from there counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..coding_agents.claude.constants import AGENT
from ..coding_agents.claude.lines import tokens_of
from ..coding_agents.fields import count, identifier, mapping, safe_keyword, text, without_none
from ..core.ids import agent_id_of, shorten_id
from .token_usage import TokenCounts

SDK_SOURCE = "claude-agent-sdk"
_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_MAX_KNOWN = 10_000
_ABORTED = ("aborted_streaming", "aborted_tools")

_Fields = dict[str, Any]


@dataclass(slots=True)
class _Answer:
    """One answer so far."""

    key: str
    session_id: str
    model: str | None
    tokens: TokenCounts


@dataclass(slots=True)
class MessageReader:
    """Reads the messages of one stream, in their order.

    Args:
        agent_id: of the agent; None: as the sessions of Claude Code are called.
    """

    agent_id: str | None = None
    _session: str | None = None
    _last: dict[str | None, _Answer] = field(default_factory=dict)
    _known: dict[str, None] = field(default_factory=dict)
    _told: TokenCounts = field(default_factory=dict)
    _streamed: dict[str | None, str] = field(default_factory=dict)

    def feed(self, message: Any) -> list[_Fields]:
        """Return the events that are certain with this message, as fields of Event."""
        self._session = identifier(getattr(message, "session_id", None)) or self._session
        kind = type(message).__name__
        if kind == "SystemMessage":
            return self._system(message)
        if kind == "StreamEvent":
            self._part(message)
            return []
        if kind == "AssistantMessage":
            return self._answer(message)
        return self._result(message) if kind == "ResultMessage" else []

    def finish(self, *, over: bool) -> list[_Fields]:
        """Return what waits for a message that does not come; ``over``: the session is, too."""
        found = [one for parent in list(self._last) for one in self._tell(parent)]
        if over and self._session is not None:
            found.append(self._event(self._session, "session_end"))
        return found

    def _system(self, message: Any) -> list[_Fields]:
        if message.subtype != "init":
            return []
        facts = mapping(message.data)
        self._session = identifier(facts.get("session_id")) or self._session
        if self._session is None:
            return []
        # Each turn begins with such a message, the session only once.
        key = shorten_id(f"{self._session}:SessionStart")
        model = text(facts.get("model"))
        return [self._event(self._session, "session_start", event_id=key, model=model)]

    def _answer(self, message: Any) -> list[_Fields]:
        usage, parent = message.usage, message.parent_tool_use_id
        found = identifier(message.message_id) or identifier(message.uuid)
        if not isinstance(usage, Mapping) or found is None or self._session is None:
            return []
        key = shorten_id(f"{AGENT}:{found}")
        tokens: TokenCounts = {name: value or None for name, value in tokens_of(usage).items()}
        known = self._last.get(parent)
        if known is not None and known.key == key:
            if (tokens["output_tokens"] or 0) > (known.tokens["output_tokens"] or 0):
                known.tokens = tokens
            return []
        told = self._tell(parent)
        if key not in self._known:
            self._last[parent] = _Answer(key, self._session, text(message.model), tokens)
        return told

    def _part(self, message: Any) -> None:
        """Take a part of an answer that streams: its end tells the output."""
        event, parent = mapping(message.event), message.parent_tool_use_id
        begun = identifier(mapping(event.get("message")).get("id"))
        if event.get("type") == "message_start" and begun is not None:
            self._streamed[parent] = shorten_id(f"{AGENT}:{begun}")
        output = count(mapping(event.get("usage")).get("output_tokens"))
        known = self._last.get(parent)
        ended = event.get("type") == "message_delta" and output is not None
        if ended and known is not None and known.key == self._streamed.get(parent):
            known.tokens["output_tokens"] = output

    def _result(self, message: Any) -> list[_Fields]:
        last = self._last.get(None)
        usage = message.usage
        if last is not None and isinstance(usage, Mapping):
            sums = tokens_of(usage)
            own = _sum(self._told, last.tokens)
            missing = (sums["output_tokens"] or 0) - (own.get("output_tokens") or 0)
            if missing > 0 and all((sums[name] or 0) == (own.get(name) or 0) for name in _INPUT):
                last.tokens["output_tokens"] = (last.tokens["output_tokens"] or 0) + missing
        found = [one for parent in list(self._last) for one in self._tell(parent)]
        self._told = {}
        if self._session is None:
            return found
        if message.terminal_reason in _ABORTED:
            found.append(self._event(self._session, "interrupt"))
        elif message.is_error is True:
            about = without_none(error=safe_keyword(message.subtype))
            found.append(self._event(self._session, "error", extra=about))
        return found

    def _tell(self, parent: str | None) -> list[_Fields]:
        """Return the answer that has become complete."""
        answer = self._last.pop(parent, None)
        if answer is None:
            return []
        self._known[answer.key] = None
        while len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        if parent is None:
            self._told = _sum(self._told, answer.tokens)
        event = self._event(
            answer.session_id, "completion", event_id=answer.key, model=answer.model
        )
        return [{**event, **answer.tokens}]

    def _event(self, session: str, kind: str, **fields: Any) -> _Fields:
        return {
            "event_type": kind,
            "agent_id": self.agent_id or agent_id_of(session, AGENT),
            "session_id": session,
            "source": SDK_SOURCE,
            **fields,
        }


def _sum(one: TokenCounts, other: TokenCounts) -> TokenCounts:
    return {name: (one.get(name) or 0) + (other.get(name) or 0) for name in {**one, **other}}
