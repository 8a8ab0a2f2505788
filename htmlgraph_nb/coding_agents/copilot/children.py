"""The subagents in Copilot CLI's session files; see ``session``. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..fields import count, identifier, label, string, without_none
from .lines import Record, child_agent_id, model_name

_MAX_CHILDREN = 1_000
_INFO = "session_info"

ChildEvent = tuple[str, str, dict[str, Any]]
"""Event type, end of the event id, and fields of an event about a subagent."""


@dataclass(slots=True)
class Children:
    """The subagents of one session.

    Args:
        session: id of the session.
        main: id of its main agent.
    """

    session: str
    main: str
    _parents: dict[str, str] = field(default_factory=dict)

    def agents_of(self, record: Record) -> tuple[str, str | None]:
        """Return the ids of the agent that a line belongs to, and of its parent."""
        name = identifier(record.get("agentId"))
        if name is None:
            return self.main, None
        child = child_agent_id(self.session, name)
        return child, self._parents.get(child, self.main)

    def start(self, record: Record, data: Record) -> list[ChildEvent]:
        """Return the events of a ``subagent.started``: the parent's, and the child's title."""
        child = self._child_of(record, data)
        if child is None:
            return []
        spawner, parent = identifier(data.get("parentId")), self.main
        if (
            spawner is not None
            and (known := child_agent_id(self.session, spawner)) in self._parents
        ):
            parent = known
        if len(self._parents) < _MAX_CHILDREN:
            self._parents[child] = parent
        agent_type = string(data.get("agentType") or data.get("agentName"), 128)
        extra = without_none(child_agent_id=child, agent_type=agent_type)
        fields: dict[str, Any] = {**self._ids_of(parent), "extra": extra}
        events = [("subagent_start", "", fields)]
        if (title := label(data.get("agentDisplayName"))) is not None:
            # Newer versions show what the model called the task, others the kind of subagent.
            mark = "title_generated" if "agentType" in data else "title_default"
            fields = {**self._ids_of(child), "title": title, "extra": {mark: True}}
            events.append((_INFO, ":Title", {**fields, "model": model_name(data.get("model"))}))
        return events

    def end(self, record: Record, data: Record) -> list[ChildEvent]:
        """Return the events of a ``subagent.completed`` or ``subagent.failed``."""
        child = self._child_of(record, data)
        if child is None:
            return []
        parent = self._parents.get(child, self.main)
        stop = {**self._ids_of(parent), "extra": {"child_agent_id": child}}
        reason = {"reason": "failed"} if record.get("type") == "subagent.failed" else None
        end = {"duration_ms": count(data.get("durationMs")), "extra": reason}
        return [
            ("subagent_stop", "", stop),
            ("session_end", ":End", {**self._ids_of(child), **end}),
        ]

    def _child_of(self, record: Record, data: Record) -> str | None:
        name = identifier(record.get("agentId")) or identifier(data.get("toolCallId"))
        return None if name is None else child_agent_id(self.session, name)

    def _ids_of(self, agent: str) -> dict[str, Any]:
        parent = None if agent == self.main else self._parents.get(agent, self.main)
        return {"agent_id": agent, "parent_agent_id": parent}
