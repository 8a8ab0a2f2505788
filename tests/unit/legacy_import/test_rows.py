"""Rows of the older project's database convert to events; broken rows raise InvalidEvent only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.legacy_import.resources import resources_from_row
from htmlgraph_nb.legacy_import.rows import (
    events_from_presence,
    events_from_row,
    events_from_session,
)
from htmlgraph_nb.legacy_import.tail import project_of
from tests.helpers.claude_lines import CALL
from tests.helpers.strategies import json_values

SESSION = "7d0a9f52-4c11-4b8e-9b0e-0c1d2e3f4a5b"
AT = datetime(2025, 1, 14, 14, 50, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local time zone to five hours behind UTC."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def row(**columns: Any) -> dict[str, Any]:
    """Return a row of agent_events as the hooks write it."""
    common = {
        "event_id": "evt-1",
        "agent_id": "claude-code",
        "event_type": "tool_call",
        "timestamp": "2025-01-14 14:50:30",
        "session_id": SESSION,
        "status": "recorded",
        "cost_tokens": 0,
        "execution_duration_seconds": 0.0,
        "updated_at": "2025-01-14 14:50:30",
    }
    return {**common, **columns}


def summaries(**columns: Any) -> list[tuple[Any, ...]]:
    """Return type, tool and outcome of the events of a row."""
    return [
        (event.event_type, event.tool_name, event.status)
        for event in events_from_row(row(**columns))
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"tool_name": "Bash"}, [("tool_execute", "Bash", "ok")]),
        ({"tool_name": "Bash", "status": "completed"}, [("tool_execute", "Bash", "ok")]),
        ({"tool_name": "Bash", "status": "started"}, [("tool_start", "Bash", None)]),
        ({"tool_name": "Bash", "status": "failed"}, [("tool_error", "Bash", "error")]),
        ({"tool_name": "Bash", "context": '{"is_error": true}'}, [("tool_error", "Bash", "error")]),
        ({"tool_name": "Bash", "context": "{"}, [("tool_execute", "Bash", "ok")]),
        ({"tool_name": "Bash", "event_type": "tool_result"}, [("tool_execute", "Bash", "ok")]),
        ({"tool_name": "Bash", "event_type": "error"}, [("tool_error", "Bash", "error")]),
        ({"event_type": "error"}, [("error", None, None)]),
        (
            {"tool_name": "Bash", "event_type": None, "success": 0},
            [("tool_error", "Bash", "error")],
        ),
        ({"tool_name": "UserQuery", "agent_id": "user"}, [("prompt", None, None)]),
        ({"tool_name": "UserQuery", "event_type": "user_query"}, [("prompt", None, None)]),
        ({"tool_name": "Stop"}, [("stop", None, None)]),
        (
            {
                "tool_name": "PermissionRequest",
                "event_type": "check_point",
                "context": '{"requested_tool": "Edit"}',
            },
            [("permission_request", "Edit", None)],
        ),
        (
            {"tool_name": "SessionResume", "event_type": "check_point"},
            [("session_start", None, None)],
        ),
        ({"tool_name": "PreCompact", "event_type": "check_point"}, [("activity", None, None)]),
        ({"tool_name": "InstructionsLoaded", "event_type": "check_point"}, []),
        ({"tool_name": "TeammateIdle"}, []),
        ({"event_type": "teammate_idle"}, []),
        ({"tool_name": "SDK.create", "cost_tokens": 50}, [("activity", None, None)]),
        ({"tool_name": "HeadlessSpawner.executing"}, [("activity", None, None)]),
        (
            {"tool_name": "Task", "event_type": "task_delegation", "status": "started"},
            [("subagent_start", None, None)],
        ),
        (
            {"tool_name": "Task", "event_type": "task_delegation", "status": "completed"},
            [("subagent_start", None, None), ("subagent_stop", None, None)],
        ),
        (
            {"tool_name": "TaskCompleted", "event_type": "task_completed"},
            [("subagent_stop", None, None)],
        ),
        ({"event_type": "completion", "cost_tokens": 7}, [("completion", None, None)]),
        ({"event_type": "start"}, [("session_start", None, None)]),
        ({"event_type": "end"}, [("session_end", None, None)]),
        ({"event_type": "something"}, [("activity", None, None)]),
    ],
)
def test_events_from_row_types(columns: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    """Only tools count as tools, although the older project counts other rows, too."""
    assert summaries(**columns) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-14 14:50:30", AT),
        ("2025-01-14T09:50:30", AT),
        ("2025-01-14T14:50:30.000000+00:00", AT),
        ("2025-01-14T14:50:30Z", AT),
        ("2025-01-14 09:50:30-05:00", AT),
    ],
)
def test_events_from_row_timestamp_formats(text: str, expected: datetime) -> None:
    """SQLite's format is UTC; Python's format without an offset is local time."""
    (event,) = events_from_row(row(tool_name="Read", timestamp=text))
    assert event.timestamp == expected


@pytest.mark.parametrize(
    ("name", "assigned", "expected"),
    [
        ("claude-code", None, "claude-7d0a9f52"),
        ("claude", None, "claude-7d0a9f52"),
        ("user", "gemini", "gemini-7d0a9f52"),
        ("user", None, "claude-7d0a9f52"),
        ("system", None, "claude-7d0a9f52"),
        (None, "codex", "codex-7d0a9f52"),
        (None, None, "claude-7d0a9f52"),
        ("docs-writer", "claude-code", "docs-writer"),
    ],
)
def test_events_from_row_agent_ids(name: str | None, assigned: str | None, expected: str) -> None:
    """Each session of a program is an agent, with the id that its hooks assign."""
    (event,) = events_from_row(row(tool_name="Read", agent_id=name, agent_assigned=assigned))
    assert (event.agent_id, event.session_id) == (expected, SESSION)


def test_events_from_row_parent_of_subagent() -> None:
    """The agent of a session that another session started is its child."""
    columns = {"session_id": f"{SESSION}-explorer", "parent_session_id": SESSION}
    (event,) = events_from_row(row(tool_name="Grep", **columns))
    assert event.parent_agent_id == "claude-7d0a9f52"
    assert event.agent_id == f"claude-{SESSION}-explorer"


def test_events_from_row_fields() -> None:
    """Model, feature, duration, and the call id that hooks and session files use."""
    (event,) = events_from_row(
        row(
            tool_name="Edit",
            model="Opus 4.6",
            feature_id="feat-1",
            execution_duration_seconds=1.25,
            claude_task_id=CALL,
            cost_tokens=12,
        ),
        project="shop",
    )
    assert (event.model, event.feature_id, event.project) == ("claude-opus-4-6", "feat-1", "shop")
    assert (event.duration_ms, event.cost_tokens) == (1250, 12)
    assert (event.event_id, event.tool_use_id) == (f"{CALL}:PostToolUse", CALL)


def test_events_from_row_delegation_and_marker_share_stop_id() -> None:
    """The delegation row and its end marker report the same stop event."""
    _, stop = events_from_row(row(event_type="task_delegation", status="completed"))
    (marker,) = events_from_row(
        row(event_id="evt-2", event_type="task_completed", parent_event_id="evt-1")
    )
    assert stop.event_id == marker.event_id
    assert stop.tool_use_id == marker.tool_use_id


def test_events_from_session_old_and_new_columns() -> None:
    """Both sets of columns are read; the end only if there is one."""
    new = {"session_id": SESSION, "agent_assigned": "claude-code"}
    (start,) = events_from_session({**new, "created_at": "2025-01-14 14:50:30"})
    assert (start.event_type, start.timestamp) == ("session_start", AT)
    old = {"session_id": SESSION, "agent": "gemini", "started_at": "2025-01-14T09:50:30"}
    start, end = events_from_session({**old, "ended_at": "2025-01-14T09:51:30"})
    assert (start.timestamp, end.event_type) == (AT, "session_end")
    assert end.agent_id == "gemini-7d0a9f52"
    assert events_from_session(new) == []


def test_events_from_presence_activity_and_offline_mark() -> None:
    """The last activity is in local time and no tool call; an offline mark is an event."""
    presence = {
        "agent_id": "docs-writer",
        "last_activity": "2025-01-14T09:50:30",
        "status": "active",
    }
    (event,) = events_from_presence(
        {**presence, "total_tools_executed": 9, "last_tool_name": "Stop"}
    )
    assert (event.event_type, event.timestamp, event.tool_name) == ("activity", AT, None)
    marked = {**presence, "status": "offline", "updated_at": "2025-01-14T09:51:30"}
    events = events_from_presence(marked)
    assert [event.event_type for event in events] == ["activity", "offline"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("todo", "todo"),
        ("in-progress", "in_progress"),
        ("active", "in_progress"),
        ("blocked", "blocked"),
        ("done", "done"),
        ("ended", "done"),
        ("stale", None),
    ],
)
def test_resources_from_row_status_and_event_id(status: str, expected: str | None) -> None:
    """The status is converted; the event id changes with the state and only then."""
    columns = {"id": "feat-1", "type": "feature", "title": "Checkout", "status": status}
    columns["updated_at"] = "2025-01-14 14:50:30"
    (feature,) = resources_from_row(columns, "feature", "claude-1")
    assert feature.status == expected
    assert feature.payload["status"] == (expected or status)
    assert (feature.event.feature_id, feature.event.timestamp) == ("feat-1", AT)
    assert resources_from_row(columns, "feature")[0].event.event_id == feature.event.event_id
    (other,) = resources_from_row({**columns, "title": "x"}, "feature")
    assert other.event.event_id != feature.event.event_id
    (spike,) = resources_from_row({**columns, "type": "spike"}, "feature")
    assert spike.event.event_type == "spike_updated"


@pytest.mark.parametrize(
    ("path", "project"),
    [
        ("/home/user/shop/.htmlgraph/htmlgraph.db", "shop"),
        ("C:\\code\\shop\\.htmlgraph\\htmlgraph.db", "shop"),
        ("/home/user/copy.db", None),
        ("htmlgraph.db", None),
    ],
)
def test_project_of_is_folder_above_htmlgraph(path: str, project: str | None) -> None:
    """The project is named by the folder that contains the ``.htmlgraph`` folder."""
    assert project_of(path) == project


columns = st.dictionaries(
    st.sampled_from(
        "event_id agent_id event_type timestamp tool_name context session_id feature_id status "
        "parent_agent_id parent_event_id subagent_type cost_tokens execution_duration_seconds "
        "model claude_task_id updated_at success agent_assigned session_model parent_session_id "
        "created_at started_at completed_at ended_at last_activity id type title priority".split()
    ),
    json_values
    | st.binary(max_size=5)
    | st.sampled_from(
        ["2025-01-14 14:50:30", "2025-01-14T14:50:30", "Stop", "Task", "task_delegation", "error"]
    ),
)


@given(columns | columns.map(lambda values: {**row(), **values}))
def test_rows_with_any_values_raise_only_invalid_event(values: dict[str, Any]) -> None:
    """Any column values give valid events or InvalidEvent, deterministically."""
    for convert in (events_from_row, events_from_session, events_from_presence):
        assert _events(convert, values) == _events(convert, values)
    for kind in ("feature", "track"):
        _events(lambda row, kind=kind: [r.event for r in resources_from_row(row, kind)], values)


def _events(convert: Any, values: dict[str, Any]) -> list[Event]:
    try:
        events: list[Event] = convert(values)
    except InvalidEvent:
        return []
    for event in events:
        event.checked()
        assert event.event_id
    return events


@given(st.permutations(range(6)), st.lists(st.integers(0, 50), min_size=6, max_size=6))
def test_events_from_row_ids_deduplicate_repeated_rows(order: list[int], tokens: list[int]) -> None:
    """Rows in any order and twice: each token is counted once."""
    rows = [
        row(event_id=f"evt-{index}", tool_name="Read", cost_tokens=n)
        for index, n in enumerate(tokens)
    ]
    events = [event for index in [*order, *order] for event in events_from_row(rows[index])]
    assert sum({event.event_id: event.total_tokens for event in events}.values()) == sum(tokens)
