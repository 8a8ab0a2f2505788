"""The contact with the host of an agent, among the times of its facts. Pure functions.

``AgentState.facts_at`` holds since when the host is lost, and since when the agent had the status
and detail that it had before: if they are the same after the host's return, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

UNREACHABLE = "unreachable"
"""The detail of an agent whose host is lost."""
HOST_ID = "host_id"
"""Key in ``extra`` of a ``host_seen`` event → the id of the host."""
_LOST = "host_lost"
_STATUS, _DETAIL = "before_loss status ", "before_loss detail "

Times = dict[str, datetime]


def lost_host(times: Times, at: datetime) -> Times:
    """Return the times after the loss of the host at ``at``."""
    return {**times, _LOST: max(at, times.get(_LOST, at))}


def found_host(times: Times, at: datetime) -> Times:
    """Return the times after the host was seen at ``at``."""
    if _LOST not in times or times[_LOST] > at:
        return times
    return {name: time for name, time in times.items() if name != _LOST}


def lost_since(times: Mapping[str, datetime], last_activity: datetime | None) -> datetime | None:
    """Return since when the host is lost; None: it is not, or the agent was active since."""
    lost = times.get(_LOST)
    return None if lost is None or (last_activity and last_activity > lost) else lost


def keep_times(times: Times, status: str, since: datetime, detail: str, at: datetime) -> Times:
    """Return the times with those of the status and detail before the loss.

    Args:
        since: since when the agent has had the status.
        at: since when it has had the detail.
    """
    return {**times, _STATUS + status: since, _DETAIL + detail: at}


def kept_since(
    times: Mapping[str, datetime], status: str, detail: str
) -> tuple[datetime | None, datetime | None]:
    """Return since when the agent has had this status and detail; None: they are others."""
    return times.get(_STATUS + status), times.get(_DETAIL + detail)


def drop_times(times: Times) -> Times:
    """Return the times without those of ``keep_times``."""
    return {name: at for name, at in times.items() if not name.startswith((_STATUS, _DETAIL))}
