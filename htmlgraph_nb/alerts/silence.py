"""When alerts send no messages: muted, or in quiet hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
"""``muted_until`` of a mute without an end."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of each day in which alerts send no messages.

    Attributes:
        start, end: local times; ``end`` is excluded. If ``end`` is before ``start``, the hours
            pass midnight; if they are the same, they are the whole day.
        zone: their time zone.
        except_severity: alerts of these severities are sent all the same.
    """

    start: time
    end: time
    zone: tzinfo
    except_severity: tuple[str, ...] = ("critical",)

    def contains(self, now: datetime) -> bool:
        """Return whether a time is in the quiet hours."""
        local = now.astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end


@dataclass(frozen=True, slots=True)
class AlertSilence:
    """What silences alerts.

    Attributes:
        muted_until: the switch that silences everything, as set in the database; None: it is off.
        file_muted_until: the same in the file of rules.
        quiet: the quiet hours; None: there are none.
    """

    muted_until: datetime | None = None
    file_muted_until: datetime | None = None
    quiet: QuietHours | None = None

    def is_muted(self, now: datetime) -> bool:
        """Return whether all alerts are muted at a time."""
        ends = (self.muted_until, self.file_muted_until)
        return any(end is not None and now < end for end in ends)

    def silences(self, severity: str, now: datetime) -> bool:
        """Return whether an alert of a severity sends no message at a time."""
        if self.is_muted(now):
            return True
        quiet = self.quiet
        return quiet is not None and severity not in quiet.except_severity and quiet.contains(now)
