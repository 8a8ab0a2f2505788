"""The copied history at the start of a forked session's file; see ``session``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..fields import count
from .lines import Record, first_own_ordinal, pause_before, started_before


@dataclass(slots=True)
class Fork:
    """Where the copied history of one session ends.

    Attributes:
        forked_at: when the session was forked; None if it is no fork or the copy has ended.
    """

    forked_at: datetime | None = None
    _copied_turns: bool = False
    _first_own_ordinal: int | None = None

    @classmethod
    def of_meta(cls, payload: Record, forked_at: datetime | None) -> Fork:
        """Return the fork that the first line of a session describes.

        Args:
            forked_at: when the session was created, if it is a fork.
        """
        return cls(forked_at, False, first_own_ordinal(payload))

    def copied(
        self, record: Record, payload: Record, before: datetime | None, at: datetime
    ) -> bool:
        """Return whether a line was copied from the parent's history.

        Args:
            before: timestamp of the line before it.
        """
        if self.forked_at is None:
            return False
        ordinal = count(record.get("ordinal"))
        if self._first_own_ordinal is not None and ordinal is not None:
            return ordinal < self._first_own_ordinal
        if at < self.forked_at:
            # Some copies keep the times of the original.
            return True
        is_old = started_before(payload, self.forked_at)
        if is_old:
            self._copied_turns = True
            return True
        if is_old is None and (
            self._copied_turns or before is None or at - before <= pause_before(record)
        ):
            return True
        self.forked_at = None
        return False
