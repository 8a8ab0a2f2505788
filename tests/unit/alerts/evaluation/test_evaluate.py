"""Evaluator: which changes fire which alerts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from htmlgraph_nb.alerts.alert_rule import DEFAULT_RULES, AlertRule
from htmlgraph_nb.alerts.evaluation.evaluate import Evaluator, QuotaLevel
from htmlgraph_nb.alerts.evaluation.period_budgets import Spent
from htmlgraph_nb.alerts.silence import FOREVER, AlertSilence
from htmlgraph_nb.core.model import AgentPresence, Event, PresenceStatus
from tests.helpers.alert_world import START, AlertWorld

WAITS = AlertRule(name="waits", kind="waits", for_s=30.0)
IDLE = PresenceStatus.IDLE


def kinds(world: AlertWorld) -> list[str]:
    """Return the kinds of the alerts that are firing."""
    return sorted(alert.kind for alert in world.all_firing)


def test_waits_fires_after_its_time_and_resolves() -> None:
    """An agent that waits fires once, and the answer resolves it."""
    world = AlertWorld(WAITS)
    world.ask("a", project="shop", title="Fix the cart")
    assert world.wait(29) == []
    (change,) = world.wait(5)
    assert change.notify
    assert change.alert.message == "Fix the cart in shop has waited for a person for 31 s."
    assert world.wait(600) == []
    world.answer("a")
    world.tick()
    assert world.firing == {}
    assert len(world.sent) == 1


def test_waits_that_ends_early_fires_nothing() -> None:
    """A person who answers in time is not disturbed."""
    world = AlertWorld(WAITS)
    world.ask("a")
    world.wait(20)
    world.answer("a")
    assert world.wait(100) == []


def test_cooldown_delays_the_next_alert_about_a_subject() -> None:
    """Waits that come and go send one message per cooldown; another agent is another subject."""
    world = AlertWorld(WAITS)
    for _ in range(5):
        world.ask("a")
        world.wait(40)
        world.answer("a")
        world.wait(5)
    assert [alert.subject for alert in world.sent] == ["a"]
    world.ask("a")
    world.ask("b")
    world.wait(300)
    assert [alert.subject for alert in world.sent] == ["a", "b", "a"]
    assert world.sent[2].fired_at - world.sent[0].fired_at >= timedelta(seconds=WAITS.cooldown_s)


def test_storm_is_one_message() -> None:
    """A thousand agents that wait within seconds send one message, which counts them."""
    world = AlertWorld(WAITS)
    for number in range(1_000):
        world.ask(f"a-{number}")
        world.wait(0.004)
    world.wait(60)
    (alert,) = world.sent
    assert alert.subject.startswith("group:waits:")
    (firing,) = world.firing.values()
    assert (firing.count, firing.message) == (1_000, "1,000 agents wait for a person.")
    for number in range(1_000):
        world.answer(f"a-{number}")
    world.wait(10)
    assert world.firing == {}
    assert world.changes[-1].alert.count == 1_000


def test_steady_alerts_become_groups() -> None:
    """Agents that begin to wait one after the other send a handful of messages each minute."""
    world = AlertWorld(WAITS)
    for number in range(600):
        world.ask(f"a-{number}")
        world.wait(1)
    assert len(world.sent) <= 6 * 11
    assert sum(alert.count for alert in world.firing.values()) >= 560


def test_past_conditions_fire_nothing() -> None:
    """What an import reports of hours ago is no news, unless the process is running."""
    world = AlertWorld(WAITS)
    world.ask("old", detail_since=START - timedelta(hours=3))
    world.ask("alive", detail_since=START - timedelta(hours=3), alive=True)
    world.wait(60)
    assert [alert.subject for alert in world.sent] == ["alive"]


def test_future_times_count_as_now() -> None:
    """An agent whose clock is ahead waits for as long as any other."""
    world = AlertWorld(WAITS)
    world.ask("a", detail_since=START + timedelta(hours=5))
    world.wait(31)
    assert len(world.sent) == 1


def test_clock_set_back_starts_the_time_again() -> None:
    """A clock that is set back by an hour delays an alert by at most its time."""
    world = AlertWorld(WAITS)
    world.ask("a")
    world.wait(20)
    world.now -= timedelta(hours=1)
    world.wait(40)
    assert [alert.subject for alert in world.sent] == ["a"]
    world.answer("a")
    world.tick()
    assert world.firing == {}


def test_clock_set_forward_fires_once() -> None:
    """After a jump of the clock everything that is due fires, once."""
    world = AlertWorld(WAITS)
    for number in range(10):
        world.ask(f"a-{number}")
    world.now += timedelta(days=2)
    world.wait(5)
    assert len(world.sent) == 1


def test_removed_agent_resolves_its_alert() -> None:
    """An agent that is forgotten while it waits leaves no alert behind."""
    world = AlertWorld(WAITS)
    world.ask("a")
    world.wait(31)
    world.remove("a")
    world.tick()
    assert world.firing == {}


def test_renamed_agent_keeps_its_alert() -> None:
    """Under its other id the alert continues without another message."""
    world = AlertWorld(WAITS)
    world.ask("a")
    world.wait(31)
    since = world.agents["a"].detail_since
    extra = {"renamed_to": "b"}
    forget = Event(agent_id="a", event_type="forget", source="rename", extra=extra)
    world.remove("a", forget)
    world.ask("b", detail_since=since)
    world.wait(600)
    (alert,) = world.firing.values()
    assert (alert.subject, alert.agent_id) == ("b", "b")
    assert len(world.sent) == 1


def test_restart_continues_alerts_and_resolves_others() -> None:
    """After a restart firing alerts are the same, those that ended meanwhile are resolved."""
    world = AlertWorld(WAITS)
    for name in ("a", "b", "c"):
        world.ask(name)
    world.wait(20)
    world.ask("late")
    world.wait(12)
    before = world.firing
    world.agents["b"] = replace(world.agents["b"], attention=False, detail="working")
    del world.agents["c"]
    world.restart()
    world.wait(1)
    assert world.firing == {"a": before["a"]}
    world.wait(30)
    assert [alert.subject for alert in world.sent] == ["a", "b", "c", "late"]


def test_restart_continues_a_group() -> None:
    """A group that fires goes on after a restart; it ends if nobody waits any more."""
    world = AlertWorld(WAITS)
    for number in range(50):
        world.ask(f"a-{number}")
    world.wait(40)
    world.restart()
    world.wait(10)
    assert len(world.sent) == 1
    for number in range(50):
        world.answer(f"a-{number}")
    world.wait(5)
    assert world.firing == {}


def test_mute_silences_and_its_end_sends_what_still_fires() -> None:
    """Muted alerts fire without a message; those that last longer than the mute are sent then."""
    world = AlertWorld(WAITS)
    world.evaluator.set_silence(AlertSilence(FOREVER))
    world.ask("a")
    world.ask("b")
    world.wait(60)
    world.answer("b")
    world.wait(1)
    assert world.sent == []
    assert world.firing["a"].silenced
    world.evaluator.set_silence(AlertSilence())
    world.wait(1)
    assert [alert.subject for alert in world.sent] == ["a"]
    assert not world.firing["a"].silenced


def test_mute_of_many_ends_with_one_message() -> None:
    """Alerts that piled up while muted are one message afterwards, without acknowledged ones."""
    world = AlertWorld(WAITS)
    world.evaluator.set_silence(AlertSilence(FOREVER))
    for number in range(30):
        world.ask(f"a-{number}")
        world.wait(60)
    acknowledged = replace(next(iter(world.firing.values())), acknowledged_at=world.now)
    world.evaluator.acknowledge(acknowledged)
    world.evaluator.set_silence(AlertSilence())
    world.wait(5)
    assert len(world.sent) == 1
    assert world.sent[0].count == 29


def test_scope_selects_agents() -> None:
    """A rule is about the agents that all its patterns match, also after they change."""
    rule = replace(WAITS, projects=("sh*",), kinds=("claude", "codex"))
    world = AlertWorld(rule)
    world.ask("a", project="shop", agent_kind="claude")
    world.ask("b", project="other", agent_kind="claude")
    world.ask("c", project="shop")
    world.wait(60)
    assert [alert.subject for alert in world.sent] == ["a"]
    world.set("a", project="other")
    world.tick()
    assert world.firing == {}


@pytest.mark.parametrize(
    ("rule", "fields", "message"),
    [
        ({"kind": "done"}, {"status": IDLE, "detail": "done", "unseen": True}, "a is done."),
        ({"kind": "error"}, {"status": IDLE, "detail": "error"}, "a ended its turn with an error."),
        (
            {"kind": "cannot_work", "details": ("signed_out",)},
            {"status": IDLE, "detail": "signed_out"},
            "a must sign in again, for 1 s now.",
        ),
        (
            {"kind": "errors", "threshold": 10.0},
            {"total_errors": 12},
            "a has 12 failed calls and turns in this session.",
        ),
        (
            {"kind": "context", "threshold": 90.0},
            {"context_tokens": 190_000, "context_window": 200_000},
            "a has filled 95 % of its context.",
        ),
        (
            {"kind": "budget", "threshold": 5.0, "by": "session"},
            {"session_cost_usd": 5.5},
            "a used $5.50 of $5.00.",
        ),
        (
            {"kind": "budget", "threshold": 1e6, "unit": "tokens", "by": "agent"},
            {"total_cost_tokens": 1_200_000},
            "a used 1,200,000 tokens of 1,000,000 tokens.",
        ),
    ],
)
def test_kind_of_presence_fires(rule: dict[str, Any], fields: dict[str, Any], message: str) -> None:
    """Each kind fires for a presence that shows it, with its sentence, and not before."""
    world = AlertWorld(AlertRule(name="r", **rule))
    world.set("a")
    assert world.wait(60) == []
    world.set("a", detail_since=world.now, **fields)
    world.wait(2)
    assert [alert.message for alert in world.sent] == [message]
    world.set("a", **{name: getattr(AgentPresence("a"), name) for name in fields})
    world.wait(2)
    assert world.firing == {}


def test_quota_fires_until_its_reset() -> None:
    """A usage window fires at the percentage, and at a forecast; its reset resolves both."""
    world = AlertWorld(
        AlertRule(name="quota", kind="quota", threshold=90.0),
        AlertRule(name="forecast", kind="quota_forecast"),
    )
    resets = START + timedelta(hours=2)
    early = QuotaLevel("claude", "5h", 40.0, resets, START, START + timedelta(hours=1))
    world.evaluator.set_quotas([early], world.now)
    world.wait(5)
    assert kinds(world) == ["quota_forecast"]
    late = early._replace(used_percent=93.0, reported_at=world.now)
    world.evaluator.set_quotas([late], world.now)
    world.wait(5)
    assert kinds(world) == ["quota", "quota_forecast"]
    assert world.sent[-1].message == "claude (5h) has used 93 % of its usage window."
    world.wait(2 * 3_600)
    assert world.firing == {}


def spend(world: AlertWorld, agent_id: str, usd: float, **fields: Any) -> None:
    """Have an agent spend dollars now."""
    before = world.agents.get(agent_id)
    total = usd + ((before.cost_usd or 0.0) if before else 0.0)
    at = fields.pop("at", world.now)
    event = Event(agent_id=agent_id, event_type="completion", timestamp=at)
    seq = (before.seq if before else 0) + 1
    world.set(agent_id, event, cost_usd=total, seq=seq, last_activity=at, **fields)


BUDGET = AlertRule(name="budget", kind="budget", threshold=10.0, by="project", period="day")


def test_budget_of_a_project_adds_up_and_begins_again_at_midnight() -> None:
    """Agents of a project share its budget; the next local day begins at 0."""
    world = AlertWorld(BUDGET, zone=ZoneInfo("Europe/Paris"))
    world.evaluator.budgets.begin()
    world.evaluator.budgets.finish([], 0, world.now)
    spend(world, "a", 6.0, project="shop")
    spend(world, "b", 6.0, project="other")
    assert world.wait(5) == []
    spend(world, "c", 4.5, project="shop")
    world.wait(5)
    (alert,) = world.sent
    assert (alert.subject, alert.value, alert.project) == ("project:shop", 10.5, "shop")
    assert alert.message == "Project shop used $10.50 today of $10.00."
    world.wait(10.9 * 3_600)
    assert list(world.firing) == ["project:shop"]
    world.wait(0.2 * 3_600)
    assert world.firing == {}
    spend(world, "a", 9.0)
    world.wait(5)
    assert world.firing == {}
    spend(world, "a", 2.0)
    world.wait(5)
    assert list(world.firing) == ["project:shop"]
    assert len(world.sent) == 2


def test_budget_ignores_spending_of_other_days() -> None:
    """An import of yesterday's sessions does not count for today."""
    world = AlertWorld(BUDGET)
    spend(world, "old", 50.0, project="shop", at=START - timedelta(days=1))
    world.wait(5)
    assert world.sent == []


