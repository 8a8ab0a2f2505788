"""When an alert calls, and when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.widget.alerts import Alert
from tests.helpers.strategies import T0

ONE = AgentPresence("a", PresenceStatus.ACTIVE, last_activity=T0)


class Told:
    """An alert with what it told, fed with one agent's states."""

    def __init__(self, when, agents=None) -> None:
        self.calls: list[AgentPresence] = []
        self.alert = Alert(when, self.calls.append, agents)

    def see(self, first: bool = False, agent_id: str = "a", **fields) -> int:
        """Show a state and return how often the alert has called so far."""
        one = replace(ONE, agent_id=agent_id, **fields)
        self.alert.look([agent_id], {agent_id: one}, first=first)
        return len(self.calls)


def test_it_calls_once_for_each_time_that_it_begins_to_hold():
    """While it holds nothing more is told; after it ceased it is told again."""
    told = Told("attention")
    seen = [told.see(attention=waits) for waits in (False, True, True, False, True)]
    assert seen == [0, 1, 1, 1, 2]
    assert told.calls[0].agent_id == "a"


def test_who_holds_already_is_told_at_once():
    """An agent that waits when the alert is made must not be missed."""
    assert Told("attention").see(first=True, attention=True) == 1


def test_an_agent_that_went_and_came_back_is_told_again():
    """It is another one, as far as anybody knows."""
    told = Told("attention")
    told.see(attention=True)
    told.alert.look(["a"], {})
    assert told.see(attention=True) == 2


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
        (lambda one: one.last_tool_name == "Bash", {}, {"last_tool_name": "Bash"}),
    ],
)
def test_conditions(when, below, above):
    """Budgets, statuses and functions; unknown cost passes no budget."""
    told = Told(when)
    assert told.see(**below) == 0
    assert told.see(**above) == 1
    assert told.see(**above) == 1


def test_each_further_error_is_told():
    """Old ones are not, nor is a session that begins again at nothing."""
    told = Told("error")
    errors = [(2, True), (2, False), (3, False), (3, False), (5, False), (0, False), (1, False)]
    assert [told.see(first, total_errors=n) for n, first in errors] == [0, 0, 1, 1, 2, 2, 3]
    assert told.see(agent_id="new", total_errors=1) == 4


@pytest.mark.parametrize("agents", ["a", ["a", "b"], {"a"}])
def test_only_these_agents(agents):
    """One name or several."""
    told = Told("attention", agents)
    assert told.see(agent_id="other", attention=True) == 0
    assert told.see(attention=True) == 1


def test_what_the_callback_raises_is_logged_and_stops_nothing(caplog):
    """The next agent of the same change is told all the same."""
    calls = []

    def do(one: AgentPresence) -> None:
        calls.append(one.agent_id)
        raise RuntimeError("broken bell")

    agents = {name: replace(ONE, agent_id=name, attention=True) for name in ("a", "b")}
    Alert("attention", do).look(["a", "b"], agents)
    assert calls == ["a", "b"]
    assert caplog.text.count("RuntimeError: broken bell") == 2


def test_a_condition_that_raises_does_not_hold(caplog):
    """It is the user's own function."""
    assert Told(lambda one: one.no_such_field).see() == 0
    assert "no_such_field" in caplog.text


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("wait", "expected one of attention, error, active, idle, offline, a dict of tokens_over"),
        ({}, "expected one of"),
        ({"tokens": 5}, "'tokens', expected one of"),
        ({"cost_over": "5"}, "expected a number of at least 0"),
        ({"cost_over": -1}, "expected a number of at least 0"),
        ({"cost_over": True}, "expected a number of at least 0"),
        ({"cost_over": float("nan")}, "expected a number of at least 0"),
        (None, "when is null, expected one of"),
    ],
)
def test_a_condition_that_is_none_is_refused(when, text):
    """With what is possible."""
    with pytest.raises(ConfigError, match=text):
        Alert(when, print)


def test_what_cannot_be_called_is_refused():
    """Before anything happens."""
    with pytest.raises(ConfigError, match="expected a function of an AgentPresence"):
        Alert("attention", None)
