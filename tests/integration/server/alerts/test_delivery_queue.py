"""The delivery queue with real channels: webhooks, apprise and a desktop program."""

from __future__ import annotations

import email
import email.policy
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.alerts.channels import parse_channels
from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_server.alerts.delivery.delivery_queue import DeliveryQueue
from htmlgraph_server.alerts.delivery.outcome import Outcome
from tests.helpers.alert_receiver import (
    MemoryOutbox,
    RunningClock,
    alert_receiver,
    fired_alert,
)
from tests.helpers.mail_receiver import mail_receiver
from tests.helpers.wait import wait_until

StartQueue = Callable[..., DeliveryQueue]


def webhook(url: str, **settings: Any) -> dict[str, Any]:
    """Return the table of a webhook."""
    return {"type": "webhook", "url": url, "timeout_s": 1, **settings}


@pytest.fixture
def outbox() -> MemoryOutbox:
    """Return an empty outbox."""
    return MemoryOutbox()


@pytest.fixture
def start(outbox: MemoryOutbox) -> Iterator[StartQueue]:
    """Start queues that are closed at the end; ``random`` 0 gives the full delays."""
    with ExitStack() as stack:

        def start_one(tables: dict[str, Any], **options: Any) -> DeliveryQueue:
            queue = DeliveryQueue(outbox, parse_channels(tables), random=lambda: 0.0, **options)
            queue.start()
            stack.callback(queue.close)
            return queue

        yield start_one


def test_queue_sends_what_is_submitted(outbox: MemoryOutbox, start: StartQueue) -> None:
    """In order, and each once."""
    with alert_receiver("ok") as receiver:
        queue = start({"hook": webhook(receiver.url)})
        ids = [outbox.add("hook", message=f"message {n}") for n in range(30)]
        queue.submit()
        wait_until(lambda: len(outbox.done) == 30, "all alerts")
    assert outbox.done == ids
    texts = [request.json()["alert"]["message"] for request in receiver.requests]
    assert texts == [f"message {n}" for n in range(30)]
    state = queue.states()["hook"]
    assert (state.failures, state.error) == (0, "")
    assert state.sent_at is not None


def test_queue_sends_pending_deliveries_of_earlier_runs(
    outbox: MemoryOutbox, start: StartQueue
) -> None:
    """Without a call of submit."""
    outbox.add("hook")
    with alert_receiver("ok") as receiver:
        start({"hook": webhook(receiver.url)})
        wait_until(lambda: outbox.done, "the alert")


