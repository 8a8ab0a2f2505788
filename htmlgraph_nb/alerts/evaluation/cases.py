"""CaseBook: from conditions that hold to alerts, with durations, cooldowns, groups and silence.

It is a function of its calls and their times: no clock, no files. A case is one rule and one
subject for which the condition of the rule holds now. It becomes an alert after ``for_s``, unless
the last one of the same rule and subject is less than ``cooldown_s`` ago. Timers are in a heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain

from ..alert_messages import Subject
from ..alert_rule import DATED_KINDS, AlertRule
from ..fired_alert import FiredAlert
from ..silence import AlertSilence
from .case_groups import Grouping, TimerHeap
from .case_state import GROUP_MIN, GROUP_PREFIX, AlertChange, Case, Group, after, alert_of

GROUP_S = 1.0
"""Seconds for which alerts of a rule are collected, so that many become one."""
SET_BACK_S = 1.0
"""A clock that is set back by more than this starts all timers again."""
_MIN_COOLDOWNS = 1_000

Key = tuple[str, str]
"""Name of a rule, and id of a subject."""


class CaseBook:
    """All cases of a set of rules; an AlertSink.

    Args:
        rules: name → rule.
        group_s: as GROUP_S; 0: alerts fire at once, and are never grouped.

    Attributes:
        silence: what silences alerts now.
    """

    def __init__(self, rules: Mapping[str, AlertRule], group_s: float = GROUP_S) -> None:
        self.silence = AlertSilence()
        self._rules = rules
        self._groups_alerts = bool(group_s)
        self._cases: dict[Key, Case] = {}
        self._rules_by_subject: dict[str, set[str]] = {}
        self._cooldowns: dict[Key, datetime] = {}
        self._restored: dict[Key, FiredAlert] = {}
        self._timers = TimerHeap()
        self._grouping = Grouping(group_s, self._timers, self)
        self._silenced: set[str] = set()
        self._changes: list[AlertChange] = []
        self._now: datetime | None = None

    # Conditions

    def hold(
        self,
        rule: AlertRule,
        subject: Subject,
        since: datetime,
        now: datetime,
        value: float | None = None,
        *,
        wait_s: float | None = None,
        is_present: bool = True,
    ) -> None:
        """Note that the condition of a rule holds for a subject.

        Args:
            since: since when it holds; a time in the future counts as ``now``.
            value: what was measured.
            wait_s: seconds after ``since`` at which the alert is due; None: ``rule.for_s``.
            is_present: False: it began long ago, as in an import; then it opens no case.
        """
        key = rule.name, subject.subject_id
        since = min(since, now)
        wait_s = rule.for_s if wait_s is None else wait_s
        case = self._cases.get(key)
        if case is not None:
            case.subject, case.value = subject, value
            if rule.kind not in DATED_KINDS:
                since = case.since
            if case.is_open and (since, wait_s) != (case.since, case.wait_s):
                case.since, case.wait_s = since, wait_s
                self._schedule(case)
            return
        restored = self._restored.pop(key, None)
        if restored is not None:
            self._cooldowns[key] = after(restored.fired_at, rule.cooldown_s)
            if since <= restored.fired_at or rule.kind not in DATED_KINDS:
                self._add(Case(rule, subject, restored.since, wait_s, now, value, restored))
                return
            # It ended and began again in between.
            self.resolve(rule, restored, now)
        elif not is_present:
            return
        case = Case(rule, subject, since, wait_s, now, value)
        self._add(case)
        self._schedule(case)

    def _add(self, case: Case) -> None:
        self._cases[case.key] = case
        self._rules_by_subject.setdefault(case.subject.subject_id, set()).add(case.rule.name)

    def _schedule(self, case: Case) -> None:
        due = after(case.since, case.wait_s)
        due = case.due = max(due, self._cooldowns.get(case.key, due))

        def run(now: datetime) -> None:
            if self.is_current(case) and case.is_open and case.due == due:
                self._grouping.collect(case, now)

        self._timers.push(due, run)

    def end(self, rule_name: str, subject_id: str, now: datetime) -> None:
        """Note that the condition of a rule does not hold for a subject; it may never have."""
        case = self._cases.pop((rule_name, subject_id), None)
        if case is None:
            return
        names = self._rules_by_subject[subject_id]
        names.discard(rule_name)
        if not names:
            del self._rules_by_subject[subject_id]
        if case.alert is not None:
            self.resolve(case.rule, replace(case.alert, value=case.value), now)
        elif case.group is not None:
            self._grouping.leave(case, case.group, now)

    def end_all(self, subject_id: str, now: datetime) -> None:
        """Note that no condition holds for a subject any more."""
        for name in self.rules_of(subject_id):
            self.end(name, subject_id, now)

    def rename(self, old: str, new: Subject, now: datetime) -> None:
        """Continue all cases of an agent under the id of another one, unless that has its own."""
        for name in self.rules_of(old):
            if (name, new.subject_id) in self._cases:
                self.end(name, old, now)
        for name in self._rules_by_subject.pop(old, ()):
            case = self._cases.pop((name, old))
            case.subject = new
            self._add(case)
            until = self._cooldowns.pop((name, old), None)
            if until is not None:
                self._cooldowns[case.key] = until
            if case.group is not None:
                del case.group.members[old]
                case.group.members[new.subject_id] = case
            elif case.alert is not None:
                case.alert = replace(
                    case.alert, subject=new.subject_id, agent_id=new.agent_id, url_path=new.url_path
                )
                self.updated(case.alert)
            elif not case.collected:
                self._schedule(case)

    def rules_of(self, subject_id: str) -> list[str]:
        """Return the names of the rules whose condition holds for a subject."""
        return list(self._rules_by_subject.get(subject_id, ()))

    def subjects_of(self, rule_name: str) -> list[str]:
        """Return the ids of the subjects for which the condition of a rule holds."""
        return [subject for name, subject in self._cases if name == rule_name]

    # Time

    @property
    def next_due(self) -> datetime | None:
        """When ``tick`` has to run; None: not before the next call of another method."""
        return self._timers.next_due

    def tick(self, now: datetime) -> None:
        """Run what is due; alerts that were silenced are sent once nothing silences them."""
        if self._now is not None and now < self._now - timedelta(seconds=SET_BACK_S):
            self._restart_timers(now)
        self._now = now
        self._timers.run_due(now)
        if self._silenced:
            self._release(now)
        if len(self._cooldowns) > 2 * len(self._cases) + _MIN_COOLDOWNS:
            self._cooldowns = {key: at for key, at in self._cooldowns.items() if at > now}

    def _restart_timers(self, now: datetime) -> None:
        """Start all durations again at ``now``, because the clock was set back."""
        self._timers.clear()
        for key, until in self._cooldowns.items():
            rule = self._rules.get(key[0])
            self._cooldowns[key] = min(until, after(now, rule.cooldown_s if rule else 0.0))
        self._grouping.restart_timers(now)
        for case in self._cases.values():
            if case.is_open:
                case.since = min(case.since, now)
                self._schedule(case)

    def take(self) -> list[AlertChange]:
        """Return the changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    # The methods of AlertSink

    def is_current(self, case: Case) -> bool:
        """See AlertSink."""
        return self._cases.get(case.key) is case

    def fire(self, case: Case, now: datetime) -> None:
        """See AlertSink."""
        case.alert = alert_of(case, now, self.silences(case.rule.severity, now))
        self.start_cooldown(case, now)
        self.fired(case.alert)

    def fired(self, alert: FiredAlert) -> None:
        """See AlertSink."""
        if alert.silenced:
            self._silenced.add(alert.alert_id)
        self._changes.append(AlertChange(alert, not alert.silenced))

    def updated(self, alert: FiredAlert) -> None:
        """See AlertSink."""
        self._changes.append(AlertChange(alert, False))

    def resolve(self, rule: AlertRule, alert: FiredAlert, now: datetime) -> None:
        """See AlertSink."""
        self._silenced.discard(alert.alert_id)
        alert = replace(alert, state="resolved", resolved_at=max(now, alert.fired_at))
        is_sent = not alert.silenced and not self.silences(alert.severity, now)
        self._changes.append(AlertChange(alert, rule.send_resolved and is_sent))

    def start_cooldown(self, case: Case, now: datetime) -> None:
        """See AlertSink."""
        self._cooldowns[case.key] = after(now, case.rule.cooldown_s)

    def silences(self, severity: str, now: datetime) -> bool:
        """See AlertSink."""
        return self.silence.silences(severity, now)

    # AlertSilence

    def _release(self, now: datetime) -> None:
        """Send the alerts that were silenced and still fire, many of a rule as one."""
        by_rule: dict[str, list[Case]] = {}
        for case in self._cases.values():
            if case.alert is not None and self._is_released(case.alert, now):
                by_rule.setdefault(case.rule.name, []).append(case)
        for group in self._grouping.groups.values():
            if self._is_released(group.alert, now):
                self._send(group)
        for cases in by_rule.values():
            if len(cases) >= GROUP_MIN and self._groups_alerts:
                for case in cases:
                    if case.alert is not None:
                        self.resolve(case.rule, case.alert, now)
                self._grouping.open(cases, now)
            else:
                for case in cases:
                    self._send(case)

    def _is_released(self, alert: FiredAlert, now: datetime) -> bool:
        if alert.alert_id not in self._silenced or alert.acknowledged_at is not None:
            return False
        return not self.silences(alert.severity, now)

    def _send(self, holder: Case | Group) -> None:
        if holder.alert is not None:
            self._silenced.discard(holder.alert.alert_id)
            holder.alert = replace(holder.alert, silenced=False)
            self._changes.append(AlertChange(holder.alert, True))

    def acknowledge(self, alert: FiredAlert) -> None:
        """Note that an alert was acknowledged."""
        for holder in chain[Case | Group](self._cases.values(), self._grouping.groups.values()):
            if holder.alert is not None and holder.alert.alert_id == alert.alert_id:
                self._silenced.discard(alert.alert_id)
                holder.alert = replace(
                    holder.alert,
                    acknowledged_at=alert.acknowledged_at,
                    acknowledged_by=alert.acknowledged_by,
                )

    # Restart and other rules

    def restore(self, alerts: Iterable[FiredAlert], now: datetime) -> None:
        """Continue alerts that were firing when another process ended.

        Call ``hold`` for what holds now, then ``settle``.
        """
        for alert in alerts:
            if alert.silenced and alert.acknowledged_at is None:
                self._silenced.add(alert.alert_id)
            rule = self._rules.get(alert.rule)
            if rule is None or not rule.enabled or rule.kind != alert.kind:
                ended = AlertRule(name=alert.rule, kind=alert.kind)
                self.resolve(ended, alert, now)
            elif alert.subject.startswith(GROUP_PREFIX):
                self._grouping.restore(rule, alert, now)
            else:
                self._restored[rule.name, alert.subject] = alert

    @property
    def restored(self) -> list[FiredAlert]:
        """The alerts of ``restore`` whose condition was neither found to hold nor to have ended."""
        return list(self._restored.values())

    def adopt(self, subjects: Mapping[str, Subject], now: datetime, *kinds: str) -> None:
        """Continue restored alerts of some kinds, whose evidence is lost, until it says otherwise.

        Args:
            subjects: the agents that exist, by id; alerts about others are resolved.
        """
        for (name, subject_id), alert in list(self._restored.items()):
            subject = subjects.get(subject_id)
            if alert.kind in kinds and subject is not None:
                self.hold(self._rules[name], subject, alert.since, now, alert.value)
        self.settle(now, *kinds)

    def settle(self, now: datetime, *kinds: str) -> None:
        """Resolve the restored alerts of some kinds whose condition does not hold any more."""
        for key, alert in list(self._restored.items()):
            if alert.kind in kinds:
                del self._restored[key]
                self.resolve(self._rules[alert.rule], alert, now)
        self._grouping.settle(kinds, now)

    def set_rules(self, rules: Mapping[str, AlertRule], now: datetime) -> None:
        """Replace the rules; alerts of those that are gone, or of another kind, are resolved."""
        self._rules = rules
        for key, case in list(self._cases.items()):
            rule = rules.get(key[0])
            if rule is None or not rule.enabled or rule.kind != case.rule.kind:
                self.end(*key, now)
            elif rule != case.rule:
                case.rule, case.wait_s = rule, rule.for_s
                if case.is_open:
                    self._schedule(case)
        for group in self._grouping.groups.values():
            group.rule = rules.get(group.rule.name, group.rule)

    @property
    def firing(self) -> list[FiredAlert]:
        """The alerts that are firing."""
        alerts = [case.alert for case in self._cases.values() if case.alert is not None]
        return alerts + [group.alert for group in self._grouping.groups.values()]
