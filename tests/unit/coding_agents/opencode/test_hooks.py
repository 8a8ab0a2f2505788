"""What the plugin reports to events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from htmlgraph_nb.coding_agents.opencode.hooks import events_from_hook
from htmlgraph_nb.coding_agents.opencode.settings import SETTINGS
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.errors import InvalidEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def report(hook: str, **fields: Any) -> Event:
    """Return the event of one report."""
    payload = {"hook_event_name": hook, "session_id": "ses_1", **fields}
    (event,) = events_from_hook(payload, received_at=NOW)
    return event


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("session.created", "session_start"),
        ("session.prompt", "prompt"),
        ("session.idle", "stop"),
        ("session.error", "error"),
        ("session.retry", "retry"),
        ("session.deleted", "session_end"),
        ("permission.asked", "permission_request"),
        ("permission.replied", "answered"),
        ("question.asked", "notification"),
        ("question.replied", "answered"),
        ("question.rejected", "answered"),
    ],
)
def test_events_from_hook_types(hook: str, expected: str) -> None:
    """Each event that the plugin forwards has a type."""
    assert hook in SETTINGS.events
    assert report(hook).event_type == expected
    assert report(hook).agent_id == "opencode-ses_1"


def test_events_from_hook_permission_waits_until_the_reply() -> None:
    """A pending permission is in no table, so only the plugin reports it."""
    roster = Roster()
    asked = report("permission.asked", tool_name="bash")
    shown = roster.apply(asked, 1, NOW).presence
    assert shown is not None
    assert (shown.attention, shown.reason) == (True, "waits for permission to use bash")
    shown = roster.apply(report("permission.replied", reply="reject"), 2, NOW).presence
    assert shown is not None
    assert not shown.attention


def test_events_from_hook_question_waits() -> None:
    """A question is an input that a person gives."""
    shown = Roster().apply(report("question.asked"), 1, NOW).presence
    assert shown is not None
    assert shown.detail == "waiting_input"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"error": "ProviderAuthError"}, {"cannot_work": "signed_out"}),
        ({"error": "APIError", "status": 429}, {"cannot_work": "rate_limited"}),
        ({"error": "UnknownError"}, None),
        ({}, None),
    ],
)
def test_events_from_hook_error_says_why(fields: dict[str, Any], expected: object) -> None:
    """By the name of the error, or its HTTP status."""
    assert report("session.error", **fields).extra == expected


def test_events_from_hook_abort_is_an_interrupt() -> None:
    """OpenCode reports it as an error."""
    assert report("session.error", error="MessageAbortedError").event_type == "interrupt"


def test_events_from_hook_subagent_is_one_of_the_main_session() -> None:
    """The plugin names the main session and the subagent's own."""
    event = report("permission.asked", agent_id="ses_2", tool_name="edit")
    assert (event.agent_id, event.parent_agent_id) == ("opencode-ses_2", "opencode-ses_1")
    assert event.session_id == "ses_1"


def test_events_from_hook_retry_keeps_reason_and_time() -> None:
    """No text of the error is kept."""
    until = "2026-01-01T00:00:30.000Z"
    event = report("session.retry", cannot_work="rate_limited", attempt=2, until=until, message="x")
    assert event.extra == {"cannot_work": "rate_limited", "attempt": 2, "until": until}


@pytest.mark.parametrize("payload", [[], {"hook_event_name": 1}, {"session_id": "s"}])
def test_events_from_hook_rejects_other_values(payload: Any) -> None:
    """The error names what is missing."""
    with pytest.raises(InvalidEvent):
        events_from_hook(payload, received_at=NOW)