def test_queue_repeats_and_logs_once(
    outbox: MemoryOutbox, start: StartQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for the failure, one for the recovery, whatever happens in between."""
    caplog.set_level(logging.INFO, "htmlgraph_server")
    clock = RunningClock()
    with alert_receiver("status:503", "reset", "ok") as receiver:
        queue = start({"hook": webhook(f"{receiver.url}tk-4711", secret="key-4711")}, clock=clock)
        first = outbox.add("hook")
        queue.submit()
        wait_until(lambda: outbox.done == [first], "the alert")
        wait_until(lambda: len(caplog.messages) == 2, "two lines")
    assert caplog.messages == [
        "channel hook: cannot send alerts: the receiver answered HTTP 503; next attempt in 1 s",
        "channel hook: sent again after 2 failed attempts",
    ]
    assert [error for _, error, _ in outbox.errors] == [
        "the receiver answered HTTP 503",
        "the receiver closed the connection",
    ]
    assert [request.json()["attempt"] for request in receiver.requests] == [1, 2, 3]
    assert len({request.headers["x-htmlgraph-delivery"] for request in receiver.requests}) == 1


def test_queue_stores_the_time_that_the_receiver_asks_for(
    outbox: MemoryOutbox, start: StartQueue
) -> None:
    """Retry-After is the time of the next attempt."""
    with alert_receiver("retry:600") as receiver:
        queue = start({"hook": webhook(receiver.url)})
        outbox.add("hook")
        queue.submit()
        wait_until(lambda: outbox.errors, "the failed attempt")
        ((_, _, next_at),) = outbox.errors
        assert next_at is not None
        assert (next_at - outbox.waiting[1].alert.fired_at).total_seconds() > 500


def test_queue_drops_what_is_refused_and_sends_the_rest(
    outbox: MemoryOutbox, start: StartQueue
) -> None:
    """A refused alert does not stop the following ones."""
    with alert_receiver("status:400", "ok") as receiver:
        queue = start({"hook": webhook(receiver.url)})
        first, second = outbox.add("hook"), outbox.add("hook")
        queue.submit()
        wait_until(lambda: outbox.done == [second], "the second alert")
    assert outbox.errors == [(first, "the receiver answered HTTP 400", None)]


def test_queue_channel_that_hangs_delays_no_other(outbox: MemoryOutbox, start: StartQueue) -> None:
    """The other channel sends all its alerts while the first one waits for an answer."""
    with alert_receiver("hang") as bad, alert_receiver("ok") as good:
        queue = start({"bad": webhook(bad.url, timeout_s=60), "good": webhook(good.url)})
        for _ in range(50):
            outbox.add("bad")
        sent = [outbox.add("good") for _ in range(5)]
        queue.submit()
        bad.wait_for(1)
        wait_until(lambda: outbox.done == sent, "the alerts of the good channel")
        assert len(bad.requests) == 1


def test_queue_close_gives_up_attempts(outbox: MemoryOutbox, start: StartQueue) -> None:
    """They stay pending, and nothing is sent afterwards; a second close does nothing."""
    with alert_receiver("hang") as receiver:
        queue = start({"hook": webhook(receiver.url, timeout_s=60)})
        outbox.add("hook")
        queue.submit()
        receiver.wait_for(1)
        queue.close()
        queue.close()
        queue.submit()
    assert list(outbox.waiting) == [1]
    assert outbox.errors == []


def test_queue_waits_for_a_broken_database(
    outbox: MemoryOutbox,
    start: StartQueue,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sent alert whose success cannot be stored is not sent each time."""
    with alert_receiver("ok") as receiver:
        queue = start({"hook": webhook(receiver.url)})
        outbox.add("hook")

        def break_down(delivery_id: int) -> None:
            raise StoreUnavailable("disk full")

        monkeypatch.setattr(outbox, "sent", break_down)
        queue.submit()
        wait_until(lambda: "channel hook: disk full" in caplog.messages, "the line in the log")
        queue.submit()
        monkeypatch.undo()
        second = outbox.add("hook")
        queue.submit()
        wait_until(lambda: outbox.done == [1, second], "both alerts")
    assert len(receiver.requests) == 2


def test_queue_set_channels_replaces_them(outbox: MemoryOutbox, start: StartQueue) -> None:
    """A new channel sends what waits for it; a removed one sends nothing."""
    with alert_receiver("ok") as old, alert_receiver("ok") as new:
        queue = start({"old": webhook(old.url)})
        outbox.add("new")
        queue.set_channels(parse_channels({"new": webhook(new.url)}))
        wait_until(lambda: outbox.done, "the alert")
        outbox.add("old")
        queue.submit()
        assert list(queue.states()) == ["new"]
        second = outbox.add("new")
        queue.submit()
        wait_until(lambda: second in outbox.done, "the second alert")
    assert old.requests == []


def test_queue_test_sends_without_the_outbox(outbox: MemoryOutbox, start: StartQueue) -> None:
    """Its result is the outcome; an unknown channel is an error."""
    with alert_receiver("ok", "status:401") as receiver:
        queue = start({"hook": webhook(receiver.url)})
        assert queue.test("hook", fired_alert()).result(20) == Outcome()
        refused = queue.test("hook", fired_alert()).result(20)
        assert refused == Outcome("the receiver answered HTTP 401", final=True)
        with pytest.raises(KeyError):
            queue.test("other", fired_alert())
    assert outbox.reads >= 1
    assert outbox.errors == []


@pytest.fixture
def notify_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program notify-send in PATH that writes its arguments to the file it returns."""
    written = tmp_path / "arguments"
    program = tmp_path / "notify-send"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open({str(written)!r}, 'a').write(repr(sys.argv[1:]) + '\\n')\n"
        "if 'fails' in sys.argv[-2]: sys.exit('Cannot autolaunch D-Bus without X11')\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return written


@pytest.mark.skipif(sys.platform != "linux", reason="notify-send is the program of Linux")
def test_queue_desktop_passes_texts_as_arguments(
    outbox: MemoryOutbox, start: StartQueue, notify_send: Path
) -> None:
    """No shell sees them; a failure of the program is reported."""
    queue = start({"desk": {"type": "desktop"}})
    text = "$(touch x); `id` \"quoted\" 'single'"
    outbox.add("desk", message=text)
    queue.submit()
    wait_until(lambda: outbox.done, "the alert")
    body = "Warning · claude · shop · main · box"
    expected = ["--app-name=htmlgraph-nb", "--urgency=normal", "--", text, body]
    assert notify_send.read_text() == f"{expected!r}\n"
    outcome = queue.test("desk", fired_alert(message="it fails")).result(20)
    assert "Cannot autolaunch D-Bus without X11" in outcome.error


def test_queue_apprise_reaches_an_ntfy_server(outbox: MemoryOutbox, start: StartQueue) -> None:
    """Through the real library in its child process."""
    with alert_receiver("ok") as receiver:
        url = f"ntfy://127.0.0.1:{receiver.port}/agents-4711"
        queue = start({"phone": {"type": "apprise", "url": url}})
        outbox.add("phone", message="@everyone <b>waits</b>", severity="critical")
        queue.submit()
        wait_until(lambda: outbox.done or outbox.errors, "the alert")
    assert outbox.done == [1]
    message = receiver.requests[0].json()
    assert message["topic"] == "agents-4711"
    assert "waits" in message["title"]
    assert "@everyone" not in message["title"]
    assert "Critical · claude · shop" in message["message"]


def test_queue_apprise_sends_mail(outbox: MemoryOutbox, start: StartQueue) -> None:
    """Text with markup stays text in the HTML that apprise makes of it."""
    with mail_receiver() as receiver:
        url = f"mailto://127.0.0.1:{receiver.port}?mode=insecure&from=hg@example.org&to=a@b.org"
        queue = start({"mail": {"type": "apprise", "url": url}})
        outbox.add("mail", message="api <b>waits</b> for you", project="<i>shop</i>")
        queue.submit()
        wait_until(lambda: outbox.done or outbox.errors, "the mail")
    assert outbox.done == [1], outbox.errors
    mail = email.message_from_string(receiver.text, policy=email.policy.default)
    assert mail["To"].addresses[0].addr_spec == "a@b.org"
    assert mail["Subject"] == "api <b>waits</b> for you"
    html = mail.get_body(("html",))
    if html is not None:
        assert "<i>shop" not in html.get_content()
    assert "shop" in receiver.text or "c2hvc" in receiver.text


def test_queue_apprise_reports_failures_without_the_address(
    outbox: MemoryOutbox, start: StartQueue
) -> None:
    """A failed address is sent again, the others are not."""
    clock = RunningClock()
    with alert_receiver("ok") as good, alert_receiver("status:500", "ok") as bad:
        urls = [
            f"ntfy://127.0.0.1:{good.port}/good-4711",
            f"ntfy://127.0.0.1:{bad.port}/bad-4711",
        ]
        queue = start({"phone": {"type": "apprise", "url": urls}}, clock=clock)
        outbox.add("phone")
        queue.submit()
        wait_until(lambda: outbox.done, "the alert")
    assert len(good.requests) == 1
    assert len(bad.requests) == 2
    ((_, error, _),) = outbox.errors
    assert error.startswith("apprise: ")
    assert "4711" not in error
    assert str(bad.port) not in error


def test_queue_apprise_that_hangs_is_killed(outbox: MemoryOutbox, start: StartQueue) -> None:
    """Also if it gets bytes all the time."""
    with alert_receiver("drip-body", "ok") as receiver:
        url = f"ntfy://127.0.0.1:{receiver.port}/agents"
        queue = start({"phone": {"type": "apprise", "url": url, "timeout_s": 5}})
        outbox.add("phone")
        queue.submit()
        wait_until(lambda: outbox.errors, "the failed attempt")
        assert outbox.errors[0][1] == "apprise sent nothing in 5 s"
        wait_until(lambda: outbox.done, "the alert")


def test_queue_apprise_refuses_an_unknown_address(outbox: MemoryOutbox, start: StartQueue) -> None:
    """The error does not show it."""
    queue = start({"phone": {"type": "apprise", "url": "nosuch://tk-4711"}})
    outcome = queue.test("phone", fired_alert()).result(30)
    assert outcome.final
    assert "does not accept the address" in outcome.error
    assert "4711" not in outcome.error
