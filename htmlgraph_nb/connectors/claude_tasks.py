"""Subagents and background tasks of one of Claude Code's session files, and which still run.

A background shell tells its id with the result of the call that began it, a workflow and a
background agent too; their ends are told by notices in the queue, or by the results of the tools
that ask after them or stop them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .claude_lines import Record, ended_task
from .fields import identifier, mapping

MAX_RUNNING = 1_000
"""Most subagents, and most tasks, of a session whose ends are waited for."""
_ENDED = frozenset({"completed", "failed", "killed", "stopped"})
_STOPPING = frozenset({"TaskStop", "KillShell", "KillBash"})


@dataclass(slots=True)
class Running:
    """Ids of the background agents and of the other background tasks that run."""

    agents: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)

    def begin_agent(self, child: str) -> None:
        """Remember a background agent."""
        if len(self.agents) < MAX_RUNNING:
            self.agents.add(child)

    def begun_by(self, result: Record) -> str | None:
        """Return the task that the result of a call says was begun; None: none was."""
        task = identifier(result.get("backgroundTaskId"))
        if task is None and result.get("status") == "async_launched":
            task = identifier(result.get("taskId"))
        if task is None or task in self.tasks or len(self.tasks) >= MAX_RUNNING:
            return None
        self.tasks.add(task)
        return task

    def ended_by(self, result: Record, tool: str | None) -> str | None:
        """Return the task that the result of a call says has ended; None: none has."""
        told: Any = mapping(result.get("task")) or result
        task = identifier(told.get("task_id") or told.get("shellId") or told.get("shell_id"))
        over = told.get("status") in _ENDED or tool in _STOPPING
        return self.end(task) if over else None

    def end(self, task: str | None) -> str | None:
        """Forget a task; return it if it ran."""
        if task not in self.tasks:
            return None
        self.tasks.discard(task)
        return task

    def noticed(self, record: Record) -> tuple[str | None, str | None]:
        """Return the agent, or the task, that a notice in the queue says has ended."""
        if not self.agents and not self.tasks:
            return None, None
        name = ended_task(record)
        if name in self.agents:
            self.agents.discard(name)
            return name, None
        return None, self.end(name)
