"""What follows from the status file of a running process."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.ingest.processes.process_events import StatusFile, process_exit, status_event
from tests.helpers.strategies import T0

ACTIVE, IDLE, OFFLINE = PresenceStatus.ACTIVE, PresenceStatus.IDLE, PresenceStatus.OFFLINE
WORKING = AgentPresence(
    "a", ACTIVE, last_activity=T0, session_id="s", detail="working", since=T0, alive=True
)
AT_REST = replace(WORKING, status=IDLE, detail="done")
ASKING = replace(WORKING, detail="waiting_permission", attention=True, detail_since=T0)


def event_after(
    presence: AgentPresence, status: str, said_s: float, now_s: float
) -> tuple[str, float] | None:
    """Return type and time of the event; times are seconds after the last activity."""
    said = (T0 + timedelta(seconds=said_s)).timestamp()
    now = T0 + timedelta(seconds=now_s)
    event = status_event(presence, StatusFile(7, "s", 0.0, 1, status, said), 300.0, now)
    if event is None:
        return None
    assert event.checked() == event
    assert event.timestamp is not None
    assert event.timestamp <= now
    return event.event_type, (event.timestamp - T0).total_seconds()


@pytest.mark.parametrize(
    ("presence", "status", "said_s", "now_s", "expected"),
    [
        # Long thinking: once half of the idle timeout has passed.
        (WORKING, "busy", -60, 149, None),
        (WORKING, "busy", -60, 150, ("process_busy", -60)),
        (WORKING, "waiting", -60, 150, ("process_busy", -60)),
        # A turn whose beginning nothing reported.
        (AT_REST, "busy", 10, 11, None),
        (AT_REST, "busy", 10, 12, ("process_busy", 10)),
        # Its end was reported, but other hooks of the end still run.
        (AT_REST, "busy", -60, 20, None),
        (AT_REST, "busy", -60, 30, ("process_busy", 30)),
        (replace(AT_REST, detail="unknown"), "busy", -60, 1, ("process_busy", 1)),
        (replace(AT_REST, detail="usage_limited"), "busy", -60, 1_000, None),
        (replace(AT_REST, detail="usage_limited"), "busy", 10, 12, ("process_busy", 10)),
        # Marked offline by a person, until it works again.
        (replace(AT_REST, status=OFFLINE), "busy", -60, 1_000, None),
        (replace(AT_REST, status=OFFLINE), "busy", 10, 12, ("process_busy", 10)),
        # A question that was answered since.
        (ASKING, "busy", -1, 1_000, None),
        (ASKING, "busy", 5, 6, None),
        (ASKING, "busy", 5, 7, ("process_busy", 5)),
        (ASKING, "waiting", 1, 1_000, None),
        (ASKING, "idle", 5, 7, ("process_idle", 5)),
        # The end of a turn that nothing reported.
        (WORKING, "idle", 3, 4, None),
        (WORKING, "idle", 3, 5, ("process_idle", 3)),
        (WORKING, "shell", 3, 5, ("process_idle", 3)),
        # The agent seems to have worked since: the file may be out of date.
        (WORKING, "idle", -60, 29, None),
        (WORKING, "idle", -60, 30, ("process_idle", 30)),
        (AT_REST, "idle", 5, 1_000, None),
        (AT_REST, "waiting", 5, 1_000, None),
        (AT_REST, "", 5, 1_000, None),
        (WORKING, "", 5, 1_000, None),
        # A clock that is ahead.
        (WORKING, "idle", 9_000, 10, None),
    ],
)
def test_status_event(
    presence: AgentPresence,
    status: str,
    said_s: float,
    now_s: float,
    expected: tuple[str, float] | None,
) -> None:
    """The file counts where other sources have not reported the same."""
    assert event_after(presence, status, said_s, now_s) == expected


def test_status_event_of_a_roster_without_timers() -> None:
    """Nothing has to hold an agent active that no timer marks as idle."""
    busy = StatusFile(7, "s", 0.0, 1, "busy", T0.timestamp())
    assert status_event(WORKING, busy, 0.0, T0 + timedelta(days=1)) is None


@pytest.mark.parametrize(("started_s", "expected"), [(None, 0), (-9, 0), (9, 9)])
def test_process_exit_is_dated_by_what_is_known(started_s: float | None, expected: float) -> None:
    """An end that nobody saw is not before the last sign of life."""
    started: datetime | None = None if started_s is None else T0 + timedelta(seconds=started_s)
    assert process_exit(WORKING, started).timestamp == T0 + timedelta(seconds=expected)
