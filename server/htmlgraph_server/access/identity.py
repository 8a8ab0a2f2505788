"""Who sends a request and what they may do; what each route needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import InvalidEvent

DEFAULT_SPACE = "default"
"""The space of the database itself: of ``--token``, and of requests on loopback without one."""


class Need(Enum):
    """What a route needs of the identity of a request."""

    NOTHING = "nothing"
    """Not even an identity: files without data."""
    IDENTITY = "identity"
    """Any identity: the description of the API, and paths that do not exist."""
    READ = "read"
    WRITE = "write"
    """Report events. It does not include reading."""
    ADMIN = "admin"
    """Change what all see, as a person does: acknowledge and mute alerts, mark agents."""

    @property
    def writes(self) -> bool:
        """Whether a request to such a route may change stored data."""
        return self in (Need.WRITE, Need.ADMIN)


class Right(Enum):
    """What an identity may do in its space."""

    READ = "read"
    """Read everything, change nothing."""
    WRITE = "write"
    """Report events, read nothing."""
    READ_WRITE = "read,write"
    """Read everything and report events, but change nothing that others decide."""
    ADMIN = "admin"
    """Everything."""


_ALLOWED = {
    Right.READ: (Need.READ,),
    Right.WRITE: (Need.WRITE,),
    Right.READ_WRITE: (Need.READ, Need.WRITE),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request.

    Attributes:
        space: the space that the request reads or writes.
        right: what it may do there.
        agent_prefix: it may only report agents whose id begins with this; "": all.
        label: for messages to people, such as the label of a token.
        token_id: number of its token in the table of tokens; 0: it has none there.
    """

    space: str = DEFAULT_SPACE
    right: Right = Right.ADMIN
    agent_prefix: str = ""
    label: str = ""
    token_id: int = 0

    def allows(self, need: Need) -> bool:
        """Return whether this identity may use a route that needs ``need``."""
        if self.right is Right.ADMIN or need in (Need.NOTHING, Need.IDENTITY):
            return True
        return need in _ALLOWED[self.right]

    @property
    def reads(self) -> bool:
        """Whether it may read."""
        return self.allows(Need.READ)

    def check_agents(self, agent_ids: Iterable[str | None]) -> None:
        """Check that this identity may report agents.

        Args:
            agent_ids: ids of agents and their parents; None counts as allowed.

        Raises:
            InvalidEvent: an id does not begin with ``agent_prefix``.
        """
        for agent_id in agent_ids if self.agent_prefix else ():
            if agent_id is not None and not agent_id.startswith(self.agent_prefix):
                raise InvalidEvent(
                    f"agent_id: this token may only report agents whose id begins with "
                    f"{shorten(self.agent_prefix)}, got {shorten(agent_id)}",
                    "agent_id",
                )

    def check_events(self, events: Sequence[Event]) -> None:
        """Check that this identity may report the agents of events, and their parents.

        Raises:
            InvalidEvent: as ``check_agents``.
        """
        if self.agent_prefix:
            self.check_agents(event.agent_id for event in events)
            self.check_agents(event.parent_agent_id for event in events)
