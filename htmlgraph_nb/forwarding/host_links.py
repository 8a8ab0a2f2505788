"""Which host forwards an agent's events, and what a server forwards. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from ..core.agent_state import AgentState
from ..core.hosts.host_contact import HOST_ID
from ..core.model import AgentPresence, Event

HOST_SOURCE = "host"
"""The source of the events ``host_seen`` and ``host_lost``."""
_LOCAL_SOURCES = frozenset({"timer", "family", "rename", "capacity", "import", HOST_SOURCE})


def host_links(
    events: Iterable[Event], state_of: Callable[[str], AgentState | None], host: str
) -> list[Event]:
    """Return a ``host_seen`` event for each agent of the events that another host reported so far.

    Args:
        state_of: returns the state of an agent after the events; None: it is unknown.
        host: id of the host that forwards the events.
    """
    links = {}
    for event in events:
        name = event.agent_id
        state = None if name in links else state_of(name)
        if state is not None and (state.reported_by or ("",))[0] != host:
            links[name] = host_event(name, "host_seen", host)
    return [*links.values()]


def host_event(agent_id: str, kind: str, host: str, at: datetime | None = None) -> Event:
    """Return the event ``host_seen`` or ``host_lost`` of an agent.

    Args:
        host: id of the host.
        at: when the host was seen or lost; None: now.
    """
    return Event(
        agent_id=agent_id,
        event_type=kind,
        timestamp=at,
        source=HOST_SOURCE,
        extra={HOST_ID: host},
    )


def agents_of_hosts(states: Mapping[str, AgentState]) -> dict[str, list[str]]:
    """Return the agents of each host by its id."""
    agents: dict[str, list[str]] = {}
    for name, state in states.items():
        if state.reported_by is not None:
            agents.setdefault(state.reported_by[0], []).append(name)
    return agents


def own_presences(states: Mapping[str, AgentState]) -> dict[str, AgentPresence]:
    """Return the agents without those of other hosts, whose processes are not seen here."""
    return {name: state.presence for name, state in states.items() if state.reported_by is None}


def without_own(events: Sequence[Event], epoch: str) -> Sequence[Event]:
    """Return the events without those that the database of this epoch has forwarded."""
    prefix = f"{epoch}:"
    return [event for event in events if not (event.event_id or "").startswith(prefix)]


def forwarded_event(event: Event, seq: int, epoch: str) -> Event | None:
    """Return an event of a database as another server gets it; None: it stays here.

    What follows from other events, and from the timers of this server, stays: the other server has
    its own rules and timers. An event without an id gets one that is the same in each attempt.

    Args:
        seq: its number in the database.
        epoch: id of the database.
    """
    if event.source in _LOCAL_SOURCES or event.event_type == "forget":
        return None
    if event.event_type == "resumed" and (event.extra or {}).get("clock_set_back") is True:
        return None
    return event if event.event_id is not None else replace(event, event_id=f"{epoch}:{seq}")