def test_budget_begins_with_the_stored_events() -> None:
    """What was stored before the start counts once, together with changes during the reading."""
    world = AlertWorld(BUDGET)
    budgets = world.evaluator.budgets
    assert budgets.needs_totals
    assert budgets.begin() == START.replace(hour=0)
    spend(world, "a", 3.0, project="shop")
    spend(world, "a", 4.0)
    stored = [Spent(("a", None, "shop", None, None, None), START, 3.0, 0, 1)]
    budgets.finish(stored, 1, world.now)
    assert budgets.totals() == {"budget": {"project:shop": 7.0}}
    spend(world, "a", 3.0)
    world.wait(5)
    assert [alert.subject for alert in world.sent] == ["project:shop"]


def test_budget_of_a_renamed_agent_counts_once() -> None:
    """An agent that continues under another id has the totals of both, which are counted."""
    world = AlertWorld(replace(BUDGET, by="all"))
    spend(world, "a", 6.0)
    extra = {"renamed_to": "b"}
    world.remove("a", Event(agent_id="a", event_type="forget", source="rename", extra=extra))
    spend(world, "b", 6.5)
    world.wait(5)
    assert world.evaluator.budgets.totals() == {"budget": {"all": 6.5}}


def call(world: AlertWorld, agent_id: str, tool: str, key: int, failed: bool = False) -> None:
    """Have an agent end a tool call."""
    event = Event(
        agent_id=agent_id,
        event_type="tool_execute",
        tool_name=tool,
        input_hash=key,
        timestamp=world.now,
        status="error" if failed else "ok",
    )
    world.set(agent_id, event)


