"""Copilot CLI's hooks report the right events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.copilot import CopilotCli
from htmlgraph_nb.coding_agents.copilot.hooks import HOOK_FORMAT, events_from_hook
from htmlgraph_nb.core.model import Event
from tests.helpers.hook_inputs import NOW
from tests.helpers.strategies import hostile_values

SESSION = "7c1de1aa-2f60-4b8c-b1e3-0a4d5e6f7a8b"
CHILD = "5f3c1b2a-0000-4000-8000-000000000001"


def report(hook: str, **fields: Any) -> list[Event]:
    """Return the events of one hook."""
    common = {"session_id": SESSION, "cwd": "/srv/shop", "hook_event_name": hook}
    return events_from_hook({**common, **fields}, received_at=NOW)


@pytest.mark.parametrize(
    ("hook", "fields", "expected"),
    [
        ("SessionStart", {"source": "new"}, ["session_start"]),
        ("UserPromptSubmit", {}, ["prompt"]),
        ("PreToolUse", {"tool_name": "Bash"}, ["tool_start"]),
        ("PostToolUse", {"tool_name": "Bash"}, ["tool_execute"]),
        ("PostToolUseFailure", {"tool_name": "Read"}, ["tool_error"]),
        ("Stop", {}, ["stop"]),
        ("SubagentStop", {"agent_id": CHILD}, ["subagent_stop", "session_end"]),
        ("SessionEnd", {"reason": "user_exit"}, ["session_end"]),
        ("PreCompact", {"trigger": "auto"}, ["activity"]),
        ("PermissionRequest", {"tool_name": "Bash"}, []),
        ("ErrorOccurred", {}, []),
        ("SomethingNew", {}, ["activity"]),
    ],
)
def test_hooks_report_events(hook: str, fields: dict[str, Any], expected: list[str]) -> None:
    """Hooks that also run for what needs no person are no events."""
    assert [event.event_type for event in report(hook, **fields)] == expected
    assert HOOK_FORMAT.source == CopilotCli().hook_source


def test_hooks_question_waits_for_the_user() -> None:
    """The tool runs until the question is answered."""
    (event,) = report("PreToolUse", tool_name="AskUserQuestion")
    assert event.extra == {"asks": "input"}


def test_hooks_of_a_subagent_belong_to_the_session() -> None:
    """They name the subagent as their session, and the session as its parent."""
    agent, own = CopilotCli(), {"session_id": CHILD, "agent_id": CHILD}
    assert agent.hook_session({**own, "parent_agent_id": SESSION}) == SESSION
    path = f"/home/user/.copilot/session-state/{SESSION}/events.jsonl"
    assert agent.hook_session({**own, "parent_agent_id": "x", "transcript_path": path}) == SESSION
    assert agent.hook_session({"session_id": SESSION}) is None
    (event,) = report("PreToolUse", tool_name="Bash", agent_id=CHILD)
    assert (event.agent_id, event.parent_agent_id) == ("copilot-5f3c1b2a", "copilot-7c1de1aa")


names = st.sampled_from("tool_name tool_use_id agent_id agent_type source reason cwd model".split())


@given(st.sampled_from(sorted(HOOK_FORMAT.types)), st.dictionaries(names, hostile_values(CHILD)))
def test_hooks_hostile_inputs_give_valid_events(hook: str, fields: dict[str, Any]) -> None:
    """Whatever the values are, each event is valid."""
    for event in report(hook, **fields):
        event.checked()
    CopilotCli().hook_session(fields)
