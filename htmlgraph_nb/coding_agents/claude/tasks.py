"""Track the subagents and background tasks in one of Claude Code's session files.

The result of the tool call that starts a background shell, workflow or agent contains its id. Its
end is reported by a notice in the queue, or by the result of a tool that polls or stops it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...core.model import Event
from ..content_rules import TASK_ENDS
from ..fields import identifier, label, mapping, string, without_none
from ..session import cached_agent_id
from .constants import AGENT, SUBAGENT_TOOLS
from .facts import subagent_title
from .lines import LineContext, Record, ended_task
from .progress import HasOwnFile

MAX_RUNNING = 1_000
"""Maximum number of running subagents of a session, and of running tasks."""
_STOP_TOOLS = frozenset({"TaskStop", "KillShell", "KillBash"})


@dataclass(slots=True)
class Running:
    """The ids of the running background agents, and of the other running background tasks.

    Args:
        has_own_file: returns whether there is a file of the subagent with this id.

    Attributes:
        titles: id of a call that starts a subagent → name or description of the subagent.
    """

    has_own_file: HasOwnFile
    agents: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    titles: dict[str, object] = field(default_factory=dict)

    def on_call(self, call: str, tool: str | None, arguments: Record) -> None:
        """Remember what the subagent is called that a tool call starts; never its prompt."""
        if tool not in SUBAGENT_TOOLS:
            return
        self.titles[call] = label(arguments.get("name")) or label(arguments.get("description"))
        while len(self.titles) > MAX_RUNNING:
            del self.titles[next(iter(self.titles))]

    def on_result(
        self,
        result: Record,
        call: str,
        tool: str | None,
        context: LineContext,
        started: LineContext,
    ) -> list[Event]:
        """Return the starts and ends that the result of a tool call reports.

        Args:
            call: id of the call.
            tool: name of the tool; None if it is unknown.
            context: the line with the result.
            started: the line with the call.
        """
        events = self._subagent_events(result, call, context, started)
        started_task, stopped_task = (
            self._started_task(result, tool),
            self._stopped_task(result, tool),
        )
        if started_task is not None:
            events.append(_task_event("task_start", started_task, context))
        if stopped_task is not None:
            events.append(_task_event("task_stop", stopped_task, context))
        return events

    def on_notice(self, notice: object, context: LineContext) -> list[Event]:
        """Return the end that the text of a notice reports; a repeated notice reports nothing."""
        name = ended_task(notice) if self.agents or self.tasks else None
        if name is None or name not in self.agents | self.tasks:
            return []
        # The notice starts a turn, so the agent is not idle between the end and its response.
        activity = context.event("activity", f"{context.session}:{name}:Notice")
        if self._remove_task(name):
            return [activity, _task_event("task_stop", name, context)]
        self.agents.discard(name)
        return [activity, *child_stop(cached_agent_id(name, AGENT), context)]

    def _subagent_events(
        self, result: Record, call: str, context: LineContext, started: LineContext
    ) -> list[Event]:
        title = self.titles.pop(call, None)
        child, status = identifier(result.get("agentId")), result.get("status")
        if child is None or status not in ("completed", "async_launched"):
            return []
        agent_type = result.get("agentType")
        extra = without_none(agent_type=string(agent_type, 128))
        name = cached_agent_id(child, AGENT)
        start = child_start(name, started, extra)
        titles = subagent_title(name, started, title or result.get("description"), agent_type)
        if status == "completed":
            return [start, *titles, *child_stop(name, context, extra)]
        if len(self.agents) < MAX_RUNNING:
            self.agents.add(child)
        # A subagent without a file has no further events, and would seem idle.
        return [start, *(titles if self.has_own_file(child) else [])]

    def _started_task(self, result: Record, tool: str | None) -> str | None:
        task = identifier(result.get("backgroundTaskId"))
        if task is None and (result.get("status") == "async_launched" or tool == "Monitor"):
            task = identifier(result.get("taskId"))
        if task is None or task in self.tasks or len(self.tasks) >= MAX_RUNNING:
            return None
        self.tasks.add(task)
        return task

    def _stopped_task(self, result: Record, tool: str | None) -> str | None:
        state: Any = mapping(result.get("task")) or result
        task = identifier(state.get("task_id") or state.get("shellId") or state.get("shell_id"))
        has_ended = state.get("status") in TASK_ENDS or tool in _STOP_TOOLS
        return task if has_ended and self._remove_task(task) else None

    def _remove_task(self, task: str | None) -> bool:
        """Remove a task and return whether it was running."""
        if task not in self.tasks:
            return False
        self.tasks.discard(task)
        return True


def child_start(name: str, context: LineContext, extra: dict[str, Any] | None = None) -> Event:
    """Return the start of a subagent, as an event of its parent."""
    return context.event(
        "subagent_start",
        f"{context.session}:{name}:SubagentStart",
        extra={"child_agent_id": name, **(extra or {})},
    )


def child_stop(name: str, context: LineContext, extra: dict[str, Any] | None = None) -> list[Event]:
    """Return the end of a subagent, as an event of its parent and as one of its own."""
    key = f"{context.session}:{name}:SubagentStop"
    own = {"agent_id": name, "parent_agent_id": context.agent_id, "extra": extra}
    return [
        context.event("subagent_stop", key, extra={"child_agent_id": name, **(extra or {})}),
        context.event("session_end", f"{key}:2", **own),
    ]


def _task_event(event_type: str, task: str, context: LineContext) -> Event:
    key = f"{context.session}:{task}:{event_type}"
    return context.event(event_type, key, extra={"task_id": task})
