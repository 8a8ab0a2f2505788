"""From an event to a receiver, with a real server, its file of rules and its database."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.helpers.alert_receiver import AlertReceiver, alert_receiver
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

SECRET = "key-4711"
RULES = """
[[rule]]
kind = "waits"
for = "0s"
cooldown = "0s"
"""


def start(serve: Serve, folder: Path, channels: dict[str, str], rules: str = RULES) -> Server:
    """Start a server whose file of rules has webhooks with these addresses."""
    path = folder / "alerts.toml"
    tables = [
        f'[channels.{name}]\ntype = "webhook"\nurl = "{url}"\nsecret = "env:ALERT_KEY"\n'
        for name, url in channels.items()
    ]
    path.write_text(rules + "\n".join(tables))
    return serve("--alerts", str(path), environ={"ALERT_KEY": SECRET})


def ask(server: Server, agent_id: str = "claude-1") -> None:
    """Report that an agent waits for a person."""
    server.send(agent_id, "permission_request", session_id="s", title="Fix the form")


def messages(receiver: AlertReceiver) -> list[tuple[str, bool]]:
    """Return subject and ``repeat`` of the alerts that a receiver got."""
    alerts = [request.json()["alert"] for request in receiver.requests]
    return [(alert["subject"], alert["repeat"]) for alert in alerts]


def test_alert_delivery_reaches_a_webhook(serve: Serve, tmp_path: Path) -> None:
    """Signed, once, and with what the API says about the alert."""
    with alert_receiver("ok") as receiver:
        server = start(serve, tmp_path, {"hook": f"{receiver.url}tk-4711"})
        ask(server)
        (request,) = receiver.wait_for(1)
        alert = request.json()["alert"]
        assert alert["subject"] == "claude-1"
        assert "Fix the form" in alert["message"]
        signed = request.headers["x-htmlgraph-timestamp"].encode() + b"." + request.body
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert request.headers["x-htmlgraph-signature"] == f"sha256={digest}"
        ask(server, "claude-2")
        receiver.wait_for(2)
        assert messages(receiver) == [("claude-1", False), ("claude-2", False)]
        shown = server.get("/api/alerts/rules").text + server.get("/api/alerts").text
    for secret in ("4711", str(receiver.port)):
        assert secret not in shown
        assert secret not in server.log()


def test_alert_delivery_sends_only_to_named_channels(serve: Serve, tmp_path: Path) -> None:
    """A rule for the page sends nothing; one that names a channel sends there only."""
    named = RULES + 'channels = ["two", "browser"]\n'
    with alert_receiver("ok") as one, alert_receiver("ok") as two:
        server = start(serve, tmp_path, {"one": one.url, "two": two.url}, named)
        ask(server)
        two.wait_for(1)
        assert one.requests == []


def test_alert_delivery_that_hangs_delays_nothing(serve: Serve, tmp_path: Path) -> None:
    """Neither dashboards, another channel nor the end of the server; it is sent after a restart."""
    with alert_receiver("hang", "hang", "ok") as bad, alert_receiver("ok") as good:
        server = start(serve, tmp_path, {"bad": bad.url, "good": good.url})
        with connect(server.ws("/ws/broadcasts")) as dashboard:
            ask(server)
            bad.wait_for(1)
            good.wait_for(1)
            server.send("claude-2", tool_name="Read")
            wait_until(lambda: "claude-2" in str(dashboard.recv(timeout=30)), "the change")
        assert server.stop() == 0
        assert len(bad.requests) == 1
        server.start()
        bad.wait_for(2)
        assert messages(bad)[1] == ("claude-1", True)
        assert len(good.requests) == 1
        server.check_log()


def test_alert_delivery_logs_a_failure_and_the_recovery_once(serve: Serve, tmp_path: Path) -> None:
    """One line each."""
    with alert_receiver("status:503", "reset", "ok") as receiver:
        server = start(serve, tmp_path, {"hook": receiver.url})
        ask(server)
        receiver.wait_for(3)
        wait_until(lambda: "sent again after" in server.log(), "the recovery in the log")
    assert server.log().count("cannot send alerts") == 1
    assert server.log().count("sent again after 2 failed attempts") == 1


def test_alert_delivery_follows_the_file(serve: Serve, tmp_path: Path) -> None:
    """A new channel is used without a restart."""
    with alert_receiver("ok") as first, alert_receiver("ok") as second:
        server = start(serve, tmp_path, {"one": first.url})
        ask(server)
        first.wait_for(1)
        path = tmp_path / "alerts.toml"
        path.write_text(path.read_text().replace(first.url, second.url))

        def test_reaches_second() -> bool:
            server.post("/api/alerts/test", {"channel": "one"})
            return bool(second.requests)

        wait_until(test_reaches_second, "a message to the new address")
        ask(server, "claude-2")
        wait_until(lambda: ("claude-2", False) in messages(second), "the alert")


def test_alert_delivery_test_reports_the_outcome(serve: Serve, tmp_path: Path) -> None:
    """Sent, the error of the receiver, or an unknown channel."""
    with alert_receiver("ok", "status:401") as receiver:
        server = start(serve, tmp_path, {"hook": f"{receiver.url}tk-4711"})

        def post(name: str) -> Any:
            response = server.post("/api/alerts/test", {"channel": name})
            return response.status, response.json()

        wait_until(lambda: post("hook")[0] == 200, "the channel")
        assert receiver.requests[0].json()["alert"]["kind"] == "test"
        error = "the receiver answered HTTP 401"
        assert post("hook") == (200, {"channel": "hook", "error": error})
        status, answer = post("phone")
    assert status == 404
    assert answer["error"]["message"] == "channel: expected hook, got 'phone'"
    assert json.loads(server.get("/api/alerts?state=all").text)["alerts"] == []
    for body in ({}, {"channel": 1}, {"channel": "hook", "url": "http://x"}):
        assert server.post("/api/alerts/test", body).status == 400
