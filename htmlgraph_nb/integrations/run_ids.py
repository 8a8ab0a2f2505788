"""Assign agent ids to the runs of a framework's agents. Pure.

Two concurrent runs are two agents, even if the program gave them the same name: the second is
``name-2``. A run that continues a session gets the id of that session.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..coding_agents.fields import string
from ..core.ids import shorten_id

MAX_RUN_IDS = 10_000
_MAX_SAME_NAME = 1_000


@dataclass(slots=True)
class _Holder:
    """The session that holds an id.

    Attributes:
        running: its run has not ended; waiting: the run ended to wait for a person.
    """

    session: str
    running: bool = True
    waiting: bool = False


class RunIds:
    """The ids in use; at most MAX_RUN_IDS are remembered, and idle ones are forgotten first."""

    def __init__(self) -> None:
        self._holders: dict[str, _Holder] = {}

    def acquire(self, name: str, session: str) -> tuple[str, bool]:
        """Return the id for a run, and whether the session's last run waited for a person.

        Call ``release`` when the run ends.
        """
        base = shorten_id(string(name, None) or "agent", 250)
        free = None
        for number in range(1, _MAX_SAME_NAME + 1):
            agent_id = base if number == 1 else f"{base}-{number}"
            holder = self._holders.get(agent_id)
            if holder is None:
                free = free or agent_id
                break
            if holder.running:
                continue
            if holder.session == session:
                free = agent_id
                break
            if free is None and not holder.waiting:
                free = agent_id
        agent_id = free or base
        previous = self._holders.pop(agent_id, None)
        self._holders[agent_id] = _Holder(session)
        self._forget()
        has_waited = previous is not None and previous.waiting and previous.session == session
        return agent_id, has_waited

    def release(self, agent_id: str, *, waiting: bool) -> None:
        """End the run of an id; ``waiting``: its session continues after a person's answer."""
        holder = self._holders.get(agent_id)
        if holder is not None:
            holder.running, holder.waiting = False, waiting

    def _forget(self) -> None:
        if len(self._holders) <= MAX_RUN_IDS:
            return
        idle = [agent_id for agent_id, holder in self._holders.items() if not holder.running]
        for agent_id in idle[: MAX_RUN_IDS // 10] or list(self._holders)[:1]:
            del self._holders[agent_id]
