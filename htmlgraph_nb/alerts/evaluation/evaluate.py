"""Evaluator: applies the rules to changes of agents. Pure: a function of its calls and times.

For each change only the rules that are about the agent, and whose fields have changed, are
evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ...core.model import AgentPresence, Event
from ..alert_messages import Subject, shown, subject_of
from ..fired_alert import FiredAlert
from ..rules import AlertRule, Scope, is_about_presence, scope_of
from ..silence import AlertSilence
from .case_state import AlertChange
from .cases import GROUP_S, CaseBook
from .conditions import STATUS_KINDS, VALUE_KINDS, status_of

LATE = timedelta(minutes=10)
"""A condition that began longer ago when it is first seen is one of the past, as in an import,
unless the agent's process is known to be running."""
LATE_AT_START = timedelta(hours=1)
"""The same for agents that are known at the start."""
PRESENCE_KINDS = (*STATUS_KINDS, *VALUE_KINDS)


class QuotaLevel(NamedTuple):
    """The use of one usage window of an account.

    Attributes:
        account, window: names of both.
        used_percent: as last reported.
        resets_at: when the window ends, UTC; None: unknown.
        reported_at: when it was reported, UTC.
        full_at: when it will be used up at the present pace; None: not before it ends.
    """

    account: str
    window: str
    used_percent: float
    resets_at: datetime | None
    reported_at: datetime
    full_at: datetime | None


class _Agent:
    """What is kept of an agent: its last presence, and the rules that are about it."""

    __slots__ = ("presence", "scope", "status", "status_rules", "value_rules")

    def __init__(self, presence: AgentPresence) -> None:
        self.presence = presence
        self.scope: Scope | None = None
        self.status: tuple[Any, ...] = ()
        self.status_rules: tuple[AlertRule, ...] = ()
        self.value_rules: tuple[AlertRule, ...] = ()


