"""The agent that a line of Qwen Code's session files belongs to; see ``session``. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ...core.ids import shorten_id
from ...core.model import Event
from .constants import AGENT, SESSION_SOURCE


@dataclass(frozen=True, slots=True)
class QwenLine:
    """The agent that a line belongs to, and when the line was written.

    Attributes:
        parent: agent id of the parent if the agent is a subagent.
        origin: the session that the line was copied from; None: it is no copy.
        uuid: id of the line, of a copy that of the original.
    """

    agent_id: str
    parent: str | None
    session: str
    origin: str | None
    uuid: str
    at: datetime
    project: str | None
    branch: str | None
    cwd: str | None

    @property
    def child(self) -> str | None:
        """The id of the agent if it is a subagent."""
        return None if self.parent is None else self.agent_id

    def of_parent(self) -> QwenLine:
        """Return the context of the parent, or of the agent itself if it has none."""
        return replace(self, agent_id=self.parent or self.agent_id, parent=None)

    def key(self, step: str = "") -> str:
        """Return the key of the line, which its copies share."""
        return f"{AGENT}:{self.uuid}:{step}" if step else f"{AGENT}:{self.uuid}"

    def named(self, step: str) -> str:
        """Return a key of the agent."""
        return f"{self.session}:{self.agent_id}:{step}"

    def event(self, event_type: str, key: str, **fields: Any) -> Event:
        """Return an event of the agent.

        Args:
            key: the event id, shortened if it is too long.
            fields: further fields of the event; they take precedence.
        """
        return Event(
            event_type=event_type,
            timestamp=self.at,
            session_id=self.session,
            event_id=shorten_id(key),
            project=self.project,
            branch=self.branch,
            cwd=self.cwd,
            source=SESSION_SOURCE,
            **{"agent_id": self.agent_id, "parent_agent_id": self.parent, **fields},
        )
