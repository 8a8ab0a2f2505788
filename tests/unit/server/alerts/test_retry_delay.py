"""When a failed delivery is repeated."""

from __future__ import annotations

from datetime import timedelta

import pytest

from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_server.alerts.delivery.outcome import Outcome
from htmlgraph_server.alerts.delivery.retry_delay import (
    LONGEST_DELAY_S,
    gives_up,
    outcome_of_status,
    parse_retry_after,
    retry_delay,
)
from tests.helpers.alert_receiver import NOW, fired_alert


def test_retry_delay_doubles_with_jitter() -> None:
    """From 1 s to the longest delay; at random up to half of it less."""
    assert [retry_delay(n, 0.0) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert retry_delay(1, 0.999) == pytest.approx(0.5, abs=0.01)
    assert retry_delay(10_000, 0.0) == LONGEST_DELAY_S


def test_retry_delay_respects_the_receiver() -> None:
    """At least what it asks for, but at most an hour."""
    assert retry_delay(1, 0.0, 30.0) == 30.0
    assert retry_delay(5, 0.0, 2.0) == 16.0
    assert retry_delay(1, 0.0, 1e9) == 3_600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("Mon, 30 Nov 2026 12:00:10 GMT", 10.0),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        ("99999999999", None),
        ("Mon, 30 Nov 99999 12:00:10 GMT", None),
    ],
)
def test_parse_retry_after(text: str, seconds: float | None) -> None:
    """Seconds or a date; anything else is ignored."""
    assert parse_retry_after(text, NOW) == seconds


def test_outcome_of_status() -> None:
    """Overload and faults of the receiver are repeated, refusals are not."""
    for status in (200, 202, 204):
        assert outcome_of_status(status, {}, NOW) == Outcome()
    for status in (408, 425, 429, 500, 503, 599):
        assert not outcome_of_status(status, {}, NOW).final
    for status in (301, 400, 401, 404, 410):
        assert outcome_of_status(status, {}, NOW).final
    assert outcome_of_status(429, {"Retry-After": "7"}, NOW).retry_after_s == 7.0
    assert outcome_of_status(404, {"Retry-After": "7"}, NOW).retry_after_s is None


def test_gives_up_after_a_day() -> None:
    """Or at once, if no attempt can succeed."""
    delivery = Delivery(1, fired_alert(), "hook", 3, NOW)
    assert not gives_up(delivery, Outcome("x"), NOW + timedelta(hours=23))
    assert gives_up(delivery, Outcome("x"), NOW + timedelta(hours=25))
    assert gives_up(delivery, Outcome("x", final=True), NOW)
