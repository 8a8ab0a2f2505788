"""Grouping: collects the alerts of a rule for a moment, so that many become one. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import count
from typing import Protocol

from ..alert_rule import AlertRule
from ..fired_alert import FiredAlert
from .case_state import GROUP_MIN, JOIN_S, Case, Collection, Group, after, group_of_cases


class TimerHeap:
    """Functions to call at a time, the earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._numbers = count()

    def push(self, due: datetime, run: Callable[[datetime], None]) -> None:
        """Have ``run`` called with the time, at ``due`` or later."""
        heapq.heappush(self._heap, (due, next(self._numbers), run))

    @property
    def next_due(self) -> datetime | None:
        """The earliest time; None: there is none."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: datetime) -> None:
        """Call what is due."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2](now)

    def clear(self) -> None:
        """Drop all functions."""
        self._heap.clear()


class AlertSink(Protocol):
    """What Grouping needs of the CaseBook that owns it."""

    def is_current(self, case: Case) -> bool:
        """Return whether the condition of a case still holds."""

    def fire(self, case: Case, now: datetime) -> None:
        """Make a case an alert of its own."""

    def fired(self, alert: FiredAlert) -> None:
        """Take the alert of a new group."""

    def updated(self, alert: FiredAlert) -> None:
        """Take the new state of an alert that fires; no message is sent."""

    def resolve(self, rule: AlertRule, alert: FiredAlert, now: datetime) -> None:
        """Take an alert that ends."""

    def start_cooldown(self, case: Case, now: datetime) -> None:
        """Note that an alert about the case was sent."""

    def silences(self, severity: str, now: datetime) -> bool:
        """Return whether alerts of a severity send no messages now."""


class Grouping:
    """The groups of all rules, and the cases that fire in a moment.

    Args:
        group_s: seconds for which alerts of a rule are collected; 0: they fire at once.
        timers: runs what is due.
        sink: takes the alerts.

    Attributes:
        groups: the groups that fire, by subject.
    """

    def __init__(self, group_s: float, timers: TimerHeap, sink: AlertSink) -> None:
        self.groups: dict[str, Group] = {}
        self._group_s = group_s
        self._timers = timers
        self._sink = sink
        self._collections: dict[str, Collection] = {}

    def collect(self, case: Case, now: datetime) -> None:
        """Take a case that is due."""
        if not self._group_s:
            self._sink.fire(case, now)
            return
        case.collected = True
        collection = self._collections.setdefault(case.rule.name, Collection())
        collection.cases.append(case)
        if collection.flush_at is None:
            self._schedule_flush(collection, now)

    def _schedule_flush(self, collection: Collection, now: datetime) -> None:
        due = collection.flush_at = after(now, self._group_s)

        def flush(at: datetime) -> None:
            if collection.flush_at == due:
                self._flush(collection, at)

        self._timers.push(due, flush)

    def _flush(self, collection: Collection, now: datetime) -> None:
        collected, collection.cases, collection.flush_at = collection.cases, [], None
        cases = [case for case in collected if self._sink.is_current(case)]
        for case in cases:
            case.collected = False
        if not cases:
            return
        fired_at, oldest = collection.fired_at, now - timedelta(seconds=JOIN_S)
        while fired_at and fired_at[0] <= oldest:
            fired_at.popleft()
        group = collection.group
        if group is not None and group.opened_at > oldest and self._is_firing(group):
            self._add_members(group, cases, now)
            self._update_later(group, now)
        elif len(cases) >= GROUP_MIN or len(cases) + len(fired_at) > GROUP_MIN:
            collection.group = self.open(cases, now)
        else:
            for case in cases:
                fired_at.append(now)
                self._sink.fire(case, now)

    def open(self, cases: list[Case], now: datetime) -> Group:
        """Make one alert of cases of one rule."""
        group = group_of_cases(cases, now, self._sink.silences(cases[0].rule.severity, now))
        self.groups[group.alert.subject] = group
        self._add_members(group, cases, now)
        group.alert = group.described()
        self._sink.fired(group.alert)
        return group

    def _add_members(self, group: Group, cases: Iterable[Case], now: datetime) -> None:
        for case in cases:
            case.group, case.alert = group, None
            group.members[case.subject.subject_id] = case
            group.n_total += 1
            self._sink.start_cooldown(case, now)

    def _is_firing(self, group: Group) -> bool:
        return self.groups.get(group.alert.subject) is group

    def leave(self, case: Case, group: Group, now: datetime) -> None:
        """Note that the condition of a member of a group ended."""
        group.members.pop(case.subject.subject_id, None)
        if group.members:
            self._update_later(group, now)
        else:
            self._end(group, now)

    def _end(self, group: Group, now: datetime) -> None:
        if self._is_firing(group):
            del self.groups[group.alert.subject]
            self._sink.resolve(group.rule, group.ended(), now)

    def _update_later(self, group: Group, now: datetime) -> None:
        if not group.outdated:
            group.outdated = True
            self._timers.push(after(now, self._group_s), lambda _: self._update(group))

    def _update(self, group: Group) -> None:
        group.outdated = False
        described = group.described()
        if self._is_firing(group) and described != group.alert:
            group.alert = described
            self._sink.updated(described)

    def restore(self, rule: AlertRule, alert: FiredAlert, now: datetime) -> None:
        """Continue a group of before a restart; cases that fire now join it."""
        group = self.groups[alert.subject] = Group(rule, alert, now)
        self._collections.setdefault(rule.name, Collection()).group = group

    def settle(self, kinds: tuple[str, ...], now: datetime) -> None:
        """End the restored groups of some kinds that no case joins soon."""

        for group in self.groups.values():
            if not group.members and group.rule.kind in kinds:
                self._end_if_empty_later(group, now)

    def _end_if_empty_later(self, group: Group, now: datetime) -> None:
        def end(at: datetime) -> None:
            if not group.members:
                self._end(group, at)

        # After the cases that hold have joined.
        self._timers.push(after(now, 3 * self._group_s), end)

    def restart_timers(self, now: datetime) -> None:
        """Schedule everything from ``now`` on, because the clock was set back."""
        for collection in self._collections.values():
            collection.fired_at = deque(min(at, now) for at in collection.fired_at)
            if collection.flush_at is not None:
                self._schedule_flush(collection, now)
        for group in self.groups.values():
            group.opened_at = min(group.opened_at, now)
            if not group.members:
                self._end_if_empty_later(group, now)
            elif group.outdated:
                group.outdated = False
                self._update_later(group, now)
