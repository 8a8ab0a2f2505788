"""PeriodBudgets: what agents spent together in an hour, day, week or month, added up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from ..alert_messages import Subject, shown
from ..alert_rule import AlertRule, Scope
from .cases import CaseBook
from .periods_of_time import period_bounds

MAX_SUBJECTS = 2_000
"""Most projects or branches of one rule."""
LATE_REPORT = timedelta(minutes=2)
"""A cost that was reported by another server this late may belong to several days."""
_AGENT, _KIND, _PROJECT, _BRANCH, _HOST, _MODEL = range(6)


class Spent(NamedTuple):
    """Tokens and cost of one event or change.

    Attributes:
        scope: the fields of ``rules.scope_of``.
        at: when, UTC.
        usd, tokens: how much.
        seq: of the change in the database.
    """

    scope: Scope
    at: datetime
    usd: float
    tokens: int
    seq: int


class PeriodBudgets:
    """The totals of the current periods, for each rule and subject.

    Args:
        book: takes the conditions.

    Attributes:
        needs_totals: the stored totals must be read: see ``begin`` and ``finish``.
    """

    def __init__(self, book: CaseBook) -> None:
        self._book = book
        self._zone: tzinfo = UTC
        self._rules: tuple[AlertRule, ...] = ()
        self._bounds: dict[str, tuple[datetime, datetime]] = {}
        self._totals: dict[str, dict[str, float]] = {}
        self._pending: list[Spent] | None = None
        self.needs_totals = False

    def set_rules(self, rules: Iterable[AlertRule], zone: tzinfo, now: datetime) -> None:
        """Replace the rules of the kind "budget" that have a period."""
        rules = tuple(rules)
        if (rules, zone) != (self._rules, self._zone):
            self._rules, self._zone, self._totals = rules, zone, {}
            self.needs_totals = bool(rules)
            self._update_bounds(now)

    def _update_bounds(self, now: datetime) -> None:
        periods = {rule.period for rule in self._rules}
        self._bounds = {period: period_bounds(period, now, self._zone) for period in periods}

    def add(self, spent: Spent, rules: Iterable[AlertRule], now: datetime) -> None:
        """Add what an agent spent to the rules that are about it."""
        if self._pending is not None:
            self._pending.append(spent)
        for rule in rules:
            self._add(rule, spent, now)

    def _add(self, rule: AlertRule, spent: Spent, now: datetime) -> None:
        start, _ = self._bounds[rule.period]
        amount = spent.usd if rule.unit == "usd" else spent.tokens
        subject_id = _subject_id(rule, spent.scope)
        if spent.at < start or subject_id is None or not amount:
            return
        totals = self._totals.setdefault(rule.name, {})
        if subject_id not in totals and len(totals) >= MAX_SUBJECTS:
            return
        total = totals[subject_id] = totals.get(subject_id, 0.0) + amount
        if rule.threshold is not None and total >= rule.threshold:
            self._hold(rule, subject_id, total, now)

    def _hold(self, rule: AlertRule, subject_id: str, total: float, now: datetime) -> None:
        # The begin of the period, so that the alert is the same after a restart.
        start, _ = self._bounds[rule.period]
        subject = _subject(rule, subject_id)
        self._book.hold(rule, subject, start, now, total, wait_s=0.0)

    # The totals in the database

    def begin(self) -> datetime:
        """Start to read the stored totals; return from when on the events are needed."""
        self.needs_totals, self._pending = False, []
        return min(start for start, _ in self._bounds.values())

    def finish(self, stored: Iterable[Spent], last_seq: int, now: datetime) -> None:
        """Replace the totals by those of the stored events and of the changes since.

        Args:
            last_seq: seq of the newest stored event.
        """
        later, self._pending = self._pending or [], None
        self._totals = {}
        for spent in stored:
            self._add_matching(spent, now)
        for spent in later:
            if spent.seq > last_seq:
                self._add_matching(spent, now)
        self._check(now)
        self._book.settle(now, "budget")

    def _add_matching(self, spent: Spent, now: datetime) -> None:
        for rule in self._rules:
            if rule.matches(spent.scope):
                self._add(rule, spent, now)

    def give_up(self) -> None:
        """The stored totals could not be read; try again later."""
        self._pending, self.needs_totals = None, True

    def _check(self, now: datetime) -> None:
        for rule in self._rules:
            totals = self._totals.get(rule.name, {})
            for subject_id in self._book.subjects_of(rule.name):
                if totals.get(subject_id, 0.0) < (rule.threshold or 0.0):
                    self._book.end(rule.name, subject_id, now)

    # Time

    @property
    def next_due(self) -> datetime | None:
        """When the next period begins; None: there is no rule."""
        return min((end for _, end in self._bounds.values()), default=None)

    def tick(self, now: datetime) -> None:
        """Begin the next period, if it is time; a clock that was set back reads the totals."""
        before = self._bounds
        if all(start <= now < end for start, end in before.values()):
            return
        self._update_bounds(now)
        for rule in self._rules:
            old, new = before[rule.period], self._bounds[rule.period]
            if old != new:
                self._totals.pop(rule.name, None)
                self.needs_totals = self.needs_totals or new[0] < old[0]
        self._check(now)

    def totals(self) -> Mapping[str, Mapping[str, float]]:
        """Return the totals: name of the rule → subject → dollars or tokens."""
        return self._totals


def _subject_id(rule: AlertRule, scope: Scope) -> str | None:
    if rule.by == "all":
        return "all"
    project, branch, host = scope[_PROJECT], scope[_BRANCH], scope[_HOST]
    if rule.by == "project":
        return None if project is None else f"project:{project}"
    if rule.by == "branch":
        return None if branch is None else f"branch:{project or ''}/{branch}"
    return None if host is None else f"host:{host}"


def _subject(rule: AlertRule, subject_id: str) -> Subject:
    kind, _, name = subject_id.partition(":")
    period = "this hour" if rule.period == "hour" else f"this {rule.period}"
    period = "today" if rule.period == "day" else period
    label = "All agents" if kind == "all" else f"{kind.capitalize()} {shown(name)}"
    return Subject(
        subject_id,
        label,
        project=name if kind == "project" else None,
        branch=name.partition("/")[2] if kind == "branch" else None,
        host=name if kind == "host" else None,
        fact=f" {period}",
    )
