"""ConnectionState and the delay before a reconnect."""

from __future__ import annotations

import socket

import pytest

from htmlgraph_nb.client.connection_state import (
    ConnectionState,
    Disconnect,
    connect_error_text,
    parse_error_body,
    reconnect_delay,
)
from htmlgraph_nb.core.validation import parse_time


def test_reconnect_delay_starts_at_three_seconds_and_grows():
    """After a close 3 s; then within the limits of each attempt, and never above 30 s."""
    lost = Disconnect("connection lost", established=True)
    assert reconnect_delay(lost, 0, 0.0) == reconnect_delay(lost, 0, 0.999) == 3.0
    shortest = [reconnect_delay(lost, attempt, 0.0) for attempt in range(6)]
    longest = [reconnect_delay(lost, attempt, 1.0) for attempt in range(6)]
    assert shortest == [3.0, 4.5, 7.5, 13.5, 16.5, 16.5]
    assert longest == [3.0, 6.0, 12.0, 24.0, 30.0, 30.0]
    assert reconnect_delay(lost, 10**6, 1.0) == 30.0


@pytest.mark.parametrize(
    ("ended", "delay_s"),
    [
        (Disconnect("limit", code=1008), 30.0),
        (Disconnect("limit", established=True, code=1008), 30.0),
        (Disconnect("token", status=401), 30.0),
        (Disconnect("token", status=403), 30.0),
        (Disconnect("bad cursor", code=4400), None),
        (Disconnect("bye", established=True, code=1001), 3.0),
        (Disconnect("stalled", established=True, code=4408), 3.0),
        (Disconnect("other program", status=404), 3.0),
    ],
)
def test_reconnect_delay_depends_on_the_close_code(ended, delay_s):
    """Long after a refusal, none after a wrong parameter, short otherwise."""
    assert reconnect_delay(ended, 0, 0.5) == delay_s


def test_connection_state_to_dict():
    """The front end gets state, the time since when the data are stale, and the details."""
    since = parse_time("2025-01-14T14:50:30Z")
    assert ConnectionState("reconnecting", since, "lost").to_dict() == {
        "state": "reconnecting",
        "staleSince": "2025-01-14T14:50:30.000000Z",
        "detail": "lost",
    }
    assert ConnectionState().to_dict() == {"state": "connecting", "staleSince": None, "detail": ""}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "refused"), "connection refused"),
        (socket.gaierror(-2, "unknown"), "unknown host name"),
        (TimeoutError(), "timed out after 5 s"),
        (OSError("no route"), "OSError: no route"),
    ],
)
def test_connect_error_text_is_short(error, text):
    """The usual errors in a few words, others with their type."""
    assert connect_error_text(error, 5.0) == text


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"text"}', b'{"error":{}}'])
def test_parse_error_body_of_another_program_is_empty(body):
    """Only the project's error form is parsed."""
    assert parse_error_body(body) == (None, "")
