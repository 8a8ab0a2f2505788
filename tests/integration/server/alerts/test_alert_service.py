"""AlertService in a real server: from an event to the API, the dashboards and a restart."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from htmlgraph_nb.core.timestamps import to_rfc3339
from tests.helpers.alert_receiver import AlertReceiver, alert_receiver
from tests.helpers.database_files import query_rows
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve


def ago(seconds: float) -> str:
    """Return a time in the past as agents report it."""
    return to_rfc3339(datetime.now(UTC) - timedelta(seconds=seconds))


def ask(server: Server, agent_id: str, seconds: float = 40, **fields: Any) -> None:
    """Report that an agent has waited for some seconds."""
    server.send(agent_id, "permission_request", timestamp=ago(seconds), session_id="s", **fields)


def alerts_of(server: Server, state: str = "firing") -> list[dict[str, Any]]:
    """Return the alerts of the API."""
    response = server.get(f"/api/alerts?state={state}")
    assert response.status == 200, response.text
    alerts: list[dict[str, Any]] = response.json()["alerts"]
    return alerts


def next_message(dashboard: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a type."""
    while True:
        message: dict[str, Any] = json.loads(dashboard.recv(timeout=30))
        if message["type"] == kind:
            return message


def test_alert_service_fires_and_resolves(server: Server) -> None:
    """An agent that waits longer than the default fires; its answer resolves the alert."""
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        ask(server, "claude-1", project="shop")
        alert = next_message(dashboard, "alert")["alert"]
        assert (alert["rule"], alert["state"], alert["subject"]) == ("waits", "firing", "claude-1")
        assert alert["url_path"] == "/#agent=claude-1"
        assert alert["message"].startswith("claude-1 in shop has waited for a person for ")
        assert alerts_of(server) == [alert]
        server.send("claude-1", "tool_execute", session_id="s")
        resolved = next_message(dashboard, "alert")["alert"]
        assert (resolved["alert_id"], resolved["state"]) == (alert["alert_id"], "resolved")
        assert alerts_of(server) == []
        assert alerts_of(server, "past") == [resolved]


def test_alert_service_of_many_agents_fires_once(server: Server) -> None:
    """Agents that wait at the same time are one alert, which keeps its number current."""
    events = [
        {"agent_id": f"a-{n}", "event_type": "permission_request", "timestamp": ago(40)}
        for n in range(300)
    ]
    server.post("/api/events", events)
    (alert,) = wait_until(lambda: alerts_of(server), "the alert of the group")
    assert alert["count"] == 300
    assert alert["message"] == "300 agents wait for a person."
    assert len(alert["agent_ids"]) == 20


def test_alert_service_acknowledges(server: Server) -> None:
    """An acknowledged alert leaves the list of firing ones, on all dashboards."""
    ask(server, "claude-1")
    (alert,) = wait_until(lambda: alerts_of(server), "the alert")
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        assert next_message(dashboard, "alert_state")["alerts"] == [alert]
        path = f"/api/alerts/{alert['alert_id']}/acknowledge"
        response = server.post(path, {"by": "ada"})
        assert response.status == 200, response.text
        assert response.json()["acknowledged_by"] == "ada"
        assert next_message(dashboard, "alert")["alert"]["acknowledged_by"] == "ada"
    assert alerts_of(server) == []
    assert alerts_of(server, "acknowledged") == [response.json()]
    # The first person counts.
    assert server.post(path).json()["acknowledged_by"] == "ada"
    assert server.post("/api/alerts/unknown/acknowledge").error["code"] == "unknown_alert"


def test_alert_service_continues_after_a_crash(serve: Serve) -> None:
    """An alert that fires when the server is killed is the same one after the restart."""
    first = serve()
    ask(first, "claude-1")
    ask(first, "claude-2")
    before = wait_until(lambda: (a := alerts_of(first)) and len(a) == 2 and a, "two alerts")
    first.kill()
    second = serve(home=first.home)
    second.send("claude-2", "tool_execute", session_id="s")
    wait_until(lambda: len(alerts_of(second)) == 1, "the end of one alert")
    assert alerts_of(second) == [alert for alert in before if alert["subject"] == "claude-1"]


def test_alert_service_does_not_alert_about_the_past(server: Server) -> None:
    """An import of an old session that waited for a person fires nothing."""
    ask(server, "old", seconds=3 * 3_600)
    ask(server, "claude-1")
    wait_until(lambda: alerts_of(server), "the alert of the agent that waits now")
    assert [alert["subject"] for alert in alerts_of(server)] == ["claude-1"]


def test_alert_service_mutes(server: Server) -> None:
    """A muted alert is stored as silenced, and no longer silenced once the mute ends."""
    assert server.post("/api/alerts/mute", {"seconds": 600}).json()["muted_until"]
    ask(server, "claude-1")
    (alert,) = wait_until(lambda: alerts_of(server), "the alert")
    assert alert["silenced"]
    assert server.post("/api/alerts/mute", {"seconds": 0}).json() == {"muted_until": None}
    wait_until(lambda: not alerts_of(server)[0]["silenced"], "the end of the silence")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'body: expected {"seconds": N}, 0 or null'),
        ({"seconds": -1}, "seconds: expected 0 to 31536000 or null, got -1"),
        ({"seconds": True}, "seconds: expected 0 to 31536000 or null, got true"),
    ],
)
def test_mute_refuses(module_server: Server, body: Any, message: str) -> None:
    """An invalid duration is named."""
    assert module_server.post("/api/alerts/mute", body).error["message"] == message


