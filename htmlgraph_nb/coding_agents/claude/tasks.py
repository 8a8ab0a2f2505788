"""Track the subagents and background tasks in one of Claude Code's session files.

The result of the tool call that starts a background shell, workflow or agent contains its id. Its
end is reported by a notice in the queue, or by the result of a tool that polls or stops it. The
notice can come before that result.

A subagent that has ended can run again: the result of a message to it has ``resumedAgentId`` (seen
in 2.1.268), and its file grows by another prompt. The reader of either file numbers the runs, so
that both give the same ids to their starts and ends.
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
    _runs: dict[str, int] = field(default_factory=dict)
    _early: dict[str, LineContext] = field(default_factory=dict)

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
        # A line that is repeated ends no open call, so its tool is unknown, and it starts no run.
        is_repeated = tool is None and identifier(result.get("agentId")) in self._runs
        events = [] if is_repeated else self._subagent_events(result, call, context, started)
        started_task, stopped_task = (
            self._started_task(result, tool),
            self._stopped_task(result, tool),
        )
        if started_task is not None:
            events.append(_task_event("task_start", started_task, context))
            if (ended := self._early.pop(started_task, None)) is not None:
                self.tasks.discard(started_task)
                events.append(_task_event("task_stop", started_task, ended))
        if stopped_task is not None and stopped_task in self.agents:
            events += self._stop_agent(stopped_task, context)
        elif stopped_task is not None:
            events.append(_task_event("task_stop", stopped_task, context))
        return events

    def on_notice(self, notice: object, context: LineContext) -> list[Event]:
        """Return the end that the text of a notice reports; a repeated notice reports nothing."""
        name = ended_task(notice)
        if name is None:
            return []
        if name not in self.agents and name not in self.tasks:
            if name not in self._runs:
                # Its start follows, unless it is of no kind that is tracked.
                self._early.setdefault(name, context)
                _drop_oldest(self._early)
            return []
        # The notice starts a turn, so the agent is not idle between the end and its response.
        run = _suffix(self._runs.get(name, 1))
        activity = context.event("activity", f"{context.session}:{name}:Notice{run}")
        if self._remove_task(name):
            return [activity, _task_event("task_stop", name, context)]
        return [activity, *self._stop_agent(name, context)]

    def _subagent_events(
        self, result: Record, call: str, context: LineContext, started: LineContext
    ) -> list[Event]:
        title = self.titles.pop(call, None)
        child, status = identifier(result.get("agentId")), result.get("status")
        resumed = identifier(result.get("resumedAgentId"))
        if resumed is not None and resumed not in self.agents:
            # If its start is in no line, as that of a teammate, this run is at least the second.
            self._runs.setdefault(resumed, 1)
            return [self._start_agent(resumed, context)]
        if child is None or status not in ("completed", "async_launched"):
            return []
        agent_type = result.get("agentType")
        extra = without_none(agent_type=string(agent_type, 128))
        start = self._start_agent(child, started, extra)
        name = cached_agent_id(child, AGENT)
        titles = subagent_title(name, started, title or result.get("description"), agent_type)
        if status == "completed":
            return [start, *titles, *self._stop_agent(child, context, extra)]
        # A subagent without a file has no further events, and would seem idle.
        events = [start, *(titles if self.has_own_file(child) else [])]
        ended = self._early.pop(child, None)
        return events if ended is None else [*events, *self._stop_agent(child, ended)]

    def _start_agent(
        self, child: str, context: LineContext, extra: dict[str, Any] | None = None
    ) -> Event:
        run = self._runs[child] = self._runs.pop(child, 0) + 1
        _drop_oldest(self._runs)
        if len(self.agents) < MAX_RUNNING:
            self.agents.add(child)
        return child_start(cached_agent_id(child, AGENT), context, extra, run)

    def _stop_agent(
        self, child: str, context: LineContext, extra: dict[str, Any] | None = None
    ) -> list[Event]:
        self.agents.discard(child)
        return child_stop(cached_agent_id(child, AGENT), context, extra, self._runs.get(child, 1))

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
        is_known = has_ended and (task in self.agents or self._remove_task(task))
        return task if is_known else None

    def _remove_task(self, task: str | None) -> bool:
        """Remove a task and return whether it was running."""
        if task not in self.tasks:
            return False
        self.tasks.discard(task)
        return True


def child_start(
    name: str, context: LineContext, extra: dict[str, Any] | None = None, run: int = 1
) -> Event:
    """Return the start of a subagent, as an event of its parent.

    Args:
        run: number of this run of the subagent, from 1.
    """
    return context.event(
        "subagent_start",
        f"{context.session}:{name}:SubagentStart{_suffix(run)}",
        extra={"child_agent_id": name, **(extra or {})},
    )


def child_stop(
    name: str, context: LineContext, extra: dict[str, Any] | None = None, run: int = 1
) -> list[Event]:
    """Return the end of a subagent, as an event of its parent and as one of its own.

    Args:
        run: number of this run of the subagent, from 1.
    """
    key = f"{context.session}:{name}:SubagentStop{_suffix(run)}"
    own = {"agent_id": name, "parent_agent_id": context.agent_id, "extra": extra}
    return [
        context.event("subagent_stop", key, extra={"child_agent_id": name, **(extra or {})}),
        context.event("session_end", f"{key}:2", **own),
    ]


def _suffix(run: int) -> str:
    return "" if run <= 1 else f"@{run}"


def _drop_oldest(entries: dict[str, Any]) -> None:
    while len(entries) > MAX_RUNNING:
        del entries[next(iter(entries))]


def _task_event(event_type: str, task: str, context: LineContext) -> Event:
    key = f"{context.session}:{task}:{event_type}"
    return context.event(event_type, key, extra={"task_id": task})
