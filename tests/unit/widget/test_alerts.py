"""Alert: when it calls its function."""

from __future__ import annotations

from dataclasses import replace

import pytest

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.widget.alerts import Alert
from tests.helpers.strategies import T0

PRESENCE = AgentPresence("a", PresenceStatus.ACTIVE, last_activity=T0)


class RecordedAlert:
    """An alert that records its calls, updated with the states of one agent."""

    def __init__(self, when, agents=None) -> None:
        self.calls: list[AgentPresence] = []
        self.alert = Alert(when, self.calls.append, agents)

    def update(self, initial: bool = False, agent_id: str = "a", **fields) -> int:
        """Apply a state and return the number of calls so far."""
        presence = replace(PRESENCE, agent_id=agent_id, **fields)
        self.alert.check([agent_id], {agent_id: presence}, initial=initial)
        return len(self.calls)


def test_alert_calls_once_each_time_the_condition_becomes_true():
    """Not again while it stays true; again after it was false."""
    alert = RecordedAlert("attention")
    n_calls = [alert.update(attention=waits) for waits in (False, True, True, False, True)]
    assert n_calls == [0, 1, 1, 1, 2]
    assert alert.calls[0].agent_id == "a"


def test_alert_calls_at_once_for_agents_that_meet_the_condition():
    """An agent that waits when the alert is created must not be missed."""
    assert RecordedAlert("attention").update(initial=True, attention=True) == 1


def test_alert_calls_again_for_an_agent_that_was_removed():
    """A new agent with the same id is a different one."""
    alert = RecordedAlert("attention")
    alert.update(attention=True)
    alert.alert.check(["a"], {})
    assert alert.update(attention=True) == 2


@pytest.mark.parametrize(
    ("when", "below", "above"),
    [
        ({"tokens_over": 1000}, {"total_cost_tokens": 1000}, {"total_cost_tokens": 1001}),
        ({"cost_over": 5.0}, {"cost_usd": None}, {"cost_usd": 5.01}),
        ({"tools_over": 0}, {"total_tools_executed": 0}, {"total_tools_executed": 1}),
        ({"errors_over": 2}, {"total_errors": 2}, {"total_errors": 3}),
        (
            {"tokens_over": 5, "cost_over": 1},
            {"total_cost_tokens": 9, "cost_usd": 0.5},
            {"total_cost_tokens": 9, "cost_usd": 1.5},
        ),
        ("idle", {}, {"status": PresenceStatus.IDLE}),
        (lambda presence: presence.last_tool_name == "Bash", {}, {"last_tool_name": "Bash"}),
    ],
)
def test_alert_conditions(when, below, above):
    """Budgets, statuses and functions; an unknown cost exceeds no budget."""
    alert = RecordedAlert(when)
    assert alert.update(**below) == 0
    assert alert.update(**above) == 1
    assert alert.update(**above) == 1


def test_alert_error_calls_for_each_further_error():
    """Not for old errors, nor for a count that restarts with a new session."""
    alert = RecordedAlert("error")
    errors = [(2, True), (2, False), (3, False), (3, False), (5, False), (0, False), (1, False)]
    assert [alert.update(initial, total_errors=n) for n, initial in errors] == [0, 0, 1, 1, 2, 2, 3]
    assert alert.update(agent_id="new", total_errors=1) == 4


@pytest.mark.parametrize("agents", ["a", ["a", "b"], {"a"}])
def test_alert_is_limited_to_the_given_agents(agents):
    """One id or several."""
    alert = RecordedAlert("attention", agents)
    assert alert.update(agent_id="other", attention=True) == 0
    assert alert.update(attention=True) == 1


def test_alert_callback_error_is_logged(caplog):
    """The next agent of the same change is still reported."""
    calls = []

    def do(presence: AgentPresence) -> None:
        calls.append(presence.agent_id)
        raise RuntimeError("broken callback")

    agents = {name: replace(PRESENCE, agent_id=name, attention=True) for name in ("a", "b")}
    Alert("attention", do).check(["a", "b"], agents)
    assert calls == ["a", "b"]
    assert caplog.text.count("RuntimeError: broken callback") == 2


def test_alert_condition_that_raises_is_false(caplog):
    """It is the user's own function."""
    assert RecordedAlert(lambda presence: presence.no_such_field).update() == 0
    assert "no_such_field" in caplog.text


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("wait", "expected one of attention, error, active, idle, offline, a dict of tokens_over"),
        ({}, "expected one of"),
        ({"tokens": 5}, "expected one of .*, got the key 'tokens'"),
        ({"cost_over": "5"}, "expected a number >= 0"),
        ({"cost_over": -1}, "expected a number >= 0"),
        ({"cost_over": True}, "expected a number >= 0"),
        ({"cost_over": float("nan")}, "expected a number >= 0"),
        (None, "when: expected one of .*, got null"),
    ],
)
def test_alert_rejects_invalid_condition(when, text):
    """The message lists the valid ones."""
    with pytest.raises(ConfigError, match=text):
        Alert(when, print)


def test_alert_rejects_a_callback_that_is_not_callable():
    """At creation."""
    with pytest.raises(ConfigError, match="expected a function of an AgentPresence"):
        Alert("attention", None)
