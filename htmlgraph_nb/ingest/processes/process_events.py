"""The events that follow from the process of an agent, and from what it reports. Pure functions.

Events about a process are stored like all others, so that a later start looks at it again, and a
replay shows the same statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ...core.agent_facts import CANNOT_WORK
from ...core.ids import shorten_id
from ...core.model import AgentPresence, Event, PresenceStatus
from .process_ids import ProcessId

PROCESS_SOURCE = "process"
"""The ``source`` of events about processes."""
SETTLE_S = 2.0
"""Time for hooks and session files to report a change before the status file of the agent does."""
DOUBT_S = 30.0
"""The same if what the status file says is older than the agent's last event or change."""


class StatusFile(NamedTuple):
    """A status file that an agent keeps while its process runs.

    Attributes:
        started_at: when the session began in the process, in seconds since 1970.
        ticks: start of the process in clock ticks since boot; None: unknown.
        status: what the agent does: "busy", "waiting", "idle" or "shell"; "": unknown.
        status_at: since when, in seconds since 1970; 0.0: unknown.
        written_at: last change of the file, in seconds since 1970; 0.0: unknown.
        is_local: whether its process would be visible to this one.
    """

    pid: int
    session_id: str
    started_at: float
    ticks: int | None = None
    status: str = ""
    status_at: float = 0.0
    written_at: float = 0.0
    is_local: bool = True


def process_start(
    presence: AgentPresence, process: ProcessId, now: datetime, *, again: bool = False
) -> Event:
    """Return the event that an agent's process is known to be running.

    Args:
        again: the process was reported before, and another event has cancelled that.
    """
    started = round(process.started_at, 2)
    key = f"{start_ids(presence.agent_id)[0]}{presence.session_id}:{process.pid}:{started:.2f}"
    extra = {"pid": process.pid, "started_at": started}
    if process.ticks is not None:
        extra["ticks"] = process.ticks
    return _event(
        presence,
        "process_start",
        now,
        f"{key}:{presence.seq}" if again else key,
        extra if process.place is None else {**extra, "place": process.place},
    )


def start_ids(agent_id: str) -> tuple[str, str]:
    """Return two strings between which are the ids of all ``process_start`` events of an agent."""
    return f"start:{agent_id}:", f"start:{agent_id};"


def process_exit(presence: AgentPresence, started: datetime | None = None) -> Event:
    """Return the exit of a process that ended while no server ran; its time is not known.

    Args:
        started: when the process was last reported as running; None: never.
    """
    at = presence.last_activity if started is None else max(started, presence.last_activity)
    return _event(presence, "process_exit", at, f"exit:{at.isoformat()}:{presence.agent_id}")


def process_lost(presence: AgentPresence, process: ProcessId | None, now: datetime) -> Event:
    """Return the event that nothing shows any more whether an agent's process runs."""
    pid, started = (0, 0.0) if process is None else process[:2]
    key = f"lost:{presence.agent_id}:{presence.session_id}:{pid}:{started:.2f}:{presence.seq}"
    return _event(presence, "process_lost", now, key)


def status_event(
    presence: AgentPresence, file: StatusFile, idle_timeout_s: float, now: datetime
) -> Event | None:
    """Return the event by which a presence follows the status file of its process, if it differs.

    Hooks and session files report most changes in more detail, so the file only counts where they
    do not: in a long silence, and after an interrupt, an answer or a dialog that none reported.

    Args:
        file: the status file of a running process.
        idle_timeout_s: the idle timer; 0: there is none.
    """
    said = datetime.fromtimestamp(min(file.status_at or file.written_at, now.timestamp()), UTC)
    is_active, attention = presence.status is PresenceStatus.ACTIVE, presence.attention
    if file.status == "busy" or (file.status == "waiting" and is_active and not attention):
        return _busy_event(presence, said, idle_timeout_s, now)
    if file.status not in ("idle", "shell") or not is_active:
        return None
    is_news = said >= presence.last_activity
    settle_s = SETTLE_S if is_news else DOUBT_S
    if now - max(said, presence.last_activity) < timedelta(seconds=settle_s):
        return None
    at = said if is_news else now
    key = f"at-prompt:{presence.agent_id}:{presence.session_id}:{at.isoformat()}"
    extra = {"background_shell": True} if file.status == "shell" else None
    return _event(presence, "process_idle", at, key, extra)


def _busy_event(
    presence: AgentPresence, said: datetime, idle_timeout_s: float, now: datetime
) -> Event | None:
    since = presence.since or presence.last_activity
    at, settled = said, now - said >= timedelta(seconds=SETTLE_S)
    if presence.attention:
        # No hook reports the answer of a person.
        wanted = settled and said > (presence.detail_since or since)
    elif presence.status is PresenceStatus.ACTIVE:
        silence_s = (now - presence.last_activity).total_seconds()
        wanted = bool(idle_timeout_s) and silence_s >= idle_timeout_s / 2
    elif presence.detail in CANNOT_WORK:
        wanted = settled and said > since
    elif said > since:
        wanted = settled
    else:
        # A server that did not run missed the beginning, or the end of the turn is not the last.
        at = now
        wanted = (
            (presence.status is PresenceStatus.IDLE and presence.detail == "unknown")
            or now - since >= timedelta(seconds=DOUBT_S)
        ) and presence.status is not PresenceStatus.OFFLINE
    if not wanted:
        return None
    key = f"busy:{presence.agent_id}:{presence.session_id}:{at.isoformat()}"
    return _event(presence, "process_busy", at, key)


def _event(
    presence: AgentPresence,
    event_type: str,
    at: datetime,
    key: str,
    extra: Mapping[str, Any] | None = None,
) -> Event:
    return Event(
        agent_id=presence.agent_id,
        event_type=event_type,
        timestamp=at,
        session_id=presence.session_id,
        event_id=shorten_id(key),
        source=PROCESS_SOURCE,
        extra=None if extra is None else dict(extra),
    )
