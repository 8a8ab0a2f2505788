"""Evaluator: applies the rules to changes of agents. Pure: a function of its calls and times.

For each change only the rules that are about the agent, and whose fields have changed, are
evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from ...core.agent_facts import ASSIGNED
from ...core.agent_state import Timed
from ...core.model import AgentPresence, Event
from ..alert_messages import Subject, shown, subject_of
from ..alert_rule import AlertRule, Scope, is_about_presence, scope_of
from ..fired_alert import FiredAlert
from ..silence import AlertSilence
from .case_state import AlertChange
from .cases import GROUP_S, CaseBook
from .conditions import STATUS_KINDS, VALUE_KINDS, status_of
from .event_rules import EVENT_KINDS, LOOP_KINDS, RATE_KINDS, EventRules, open_calls_of
from .host_watch import HostWatch
from .period_budgets import LATE_REPORT, PeriodBudgets, Spent
from .watched_agent import NO_CALLS, WatchedAgent

LATE = timedelta(minutes=10)
"""A condition that began longer ago when it is first seen is one of the past, as in an import,
unless the agent's process is known to be running."""
LATE_AT_START = timedelta(hours=1)
"""The same for agents that are known at the start."""
PRESENCE_KINDS = (*STATUS_KINDS, *VALUE_KINDS)
_MAX_RENAMED = 1_000


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


