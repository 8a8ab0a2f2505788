"""RuleAlert: a rule of the file in a kernel, with a function in place of channels."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from htmlgraph_nb.alerts.alert_rule import AlertRule
from htmlgraph_nb.alerts.fired_alert import FiredAlert
from htmlgraph_nb.core.model import AgentPresence, PresenceStatus
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.widget.alerts import make_alert


def waiting(agent_id: str, seconds: float) -> AgentPresence:
    """Return an agent that has waited for some seconds."""
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    return AgentPresence(
        agent_id,
        PresenceStatus.ACTIVE,
        attention=True,
        detail="waiting_permission",
        detail_since=since,
        last_activity=since,
    )


def test_make_alert_of_a_rule_calls_with_the_alert() -> None:
    """Agents that have waited long enough fire at once, each once."""
    fired: list[FiredAlert] = []
    alert = make_alert({"kind": "waits", "for": "60s"}, fired.append)
    agents = {name: waiting(name, 90) for name in ("a", "b")}
    for _ in range(3):
        alert.check(agents, agents)
    alert.close()
    assert [one.subject for one in fired] == ["a", "b"]
    assert fired[0].message.startswith("a has waited for a person for ")


def test_rule_alert_fires_later_without_a_change() -> None:
    """The time of a rule passes also if nothing changes."""
    done = threading.Event()
    alert = make_alert(AlertRule(name="w", kind="waits", for_s=0.3), lambda _: done.set(), "a")
    agents = {name: waiting(name, 0) for name in ("a", "b")}
    alert.check(agents, agents)
    assert done.wait(30)
    alert.close()


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"kind": "wait"}, "rule, kind: expected one of waits, "),
        ({"kind": "waits", "for": "x"}, 'rule, for: expected a duration such as "30s"'),
        ({"kind": "loop"}, "when: rules of the kind loop need a server"),
        (
            {"kind": "budget", "threshold": 5, "by": "project"},
            "when: rules of the kind budget need",
        ),
    ],
)
def test_rule_alert_refuses(when: dict[str, Any], message: str) -> None:
    """Errors are those of the file; rules about events name the command that adds them."""
    with pytest.raises(ConfigError) as caught:
        make_alert(when, print)
    assert str(caught.value).startswith(message)


def test_rule_alert_logs_errors_of_the_callback(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the function is logged."""
    alert = make_alert({"kind": "waits"}, lambda _: 1 / 0)
    alert.check(["a"], {"a": waiting("a", 90)})
    alert.close()
    assert "an alert failed for 'a'" in caplog.text
