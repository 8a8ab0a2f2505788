"""What a list of rules would have reported about a history: to try rules before they are in use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from ..alerts.alert_rule import DEFAULT_RULES, AlertRule
from ..alerts.evaluation.evaluate import Evaluator
from ..alerts.fired_alert import FiredAlert
from ..alerts.rule_file import rule_of_settings
from ..analysis.columns import require_columns, timestamp_micros
from ..core.model import Event, PresenceStatus
from ..core.roster import Limits, Roster
from ..core.timestamps import from_micros
from ..errors import ConfigError
from ..local_zone import Zone, resolve_zone
from ..pricing.price_list import context_window_of, price_of
from ..storage.schema import NAMED, PLAIN
from .fired_alerts import ALERT_DTYPES
from .load import typed_frame

_TIMERS = timedelta(minutes=1)
"""Interval of the timers that make silent agents idle and offline."""
_FIELDS = (*NAMED.values(), *PLAIN, "status", "extra")
_NUMBERS = {"cost_usd"}
_TEXTS = {*NAMED.values(), "event_id", "tool_use_id", "status"}


def replay_alerts(
    df: pd.DataFrame,
    rules: Iterable[AlertRule | Mapping[str, Any]] | None = None,
    *,
    tz: Zone = None,
) -> pd.DataFrame:
    """Return the alerts that rules would have fired, had they been in force during a history.

    Args:
        df: events of ``load_history``; needs agent_id, timestamp and event_type, and should have
            all columns. Only its agents and its time count.
        rules: AlertRule objects, or settings as in alerts.toml, such as ``{"kind": "loop"}``; None:
            the default rules. Rules about usage windows fire nothing.
        tz: time zone of the result and of the periods of budgets, as for ``load_history``.

    Returns:
        The columns of ``load_alerts``, one row per alert, the oldest first. What still fires at
        the end of the history has no ``resolved_at``.

    Raises:
        InvalidEvent: a column is missing, or an invalid time zone.
        ConfigError: an invalid rule, or two rules with the same name.
    """
    zone = resolve_zone(tz)
    evaluator = Evaluator(_rules(rules), zone=pd.Timestamp.now(tz=zone).tzinfo or UTC)
    alerts: dict[str, FiredAlert] = {}
    for _ in _evaluated(evaluator, df):
        alerts.update({change.alert.alert_id: change.alert for change in evaluator.take()})
    rows = [
        tuple(getattr(alert, name) for name in ALERT_DTYPES)
        for alert in sorted(alerts.values(), key=lambda one: (one.fired_at, one.alert_id))
    ]
    return typed_frame(rows, tuple(ALERT_DTYPES), ALERT_DTYPES, zone)


def _rules(rules: Iterable[AlertRule | Mapping[str, Any]] | None) -> list[AlertRule]:
    if rules is None:
        return list(DEFAULT_RULES)
    checked = [one if isinstance(one, AlertRule) else rule_of_settings(one) for one in rules]
    names = [rule.name for rule in checked]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f'rules: two are named {name!r}; give one a "name"')
    return checked


def _evaluated(evaluator: Evaluator, df: pd.DataFrame) -> Iterator[None]:
    """Apply all events in order of time, and the timers between them; yield after each."""
    roster, seq, last = Roster(Limits(), price_of, context_window_of), 0, None
    for event in _events(df):
        at = event.timestamp
        if at is None:
            continue
        if last is None:
            evaluator.start([], at)
            if evaluator.budgets.needs_totals:
                evaluator.budgets.begin()
                evaluator.budgets.finish([], 0, at)
            last = at
        while last + _TIMERS < at and any(_online(roster)):
            _tick(evaluator, last, last + _TIMERS)
            last += _TIMERS
            seq = _apply(evaluator, roster, roster.timers_due(last), seq, last)
            yield
        _tick(evaluator, last, at)
        last = at
        seq = _apply(evaluator, roster, [event], seq, at)
        yield
    if last is not None:
        _tick(evaluator, last, last + timedelta(seconds=5))
        yield


def _online(roster: Roster) -> Iterator[bool]:
    states = roster.agents.values()
    return (state.presence.status is not PresenceStatus.OFFLINE for state in states)


def _apply(
    evaluator: Evaluator, roster: Roster, events: Iterable[Event], seq: int, now: datetime
) -> int:
    for event in events:
        seq += 1
        change = roster.apply(event, seq, now)
        roster.commit()
        calls = None if change.state is None else change.state.open_tools
        evaluator.apply(change.agent_id, change.presence, now, event, calls)
    evaluator.tick(now)
    return seq


def _tick(evaluator: Evaluator, last: datetime, now: datetime) -> None:
    """Run everything that is due after ``last`` at its time."""
    while (due := evaluator.next_due) is not None and last < due < now:
        last = due
        evaluator.tick(due)
    evaluator.tick(now)


def _events(df: pd.DataFrame) -> Iterator[Event]:
    frame = require_columns(df, "replay_alerts", "agent_id", "timestamp", "event_type")
    names = [name for name in _FIELDS if name in frame.columns]
    micros = timestamp_micros(frame)
    order = micros.argsort(kind="stable")
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in names]
    lists = [column.tolist() for column in columns]
    for row in order:
        values = {
            name: _value(name, column[row])
            for name, column in zip(names, lists, strict=True)
            if column[row] is not None
        }
        yield Event(timestamp=from_micros(int(micros[row])), **values)


def _value(name: str, value: Any) -> Any:
    if name == "extra":
        return json.loads(value) if isinstance(value, str) else value
    if name in _TEXTS:
        return str(value)
    return float(value) if name in _NUMBERS else int(value)
