"""Simulated agents with sessions, turns, tool calls, token counts and permission requests.

They produce ordinary events. The only state outside this module is the random generator.
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
_TOOLS: dict[str, tuple[float, float, float, float]] = {
    # name: (probability, minimum and maximum duration in seconds, probability of an error)
    "Read": (0.30, 0.1, 0.6, 0.01),
    "Grep": (0.16, 0.1, 0.8, 0.01),
    "Edit": (0.20, 0.2, 0.8, 0.04),
    "Bash": (0.22, 0.8, 9.0, 0.12),
    "Write": (0.06, 0.2, 0.7, 0.01),
    "WebFetch": (0.06, 0.8, 4.0, 0.08),
}
DemoStep = tuple[float, Event]
"""Seconds to wait, and the event that follows."""


@dataclass
class SimulatedAgent:
    """A simulated agent: an endless sequence of steps.

    Args:
        number: number of the agent from 0; it determines the vendor and the id.
        rng: the random generator of this agent.
    """

    number: int
    rng: random.Random
    agent_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.vendor = list(AGENTS)[self.number % len(AGENTS)]
        self.agent_id = f"{self.vendor}-{self.number // len(AGENTS) + 1}"
        self.project = self.rng.choice(_PROJECTS)
        self.model = self.rng.choice(AGENTS[self.vendor].demo_models)
        self._calls = itertools.count(1)
        self._context = 0

    def steps(self) -> Iterator[DemoStep]:
        """Yield the steps of one session after another."""
        yield from self._session(first=True)
        while True:
            yield from self._session(first=False)

    def _session(self, first: bool) -> Iterator[DemoStep]:
        self.session_id = f"{self.rng.getrandbits(64):016x}"
        self.feature_id = self.rng.choice(_FEATURES)
        self._context = self.rng.randint(12_000, 30_000)
        pause_s = self.rng.uniform(0.1, 3.0) if first else self.rng.uniform(5.0, 25.0)
        yield pause_s, self._event("session_start")
        yield from self._turn(self.rng.uniform(0.5, 3.0))
        for _ in range(self.rng.randint(2, 7)):
            yield from self._turn(self.rng.uniform(2.0, 18.0))
        yield self.rng.uniform(1.0, 10.0), self._event("session_end")

    def _turn(self, pause_s: float) -> Iterator[DemoStep]:
        yield pause_s, self._event("prompt")
        for _ in range(self.rng.randint(3, 14)):
            yield self._completion()
            yield from self._tool()
        yield self._completion()
        if self.rng.random() < 0.08:
            yield 0.2, self._event("error", extra={"error": "overloaded"})
        else:
            yield 0.1, self._event("stop")

    def _completion(self) -> DemoStep:
        cache_write = self.rng.randint(300, 3_000)
        output = self.rng.randint(60, 900)
        cache_read, self._context = self._context, self._context + cache_write + output
        return self.rng.uniform(0.6, 4.0), self._event(
            "completion",
            input_tokens=self.rng.randint(3, 40),
            cache_read_tokens=cache_read,
            cache_write_5m_tokens=cache_write,
            output_tokens=output,
        )

    def _tool(self) -> Iterator[DemoStep]:
        tool = self.rng.choices(tuple(_TOOLS), [row[0] for row in _TOOLS.values()])[0]
        _, min_s, max_s, error_probability = _TOOLS[tool]
        call_id = f"{self.agent_id}-{self.session_id}-{next(self._calls)}"
        yield 0.05, self._event("tool_start", tool_name=tool, tool_use_id=call_id)
        if tool in ("Bash", "Write", "WebFetch") and self.rng.random() < 0.12:
            yield 0.2, self._event("permission_request", tool_name=tool)
            yield self.rng.uniform(3.0, 15.0), self._event("answered")
        seconds = self.rng.uniform(min_s, max_s)
        failed = self.rng.random() < error_probability
        yield (
            seconds,
            self._event(
                "tool_error" if failed else "tool_execute",
                tool_name=tool,
                tool_use_id=call_id,
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
    """Return ``count`` agents. Their behavior depends only on ``seed`` and their number."""
    return [
        SimulatedAgent(number, random.Random(seed * 1_000 + number))  # noqa: S311 - no secret
        for number in range(count)
    ]
