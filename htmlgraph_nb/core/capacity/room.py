"""Which agents leave a full roster, so that others find room. Pure functions.

Offline agents leave first, the longest inactive before all others. A program that reports many
agents cannot keep out those of hooks and session files: each of these three groups has a third of
the roster to itself, and only an agent of a group that holds more leaves for one that holds less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import nsmallest

from ..agent_state import AgentState
from ..ids import report_form
from ..model import Event, PresenceStatus

PROGRAM, HOOK, SESSION = "program", "hook", "session"
"""Groups of agents: reported by a program or by telemetry, by a hook, only by a session file."""
_GROUPS = (PROGRAM, HOOK, SESSION)
_SPARE = 100
"""Part of the roster that offline agents leave at once, because each search takes time."""


def group_of_event(event: Event) -> str:
    """Return the group of the agent that an event reports."""
    return report_form(event.source) or PROGRAM


def agents_to_remove(
    agents: Mapping[str, AgentState], new: Iterable[Event], n_needed: int, max_agents: int
) -> list[str]:
    """Return the agents that leave so that ``n_needed`` more fit; fewer if not all may.

    Args:
        agents: all agents by id.
        new: events; the agents that they are about, and their parents, stay.
        n_needed: number of agents for which there is no room.
        max_agents: size of the roster.
    """
    events = list(new)
    kept = {name for event in events for name in (event.agent_id, event.parent_agent_id)}
    others = [state for name, state in agents.items() if name not in kept]
    offline = [s for s in others if s.presence.status is PresenceStatus.OFFLINE]
    n_offline = max(n_needed, max_agents // _SPARE)
    leaving = _longest_inactive(offline, n_offline)
    n_needed -= len(leaving)
    if n_needed <= 0:
        return leaving
    gone = set(leaving)
    remaining = [state for state in others if state.agent_id not in gone]
    sizes = Counter(map(_group_of, remaining))
    share = max_agents // len(_GROUPS)
    # Sorted once, because a request can bring a thousand agents.
    leavers = {
        group: iter(_longest_inactive((s for s in remaining if _group_of(s) == group), n_needed))
        for group in _GROUPS
    }
    newcomers = {e.agent_id: group_of_event(e) for e in events if e.agent_id not in agents}
    for group in newcomers.values():
        if n_needed <= 0:
            break
        largest = max(_GROUPS, key=lambda name: sizes[name])
        if sizes[group] >= share or sizes[largest] <= share or largest == group:
            continue
        leaving.append(next(leavers[largest]))
        sizes[largest] -= 1
        sizes[group] += 1
        n_needed -= 1
    return leaving


def _group_of(state: AgentState) -> str:
    return PROGRAM if state.hooks is None else HOOK if state.hooks else SESSION


def _longest_inactive(states: Iterable[AgentState], n: int) -> list[str]:
    first = nsmallest(n, states, key=lambda state: (state.presence.last_activity, state.agent_id))
    return [state.agent_id for state in first]
