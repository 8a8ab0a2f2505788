"""The tokens in Copilot CLI's session files; see ``session``. Pure.

In new versions (1.0.102, not yet 1.0.78) a ``session.usage_record`` reports each request. In older
ones a message reports its output, and only ``session.shutdown`` the input: the totals of the
session by model, which go on when it is resumed. What the lines before did not report is the rest.
No total contains the request that compacts the context.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..fields import count, mapping, string, without_none
from .lines import Record

_PART = 100_000
"""Input tokens of a completion that stands for many requests; larger requests can cost more."""
_MAX_PARTS = 1_000


class Tokens(NamedTuple):
    """Token counts; ``fresh`` is the input that was neither read from a cache nor written to it."""

    fresh: int = 0
    read: int = 0
    written: int = 0
    output: int = 0

    @classmethod
    def of(cls, usage: Record) -> Tokens:
        """Return the counts of a usage object, whose input includes the cache."""
        names = ("inputTokens", "cacheReadTokens", "cacheWriteTokens", "outputTokens")
        total, read, written, output = (count(usage.get(name)) or 0 for name in names)
        read = min(read, total)
        written = min(written, total - read)
        return cls(total - read - written, read, written, output)

    def plus(self, other: Tokens) -> Tokens:
        """Return the sum."""
        return Tokens(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Tokens) -> Tokens:
        """Return the difference, 0 for counts that would be negative."""
        return Tokens(*(max(0, a - b) for a, b in zip(self, other, strict=True)))

    def contains(self, other: Tokens) -> bool:
        """Return whether no count is less than the other's."""
        return all(a >= b for a, b in zip(self, other, strict=True))

    def parts(self, limit: int) -> list[Tokens]:
        """Return parts with about the same counts, which together are these; [] for none.

        Args:
            limit: their maximum number.
        """
        if not any(self):
            return []
        n = max(1, min(limit, _MAX_PARTS, -(-(self.fresh + self.read + self.written) // _PART)))
        return [
            Tokens(*(value // n + (number < value % n) for value in self)) for number in range(n)
        ]

    def fields(self) -> dict[str, int]:
        """Return the fields of a completion."""
        return {
            "input_tokens": self.fresh,
            "cache_read_tokens": self.read,
            "cache_write_5m_tokens": self.written,
            "cache_write_1h_tokens": 0,
            "output_tokens": self.output,
        }


@dataclass(slots=True)
class Usage:
    """What one session has reported.

    Attributes:
        has_records: whether each request has a record, so that messages need not be counted.
    """

    has_records: bool = False
    _totals: dict[str, Tokens] = field(default_factory=dict)
    _since: defaultdict[str, Tokens] = field(default_factory=lambda: defaultdict(Tokens))
    _last_call: int | None = None

    def record(self, usage: Record) -> dict[str, Any]:
        """Return the fields of the completion that a ``session.usage_record`` reports."""
        model, tokens = string(usage.get("model")), Tokens.of(usage)
        if not self.has_records:
            # A message reported the output before.
            tokens = tokens.minus(Tokens(output=self._since[model or ""].output))
        self.has_records = True
        self._since[model or ""] = self._since[model or ""].plus(tokens)
        reasoning = count(usage.get("reasoningTokens")) or None
        return {
            **tokens.fields(),
            "model": model,
            "duration_ms": count(usage.get("duration")),
            "extra": without_none(reasoning_tokens=reasoning),
        }

    def message(self, model: str | None, data: Record) -> dict[str, Any] | None:
        """Return the fields of the completion that a message reports; None: it reports none."""
        output, call = count(data.get("outputTokens")), data.get("apiCallId")
        if self.has_records or not output:
            return None
        # The parts of one response have the same call, and each has all of its tokens.
        is_part, self._last_call = call is not None and hash(call) == self._last_call, hash(call)
        if is_part:
            return None
        tokens = Tokens(output=output)
        self._since[model or ""] = self._since[model or ""].plus(tokens)
        return {**tokens.fields(), "model": model}

    def compaction(self, data: Record) -> dict[str, Any] | None:
        """Return the fields of the completion that compacted the context; None: there is none."""
        used = mapping(data.get("compactionTokensUsed"))
        tokens = Tokens.of(used)
        if not any(tokens):
            return None
        extra = {"compaction": True}
        model, duration = string(used.get("model")), count(used.get("duration"))
        return {**tokens.fields(), "model": model, "duration_ms": duration, "extra": extra}

    def rest(self, metrics: object) -> list[dict[str, Any]]:
        """Return the fields of the completions for what only the totals report.

        Those of many requests are several completions, as the price of a request can depend on its
        size.

        Args:
            metrics: ``modelMetrics`` of a ``session.shutdown``.
        """
        completions: list[dict[str, Any]] = []
        for name, value in mapping(metrics).items():
            model, metric = string(name), mapping(value)
            total = Tokens.of(mapping(metric.get("usage")))
            before = self._totals.get(model or "", Tokens())
            # A total that has decreased counts from 0 again.
            counted = self._since.pop(model or "", Tokens())
            counted = counted.plus(before) if total.contains(before) else counted
            self._totals[model or ""] = total
            n_requests = count(mapping(metric.get("requests")).get("count")) or 1
            for part in total.minus(counted).parts(n_requests):
                completions.append({**part.fields(), "model": model})
        return completions
