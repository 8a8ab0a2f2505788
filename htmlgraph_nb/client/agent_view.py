"""Agents as a terminal or a notebook shows them: one state each, a name, an order. Pure functions.

The grid does the same in JavaScript (static/grid/model/agent.js, names.js, sort.js).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from ..core.agent_facts import CANNOT_WORK
from ..core.ids import Place, project_folder, project_labels, share_names
from ..core.model import AgentPresence, PresenceStatus

AGENT_STATES = ("waiting", "cannot_work", "done", "active", "idle", "offline")
"""States as people see them, the most urgent first; each agent has exactly one."""
STATE_LABELS = {
    "waiting": "waits for you",
    "cannot_work": "cannot work",
    "done": "done",
    "active": "active",
    "idle": "idle",
    "offline": "offline",
}
SORT_KEYS = ("attention", "agent", "project", "context", "tokens", "cost", "activity")
"""Orders of ``sort_agents``."""
GROUP_KEYS = ("state", "project", "branch", "model", "kind")
"""Keys of ``group_of``."""
AGENT_CELLS = (
    *("state", "agent", "title", "project", "branch"),
    *("why", "context", "tokens", "cost"),
)
"""Columns of ``agent_cells``."""

_UUID = re.compile(
    r"(.*?)([0-9a-f]{8})-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})",
    re.IGNORECASE,
)
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT_REASONS = (
    (re.compile(r"waits for permission to use (.+)"), r"permission: \1"),
    (re.compile(r"waits for (.+)"), r"\1"),
    (re.compile(r"(.+) is running and (\d+) more"), r"runs \1 +\2"),
    (re.compile(r"(.+) is running"), r"runs \1"),
)
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def visible_text(text: str, limit: int = 400) -> str:
    """Return text of an agent in one line, with control and direction characters replaced.

    A terminal obeys control characters, and direction marks reorder what a person reads.

    Args:
        limit: maximum number of characters.
    """
    cut = f"{text[:limit]}…" if len(text) > limit else text
    return _UNSAFE.sub("\ufffd", cut)


def state_of(agent: AgentPresence) -> str:
    """Return the state of an agent, one of AGENT_STATES."""
    if agent.attention:
        return "waiting"
    if agent.detail in CANNOT_WORK and agent.status is not PresenceStatus.OFFLINE:
        return "cannot_work"
    is_done = agent.status is PresenceStatus.IDLE and agent.unseen
    return "done" if is_done else agent.status.value


def short_agent_id(agent_id: str) -> str:
    """Return an id with 8 characters of its UUID, if it has one.

    UUIDs of version 7 begin with the time, so that those of one day differ only at the end.
    """
    parts = _UUID.fullmatch(agent_id)
    return parts[1] + (parts[4] if parts[3] == "7" else parts[2]) if parts else agent_id


def agent_name(agent: AgentPresence) -> str:
    """Return what an agent is called: its title, else project and branch, else its short id."""
    if agent.title:
        return agent.title
    if agent.parent_agent_id is None and agent.project:
        return " · ".join(filter(None, (agent.project, agent.branch)))
    return short_agent_id(agent.agent_id)


def reason_text(agent: AgentPresence) -> str:
    """Return why an agent has its state, in few words; "" if it is unknown."""
    reason = agent.reason or ""
    for pattern, short in _SHORT_REASONS:
        if pattern.fullmatch(reason):
            return pattern.sub(short, reason)
    return reason


def span_text(seconds: float) -> str:
    """Return a duration in its largest unit, as ``4 min``; less than a second is ``0 s``."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def state_text(agent: AgentPresence, now: datetime) -> str:
    """Return the state with its duration, as ``waits 4 min``.

    Args:
        now: the current time, with a time zone.
    """
    state = state_of(agent)
    span = span_text((now - state_since(agent)).total_seconds())
    if state == "waiting":
        return f"waits {span}"
    if state == "done" and agent.detail == "waiting_input":
        return f"asks you {span}"
    if state in ("done", "idle") and agent.detail == "error":
        return f"failed {span}"
    # "cannot work" would be too long for a column.
    return f"{'blocked' if state == 'cannot_work' else STATE_LABELS[state]} {span}"


def agent_cells(agent: AgentPresence, now: datetime) -> dict[str, str]:
    """Return an agent as texts for a table, a text for each of AGENT_CELLS; "" for what is unknown.

    Args:
        now: the current time, with a time zone.
    """
    short = short_agent_id(agent.agent_id)
    context = context_share(agent)
    return {
        "state": state_text(agent, now),
        "agent": f"↳ {short}" if agent.parent_agent_id else short,
        "title": agent.title or "",
        "project": agent.project or "",
        "branch": agent.branch or "",
        "why": reason_text(agent),
        "context": "" if context is None else f"{context:.0%}",
        "tokens": compact_count(agent.total_cost_tokens) if agent.total_cost_tokens else "",
        "cost": dollar_text(agent.cost_usd, agent.unpriced_tokens),
    }