class Evaluator:
    """Rules, and what they have seen.

    Args:
        rules: the rules; their names are unique.
        group_s: as for CaseBook.
        zone: time zone of the periods of budgets.

    Attributes:
        budgets: what agents spent together.
    """

    def __init__(
        self, rules: Iterable[AlertRule], *, group_s: float = GROUP_S, zone: tzinfo = UTC
    ) -> None:
        self._rules = {rule.name: rule for rule in rules if rule.enabled}
        self._zone = zone
        self._book = CaseBook(self._rules, group_s)
        self._agents: dict[str, WatchedAgent] = {}
        self._events = EventRules(self._book)
        self._hosts = HostWatch(self._book)
        self.budgets = PeriodBudgets(self._book)
        self._renamed: dict[str, tuple[float, int]] = {}
        self._quotas: Sequence[QuotaLevel] = ()
        self._next_reset: datetime | None = None
        self._late = LATE
        self._sort_rules()

    def _sort_rules(self) -> None:
        budgets = self._of_kinds("budget")
        self._status_rules = self._of_kinds(*STATUS_KINDS)
        self._value_rules = (
            *self._of_kinds("errors", "context"),
            *(rule for rule in budgets if is_about_presence(rule)),
        )
        self._event_rules = self._of_kinds(*EVENT_KINDS)
        self._period_rules = tuple(rule for rule in budgets if not is_about_presence(rule))
        self._quota_rules = self._of_kinds("quota", "quota_forecast")
        self._hosts.set_rules(self._of_kinds("host_gone"))
        self._watches_hosts = bool(self._of_kinds("host_gone"))
        self._counts = bool(self._period_rules or self._of_kinds(*RATE_KINDS))

    def _of_kinds(self, *kinds: str) -> tuple[AlertRule, ...]:
        return tuple(rule for rule in self._rules.values() if rule.kind in kinds)

    # Changes

    def start(
        self,
        agents: Iterable[AgentPresence],
        now: datetime,
        open_calls: Callable[[str], Mapping[str, Timed] | None] = lambda _: None,
    ) -> None:
        """Take the agents that are known at the start; call ``restore`` before.

        Args:
            open_calls: returns the open calls of an agent, as for ``apply``.
        """
        self.budgets.set_rules(self._period_rules, self._zone, now)
        self._late = LATE_AT_START
        for presence in agents:
            agent = self._agents[presence.agent_id] = WatchedAgent(presence)
            agent.usd, agent.tokens = presence.cost_usd or 0.0, presence.total_cost_tokens
            agent.compacted_at = presence.compacted_at
            self.apply(presence.agent_id, presence, now, None, open_calls(presence.agent_id))
        self._late = LATE
        self.tick(now)
        self._book.settle(now, *PRESENCE_KINDS[:-1], "stuck", "host_gone")
        if not self._period_rules:
            self._book.settle(now, "budget")
        known = {agent_id: subject_of(agent.presence) for agent_id, agent in self._agents.items()}
        self._book.adopt(known, now, *LOOP_KINDS, *RATE_KINDS, "thrash")

    def apply(
        self,
        agent_id: str,
        presence: AgentPresence | None,
        now: datetime,
        event: Event | None = None,
        open_calls: Mapping[str, Timed] | None = None,
    ) -> None:
        """Take a change of an agent.

        Args:
            presence: its new presence; None: the agent was removed.
            event: the event that caused the change; None: unknown.
            open_calls: its open tool calls: key → name of the tool and start; None: unknown.
        """
        agent = self._agents.get(agent_id)
        if self._watches_hosts:
            self._hosts.apply(None if agent is None else agent.presence, presence, now)
        if presence is None:
            self._remove(agent_id, agent, now, event)
            return
        if agent is None:
            agent = self._agents[agent_id] = WatchedAgent(presence)
            agent.usd, agent.tokens = self._renamed.pop(agent_id, (0.0, 0))
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
        usd = self._count(agent, scope, now, event) if self._counts else 0.0
        if agent.event_rules:
            calls = open_calls_of(presence) if open_calls is None else open_calls
            self._events.apply(agent, now, event, calls, usd)

    def _count(
        self, agent: WatchedAgent, scope: Scope, now: datetime, event: Event | None
    ) -> float:
        """Add what an agent spent to its budgets; return the dollars that it spent just now."""
        presence = agent.presence
        usd, tokens = presence.cost_usd or 0.0, presence.total_cost_tokens
        spent_usd, spent_tokens = max(0.0, usd - agent.usd), max(0, tokens - agent.tokens)
        agent.usd, agent.tokens = usd, tokens
        is_assigned = event is not None and ASSIGNED in (event.extra or {})
        if is_assigned or not (spent_usd or spent_tokens):
            return 0.0
        known_at = None if event is None else event.timestamp
        at = min(known_at or presence.last_activity, now)
        if agent.period_rules:
            if known_at is None and at < now - LATE_REPORT:
                self.budgets.needs_totals = True
            spent = Spent(scope, at, spent_usd, spent_tokens, presence.seq)
            self.budgets.add(spent, agent.period_rules, now)
        return spent_usd if at >= now - LATE else 0.0

    def _enter_scope(self, agent: WatchedAgent, scope: Scope, now: datetime) -> None:
        before = agent.rules
        agent.scope, agent.status = scope, ()
        agent.status_rules = tuple(r for r in self._status_rules if r.matches(scope))
        agent.value_rules = tuple(r for r in self._value_rules if r.matches(scope))
        agent.event_rules = tuple(r for r in self._event_rules if r.matches(scope))
        agent.period_rules = tuple(r for r in self._period_rules if r.matches(scope))
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
        self, agent_id: str, agent: WatchedAgent | None, now: datetime, event: Event | None
    ) -> None:
        new_id = renamed_to(event)
        if new_id is not None and agent is not None:
            renamed = self._agents.get(new_id)
            if renamed is not None:
                # The totals of both were added up.
                renamed.usd, renamed.tokens = renamed.usd + agent.usd, renamed.tokens + agent.tokens
            elif len(self._renamed) < _MAX_RENAMED:
                self._renamed[new_id] = agent.usd, agent.tokens
            subject = subject_of(replace((renamed or agent).presence, agent_id=new_id))
            self._book.rename(agent_id, subject, now)
        self._book.end_all(agent_id, now)
        self._events.remove(agent_id)
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
        timers = (self._book, self._events, self._hosts, self.budgets)
        times = [self._next_reset, *(timer.next_due for timer in timers)]
        return min((at for at in times if at is not None), default=None)

    def tick(self, now: datetime) -> None:
        """Run what is due."""
        if self._next_reset is not None and now >= self._next_reset:
            self._check_quotas(now)
        self.budgets.tick(now)
        self._events.tick(self._agents, now)
        self._hosts.tick(now)
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

    def set_rules(self, rules: Iterable[AlertRule], now: datetime, zone: tzinfo = UTC) -> None:
        """Replace the rules, and evaluate them for all agents."""
        self._rules = {rule.name: rule for rule in rules if rule.enabled}
        self._zone = zone
        self._book.set_rules(self._rules, now)
        self._sort_rules()
        self.budgets.set_rules(self._period_rules, zone, now)
        for agent_id, agent in self._agents.items():
            calls, agent.open_calls = agent.open_calls, NO_CALLS
            agent.scope = None
            self.apply(agent_id, agent.presence, now, None, calls)
        self._check_quotas(now)
        self.tick(now)


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
