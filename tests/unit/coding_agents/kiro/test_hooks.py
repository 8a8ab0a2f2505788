"""Kiro CLI's hooks report the right events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.kiro import KiroCli
from htmlgraph_nb.coding_agents.kiro.constants import AGENT_CONFIG_OPTION
from htmlgraph_nb.coding_agents.kiro.hooks import HOOK_FORMAT, events_from_hook
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.hook_inputs import NOW
from tests.helpers.strategies import hostile_values

SESSION = "c186a259-e55f-4572-abc7-bd3697cfcfb1"
WORKSPACE_SESSION = "sess_5e748cf0-2069-4448-b1f7-35a1e42ad9b3"


def report(hook: object, **fields: Any) -> list[Event]:
    """Return the events of one hook."""
    common = {"session_id": SESSION, "cwd": "/srv/shop", "hook_event_name": hook}
    return events_from_hook({**common, **fields}, received_at=NOW)


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("agentSpawn", []),
        ("userPromptSubmit", ["prompt"]),
        ("preToolUse", ["tool_start"]),
        ("postToolUse", ["tool_execute"]),
        ("stop", ["stop"]),
        ("SessionStart", ["session_start"]),
        ("UserPromptSubmit", ["prompt"]),
        ("PreToolUse", ["tool_start"]),
        ("PostToolUse", ["tool_execute"]),
        ("Stop", ["stop"]),
        ("PostFileSave", []),
        ("somethingNew", ["activity"]),
    ],
)
def test_hooks_report_events(hook: str, expected: list[str]) -> None:
    """Both versions report the same events; agentSpawn also runs for prompts."""
    events = report(hook, tool_name="shell")
    assert [event.event_type for event in events] == expected
    assert {event.agent_id for event in events} <= {"kiro-c186a259"}
    assert HOOK_FORMAT.source == KiroCli().hook_source


@pytest.mark.parametrize(("name", "expected"), [("execute_bash", "shell"), ("shell", "shell")])
def test_hooks_name_tools_as_session_files_do(name: str, expected: str) -> None:
    """Calls have no ids, so a call of two sources is recognized by the name of its tool."""
    assert [event.tool_name for event in report("preToolUse", tool_name=name)] == [expected]


def test_hooks_keep_the_id_of_a_workspace_session() -> None:
    """It is the name of the folder of its session file."""
    (event,) = report("Stop", session_id=WORKSPACE_SESSION)
    path = f"/home/user/.kiro/sessions/w/{WORKSPACE_SESSION}/messages.jsonl"
    reader = KiroCli().session_reader(path)
    line = b'{"id":"1","timestamp":"2026-09-01T11:00:01Z","payload":{"type":"user","content":""}}'
    assert {each.agent_id for each in reader.feed(line)} == {event.agent_id}


def test_hooks_without_a_session_are_left_out() -> None:
    """Another session of the folder would be the wrong agent."""
    agent = KiroCli()
    assert agent.leaves_out_hook({"hook_event_name": "agentSpawn", "prompt": "x"}, [])
    assert not agent.leaves_out_hook({"session_id": SESSION}, [])


def test_hooks_of_agent_configs_are_left_out_in_version_3() -> None:
    """It runs the hook of its own file as well."""
    agent, options = KiroCli(), [AGENT_CONFIG_OPTION]
    assert agent.leaves_out_hook({"session_id": WORKSPACE_SESSION}, options)
    assert not agent.leaves_out_hook({"session_id": WORKSPACE_SESSION}, [])
    assert not agent.leaves_out_hook({"session_id": SESSION}, options)


def test_hooks_invalid_input_is_named() -> None:
    """The error says what is wrong."""
    with pytest.raises(InvalidEvent, match="expected an object, got 7"):
        events_from_hook(7, received_at=NOW)  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="hook_event_name"):
        report(7)


names = st.sampled_from("tool_name tool_use_id agent_id agent_type cwd model prompt".split())
hooks = st.sampled_from(["userPromptSubmit", "preToolUse", "postToolUse", "stop", "Stop"])


@given(hooks, st.dictionaries(names, hostile_values(SESSION)))
def test_hooks_hostile_inputs_give_valid_events(hook: str, fields: dict[str, Any]) -> None:
    """Whatever the values are, each event is valid."""
    for event in report(hook, **fields):
        event.checked()
