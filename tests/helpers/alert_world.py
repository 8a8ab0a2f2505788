"""An Evaluator with a clock that tests set, for rules about made-up agents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from htmlgraph_nb.alerts.alert_rule import AlertRule
from htmlgraph_nb.alerts.evaluation.case_state import AlertChange
from htmlgraph_nb.alerts.evaluation.cases import GROUP_S
from htmlgraph_nb.alerts.evaluation.evaluate import Evaluator
from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus

START = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


class AlertWorld:
    """Agents, rules and a clock.

    Args:
        rules: the rules.
        group_s: as for Evaluator.

    Attributes:
        now: the clock.
        changes: all changes of alerts so far.
    """

    def __init__(self, *rules: AlertRule, group_s: float = GROUP_S, **arguments: Any) -> None:
        self.now = START
        self.rules = rules
        self.changes: list[AlertChange] = []
        self.agents: dict[str, AgentPresence] = {}
        self.evaluator = Evaluator(rules, group_s=group_s, **arguments)
        self.evaluator.start([], self.now)

    def wait(self, seconds: float) -> list[AlertChange]:
        """Let time pass, second by second, and return the changes of alerts."""
        before, end = len(self.changes), self.now + timedelta(seconds=seconds)
        self.tick()
        while True:
            due = self.evaluator.next_due
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self.tick()
        self.now = end
        self.tick()
        return self.changes[before:]

    def tick(self) -> None:
        """Run what is due."""
        self.evaluator.tick(self.now)
        self.changes += self.evaluator.take()

    def set(self, agent_id: str, event: Event | None = None, **fields: Any) -> AgentPresence:
        """Change fields of an agent, which may be new."""
        new = AgentPresence(agent_id, PresenceStatus.ACTIVE, last_activity=self.now)
        before = self.agents.get(agent_id, new)
        fields.setdefault("last_activity", self.now)
        presence = self.agents[agent_id] = replace(before, **fields)
        self.evaluator.apply(agent_id, presence, self.now, event)
        return presence

    def ask(self, agent_id: str, **fields: Any) -> None:
        """Have an agent wait for a person from now on."""
        fields.setdefault("detail_since", self.now)
        self.set(agent_id, attention=True, detail="waiting_permission", **fields)

    def answer(self, agent_id: str) -> None:
        """Have an agent work again."""
        self.set(agent_id, attention=False, detail="working", detail_since=self.now)

    def remove(self, agent_id: str, event: Event | None = None) -> None:
        """Remove an agent."""
        self.agents.pop(agent_id, None)
        self.evaluator.apply(agent_id, None, self.now, event)

    def restart(self) -> None:
        """Continue with another Evaluator, which knows the agents and the firing alerts."""
        self.tick()
        firing = {c.alert.alert_id: c.alert for c in self.changes}
        alerts = [alert for alert in firing.values() if alert.state == "firing"]
        self.evaluator = Evaluator(self.rules)
        self.evaluator.restore(alerts, self.now)
        self.evaluator.start(self.agents.values(), self.now)
        self.tick()

    @property
    def firing(self) -> dict[str, FiredAlert]:
        """The alerts that are firing by subject, by what was reported."""
        return {alert.subject: alert for alert in self.all_firing}

    @property
    def all_firing(self) -> list[FiredAlert]:
        """The alerts that are firing, by what was reported."""
        alerts: dict[str, FiredAlert] = {}
        for change in self.changes:
            if change.alert.state == "firing":
                alerts[change.alert.alert_id] = change.alert
            else:
                alerts.pop(change.alert.alert_id, None)
        return list(alerts.values())

    @property
    def sent(self) -> list[FiredAlert]:
        """The alerts about which a message was sent."""
        return [change.alert for change in self.changes if change.notify]