def test_loop_fires_and_another_call_resolves_it() -> None:
    """The same call five times is a loop; another call ends it."""
    world = AlertWorld(AlertRule(name="loop", kind="loop", threshold=5.0))
    for _ in range(6):
        call(world, "a", "Bash", 7)
        world.wait(2)
    assert [alert.message for alert in world.sent] == ["a made the same call of Bash 5 times."]
    call(world, "a", "Bash", 8)
    world.wait(2)
    assert world.firing == {}


def test_ping_pong_fires_if_calls_fail() -> None:
    """Two calls in turns fire if they fail."""
    world = AlertWorld(AlertRule(name="p", kind="ping_pong", threshold=3.0))
    for failed in (False, True):
        for _ in range(4):
            call(world, "a", "Edit", 1, failed)
            call(world, "a", "Bash", 2, failed)
            world.wait(2)
        assert bool(world.sent) is failed


def test_stuck_call_fires_after_its_usual_time() -> None:
    """A call fires after ten times its median duration, at least after the floor."""
    rule = AlertRule(name="stuck", kind="stuck", threshold=10.0, floor_s=60.0)
    world = AlertWorld(rule)
    for _ in range(5):
        event = Event(agent_id="a", event_type="tool_execute", tool_name="Bash", duration_ms=20_000)
        world.set("a", event)
    started = world.now
    presence = world.set("a", detail="tool", last_tool_name="Bash")
    world.evaluator.apply("a", presence, world.now, None, {"1": ("Bash", started)})
    assert world.wait(199) == []
    world.wait(5)
    assert [alert.message for alert in world.sent] == ["a has run Bash for 3 min."]
    world.evaluator.apply("a", presence, world.now, None, {})
    world.wait(2)
    assert world.firing == {}