def test_broadcasts_without_alerts(module_server: Server) -> None:
    """``?alerts=0`` opts out; another value is refused."""
    with connect(module_server.ws("/ws/broadcasts?alerts=0")) as dashboard:
        dashboard.send("ping")
        while (message := json.loads(dashboard.recv(timeout=30)))["type"] != "pong":
            assert message["type"] not in ("alert", "alert_state")
    with (
        connect(module_server.ws("/ws/broadcasts?alerts=2")) as refused,
        pytest.raises(Exception, match="expected 0 or 1"),
    ):
        refused.recv(timeout=30)


def test_several_servers_show_the_same_alerts(serve: Serve) -> None:
    """Of two servers on a database one evaluates; both show what fires, and either acknowledges."""
    first = serve()
    second = serve(home=first.home)
    ask(second, "claude-1")
    (alert,) = wait_until(lambda: alerts_of(second), "the alert")
    assert alerts_of(first) == [alert]
    with connect(first.ws("/ws/broadcasts")) as dashboard:
        wait_until(lambda: next_message(dashboard, "alert_state")["alerts"] == [alert], "the alert")
        second.post(f"/api/alerts/{alert['alert_id']}/acknowledge", {"by": "bob"})
        assert next_message(dashboard, "alert")["alert"]["acknowledged_by"] == "bob"


CHANNEL = '[channels.phone]\ntype = "webhook"\nurl = "{url}"\n'
WAITS = '[[rule]]\nkind = "waits"\nfor = "1s"\n'


def configure(home: Path, receiver: AlertReceiver, rules: str = WAITS) -> None:
    """Write a file of rules with a webhook."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "alerts.toml").write_text(rules + CHANNEL.format(url=receiver.url))


def received(receiver: AlertReceiver) -> list[dict[str, Any]]:
    """Return the alerts of all webhooks."""
    return [request.json()["alert"] for request in receiver.requests]


def wait_for_sent(server: Server, n: int) -> None:
    """Wait until a number of messages is known to be sent."""
    count = "SELECT count(*) FROM alert_deliveries WHERE state = 'sent'"
    wait_until(lambda: query_rows(str(server.db), count) == [(n,)], f"{n} sent messages")


def test_alert_service_sends_webhooks(serve: Serve, tmp_path: Path) -> None:
    """A channel of the file gets what fires; the test route sends at once."""
    with alert_receiver("ok") as receiver:
        configure(tmp_path / "home", receiver)
        server = serve(home=tmp_path / "home")
        wait_until(lambda: server.get("/api/alerts/rules").json()["channels"], "the channel")
        assert server.post("/api/alerts/test", {"channel": "phone"}).json() == {
            "channel": "phone",
            "error": None,
        }
        ask(server, "claude-1")
        receiver.wait_for(2)
        test, alert = received(receiver)
        assert test["rule"] == "test"
        assert (alert["subject"], alert["repeat"]) == ("claude-1", False)
        assert [alert] == alerts_of(server)
        assert server.post("/api/alerts/test", {"channel": "x"}).error["code"] == "unknown_channel"


def test_alert_service_killed_sends_what_was_pending(serve: Serve, tmp_path: Path) -> None:
    """A message that could not be sent before a crash is sent after it, as a repetition, once."""
    with alert_receiver("hang") as receiver:
        configure(tmp_path / "home", receiver)
        first = serve(home=tmp_path / "home")
        ask(first, "claude-1")
        receiver.wait_for(1)
        first.kill()
    with alert_receiver("ok") as receiver:
        configure(tmp_path / "home", receiver)
        second = serve(home=tmp_path / "home")
        receiver.wait_for(1)
        ask(second, "claude-2")
        receiver.wait_for(2)
        sent = received(receiver)
        assert [(alert["subject"], alert["repeat"]) for alert in sent] == [
            ("claude-1", True),
            ("claude-2", False),
        ]
        wait_for_sent(second, 2)
        second.stop()
        third = serve(home=tmp_path / "home")
        ask(third, "claude-3")
        receiver.wait_for(3)
        assert [alert["subject"] for alert in received(receiver)][2:] == ["claude-3"]


def test_several_servers_send_once(serve: Serve, tmp_path: Path) -> None:
    """Of two servers on a database only the leader sends; the other takes over after its end."""
    with alert_receiver("ok") as receiver:
        configure(tmp_path / "home", receiver)
        first = serve(home=tmp_path / "home")
        second = serve(home=tmp_path / "home")
        ask(second, "claude-1")
        wait_for_sent(first, 1)
        first.kill()
        ask(second, "claude-2")
        receiver.wait_for(2)
        assert [alert["subject"] for alert in received(receiver)] == ["claude-1", "claude-2"]


def test_alert_service_counts_stored_spending(serve: Serve, tmp_path: Path) -> None:
    """A daily budget counts what was stored before the restart, and fires once a day."""
    rules = '[[rule]]\nkind = "budget"\nthreshold = 10\nby = "project"\n'
    with alert_receiver("ok") as receiver:
        configure(tmp_path / "home", receiver, rules)
        first = serve(home=tmp_path / "home")
        fields = {"project": "shop", "cost_usd": 6.0}
        first.send("claude-1", "completion", **fields)
        first.send("old", "completion", timestamp=ago(3 * 86_400), **fields)
        first.kill()
        second = serve(home=tmp_path / "home")
        second.send("claude-2", "completion", **fields)
        (alert,) = wait_until(lambda: alerts_of(second), "the alert")
        assert (alert["subject"], alert["value"]) == ("project:shop", 12.0)
        wait_for_sent(second, 1)
        second.kill()
        third = serve(home=tmp_path / "home")
        third.send("claude-3", "completion", **fields)
        wait_until(lambda: third.presence()["claude-3"]["cost_usd"] == 6.0, "the event")
        assert len(received(receiver)) == 1
        assert [one["alert_id"] for one in alerts_of(third)] == [alert["alert_id"]]
