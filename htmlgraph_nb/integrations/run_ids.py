"""Which agent id each run of a framework's agent goes by, pure.

Two runs at the same time are two agents, though the program gave them one name: the second is
``name-2``. A run that continues a session gets the id that the session had.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..coding_agents.fields import text
from ..core.ids import shorten_id

MAX_RUN_IDS = 10_000
_MAX_ALIKE = 1_000


@dataclass(slots=True)
class _Holder:
    """Who has an id: a session, with a run that goes on or one that waits for a person."""

    session: str
    runs: bool = True
    waits: bool = False


class RunIds:
    """The ids that are taken; at most MAX_RUN_IDS are remembered, those that rest go first."""

    def __init__(self) -> None:
        self._holders: dict[str, _Holder] = {}

    def acquire(self, name: str, session: str) -> tuple[str, bool]:
        """Return the id for a run in this session, and whether the run before waited for a person.

        ``release`` gives the id back.
        """
        base = shorten_id(text(name, None) or "agent", 250)
        free = None
        for number in range(1, _MAX_ALIKE + 1):
            agent_id = base if number == 1 else f"{base}-{number}"
            holder = self._holders.get(agent_id)
            if holder is None:
                free = free or agent_id
                break
            if holder.runs:
                continue
            if holder.session == session:
                free = agent_id
                break
            if free is None and not holder.waits:
                free = agent_id
        agent_id = free or base
        before = self._holders.pop(agent_id, None)
        self._holders[agent_id] = _Holder(session)
        self._forget()
        return agent_id, before is not None and before.waits and before.session == session

    def release(self, agent_id: str, *, waits: bool) -> None:
        """Say that the run is over; ``waits``: its session goes on once a person has answered."""
        holder = self._holders.get(agent_id)
        if holder is not None:
            holder.runs, holder.waits = False, waits

    def _forget(self) -> None:
        if len(self._holders) <= MAX_RUN_IDS:
            return
        resting = [name for name, one in self._holders.items() if not one.runs]
        for name in resting[: MAX_RUN_IDS // 10] or list(self._holders)[:1]:
            del self._holders[name]
