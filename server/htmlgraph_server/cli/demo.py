"""Simulated agents that behave like real ones: sessions, turns, tools, tokens, waits, ends.

They are a source of events like any other: what they say goes through the same door. Pure but for
the random generator that is given to them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event

_PROJECTS = ("storefront", "billing-api", "docs-site", "ml-pipeline")
_FEATURES = (
    "feat-checkout-flow",
    "feat-invoice-export",
    "feat-search-index",
    "bug-login-timeout",
    "feat-dark-mode",
    "spike-vector-cache",
)
# Tool → (chance, shortest and longest run in seconds, chance of an error).
_TOOLS: dict[str, tuple[float, float, float, float]] = {
    "Read": (0.30, 0.1, 0.6, 0.01),
    "Grep": (0.16, 0.1, 0.8, 0.01),
    "Edit": (0.20, 0.2, 0.8, 0.04),
    "Bash": (0.22, 0.8, 9.0, 0.12),
    "Write": (0.06, 0.2, 0.7, 0.01),
    "WebFetch": (0.06, 0.8, 4.0, 0.08),
}
Step = tuple[float, Event]
"""Seconds to wait, then the event."""


@dataclass
class SimulatedAgent:
    """One agent's life, as an endless sequence of steps.

    Args:
        number: distinguishes the agents; it chooses the vendor.
        chance: its random generator.
    """

    number: int
    chance: random.Random
    agent_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.vendor = list(AGENTS)[self.number % len(AGENTS)]
        self.agent_id = f"{self.vendor}-{self.number // len(AGENTS) + 1}"
        self.project = self.chance.choice(_PROJECTS)
        self.model = self.chance.choice(AGENTS[self.vendor].demo_models)
        self._calls = itertools.count(1)
        self._context = 0

    def steps(self) -> Iterator[Step]:
        """Yield what the agent does, session after session."""
        yield from self._session(first=True)
        while True:
            yield from self._session(first=False)

    def _session(self, first: bool) -> Iterator[Step]:
        self.session_id = f"{self.chance.getrandbits(64):016x}"
        self.feature_id = self.chance.choice(_FEATURES)
        self._context = self.chance.randint(12_000, 30_000)
        pause = self.chance.uniform(0.1, 3.0) if first else self.chance.uniform(5.0, 25.0)
        yield pause, self._event("session_start")
        yield from self._turn(self.chance.uniform(0.5, 3.0))
        for _ in range(self.chance.randint(2, 7)):
            yield from self._turn(self.chance.uniform(2.0, 18.0))
        yield self.chance.uniform(1.0, 10.0), self._event("session_end")

    def _turn(self, pause_s: float) -> Iterator[Step]:
        yield pause_s, self._event("prompt")
        for _ in range(self.chance.randint(3, 14)):
            yield self._answer()
            yield from self._tool()
        yield self._answer()
        if self.chance.random() < 0.08:
            yield 0.2, self._event("error", extra={"error": "overloaded"})
        else:
            yield 0.1, self._event("stop")

    def _answer(self) -> Step:
        written = self.chance.randint(300, 3_000)
        output = self.chance.randint(60, 900)
        read, self._context = self._context, self._context + written + output
        return self.chance.uniform(0.6, 4.0), self._event(
            "completion",
            input_tokens=self.chance.randint(3, 40),
            cache_read_tokens=read,
            cache_write_5m_tokens=written,
            output_tokens=output,
        )

    def _tool(self) -> Iterator[Step]:
        tool = self.chance.choices(tuple(_TOOLS), [row[0] for row in _TOOLS.values()])[0]
        _, shortest, longest, failing = _TOOLS[tool]
        call = f"{self.agent_id}-{self.session_id}-{next(self._calls)}"
        yield 0.05, self._event("tool_start", tool_name=tool, tool_use_id=call)
        if tool in ("Bash", "Write", "WebFetch") and self.chance.random() < 0.12:
            yield 0.2, self._event("permission_request", tool_name=tool)
            yield self.chance.uniform(3.0, 15.0), self._event("answered")
        seconds = self.chance.uniform(shortest, longest)
        failed = self.chance.random() < failing
        yield (
            seconds,
            self._event(
                "tool_error" if failed else "tool_execute",
                tool_name=tool,
                tool_use_id=call,
                status="error" if failed else "ok",
                duration_ms=int(seconds * 1_000),
            ),
        )

    def _event(self, event_type: str, **fields: object) -> Event:
        return Event.from_dict(
            {
                "agent_id": self.agent_id,
                "event_type": event_type,
                "session_id": self.session_id,
                "feature_id": self.feature_id,
                "project": self.project,
                "model": self.model,
                "source": "demo",
                **fields,
            }
        )


def simulated_agents(count: int, seed: int) -> list[SimulatedAgent]:
    """Return ``count`` agents whose lives depend on ``seed`` alone."""
    seeds = (seed * 1_000 + number for number in range(count))
    return [
        SimulatedAgent(number, random.Random(each))  # noqa: S311  (a play, not a secret)
        for number, each in enumerate(seeds)
    ]
