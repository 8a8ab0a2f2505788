"""What each agent did in each of the last minutes: counts in buckets of one minute; pure.

A bucket is a minute of the clock (12:01:00 to 12:01:59); the last one is that of now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..errors import InvalidEvent, WireError
from .model import AgentPresence
from .protocol import Cursor
from .timestamps import to_micros, to_rfc3339
from .validation import parse_time

MINUTES = 15
MAX_SEEN = 10_000
"""Most changes that are remembered for an answer of the server which does not know them yet."""
_MINUTE_MICROS = 60_000_000


class _Seen(NamedTuple):
    """A change that was counted here: its number, whose, when, and what it counted for."""

    seq: int
    agent_id: str
    at: datetime
    events: int
    errors: int


class Activity:
    """Events and errors of each agent in the last 15 minutes.

    All times are UTC; one that lies before the newest bucket counts where it belongs.
    """

    def __init__(self) -> None:
        # agent_id → minute since 1970 → [events, errors]
        self._counts: dict[str, dict[int, list[int]]] = {}
        # The newest change in the counts of the server, and those that were seen after it.
        self._told_seq = 0
        self._seen: deque[_Seen] = deque(maxlen=MAX_SEEN)

    def count(self, agent_id: str, at: datetime, events: int, errors: int = 0) -> None:
        """Add what an agent did at a time."""
        minute = _minute(at)
        minutes = self._counts.setdefault(agent_id, {})
        if len(minutes) >= 2 * MINUTES:
            for old in [one for one in minutes if one <= minute - MINUTES]:
                del minutes[old]
        bucket = minutes.setdefault(minute, [0, 0])
        bucket[0] += events
        bucket[1] += errors

    def record_change(
        self, before: AgentPresence | None, after: AgentPresence, now: datetime
    ) -> None:
        """Count what lies between two presences of an agent: its tools, its errors, any sign.

        Args:
            before: None where the agent was not known; then only what it did just now counts.
            now: the time of the change, whose bucket it goes into.
        """
        errors = after.total_errors - (0 if before is None else before.total_errors)
        if before is None:
            if _minute(after.last_activity) == _minute(now):
                self._see(_Seen(after.seq, after.agent_id, now, 1, 0))
            return
        # Of the clock's own changes, as idle, an agent gives no sign.
        heard = after.last_activity > before.last_activity
        tools = after.total_tools_executed - before.total_tools_executed
        if heard or errors > 0 or tools > 0:
            self._see(_Seen(after.seq, after.agent_id, now, max(1, tools), max(0, errors)))

    def _see(self, one: _Seen) -> None:
        if 0 < one.seq <= self._told_seq:
            # The server counted it before it was seen here.
            return
        self._seen.append(one)
        self.count(one.agent_id, one.at, one.events, one.errors)

    def forget(self, agent_id: str) -> None:
        """Drop an agent that is gone."""
        self._counts.pop(agent_id, None)
        kept = [one for one in self._seen if one.agent_id != agent_id]
        self._seen = deque(kept, MAX_SEEN)

    def replace(self, answer: object) -> None:
        """Take over the counts of a server (``GET /api/activity``) in place of all others.

        What was seen after its cursor stays; an answer without a cursor is taken as the newest.

        Raises:
            InvalidEvent: the answer has another form.
        """
        try:
            counts, seq = _counts_of(answer), _seq_of(answer)
        except (KeyError, TypeError, AttributeError, ValueError, WireError) as error:
            raise InvalidEvent(f"activity: invalid response: {error!r}", "activity") from error
        later = [] if seq is None else [one for one in self._seen if one.seq > seq]
        self._counts, self._told_seq = counts, seq or 0
        self._seen.clear()
        for one in later:
            self._see(one)

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return the counts as the front end takes them, of the agents that did anything.

        ``at`` (RFC 3339), ``minutes`` (15) and ``agents``: id → events and errors, each a list of
        15 counts, the oldest minute first.
        """
        first = _minute(now) - MINUTES + 1
        agents = {}
        for agent_id, minutes in self._counts.items():
            events, errors = [0] * MINUTES, [0] * MINUTES
            for minute, (some, failed) in minutes.items():
                if first <= minute < first + MINUTES:
                    events[minute - first] += some
                    errors[minute - first] += failed
            if any(events) or any(errors):
                agents[agent_id] = {"events": events, "errors": errors}
        return {"at": to_rfc3339(now), "minutes": MINUTES, "agents": agents}


def _minute(at: datetime) -> int:
    return to_micros(at) // _MINUTE_MICROS


def _counts_of(answer: Any) -> dict[str, dict[int, list[int]]]:
    last, n = _minute(parse_time(answer["at"], "at")), int(answer["minutes"])
    found: dict[str, dict[int, list[int]]] = {}
    for agent_id, counts in _items(answer["agents"]):
        minutes: dict[int, list[int]] = {}
        for index in range(n):
            events, errors = int(counts["events"][index]), int(counts["errors"][index])
            if events or errors:
                minutes[last - n + 1 + index] = [events, errors]
        if minutes:
            found[agent_id] = minutes
    return found


def _seq_of(answer: Any) -> int | None:
    cursor = answer.get("cursor")
    return None if cursor is None else Cursor.parse(cursor).seq


def _items(agents: Mapping[str, Any]) -> Any:
    return agents.items()
