"""What the file system says about a session: its owner and its machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from functools import lru_cache

from ..core.model import Event
from .session_files import SessionFile

_STARTS = frozenset({"session_start", "subagent_start"})


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The owner of a session file and the machine that it is on.

    Attributes:
        user: name of the account; None: unknown.
        host: name of the machine; None: unknown.
    """

    user: str | None
    host: str | None

    @classmethod
    def of(cls, file: SessionFile) -> FileFacts:
        """Return the facts of a file on this machine."""
        return cls.of_path(file.stored_in)

    @classmethod
    def of_path(cls, path: str) -> FileFacts:
        """Return the facts of the file at a path on this machine."""
        try:
            user = _account(os.stat(path).st_uid)
        except OSError:
            user = None
        return cls(user, platform.node()[:256] or None)

    def add_to(self, event: Event) -> Event:
        """Return the event; the start of a session or subagent with the facts that it lacks."""
        if event.event_type not in _STARTS:
            return event
        return replace(event, user=event.user or self.user, host=event.host or self.host)


@lru_cache(maxsize=64)
def _account(user_id: int) -> str | None:
    try:
        import pwd
    except ImportError:
        # Windows has no numeric owners.
        return None
    try:
        return pwd.getpwuid(user_id).pw_name[:256] or None
    except KeyError:
        # An account that this machine does not know, as in a container.
        return None
