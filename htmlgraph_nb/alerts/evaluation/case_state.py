"""Case and Group: what CaseBook keeps of conditions that hold, and the alerts of them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from ...core.timestamps import to_micros
from ..alert_messages import Subject, message_of, message_of_group
from ..alert_rule import AlertRule
from ..fired_alert import MAX_AGENT_IDS, FiredAlert, alert_id_of

GROUP_MIN = 5
"""Number of alerts of a rule, in one collection or in JOIN_S, from which they become a group."""
JOIN_S = 60.0
"""Seconds for which further agents join a group without another message."""
GROUP_PREFIX = "group:"
"""Begin of the subject of a group."""


class AlertChange(NamedTuple):
    """A new state of an alert.

    Attributes:
        alert: the alert.
        notify: whether the channels get a message about it.
    """

    alert: FiredAlert
    notify: bool


@dataclass(slots=True, eq=False)
class Case:
    """One rule and one subject for which its condition holds.

    Attributes:
        since: since when it holds.
        wait_s: seconds after ``since`` at which an alert is due, ``due`` its time.
        value: what was measured.
        alert: its own alert that is firing; None: none, or that of its ``group``.
        collected: it is due, and will fire with others in a moment.
    """

    rule: AlertRule
    subject: Subject
    since: datetime
    wait_s: float
    due: datetime
    value: float | None
    alert: FiredAlert | None = None
    group: Group | None = None
    collected: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Name of the rule, and id of the subject."""
        return self.rule.name, self.subject.subject_id

    @property
    def is_open(self) -> bool:
        """Whether it is no alert yet, nor about to be one."""
        return self.alert is None and self.group is None and not self.collected


@dataclass(slots=True, eq=False)
class Group:
    """An alert about many subjects.

    Attributes:
        members: the cases that still hold, by subject.
        n_total: number of all its members so far.
        outdated: an update of the alert is scheduled.
    """

    rule: AlertRule
    alert: FiredAlert
    opened_at: datetime
    members: dict[str, Case] = field(default_factory=dict)
    n_total: int = 0
    outdated: bool = False

    def described(self) -> FiredAlert:
        """Return the alert with the members of now."""
        n = len(self.members)
        if not n:
            return self.alert
        agents = (case.subject.agent_id for case in self.members.values())
        ids = tuple(agent for agent in agents if agent is not None)[:MAX_AGENT_IDS]
        message, label = message_of_group(self.rule, n), f"{n:,} subjects"
        return replace(self.alert, count=n, agent_ids=ids, message=message, label=label)

    def ended(self) -> FiredAlert:
        """Return the alert with the number of all members."""
        n = self.n_total or self.alert.count
        return replace(self.alert, count=n, message=message_of_group(self.rule, n))


@dataclass(slots=True)
class Collection:
    """The cases of one rule that are due, and what it fired in the last JOIN_S."""

    cases: list[Case] = field(default_factory=list)
    flush_at: datetime | None = None
    fired_at: deque[datetime] = field(default_factory=deque)
    group: Group | None = None


def alert_of(case: Case, now: datetime, silenced: bool) -> FiredAlert:
    """Return the alert of a case that fires now."""
    rule, subject = case.rule, case.subject
    held_s = (now - case.since).total_seconds()
    return FiredAlert(
        alert_id=alert_id_of(rule.name, subject.subject_id, case.since),
        rule=rule.name,
        kind=rule.kind,
        severity=rule.severity,
        state="firing",
        subject=subject.subject_id,
        since=case.since,
        fired_at=now,
        message=message_of(rule, subject, case.value, held_s),
        label=subject.label,
        agent_id=subject.agent_id,
        agent_kind=subject.agent_kind,
        project=subject.project,
        branch=subject.branch,
        host=subject.host,
        value=case.value,
        threshold=rule.threshold,
        channels=rule.channels,
        silenced=silenced,
        url_path=subject.url_path,
    )


def group_of_cases(cases: Sequence[Case], now: datetime, silenced: bool) -> Group:
    """Return a group without members for cases of one rule."""
    rule = cases[0].rule
    since = min(case.since for case in cases)
    subject = f"{GROUP_PREFIX}{rule.name}:{to_micros(now)}"
    alert = FiredAlert(
        alert_id=alert_id_of(rule.name, subject, since),
        rule=rule.name,
        kind=rule.kind,
        severity=rule.severity,
        state="firing",
        subject=subject,
        since=since,
        fired_at=now,
        message=message_of_group(rule, len(cases)),
        label=f"{len(cases):,} subjects",
        threshold=rule.threshold,
        channels=rule.channels,
        silenced=silenced,
    )
    return Group(rule, alert, now)


def after(at: datetime, seconds: float) -> datetime:
    """Return a time ``seconds`` later, the latest possible one if there is none so late."""
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=at.tzinfo)
