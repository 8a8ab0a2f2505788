"""Tool calls in the messages of Jupyter AI's chats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from htmlgraph_server.jupyter.persona_calls import MAX_CALLS, CallSteps, ShownCall, calls_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = [
    {"option_id": "yes", "name": "Allow", "kind": "allow_once"},
    {"option_id": "no", "name": "Reject", "kind": "reject_once"},
]


def record(**fields: Any) -> dict[str, Any]:
    """Return a tool call as Jupyter AI keeps it in the metadata of a message."""
    call = {"tool_call_id": "call-1", "title": "rm -rf /", "kind": "execute", **fields}
    return {"tool_calls": [call]}


def names(steps: CallSteps, *records: dict[str, Any]) -> list[str]:
    """Return the names of the steps that these records add."""
    return [step.step for one in records for step in steps.update(calls_of(one), NOW)]


@pytest.mark.parametrize(
    ("fields", "call"),
    [
        ({}, ShownCall("call-1", "execute")),
        ({"status": "in_progress"}, ShownCall("call-1", "execute")),
        ({"status": "completed"}, ShownCall("call-1", "execute", True)),
        ({"status": "failed"}, ShownCall("call-1", "execute", False)),
        ({"kind": "a sentence with text"}, ShownCall("call-1")),
        ({"permission_status": "pending"}, ShownCall("call-1", "execute", None, "pending")),
        (
            {
                "permission_status": "resolved",
                "selected_option_id": "yes",
                "permission_options": OPTIONS,
            },
            ShownCall("call-1", "execute", None, "resolved", True),
        ),
        (
            {"permission_status": "resolved", "selected_option_id": "no"},
            ShownCall("call-1", "execute", None, "resolved"),
        ),
        ({"permission_status": "resolved"}, ShownCall("call-1", "execute", None, "resolved")),
    ],
)
def test_calls_of_reads_status_and_permission(fields: dict[str, Any], call: ShownCall) -> None:
    """Titles, inputs and results are not read."""
    assert calls_of(record(**fields)) == [call]


@pytest.mark.parametrize(
    "metadata",
    [None, "x", {}, {"tool_calls": "x"}, {"tool_calls": [1, {}, {"tool_call_id": 3}]}],
)
def test_calls_of_skips_other_metadata(metadata: object) -> None:
    """A message without calls has none."""
    assert calls_of(metadata) == []
    assert len(calls_of({"tool_calls": [{"tool_call_id": "x"}] * 9_999})) == MAX_CALLS


def test_call_steps_follow_a_call_that_is_allowed() -> None:
    """Each step occurs once, however often the message is read."""
    steps = CallSteps()
    asked = {"permission_status": "pending", "permission_options": OPTIONS}
    allowed = {**asked, "permission_status": "resolved", "selected_option_id": "yes"}
    assert names(steps, record(), record()) == ["start"]
    assert names(steps, record(**asked), record(**asked)) == ["ask"]
    assert steps.pending is not None
    assert names(steps, record(**allowed)) == ["allow"]
    assert steps.pending is None
    (end,) = steps.update(
        calls_of(record(**allowed, status="completed")), NOW + timedelta(seconds=2)
    )
    assert (end.step, end.duration_ms) == ("end", 2_000)
    steps.clear()
    start, fail = steps.update(calls_of(record(status="failed")), NOW)
    assert (start.step, fail.step, fail.duration_ms) == ("start", "fail", None)


def test_call_steps_end_a_call_that_is_denied_once() -> None:
    """The agent reports a denied call as failed, which is no failure of the tool."""
    steps = CallSteps()
    denied = {"permission_status": "resolved", "permission_options": OPTIONS}
    assert names(steps, record(permission_status="pending")) == ["start", "ask"]
    assert names(steps, record(**denied, selected_option_id="no")) == ["deny"]
    assert names(steps, record(**denied, selected_option_id="no", status="failed")) == []


def test_call_steps_are_bounded() -> None:
    """Calls beyond the limit of a turn are not followed."""
    steps = CallSteps()
    many = [ShownCall(f"call-{n}") for n in range(MAX_CALLS)]
    assert len(steps.update(many, NOW)) == MAX_CALLS
    assert steps.update([ShownCall("one-more")], NOW) == []
