"""Webhooks to real receivers that fail in every way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
from typing import Any

import pytest

from htmlgraph_nb.alerts.channels import AlertChannel, parse_channel
from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_server.alerts.delivery.outcome import Outcome
from htmlgraph_server.alerts.delivery.webhook import MAX_REDIRECTS, send_webhook
from tests.helpers.alert_receiver import NOW, AlertReceiver, alert_receiver, fired_alert

SECRET = "key-4711"


def channel_of(url: str, **settings: Any) -> AlertChannel:
    """Return a webhook channel."""
    return parse_channel("hook", {"type": "webhook", "url": url, "timeout_s": 1, **settings})


def send(channel: AlertChannel, **values: Any) -> Outcome:
    """Send one alert."""
    delivery = Delivery(7, fired_alert(**values), channel.name, 2, NOW)
    return asyncio.run(send_webhook(channel, delivery, NOW))


def send_to(receiver: AlertReceiver, **settings: Any) -> Outcome:
    """Send one alert to a receiver."""
    return send(channel_of(receiver.url, **settings))


def test_webhook_has_the_documented_form() -> None:
    """Body, headers and signature; a receiver that knows the secret can check them."""
    with alert_receiver("ok") as receiver:
        outcome = send_to(receiver, secret=SECRET, headers={"Authorization": "Bearer x"})
    assert outcome == Outcome()
    (request,) = receiver.requests
    assert request.json() == {
        "version": 1,
        "type": "alert",
        "sent_at": "2026-11-30T12:00:00.000000Z",
        "attempt": 3,
        "alert": fired_alert().to_dict(),
    }
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer x"
    assert headers["x-htmlgraph-delivery"] == "7"
    assert headers["x-htmlgraph-timestamp"] == str(int(NOW.timestamp()))
    signed = headers["x-htmlgraph-timestamp"].encode() + b"." + request.body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-htmlgraph-signature"] == f"sha256={expected}"


def test_webhook_without_a_secret_is_not_signed() -> None:
    """A signature with an empty key would look like one."""
    with alert_receiver("ok") as receiver:
        send_to(receiver)
    assert "x-htmlgraph-signature" not in receiver.requests[0].headers


@pytest.mark.parametrize("behavior", ["drip-body", "large"])
def test_webhook_does_not_read_an_endless_body(behavior: str) -> None:
    """The status is known: the alert was received."""
    with alert_receiver(behavior) as receiver:
        assert send_to(receiver, timeout_s=20) == Outcome()


@pytest.mark.parametrize(
    ("behavior", "error", "final"),
    [
        ("status:500", "the receiver answered HTTP 500", False),
        ("status:404", "the receiver answered HTTP 404", True),
        ("hang", "no answer in 1 s", False),
        ("drip-head", "no answer in 1 s", False),
        ("reset", "the receiver closed the connection", False),
        ("junk", "no valid answer", False),
        ("found:/there", "set the final address as url", True),
        ("moved:http://other.example/", "redirects to another address", True),
        ("moved:https://127.0.0.1/", "redirects to another address", True),
        ("moved:http://[", "redirects to another address", True),
        ("redirect:/again", "again and again", True),
    ],
)
def test_webhook_reports_why_it_failed(behavior: str, error: str, *, final: bool) -> None:
    """In plain words, without the address; what cannot succeed later is final."""
    with alert_receiver(behavior) as receiver:
        outcome = send(channel_of(f"{receiver.url}tk-4711"))
    assert error in outcome.error
    assert outcome.final is final
    assert "4711" not in outcome.error
    assert str(receiver.port) not in outcome.error


def test_webhook_follows_a_redirect_of_the_same_server() -> None:
    """The request is repeated with its body and signature."""
    with alert_receiver("redirect:/new", "ok") as receiver:
        assert send_to(receiver, secret=SECRET) == Outcome()
    first, second = receiver.requests
    assert (first.path, second.path) == ("/", "/new")
    assert second.body == first.body
    assert second.headers["x-htmlgraph-signature"] == first.headers["x-htmlgraph-signature"]
    with alert_receiver("redirect:/again") as receiver:
        send_to(receiver)
    assert len(receiver.requests) == MAX_REDIRECTS + 1


def test_webhook_honors_retry_after() -> None:
    """The outcome has the seconds."""
    with alert_receiver("retry:17") as receiver:
        assert send_to(receiver).retry_after_s == 17.0


def test_webhook_without_a_receiver() -> None:
    """Nobody listens on the port, or the host does not exist."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = send(channel_of(f"http://127.0.0.1:{port}/"))
    assert "cannot connect: Connection refused" in outcome.error
    assert not outcome.final
    outcome = send(channel_of("http://no-such-host.invalid/", timeout_s=20))
    assert outcome.error.startswith("cannot connect: ")
    assert "invalid" not in outcome.error


def test_webhook_secrets_are_read_at_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing one is an error that can go away; a wrong one is not shown."""
    channel = channel_of("env:HOOK_URL", secret="env:HOOK_KEY")
    outcome = send(channel)
    assert "HOOK_URL is not set" in outcome.error
    assert not outcome.final
    monkeypatch.setenv("HOOK_URL", "gopher://tk-4711")
    outcome = send(channel)
    assert "channels.hook.url: expected an address such as" in outcome.error
    assert "4711" not in outcome.error
    with alert_receiver("ok") as receiver:
        monkeypatch.setenv("HOOK_URL", receiver.url)
        monkeypatch.setenv("HOOK_KEY", SECRET)
        assert send(channel) == Outcome()
