"""A state machine of Evaluator: any history of agents keeps the promises of alerts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from htmlgraph_nb.alerts.alert_rule import AlertRule
from htmlgraph_nb.alerts.silence import FOREVER, AlertSilence
from htmlgraph_nb.core.model import Event
from tests.helpers.alert_world import AlertWorld

RULES = (
    AlertRule(name="waits", kind="waits", for_s=30.0, cooldown_s=120.0),
    AlertRule(name="context", kind="context", threshold=90.0, cooldown_s=60.0),
    AlertRule(name="shop", kind="cannot_work", for_s=5.0, projects=("shop",), cooldown_s=0.0),
)
AGENTS = st.sampled_from([f"a-{n}" for n in range(8)])


class AlertMachine(RuleBasedStateMachine):
    """Agents wait, fill their context, stop working, disappear; the server restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.world = AlertWorld(*RULES)
        self.set_back = False

    @rule(agent=AGENTS, project=st.sampled_from([None, "shop", "other"]))
    def ask(self, agent: str, project: str | None) -> None:
        """An agent waits; one that waits already goes on."""
        before = self.world.agents.get(agent)
        if before is None or not before.attention:
            self.world.ask(agent, project=project)

    @rule(agent=AGENTS)
    def answer(self, agent: str) -> None:
        """A person answers."""
        self.world.answer(agent)

    @rule(agent=AGENTS, tokens=st.sampled_from([10, 95]))
    def fill(self, agent: str, tokens: int) -> None:
        """The context changes."""
        self.world.set(agent, context_tokens=tokens, context_window=100)

    @rule(agent=AGENTS)
    def block(self, agent: str) -> None:
        """An agent is rate limited."""
        now = self.world.now
        self.world.set(agent, attention=False, detail="rate_limited", detail_since=now)

    @rule(agent=AGENTS)
    def remove(self, agent: str) -> None:
        """An agent disappears."""
        self.world.remove(agent)

    @rule(old=AGENTS, new=AGENTS)
    def rename(self, old: str, new: str) -> None:
        """An agent continues under another id."""
        if old in self.world.agents and old != new:
            state = self.world.agents[old]
            extra = {"renamed_to": new}
            event = Event(agent_id=old, event_type="forget", source="rename", extra=extra)
            self.world.remove(old, event)
            merged = replace(state, agent_id=new)
            self.world.agents[new] = merged
            self.world.evaluator.apply(new, merged, self.world.now)

    @rule(seconds=st.sampled_from([0.5, 3, 31, 130]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.wait(seconds)

    @rule(hours=st.sampled_from([-2, 5]))
    def set_clock(self, hours: int) -> None:
        """The clock is set."""
        self.world.tick()
        self.world.now += timedelta(hours=hours)
        self.set_back = self.set_back or hours < 0
        self.world.tick()

    @rule()
    def restart(self) -> None:
        """The server is killed and starts again."""
        self.world.restart()

    @rule(muted=st.booleans())
    def mute(self, muted: bool) -> None:
        """The switch that silences everything."""
        self.world.evaluator.set_silence(AlertSilence(FOREVER if muted else None))

    @invariant()
    def each_subject_fires_once(self) -> None:
        """One alert of a rule and subject fires at a time, whatever was reported."""
        self.world.tick()
        keys = [(alert.rule, alert.subject) for alert in self.world.all_firing]
        assert len(keys) == len(set(keys))

    @invariant()
    def each_firing_has_a_cause(self) -> None:
        """What fires holds now."""
        self.world.tick()
        causes = {
            "waits": lambda p: p.attention,
            "context": lambda p: (p.context_tokens or 0) >= 90,
            "shop": lambda p: p.detail == "rate_limited" and p.project == "shop",
        }
        for alert in self.world.all_firing:
            if alert.agent_id is not None:
                assert causes[alert.rule](self.world.agents[alert.agent_id]), alert
            else:
                n = sum(map(causes[alert.rule], self.world.agents.values()))
                assert n or alert.subject.startswith("group:"), alert

    @invariant()
    def each_alert_resolves_once(self) -> None:
        """Between two firings of an id there is one end, and no end comes first."""
        firing: set[str] = set()
        for change in self.world.changes:
            alert = change.alert
            if alert.state == "firing":
                firing.add(alert.alert_id)
            else:
                assert alert.alert_id in firing, alert
                firing.discard(alert.alert_id)

    @invariant()
    def cooldowns_are_respected(self) -> None:
        """Two messages about a subject are a cooldown apart, unless the clock was set back."""
        if self.set_back:
            return
        cooldowns = {rule.name: rule.cooldown_s for rule in RULES}
        last: dict[tuple[str, str], tuple[str, datetime]] = {}
        for alert in self.world.sent:
            key = alert.rule, alert.subject
            if key in last and last[key][0] != alert.alert_id:
                seconds = (alert.fired_at - last[key][1]).total_seconds()
                assert seconds >= cooldowns[alert.rule], alert
            last[key] = alert.alert_id, alert.fired_at


TestAlertMachine = AlertMachine.TestCase
TestAlertMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
