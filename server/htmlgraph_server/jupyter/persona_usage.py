"""Tokens and cost of a persona, from the totals that Jupyter AI publishes. Pure functions.

The Agent Client Protocol calls the token counts of an agent totals of the session in one place and
counts of the turn in another (agent-client-protocol#1860), and agents differ. So counts are taken
for totals until one of them falls, and for counts of a turn from then on: too few may be counted,
never too many. The cost is a total of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from htmlgraph_nb.coding_agents.fields import amount, count

_INPUT, _OUTPUT, _READ, _WRITE = (
    *("input_tokens", "output_tokens", "cached_read_tokens"),
    "cached_write_tokens",
)
_THOUGHT, _TOTAL = "thought_tokens", "total_tokens"
_COUNTS = (_INPUT, _OUTPUT, _READ, _WRITE, _THOUGHT, _TOTAL)
_DOLLARS = "USD"


class Context(NamedTuple):
    """How full the context of a persona's model is.

    Attributes:
        tokens: tokens in it; None: unknown.
        window: maximum of ``tokens``; None: unknown.
    """

    tokens: int | None = None
    window: int | None = None


def context_of(usage: Mapping[str, Any]) -> Context:
    """Return the context in a usage record of Jupyter AI."""
    return Context(count(usage.get("context_tokens")), count(usage.get("context_size")) or None)


class UsageCounter:
    """Returns what each report of a session adds.

    Args:
        known_tokens: tokens of the session that earlier reports added, as before a restart.
        known_cost: its cost in US dollars.
    """

    def __init__(self, known_tokens: int = 0, known_cost: float = 0.0) -> None:
        self._known_tokens = known_tokens
        self._cost = known_cost
        self._counts: dict[str, int] | None = None
        self._is_per_turn = self._reports_cost = False
        self._added: dict[str, float] = {}

    def restart(self) -> None:
        """Note that the agent's process is a new one, which counts from 0."""
        self._counts, self._known_tokens, self._cost, self._is_per_turn = None, 0, 0.0, False

    def report(self, usage: Mapping[str, Any]) -> None:
        """Add the increase of one usage record of Jupyter AI to what ``take`` returns."""
        counts = {name: n for name in _COUNTS if (n := count(usage.get(name))) is not None}
        if counts and counts != self._counts:
            for name, n in self._increase(counts).items():
                self._added[name] = self._added.get(name, 0) + n
            self._counts = counts
        currency = usage.get("cost_currency")
        cost = amount(usage.get("cost_amount"))
        if cost is not None and isinstance(currency, str) and currency.upper() == _DOLLARS:
            self._reports_cost = True
            increase = cost - self._cost if cost >= self._cost else cost
            self._cost = cost
            if increase > 0:
                self._added["cost_usd"] = self._added.get("cost_usd", 0.0) + increase

    def take(self) -> dict[str, Any]:
        """Return what was added since the last call, as fields of an Event; {}: nothing."""
        added, self._added = self._added, {}
        fields: dict[str, Any] = {
            name: value if name == "cost_usd" else int(value)
            for name, value in added.items()
            if value > 0
        }
        if fields and self._reports_cost:
            # The price of the model must not count as well.
            fields.setdefault("cost_usd", 0.0)
        return fields

    def _increase(self, counts: dict[str, int]) -> dict[str, int]:
        before = self._counts
        if before is None:
            total = counts.get(_TOTAL, 0)
            if self._known_tokens and total >= self._known_tokens:
                # The kinds of the tokens that were counted before are not known any more.
                return {"cost_tokens": total - self._known_tokens}
            before = {}
        if any(counts.get(name, n) < n for name, n in before.items()):
            self._is_per_turn = True
        if self._is_per_turn:
            before = {}
        return _event_tokens({name: n - before.get(name, 0) for name, n in counts.items()})


def _event_tokens(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts as those of an Event: uncached input, and output with reasoning.

    Agents differ in whether input includes cached tokens and output reasoning; their total shows
    which.
    """
    read, write, thought = counts.get(_READ, 0), counts.get(_WRITE, 0), counts.get(_THOUGHT, 0)
    uncached, output = counts.get(_INPUT, 0), counts.get(_OUTPUT, 0)
    total, cached, both = counts.get(_TOTAL), read + write, uncached + output
    if total in (both, both + thought) and cached and total != both + cached:
        uncached = max(0, uncached - cached)
    if thought and total in (both + thought, both + cached + thought):
        output += thought
    tokens = {
        "input_tokens": uncached,
        "cache_read_tokens": read,
        "cache_write_5m_tokens": write,
        "output_tokens": output,
    }
    if total is not None and total != sum(tokens.values()):
        tokens["cost_tokens"] = total
    return tokens
