"""HostWatch: hosts whose agents at work have all become silent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from ...core.hosts.host_contact import UNREACHABLE
from ...core.model import AgentPresence, PresenceStatus
from ..alert_messages import Subject, shown
from ..alert_rule import AlertRule
from .case_state import after
from .cases import CaseBook

MAX_HOSTS = 1_000
_LATE = timedelta(hours=1)


class _Host:
    __slots__ = ("at_work", "seen_at")

    def __init__(self, seen_at: datetime) -> None:
        self.seen_at = seen_at
        self.at_work: set[str] = set()


def _is_at_work(presence: AgentPresence) -> bool:
    return presence.status is PresenceStatus.ACTIVE and not presence.attention


class HostWatch:
    """Evaluates the rules of the kind "host_gone".

    An agent counts if it is active, waits for nobody, and this machine does not see its process,
    and also if it was active when its host became unreachable.

    Args:
        book: takes the conditions.
    """

    def __init__(self, book: CaseBook) -> None:
        self._book = book
        self._rules: tuple[AlertRule, ...] = ()
        self._hosts: dict[str, _Host] = {}
        self._next: datetime | None = None

    def set_rules(self, rules: Iterable[AlertRule]) -> None:
        """Replace the rules."""
        self._rules = tuple(rules)

    def apply(
        self, before: AgentPresence | None, presence: AgentPresence | None, now: datetime
    ) -> None:
        """Take a change of an agent."""
        if before is not None and before.host is not None:
            old = self._hosts.get(before.host)
            if old is not None and (presence is None or presence.host != before.host):
                old.at_work.discard(before.agent_id)
        if presence is None or presence.host is None:
            return
        host = self._hosts.get(presence.host)
        if host is None:
            if len(self._hosts) >= MAX_HOSTS:
                self._drop_idle()
            host = self._hosts[presence.host] = _Host(presence.last_activity)
        host.seen_at = max(host.seen_at, min(presence.last_activity, now))
        counts = _is_at_work(presence) and not presence.alive
        if presence.detail == UNREACHABLE:
            # The server of the host was connected until then.
            host.seen_at = max(host.seen_at, min(presence.since or host.seen_at, now))
            was_at_work = before is not None and _is_at_work(before)
            counts = was_at_work or presence.agent_id in host.at_work
        if counts:
            host.at_work.add(presence.agent_id)
            if self._next is None:
                self._next = now
        else:
            host.at_work.discard(presence.agent_id)

    def _drop_idle(self) -> None:
        self._hosts = {name: host for name, host in self._hosts.items() if host.at_work}

    @property
    def next_due(self) -> datetime | None:
        """When ``tick`` has to run; None: no host has an agent at work."""
        return self._next if self._rules else None

    def tick(self, now: datetime) -> None:
        """Check all hosts, if it is time."""
        if not self._rules or self._next is None or now < self._next:
            return
        dues = []
        for name, host in self._hosts.items():
            subject = Subject(f"host:{name}", f"Host {shown(name)}", host=name)
            for rule in self._rules:
                if not rule.matches((None, None, None, None, name, None)):
                    continue
                due = after(host.seen_at, rule.for_s)
                if not host.at_work or due > now:
                    self._book.end(rule.name, subject.subject_id, now)
                    if host.at_work:
                        dues.append(due)
                else:
                    is_present = host.seen_at >= now - _LATE - timedelta(seconds=rule.for_s)
                    self._book.hold(rule, subject, host.seen_at, now, is_present=is_present)
                    dues.append(after(now, 1.0))
        self._next = min(dues, default=None)
