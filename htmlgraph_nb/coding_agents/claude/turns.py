"""Turns in one of Claude Code's session files: which run, and which answer may have ended one."""

from __future__ import annotations

from dataclasses import dataclass, field

from .lines import FINAL_REASONS, LineContext, Record, ends_with_question, message_key

MAX_AGENTS = 1_000
"""Most agents of a file whose turns are known."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The last answer of a turn; ``asks``: it ends with a question."""

    who: LineContext
    key: str | None
    asks: bool


@dataclass(slots=True)
class Turns:
    """The turn of each agent of a file."""

    _running: set[str] = field(default_factory=set)
    _ends: dict[str, TurnEnd] = field(default_factory=dict)
    _last: dict[str, str | None] = field(default_factory=dict)

    def begin(self, agent: str) -> None:
        """Note that a turn runs."""
        if len(self._running) < MAX_AGENTS:
            self._running.add(agent)

    def forget(self, agent: str) -> None:
        """Note that the turn is over, told by other means than its last answer."""
        self._running.discard(agent)
        self._ends.pop(agent, None)

    def starts_unprompted_turn(self, agent: str, key: str | None) -> bool:
        """Take an answer in; return whether it begins a turn that nobody asked for.

        Args:
            key: of the answer, whose further lines begin nothing.
        """
        known, self._last[agent] = self._last.get(agent), key
        return agent not in self._running and (key is None or key != known)

    def answered(self, who: LineContext, record: Record, message: Record) -> None:
        """Note whether a line of an answer ends the turn; work after an end makes that void."""
        self._ends.pop(who.agent_id, None)
        is_last = message.get("stop_reason") in FINAL_REASONS and not who.aside
        if is_last and who.agent_id in self._running:
            key = message_key(record, message)
            own_key = None if key is None else f"{key}:Stop"
            self._ends[who.agent_id] = TurnEnd(who, own_key, ends_with_question(message))

    def timed(self, who: LineContext, key: str | None) -> None:
        """Note that the turn's duration was told: older versions tell no other end."""
        if who.agent_id in self._running and who.agent_id not in self._ends:
            self._ends[who.agent_id] = TurnEnd(who, key, False)

    def ended(self) -> list[str]:
        """Return the agents whose last answer ended their turn."""
        return list(self._ends)

    def take_end(self, agent: str) -> TurnEnd | None:
        """Return the end of the agent's turn once; None: it has not ended."""
        end = self._ends.pop(agent, None)
        if end is not None:
            self._running.discard(agent)
        return end