class Evaluator:
    """Rules, and what they have seen.

    Args:
        rules: the rules; their names are unique.
        group_s: as for CaseBook.
    """

    def __init__(self, rules: Iterable[AlertRule], *, group_s: float = GROUP_S) -> None:
        self._rules = {rule.name: rule for rule in rules if rule.enabled}
        self._book = CaseBook(self._rules, group_s)
        self._agents: dict[str, _Agent] = {}
        self._quotas: Sequence[QuotaLevel] = ()
        self._next_reset: datetime | None = None
        self._late = LATE
        self._sort_rules()

    def _sort_rules(self) -> None:
        rules = self._rules.values()
        self._status_rules = tuple(r for r in rules if r.kind in STATUS_KINDS)
        self._value_rules = tuple(
            r
            for r in rules
            if r.kind in VALUE_KINDS and (r.kind != "budget" or is_about_presence(r))
        )
        self._quota_rules = tuple(r for r in rules if r.kind in ("quota", "quota_forecast"))

    # Changes

    def start(self, agents: Iterable[AgentPresence], now: datetime) -> None:
        """Take the agents that are known at the start; call ``restore`` before."""
        self._late = LATE_AT_START
        for presence in agents:
            self.apply(presence.agent_id, presence, now)
        self._late = LATE
        self._book.settle(now, *PRESENCE_KINDS)
        self._book.tick(now)

    def apply(
        self,
        agent_id: str,
        presence: AgentPresence | None,
        now: datetime,
        event: Event | None = None,
    ) -> None:
        """Take a change of an agent.

        Args:
            presence: its new presence; None: the agent was removed.
            event: the event that caused the change; None: unknown.
        """
        agent = self._agents.get(agent_id)
        if presence is None:
            self._remove(agent_id, agent, now, event)
            return
        if agent is None:
            agent = self._agents[agent_id] = _Agent(presence)
        agent.presence = presence
        scope = scope_of(presence)
        if scope != agent.scope:
            self._enter_scope(agent, scope, now)
        status = status_of(presence)
        if status != agent.status:
            agent.status = status
            for rule in agent.status_rules:
                self._check_status(rule, presence, now)
        for rule in agent.value_rules:
            self._check_value(rule, presence, now)

    def _enter_scope(self, agent: _Agent, scope: Scope, now: datetime) -> None:
        agent.scope, agent.status = scope, ()
        before = (*agent.status_rules, *agent.value_rules)
        agent.status_rules = tuple(r for r in self._status_rules if r.matches(scope))
        agent.value_rules = tuple(r for r in self._value_rules if r.matches(scope))
        for rule in before:
            if not rule.matches(scope):
                self._book.end(rule.name, agent.presence.agent_id, now)

    def _check_status(self, rule: AlertRule, presence: AgentPresence, now: datetime) -> None:
        since = STATUS_KINDS[rule.kind](rule, presence)
        if since is None:
            self._book.end(rule.name, presence.agent_id, now)
            return
        fact = presence.detail if rule.kind == "cannot_work" else None
        self._hold(rule, presence, since, now, None, fact)

    def _check_value(self, rule: AlertRule, presence: AgentPresence, now: datetime) -> None:
        value = VALUE_KINDS[rule.kind](rule, presence)
        if value is None or rule.threshold is None or value < rule.threshold:
            self._book.end(rule.name, presence.agent_id, now)
            return
        self._hold(rule, presence, presence.last_activity, now, value)

    def _hold(
        self,
        rule: AlertRule,
        presence: AgentPresence,
        since: datetime,
        now: datetime,
        value: float | None,
        fact: str | None = None,
    ) -> None:
        is_present = presence.alive or since >= now - self._late
        subject = subject_of(presence, fact)
        self._book.hold(rule, subject, since, now, value, is_present=is_present)

    def _remove(
        self, agent_id: str, agent: _Agent | None, now: datetime, event: Event | None
    ) -> None:
        new_id = renamed_to(event)
        renamed = None if new_id is None else self._agents.get(new_id)
        if renamed is not None:
            self._book.rename(agent_id, subject_of(renamed.presence), now)
        elif new_id is not None and agent is not None:
            # Its first change follows.
            self._book.rename(agent_id, subject_of(agent.presence)._replace(subject_id=new_id), now)
        self._book.end_all(agent_id, now)
        self._agents.pop(agent_id, None)

    # Usage windows

    def set_quotas(self, quotas: Sequence[QuotaLevel], now: datetime) -> None:
        """Take the last reports of all usage windows."""
        self._quotas = quotas
        self._check_quotas(now)
        self._book.settle(now, "quota", "quota_forecast")

    def _check_quotas(self, now: datetime) -> None:
        resets = [
            q.resets_at for q in self._quotas if q.resets_at is not None and q.resets_at > now
        ]
        self._next_reset = min(resets, default=None)
        for rule in self._quota_rules:
            held = set()
            for quota in self._quotas:
                value = _quota_value(rule, quota, now)
                if value is not None and _names_match(rule.agents, quota.account):
                    subject = _quota_subject(quota)
                    held.add(subject.subject_id)
                    is_present = quota.reported_at >= now - LATE_AT_START
                    self._book.hold(
                        rule, subject, quota.reported_at, now, value, is_present=is_present
                    )
            for subject_id in self._book.subjects_of(rule.name):
                if subject_id not in held:
                    self._book.end(rule.name, subject_id, now)

    # Time and results

    @property
    def next_due(self) -> datetime | None:
        """When ``tick`` has to run; None: not before the next change."""
        times = [at for at in (self._book.next_due, self._next_reset) if at is not None]
        return min(times, default=None)

    def tick(self, now: datetime) -> None:
        """Run what is due."""
        if self._next_reset is not None and now >= self._next_reset:
            self._check_quotas(now)
        self._book.tick(now)

    def take(self) -> list[AlertChange]:
        """Return the changes of alerts since the last call, in order."""
        return self._book.take()

    @property
    def firing(self) -> list[FiredAlert]:
        """The alerts that are firing."""
        return self._book.firing

    def restore(self, alerts: Iterable[FiredAlert], now: datetime) -> None:
        """Continue alerts that were firing when another process ended."""
        self._book.restore(alerts, now)

    def acknowledge(self, alert: FiredAlert) -> None:
        """Note that an alert was acknowledged."""
        self._book.acknowledge(alert)

    def set_silence(self, silence: AlertSilence) -> None:
        """Replace what silences alerts."""
        self._book.silence = silence

    def set_rules(self, rules: Iterable[AlertRule], now: datetime) -> None:
        """Replace the rules, and evaluate them for all agents."""
        self._rules = {rule.name: rule for rule in rules if rule.enabled}
        self._book.set_rules(self._rules, now)
        self._sort_rules()
        for agent_id, agent in self._agents.items():
            agent.scope = None
            self.apply(agent_id, agent.presence, now)
        self._check_quotas(now)
        self._book.tick(now)


def renamed_to(event: Event | None) -> str | None:
    """Return the id under which a removed agent continues; None: it does not."""
    if event is None or event.source != "rename" or event.extra is None:
        return None
    new_id = event.extra.get("renamed_to")
    return new_id if isinstance(new_id, str) else None


def _quota_value(rule: AlertRule, quota: QuotaLevel, now: datetime) -> float | None:
    """Return the used percentage if the condition of a rule holds; None: it does not."""
    if quota.resets_at is not None and quota.resets_at <= now:
        return None
    if rule.kind == "quota":
        reached = rule.threshold is not None and quota.used_percent >= rule.threshold
        return quota.used_percent if reached else None
    ends, full = quota.resets_at, quota.full_at
    return quota.used_percent if ends is not None and full is not None and full < ends else None


def _names_match(patterns: tuple[str, ...], account: str) -> bool:
    return AlertRule(name="", kind="quota", agents=patterns).matches((account, *[None] * 5))


def _quota_subject(quota: QuotaLevel) -> Subject:
    return Subject(
        f"account:{quota.account}:{quota.window}",
        shown(f"{quota.account} ({quota.window})"),
    )
