"""Track the turns in one of Claude Code's session files, and the completions that may end them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..fields import string
from .lines import FINAL_REASONS, LineContext, Record, ends_with_question_text

MAX_AGENTS = 1_000
"""Maximum number of agents of a file whose turns are tracked."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The last completion of a turn; ``asks``: whether it ends with a question."""

    context: LineContext
    key: str | None
    asks: bool


@dataclass(slots=True)
class Turns:
    """The turn of each agent of a file."""

    _running: set[str] = field(default_factory=set)
    _ends: dict[str, TurnEnd] = field(default_factory=dict)
    _last_keys: dict[str, str | None] = field(default_factory=dict)
    _n_ended: dict[str, int] = field(default_factory=dict)

    def start(self, agent: str) -> int:
        """Record that a turn runs.

        Returns:
            the number of the turn if another one has ended before; 0 if it is the first one or runs
            already.
        """
        if agent in self._running or len(self._running) >= MAX_AGENTS:
            return 0
        self._running.add(agent)
        n_ended = self._n_ended.get(agent, 0)
        return n_ended + 1 if n_ended else 0

    def resume(self, agent: str) -> None:
        """Record that the turn goes on after its last completion."""
        self._ends.pop(agent, None)

    def discard(self, agent: str) -> None:
        """Record that the turn ended by an error or interrupt, which another event reports."""
        self._running.discard(agent)
        self._ends.pop(agent, None)

    def starts_unprompted_turn(self, agent: str, key: str | None) -> bool:
        """Record a completion and return whether it starts a turn without a prompt.

        Args:
            key: key of the completion; its further lines start no turn.
        """
        last_key, self._last_keys[agent] = self._last_keys.get(agent), key
        return agent not in self._running and (key is None or key != last_key)

    def on_completion(self, context: LineContext, message: Record, key: str | None) -> None:
        """Record whether a line of a completion ends the turn; it cancels an earlier end.

        Args:
            key: key of the first line of the completion.
        """
        self._ends.pop(context.agent_id, None)
        is_last = string(message.get("stop_reason")) in FINAL_REASONS and not context.unnamed
        if is_last and context.agent_id in self._running:
            own_key = None if key is None else f"{key}:Stop"
            asks = ends_with_question_text(message)
            self._ends[context.agent_id] = TurnEnd(context, own_key, asks)

    def on_duration(self, context: LineContext, key: str | None) -> None:
        """Record the line with the turn's duration, the only end that older versions write."""
        if context.agent_id in self._running and context.agent_id not in self._ends:
            self._ends[context.agent_id] = TurnEnd(context, key, False)

    def ended_agents(self, subagents: bool = True) -> list[str]:
        """Return the agents whose last completion ended their turn, with or without subagents."""
        return [a for a, end in self._ends.items() if subagents or end.context.parent is None]

    def pop_end(self, agent: str) -> TurnEnd | None:
        """Remove and return the end of the agent's turn; None if the turn has not ended."""
        end = self._ends.pop(agent, None)
        if end is not None:
            self._running.discard(agent)
            if agent in self._n_ended or len(self._n_ended) < MAX_AGENTS:
                self._n_ended[agent] = self._n_ended.get(agent, 0) + 1
        return end

    def n_ended(self, agent: str) -> int:
        """Return how many turns of an agent have ended, without errors and interrupts."""
        return self._n_ended.get(agent, 0)
