"""The turns in Codex's session files; see ``session``. Pure.

Source: RolloutTurnLifecycleTracker in codex-rs/rollout and tasks/mod.rs in codex-rs/core of
openai/codex. A turn without a prompt is a command that the user ran with ``!``, a compaction, a
review, or work that Codex continues by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..fields import identifier
from .lines import Record

_MAX_FINISHED = 64


@dataclass(slots=True)
class Turns:
    """The turns of one session.

    Attributes:
        current: id of the turn that runs, or else of the last one; None if it has none.
        planned: whether it made a plan.
        failed: whether an error has ended it.
        limited: whether its last report was of a full usage window, without a completion.
    """

    current: str | None = None
    planned: bool = False
    failed: bool = False
    limited: bool = False
    _n_started: int = 0
    _prompted: bool = False
    _unprompted_at: datetime | None = None
    _finished: dict[str, None] = field(default_factory=dict)

    def start(self, payload: Record, at: datetime) -> int:
        """Record the start of a turn, which finishes the one before; return its number, from 1."""
        self._n_started += 1
        self._finish(self.current)
        self.current = identifier(payload.get("turn_id"))
        self.planned = self.failed = self.limited = False
        self._unprompted_at = None if self._prompted else at
        return self._n_started

    def on_prompt(self) -> None:
        """Record a prompt."""
        self._prompted, self._unprompted_at = True, None

    def pop_unprompted(self) -> datetime | None:
        """Return the start of a turn that no prompt has started; once for each turn, else None."""
        at, self._unprompted_at = self._unprompted_at, None
        return at

    def end(self, payload: Record) -> bool:
        """Record the end of a turn; return False if it is a late one, of a turn before."""
        turn = identifier(payload.get("turn_id"))
        if turn is not None and turn != self.current and turn in self._finished:
            return False
        self._finish(turn)
        self._prompted = False
        return True

    def _finish(self, turn: str | None) -> None:
        if turn is None:
            return
        self._finished[turn] = None
        if len(self._finished) > _MAX_FINISHED:
            del self._finished[next(iter(self._finished))]


def abort_event_type(reason: object) -> str:
    """Return the event type of an aborted turn.

    Args:
        reason: "interrupted" by the user, "replaced" by another turn, which starts at once,
            "review_ended" or "budget_limited"; the last two are ends that nobody interrupted.
    """
    return "stop" if reason in ("review_ended", "budget_limited") else "interrupt"
