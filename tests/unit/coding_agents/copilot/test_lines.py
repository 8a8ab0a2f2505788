"""Single lines of Copilot CLI's files are read without their content."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.copilot import lines
from htmlgraph_nb.coding_agents.titles import start_of_prompt


def test_may_have_events_is_true_for_types_that_are_read() -> None:
    """Other lines are not parsed."""
    assert all(lines.may_have_events(f'{{"type":"{name}"}}'.encode()) for name in lines.TYPES)
    assert not lines.may_have_events(b'{"type":"system.message","data":{}}')


def test_tool_name_is_that_of_hooks() -> None:
    """A tool that has no other name in hooks keeps its own."""
    assert lines.tool_name({"toolName": "bash"}) == "Bash"
    assert lines.tool_name({"toolName": "read_agent"}) == "read_agent"
    assert lines.tool_name({}) is None


def test_child_agent_id_of_a_call_is_that_of_its_session_only() -> None:
    """Calls of several sessions can have the same id; ids of newer versions are unique."""
    assert lines.child_agent_id("a", "call_1") != lines.child_agent_id("b", "call_1")
    unique = "5f3c1b2a-0000-4000-8000-000000000001"
    assert lines.child_agent_id("a", unique) == lines.child_agent_id("b", unique)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("name: Fix it\nuser_named: false", {"name": "Fix it", "user_named": "false"}),
        ('name: "a: \\"b\\""', {"name": 'a: "b"'}),
        ("name: 'it''s'", {"name": "it's"}),
        ("name: |-\n  two\n  lines", {}),
        ('name: "half', {}),
        ("name: 'half", {}),
        ("", {}),
    ],
)
def test_workspace_values_are_those_of_one_line(text: str, values: dict[str, str]) -> None:
    """Values that span several lines are left out."""
    assert lines.workspace_values(text.encode()) == values


def test_title_of_keeps_the_name_of_a_person() -> None:
    """One that is a part of the prompt is left out unless a person has chosen it."""
    prompt = start_of_prompt("Please fix  the shop\nnow")
    own = {"name": "fix the shop", "user_named": "true"}
    assert lines.title_of(own, prompt) == ("fix the shop", True)
    assert lines.title_of({**own, "user_named": "false"}, prompt) == (None, False)
    assert lines.title_of({"name": "Shop repair"}, prompt) == ("Shop repair", False)


def test_error_kind_is_found_by_type_or_status() -> None:
    """The type is a keyword of the format."""
    assert lines.error_kind({"errorType": "quota"}) == ("quota", "usage_limited")
    assert lines.error_kind({"errorType": "query", "statusCode": 429}) == ("query", "rate_limited")
    assert lines.error_kind({}) == (None, None)
