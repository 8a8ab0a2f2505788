"""The turns of the agents in one of Copilot CLI's session files; see ``session``. Pure.

``assistant.turn_end`` follows each response, and after a response that called tools the next turn
starts 1 to 150 ms later. So the end of a turn is held back until it is clear that no other follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ...core.model import Event

FINAL_QUIET_S = 0.3
"""Seconds of quiet after which the end of a turn counts whose response called no tools."""
OTHER_QUIET_S = 2.0
"""Seconds of quiet after which the end of any other turn counts."""


@dataclass(slots=True)
class Turn:
    """The turn of the main agent or of a subagent.

    Attributes:
        is_open: whether the agent works.
        calls_tools: whether its last response called tools, or it has not responded.
        asks: whether its last response ends with a question.
        failure: the error that a line before the end of the turn has reported.
        end: the held end of the turn; None: there is none.
    """

    is_open: bool = False
    calls_tools: bool = True
    asks: bool = False
    failure: Event | None = None
    end: Event | None = None

    def start(self) -> bool:
        """Start a turn, or go on with it; return False if the agent was working already."""
        is_new = not self.is_open
        self.is_open, self.calls_tools, self.asks, self.end = True, True, False, None
        return is_new

    def respond(self, calls_tools: bool, asks: bool) -> None:
        """Record a response."""
        self.calls_tools, self.asks, self.failure = calls_tools, asks, None

    def hold(self, end: Event) -> None:
        """Hold the end of the turn back."""
        self.end = self.failure or end
        self.failure = None

    def close(self) -> list[Event]:
        """Return the held end of the turn, after which the agent no longer works."""
        end, self.end = self.end, None
        if end is None:
            return []
        self.is_open = False
        return [end]

    def break_off(self) -> None:
        """End the turn for another reason than the held end."""
        self.is_open, self.end, self.failure = False, None, None

    def after(self, quiet_s: float) -> list[Event]:
        """Return the held end of the turn if it counts after so many seconds of quiet."""
        limit = OTHER_QUIET_S if self.calls_tools else FINAL_QUIET_S
        return self.close() if self.end is not None and quiet_s >= limit else []

    def until(self, at: datetime) -> list[Event]:
        """Return the held end of the turn if it counts at a later time."""
        if self.end is None or self.end.timestamp is None:
            return []
        return self.after((at - self.end.timestamp) / timedelta(seconds=1))