def test_thrash_fires_after_compactions() -> None:
    """Three compactions in half an hour fire, and time resolves the alert."""
    world = AlertWorld(AlertRule(name="thrash", kind="thrash", threshold=3.0))
    for _ in range(3):
        world.set("a", compacted_at=world.now)
        world.wait(300)
    assert kinds(world) == ["thrash"]
    world.wait(1_800)
    assert world.firing == {}


def test_cost_rate_and_spike_fire() -> None:
    """Dollars per hour, alone and compared with the hour before."""
    world = AlertWorld(
        AlertRule(name="rate", kind="cost_rate", threshold=100.0),
        AlertRule(name="spike", kind="cost_spike", threshold=5.0),
    )
    for _ in range(60):
        spend(world, "a", 0.1)
        world.wait(60)
    assert world.sent == []
    for _ in range(10):
        spend(world, "a", 2.0)
        world.wait(60)
    assert kinds(world) == ["cost_rate", "cost_spike"]
    world.wait(1_200)
    assert world.firing == {}


def test_host_gone_fires_if_no_agent_of_a_host_reports() -> None:
    """A host is gone if all agents at work there are silent; one that reports is enough."""
    world = AlertWorld(AlertRule(name="host", kind="host_gone", for_s=600.0))
    world.set("a", host="build")
    world.set("b", host="build")
    world.wait(300)
    world.set("a")
    assert world.wait(590) == []
    world.wait(20)
    assert [alert.subject for alert in world.sent] == ["host:build"]
    world.set("b")
    world.wait(2)
    assert world.firing == {}
    world.set("a", status=IDLE)
    world.set("b", status=IDLE)
    assert world.wait(3_600) == []