def state_since(agent: AgentPresence) -> datetime:
    """Return since when an agent has been in its state; of one at work, since its status began."""
    if state_of(agent) in ("active", "offline"):
        return agent.since or agent.last_activity
    return agent.detail_since or agent.since or agent.last_activity


def context_share(agent: AgentPresence) -> float | None:
    """Return the share of the model's context that is in use, 0 to 1; None if it is unknown."""
    if agent.context_tokens is None or not agent.context_window:
        return None
    return min(1.0, agent.context_tokens / agent.context_window)


def label_projects(agents: Iterable[AgentPresence]) -> list[AgentPresence]:
    """Return the agents with names in ``project`` that tell folders of the same name apart."""
    agents = list(agents)
    named = [agent for agent in agents if agent.project]
    names = {agent.project for agent in named if agent.project}
    if not share_names(names, (agent.cwd for agent in named if agent.cwd)):
        return agents
    places = {agent.agent_id: _place_of(agent) for agent in named}
    labels = project_labels(places.values())
    return [
        replace(agent, project=labels[places[agent.agent_id]]) if agent.project else agent
        for agent in agents
    ]


def _place_of(agent: AgentPresence) -> Place:
    project = agent.project or ""
    return project, None if agent.cwd is None else project_folder(project, agent.cwd)


def sort_agents(
    agents: Iterable[AgentPresence], key: str = "attention", descending: bool = False
) -> list[AgentPresence]:
    """Return agents in an order; agents without a value come last.

    Args:
        key: one of SORT_KEYS; "attention": by urgency, those that wait longest for a person first,
            in other states the latest activity first.
        descending: reverse the order.
    """
    by_id = sorted(agents, key=lambda agent: agent.agent_id)
    values = [(agent, _sort_value(agent, key)) for agent in by_id]
    known = [(agent, value) for agent, value in values if value is not None]
    known.sort(key=lambda pair: pair[1], reverse=descending)
    return [agent for agent, _ in known] + [agent for agent, value in values if value is None]


def _sort_value(agent: AgentPresence, key: str) -> tuple[float | str, ...] | None:
    if key == "attention":
        state = state_of(agent)
        is_urgent = state in ("waiting", "cannot_work")
        at = state_since(agent) if is_urgent else agent.last_activity
        return AGENT_STATES.index(state), at.timestamp() * (1 if is_urgent else -1)
    if key == "agent":
        return (agent_name(agent).casefold(),)
    if key == "project":
        project, branch = agent.project or "", agent.branch or ""
        return (project.casefold(), branch.casefold()) if project else None
    if key == "activity":
        return (agent.last_activity.timestamp(),)
    if key == "tokens":
        return (agent.total_cost_tokens,)
    number = context_share(agent) if key == "context" else agent.cost_usd
    return None if number is None else (number,)


def group_of(agent: AgentPresence, key: str) -> str:
    """Return the group of an agent; "" for agents without a value.

    Args:
        key: one of GROUP_KEYS.
    """
    if key == "state":
        return STATE_LABELS[state_of(agent)]
    name = {"kind": "agent_kind"}.get(key, key)
    return str(getattr(agent, name) or "")


def matches_text(agent: AgentPresence, text: str) -> bool:
    """Return whether an agent has every word of ``text`` in its names, labels or reason."""
    fields = (
        *(agent.agent_id, agent.title, agent.project, agent.branch, agent.model, agent.agent_kind),
        *(agent.host, agent.pr, agent.session_id, agent.current_feature_id, agent.last_tool_name),
        *(agent.reason, STATE_LABELS[state_of(agent)]),
    )
    searched = "\n".join(filter(None, fields)).casefold()
    return all(word in searched for word in text.casefold().split())


def count_states(agents: Iterable[AgentPresence]) -> dict[str, int]:
    """Return the number of agents in each state that occurs, in the order of AGENT_STATES."""
    states = [state_of(agent) for agent in agents]
    return {state: states.count(state) for state in AGENT_STATES if state in states}


def compact_count(count: float) -> str:
    """Return a count with at most three digits, as ``1.21M``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:
            return f"{count / size:.3g}{unit}"
    return f"{count:.0f}"


def dollar_text(usd: float | None, unpriced_tokens: int = 0) -> str:
    """Return dollars for people, as ``$1.85``; with tokens whose price is unknown, ``$1.85 + ?``.

    Args:
        usd: NaN and None are unknown.
    """
    known = "" if usd is None or usd != usd else f"${usd:,.2f}"
    if not unpriced_tokens:
        return known
    return f"{known} + ?" if known else "?"
