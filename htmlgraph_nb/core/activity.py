"""Events and errors of each agent per minute, for the last 15 minutes. Pure functions.

A bucket is a minute of the clock (12:01:00 to 12:01:59); the last bucket is the current minute.
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
MAX_RECENT = 10_000
"""Maximum number of recent changes that are kept until a response of the server includes them."""
_MINUTE_MICROS = 60_000_000


class _CountedChange(NamedTuple):
    """A change that was counted here."""

    seq: int
    agent_id: str
    at: datetime
    events: int
    errors: int


class Activity:
    """Events and errors of each agent in the last 15 minutes.

    All times are UTC; late changes count in the bucket of their own time.
    """

    def __init__(self) -> None:
        # agent_id → minute since 1970 → [events, errors]
        self._counts: dict[str, dict[int, list[int]]] = {}
        # Position of the counts of the server, and the changes counted here after it.
        self._server_seq = 0
        self._recent: deque[_CountedChange] = deque(maxlen=MAX_RECENT)

    def count(self, agent_id: str, at: datetime, events: int, errors: int = 0) -> None:
        """Add events and errors of an agent."""
        minute = _minute(at)
        minutes = self._counts.setdefault(agent_id, {})
        if len(minutes) >= 2 * MINUTES:
            for old in [m for m in minutes if m <= minute - MINUTES]:
                del minutes[old]
        bucket = minutes.setdefault(minute, [0, 0])
        bucket[0] += events
        bucket[1] += errors

    def record_change(
        self, before: AgentPresence | None, after: AgentPresence, now: datetime
    ) -> None:
        """Count the difference of two presences of an agent: tools, errors or other activity.

        Args:
            before: the presence before the change; None for a new agent, which counts only if it
                was active in the current minute.
            now: time of the change, which selects the bucket.
        """
        errors = after.total_errors - (0 if before is None else before.total_errors)
        if before is None:
            if _minute(after.last_activity) == _minute(now):
                self._record(_CountedChange(after.seq, after.agent_id, now, 1, 0))
            return
        # Changes that a timer causes, such as idle, are not activity.
        is_active = after.last_activity > before.last_activity
        tools = after.total_tools_executed - before.total_tools_executed
        if is_active or errors > 0 or tools > 0:
            n_events, n_errors = max(1, tools), max(0, errors)
            self._record(_CountedChange(after.seq, after.agent_id, now, n_events, n_errors))

    def _record(self, change: _CountedChange) -> None:
        if 0 < change.seq <= self._server_seq:
            # The counts of the server include it already.
            return
        self._recent.append(change)
        self.count(change.agent_id, change.at, change.events, change.errors)

    def forget(self, agent_id: str) -> None:
        """Remove an agent."""
        self._counts.pop(agent_id, None)
        kept = [change for change in self._recent if change.agent_id != agent_id]
        self._recent = deque(kept, MAX_RECENT)

    def replace(self, response: object) -> None:
        """Replace all counts with those of a server.

        Changes after the cursor of the response are kept. A response without a cursor includes
        all changes.

        Args:
            response: body of ``GET /api/activity``.

        Raises:
            InvalidEvent: the response is invalid.
        """
        try:
            counts, seq = _counts_of(response), _seq_of(response)
        except (KeyError, TypeError, AttributeError, ValueError, WireError) as error:
            raise InvalidEvent(f"activity: invalid response: {error!r}", "activity") from error
        later = [] if seq is None else [change for change in self._recent if change.seq > seq]
        self._counts, self._server_seq = counts, seq or 0
        self._recent.clear()
        for change in later:
            self._record(change)

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """Return the counts as a JSON object for the front end.

        Returns:
            ``at`` (RFC 3339), ``minutes`` (15) and ``agents``: id → ``events`` and ``errors``, each
            a list of 15 counts, oldest minute first. Agents without activity are left out.
        """
        first = _minute(now) - MINUTES + 1
        agents = {}
        for agent_id, minutes in self._counts.items():
            events, errors = [0] * MINUTES, [0] * MINUTES
            for minute, (n_events, n_errors) in minutes.items():
                if first <= minute < first + MINUTES:
                    events[minute - first] += n_events
                    errors[minute - first] += n_errors
            if any(events) or any(errors):
                agents[agent_id] = {"events": events, "errors": errors}
        return {"at": to_rfc3339(now), "minutes": MINUTES, "agents": agents}


def _minute(at: datetime) -> int:
    return to_micros(at) // _MINUTE_MICROS


def _counts_of(response: Any) -> dict[str, dict[int, list[int]]]:
    last, n = _minute(parse_time(response["at"], "at")), int(response["minutes"])
    result: dict[str, dict[int, list[int]]] = {}
    for agent_id, counts in _items(response["agents"]):
        minutes: dict[int, list[int]] = {}
        for index in range(n):
            events, errors = int(counts["events"][index]), int(counts["errors"][index])
            if events or errors:
                minutes[last - n + 1 + index] = [events, errors]
        if minutes:
            result[agent_id] = minutes
    return result


def _seq_of(response: Any) -> int | None:
    cursor = response.get("cursor")
    return None if cursor is None else Cursor.parse(cursor).seq


def _items(agents: Mapping[str, Any]) -> Any:
    return agents.items()
