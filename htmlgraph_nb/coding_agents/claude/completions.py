"""Collect the completions in one of Claude Code's session files, each with its final counts.

A completion is written as several lines; ``session`` describes which of them counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...core.model import Event
from ..fields import amount, count, mapping, mappings, safe_keyword, string, without_none
from .lines import LineContext, Record, context_tokens_of, message_key, tokens_of


@dataclass(slots=True)
class _Pending:
    """A completion that may have more lines.

    Attributes:
        record: the line with the most output tokens so far.
        context: the context of the latest line up to the first tool call. Later lines may be
            written while the user is asked to allow the call, and must not date the completion
            after that.
    """

    key: str | None
    output_tokens: int
    context: LineContext
    record: Record
    calls_tool: bool

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

    def add(self, record: Record, message: Record, context: LineContext) -> list[Event]:
        """Add a line of a completion; return the previous completion if the line starts another."""
        usage = message.get("usage")
        if not isinstance(usage, Mapping):
            return []
        key = message_key(record, message)
        pending = self._pending.get(context.agent_id)
        output_tokens = count(usage.get("output_tokens")) or 0
        calls_tool = _calls_tool(message)
        if pending is None or key is None or pending.key != key:
            events = self.flush(context.agent_id)
            new = _Pending(key, output_tokens, context, record, calls_tool)
            self._pending[context.agent_id] = new
            return events
        if output_tokens >= pending.output_tokens:
            if not pending.calls_tool:
                pending.context = context
            pending.output_tokens, pending.record = output_tokens, record
        pending.calls_tool = pending.calls_tool or calls_tool
        return []

    def flush(self, agent: str) -> list[Event]:
        """Remove the agent's pending completion and return its events."""
        pending = self._pending.pop(agent, None)
        if pending is None:
            return []
        usage = mapping(pending.message.get("usage"))
        stop_reason = safe_keyword(pending.message.get("stop_reason"))
        speed = usage.get("speed")
        context = pending.context
        is_main = context.parent is None and not context.unnamed
        completion = context.event(
            "completion",
            pending.key,
            model=string(pending.message.get("model")),
            # Only older versions write the cost.
            cost_usd=amount(pending.record.get("costUSD")),
            extra=without_none(
                request_id=safe_keyword(pending.record.get("requestId")),
                stop_reason=stop_reason,
                version=None if stop_reason else safe_keyword(pending.record.get("version")),
                speed=None if speed in (None, "standard") else safe_keyword(speed),
            ),
            context_tokens=context_tokens_of(usage) if is_main else None,
            **tokens_of(usage),
        )
        return [completion, *_advisor_completions(pending, usage)]


def _advisor_completions(pending: _Pending, usage: Record) -> list[Event]:
    """Return the completions of a second model that advised the first; no other count has them."""
    return [
        pending.context.event(
            "completion",
            None if pending.key is None else f"{pending.key}:advisor:{index}",
            model=string(advice.get("model")),
            **tokens_of(advice),
        )
        for index, advice in enumerate(mappings(usage.get("iterations")))
        if advice.get("type") == "advisor_message"
    ]


def _calls_tool(message: Record) -> bool:
    return any(block.get("type") == "tool_use" for block in mappings(message.get("content")))