def test_host_gone_fires_if_the_server_of_a_host_is_unreachable() -> None:
    """Agents whose process was seen there count once their host is lost, until it returns."""
    world = AlertWorld(AlertRule(name="host", kind="host_gone", for_s=600.0))
    world.set("a", host="laptop", alive=True)
    assert world.wait(3_600) == []
    world.set("a", status=PresenceStatus.OFFLINE, detail="unreachable", alive=False)
    world.wait(620)
    assert [alert.subject for alert in world.sent] == ["host:laptop"]
    world.set("a", status=PresenceStatus.ACTIVE, detail="working", alive=True)
    world.wait(2)
    assert world.firing == {}


def test_set_rules_resolves_alerts_of_removed_rules_and_evaluates_new_ones() -> None:
    """An edit of the file counts at once for what already holds."""
    world = AlertWorld(WAITS)
    world.ask("a")
    world.wait(40)
    world.evaluator.set_rules([replace(WAITS, name="other", for_s=5.0)], world.now)
    world.wait(5)
    assert [alert.rule for alert in world.firing.values()] == ["other"]


def test_default_rules_are_valid() -> None:
    """The rules without a file are three, with unique names."""
    assert [rule.name for rule in DEFAULT_RULES] == ["waits", "cannot_work", "quota"]
    Evaluator(DEFAULT_RULES).start([], datetime(2026, 1, 1, tzinfo=UTC))
