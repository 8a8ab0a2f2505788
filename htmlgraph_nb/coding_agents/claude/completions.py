"""Collect the completions in one of Claude Code's session files, each with its final counts.

A completion is written as several lines; ``session`` describes which of them counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...core.model import Event
from ..fields import amount, count, mapping, mappings, safe_keyword, string, without_none
from ..request_terms import terms_of_usage, web_searches_of
from .iterations import split_usage
from .lines import LineContext, Record, context_tokens_of, tokens_of

_NO_CONTENT = ("text", "fallback")
"""Types of blocks that are no output of a model unless they have a text."""


@dataclass(slots=True)
class _Pending:
    """A completion that may have more lines.

    Attributes:
        record: the line with the most output tokens so far.
        context: the context of the latest line up to the first tool call. Later lines may be
            written while the user is asked to allow the call, and must not date the completion
            after that.
        has_content: whether a line has text or a tool call.
    """

    key: str | None
    output_tokens: int
    context: LineContext
    record: Record
    calls_tool: bool
    has_content: bool

    @property
    def message(self) -> Record:
        return mapping(self.record.get("message"))


@dataclass(slots=True)
class Completions:
    """The last completion of each agent of a file, until it is complete."""

    _pending: dict[str, _Pending] = field(default_factory=dict)

    def agents(self) -> list[str]:
        """Return the agents with a pending completion."""
        return list(self._pending)

    def stopped_agents(self) -> list[str]:
        """Return the agents whose pending completion has a stop reason, so its counts are final."""
        return [
            agent for agent, pending in self._pending.items() if pending.message.get("stop_reason")
        ]

    def add(
        self, record: Record, message: Record, context: LineContext, key: str | None
    ) -> list[Event]:
        """Add a line of a completion; return the previous completion if the line starts another.

        Args:
            key: the key of the completion; None: each line is one of its own.
        """
        usage = message.get("usage")
        if not isinstance(usage, Mapping):
            return []
        pending = self._pending.get(context.agent_id)
        output_tokens = count(usage.get("output_tokens")) or 0
        calls_tool, has_content = _calls_tool(message), _has_content(message)
        if pending is None or key is None or pending.key != key:
            events = self.flush(context.agent_id)
            new = _Pending(key, output_tokens, context, record, calls_tool, has_content)
            self._pending[context.agent_id] = new
            return events
        if output_tokens >= pending.output_tokens:
            if not pending.calls_tool:
                pending.context = context
            pending.output_tokens, pending.record = output_tokens, record
        pending.calls_tool = pending.calls_tool or calls_tool
        pending.has_content = pending.has_content or has_content
        return []

    def flush(self, agent: str) -> list[Event]:
        """Remove the agent's pending completion and return its events, one for each answer."""
        pending = self._pending.pop(agent, None)
        if pending is None:
            return []
        usage = mapping(pending.message.get("usage"))
        parts = split_usage(usage)
        before = [
            _part_event(pending, f"iteration:{part.position}", part.counts, usage)
            for part in parts.earlier
        ]
        advice = [
            _part_event(pending, f"advisor:{part.position}", part.counts, {**usage, "speed": None})
            for part in parts.advisors
        ]
        return [*before, _last_event(pending, usage, parts.last), *advice]


def _last_event(pending: _Pending, usage: Record, last: Record) -> Event:
    """Return the completion of the last model that answered, with all that the message reports."""
    stop_reason = safe_keyword(pending.message.get("stop_reason"))
    context = pending.context
    is_main = context.parent is None and not context.unnamed
    # A model that declines before its first output is not billed
    # (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback).
    is_free = stop_reason == "refusal" and not (
        pending.has_content and count(last.get("output_tokens"))
    )
    # Only older versions write the cost; 0 if they did not know the price of the model.
    cost = amount(pending.record.get("costUSD")) or None
    return context.event(
        "completion",
        pending.key,
        model=string(last.get("model")) or string(pending.message.get("model")),
        cost_usd=0.0 if cost is None and is_free else cost,
        extra=without_none(
            request_id=safe_keyword(pending.record.get("requestId")),
            stop_reason=stop_reason,
            version=None if stop_reason else safe_keyword(pending.record.get("version")),
        ),
        context_tokens=context_tokens_of(last) if is_main else None,
        web_searches=web_searches_of(
            mapping(usage.get("server_tool_use")).get("web_search_requests")
        ),
        **terms_of_usage({**usage, **last}),
        **tokens_of(last),
    )


def _part_event(pending: _Pending, name: str, counts: Record, usage: Record) -> Event:
    """Return a completion whose tokens no other one of the message has."""
    return pending.context.event(
        "completion",
        None if pending.key is None else f"{pending.key}:{name}",
        model=string(counts.get("model")) or string(pending.message.get("model")),
        **terms_of_usage({**usage, **counts}),
        **tokens_of(counts),
    )


def _has_content(message: Record) -> bool:
    blocks = mappings(message.get("content"))
    return any(block.get("text") or block.get("type") not in _NO_CONTENT for block in blocks)


def _calls_tool(message: Record) -> bool:
    return any(block.get("type") == "tool_use" for block in mappings(message.get("content")))
