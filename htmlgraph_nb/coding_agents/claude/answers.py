"""Answers of the model in one of Claude Code's session files, each with its final counts.

An answer is written as several lines; see claude_session.py for which of them counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..fields import amount, count, mapping, mappings, safe_keyword, string, without_none
from .lines import LineContext, Record, Told, message_key, tokens_of


@dataclass(slots=True)
class _Answer:
    """The best line so far of an answer that may have more.

    Attributes:
        who: whose it is, and when it was written, up to its first call of a tool: the question
            whether that may run can be put while the rest is written, and is not answered by it.
    """

    key: str | None
    output: int
    who: LineContext
    record: Record
    calls: bool

    @property
    def message(self) -> Record:
        return mapping(self.record.get("message"))


@dataclass(slots=True)
class Answers:
    """The last answer of each agent of a file, until it is whole."""

    _last: dict[str, _Answer] = field(default_factory=dict)

    def agents(self) -> list[str]:
        """Return the agents with an answer that may have more lines."""
        return list(self._last)

    def whole(self) -> list[str]:
        """Return the agents whose answer told why it stopped: its counts are final then."""
        return [name for name, one in self._last.items() if one.message.get("stop_reason")]

    def take(self, record: Record, message: Record, who: LineContext) -> list[Told]:
        """Take a line of an answer in; return the one before, if the line begins another."""
        usage = message.get("usage")
        if not isinstance(usage, Mapping):
            return []
        key = message_key(record, message)
        best = self._last.get(who.agent_id)
        output = count(usage.get("output_tokens")) or 0
        if best is None or key is None or best.key != key:
            found = self.flush(who.agent_id)
            self._last[who.agent_id] = _Answer(key, output, who, record, _calls(message))
            return found
        if output >= best.output:
            if not best.calls:
                best.who = who
            best.output, best.record = output, record
        best.calls = best.calls or _calls(message)
        return []

    def flush(self, agent: str) -> list[Told]:
        """Return what the agent's answer tells, which is complete now."""
        best = self._last.pop(agent, None)
        if best is None:
            return []
        usage = mapping(best.message.get("usage"))
        reason = safe_keyword(best.message.get("stop_reason"))
        about = without_none(
            request_id=safe_keyword(best.record.get("requestId")),
            stop_reason=reason,
            version=None if reason else safe_keyword(best.record.get("version")),
            speed=None
            if usage.get("speed") in (None, "standard")
            else safe_keyword(usage["speed"]),
        )
        told = {
            "model": string(best.message.get("model")),
            # Older versions told what an answer cost.
            "cost_usd": amount(best.record.get("costUSD")),
            "extra": about,
        }
        found = [Told(best.who, "completion", best.key, {**told, **tokens_of(usage)})]
        # A second model that advised on the answer is in none of its counts.
        for place, advice in enumerate(mappings(usage.get("iterations"))):
            if advice.get("type") == "advisor_message":
                fields = {"model": string(advice.get("model")), **tokens_of(advice)}
                key = None if best.key is None else f"{best.key}:advisor:{place}"
                found.append(Told(best.who, "completion", key, fields))
        return found


def _calls(message: Record) -> bool:
    return any(block.get("type") == "tool_use" for block in mappings(message.get("content")))
