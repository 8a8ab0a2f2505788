"""What follows for the agents of a past session from the time and from its process. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..core.model import AgentPresence, Event, PresenceStatus
from ..core.roster import Limits, timer_event, timers_of
from ..core.status_rules import keeps_active
from .live_processes import AgentProcess, LiveSessions
from .processes.process_events import process_exit, process_start


def closing_events(
    presences: Sequence[AgentPresence],
    path: str,
    live: LiveSessions,
    limits: Limits,
    now: datetime,
) -> list[Event]:
    """Return the events that follow from the end of a session file.

    While the process of the session runs, open calls and questions keep its agents active and they
    are never removed. Otherwise the timers that have expired since apply even to agents with open
    work, as nobody will finish it.

    Args:
        presences: the agents after the events of the file.
        path: the file.
        now: the current time, UTC.
    """
    process = process_of(path, live)
    events = []
    for after in presences:
        presence = after
        is_main = presence.parent_agent_id is None
        if process is not None and is_main and not presence.alive:
            events.append(process_start(presence, process.identity, now))
        elif process is None and is_main and path in live.gone:
            if presence.status is not PresenceStatus.OFFLINE:
                events.append(process_exit(presence))
            presence = replace(presence, status=PresenceStatus.OFFLINE)
        events += _timer_since(presence, limits, now, alive=process is not None)
    return events


def process_of(path: str, live: LiveSessions) -> AgentProcess | None:
    """Return the process of a session file, or that of the parent if it is a subagent's."""
    process = live.running.get(path)
    parent, _, rest = path.partition(f"{os.sep}subagents{os.sep}")
    return live.running.get(f"{parent}.jsonl") if process is None and rest else process


def _timer_since(
    presence: AgentPresence, limits: Limits, now: datetime, *, alive: bool
) -> list[Event]:
    """Return the first timer event that is due since the last activity of an agent."""
    open_work = alive and keeps_active(presence.status, presence.detail)
    timers = timers_of(presence.status, open_work, limits, alive=alive)
    return timer_due_since(presence.agent_id, presence.last_activity, timers, now)


def timer_due_since(
    agent_id: str, at: datetime, timers: Sequence[tuple[str, float]], now: datetime
) -> list[Event]:
    """Return the event of the first timer that has expired, with an id that is always the same.

    Args:
        at: the last activity of the agent.
        timers: as of ``timers_of``.
        now: the current time, UTC.
    """
    for event_type, after_s in timers:
        if (now - at).total_seconds() >= after_s:
            due = at + timedelta(seconds=after_s)
            key = f"{agent_id[:160]}:{event_type}:{at.isoformat()}"
            return [replace(timer_event(agent_id, event_type, due, after_s), event_id=key)]
    return []
