"""Texts of notifications."""

from __future__ import annotations

from htmlgraph_server.alerts.delivery.alert_text import (
    MAX_TITLE,
    alert_body,
    alert_title,
    plain,
    visible,
)
from tests.helpers.alert_receiver import fired_alert


def test_alert_title_is_the_message() -> None:
    """A resolved alert says so."""
    assert alert_title(fired_alert()) == "api waits for you since 30 s."
    resolved = alert_title(fired_alert(state="resolved"))
    assert resolved == "Resolved: api waits for you since 30 s."
    assert len(alert_title(fired_alert(message="x" * 999, state="resolved"))) == MAX_TITLE


def test_alert_body_says_where() -> None:
    """Only what is known, and whether it may be a repetition."""
    assert alert_body(fired_alert()) == "Warning · claude · shop · main · box"
    text = alert_body(fired_alert(project=None, branch=None, repeat=True))
    assert text == "Warning · claude · box\nThis may have been sent before."


def test_visible_removes_what_cannot_be_seen() -> None:
    """Control characters, changes of direction and invisible characters."""
    assert visible("a\x1b[31m\nb\u202ec\u200bd", 40) == "a [31m b c d"
    assert visible(None, 40) == ""
    assert visible("abcdef", 4) == "abc…"


def test_plain_contains_no_mention() -> None:
    """A name such as @everyone notifies nobody."""
    assert "@everyone" not in plain("@everyone and user@host")
