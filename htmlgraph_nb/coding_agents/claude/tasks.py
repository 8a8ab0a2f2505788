"""Subagents and background tasks of one of Claude Code's session files, and which still run.

A background shell tells its id with the result of the call that began it, a workflow and a
background agent too; their ends are told by notices in the queue, or by the results of the tools
that ask after them or stop them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..content_rules import TASK_ENDS
from ..fields import identifier, mapping, string, without_none
from ..session import known_agent
from .constants import AGENT
from .lines import LineContext, Record, Told, ended_task

MAX_RUNNING = 1_000
"""Most subagents, and most tasks, of a session whose ends are waited for."""
_STOPPING = frozenset({"TaskStop", "KillShell", "KillBash"})


@dataclass(slots=True)
class Running:
    """Ids of the background agents and of the other background tasks that run."""

    agents: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)

    def told_by(
        self, result: Record, tool: str | None, who: LineContext, begun: LineContext
    ) -> list[Told]:
        """Return what the result of a tool call tells of subagents and background tasks.

        Args:
            tool: name of the tool, as far as it is known.
            begun: the same as ``who`` when the call began.
        """
        found = self._child(result, who, begun)
        started, ended = self._begun_by(result, tool), self._ended_by(result, tool)
        if started is not None:
            found.append(_of_task("task_start", started, who))
        if ended is not None:
            found.append(_of_task("task_stop", ended, who))
        return found

    def noticed(self, notice: object, who: LineContext) -> list[Told]:
        """Return what a notice's text, which can come twice, tells of an agent's or task's end."""
        name = ended_task(notice) if self.agents or self.tasks else None
        if name is None or name not in self.agents | self.tasks:
            return []
        # The notice wakes the agent, so it does not rest between the end and its answer.
        woken = Told(who, "activity", f"{who.session}:{name}:Notice", {})
        if self._end(name):
            return [woken, _of_task("task_stop", name, who)]
        self.agents.discard(name)
        return [woken, *child_stop(known_agent(name, AGENT), who)]

    def _child(self, result: Record, who: LineContext, begun: LineContext) -> list[Told]:
        child, status = identifier(result.get("agentId")), result.get("status")
        if child is None or status not in ("completed", "async_launched"):
            return []
        about = without_none(agent_type=string(result.get("agentType"), 128))
        name = known_agent(child, AGENT)
        start = child_start(name, begun, about)
        if status == "completed":
            return [start, *child_stop(name, who, about)]
        if len(self.agents) < MAX_RUNNING:
            self.agents.add(child)
        return [start]

    def _begun_by(self, result: Record, tool: str | None) -> str | None:
        task = identifier(result.get("backgroundTaskId"))
        if task is None and (result.get("status") == "async_launched" or tool == "Monitor"):
            task = identifier(result.get("taskId"))
        if task is None or task in self.tasks or len(self.tasks) >= MAX_RUNNING:
            return None
        self.tasks.add(task)
        return task

    def _ended_by(self, result: Record, tool: str | None) -> str | None:
        told: Any = mapping(result.get("task")) or result
        task = identifier(told.get("task_id") or told.get("shellId") or told.get("shell_id"))
        over = told.get("status") in TASK_ENDS or tool in _STOPPING
        return task if over and self._end(task) else None

    def _end(self, task: str | None) -> bool:
        """Forget a task; return whether it ran."""
        if task not in self.tasks:
            return False
        self.tasks.discard(task)
        return True


def child_start(name: str, who: LineContext, about: dict[str, Any] | None = None) -> Told:
    """Return the begin of a subagent, as its parent's."""
    extra = {"child_agent_id": name, **(about or {})}
    return Told(who, "subagent_start", f"{who.session}:{name}:SubagentStart", {"extra": extra})


def child_stop(name: str, who: LineContext, about: dict[str, Any] | None = None) -> list[Told]:
    """Return the end of a subagent, as its parent's and as its own."""
    key = f"{who.session}:{name}:SubagentStop"
    extra = {"child_agent_id": name, **(about or {})}
    own = {"agent_id": name, "parent_agent_id": who.agent_id, "extra": about}
    return [
        Told(who, "subagent_stop", key, {"extra": extra}),
        Told(who, "session_end", f"{key}:2", own),
    ]


def _of_task(kind: str, task: str, who: LineContext) -> Told:
    return Told(who, kind, f"{who.session}:{task}:{kind}", {"extra": {"task_id": task}})
