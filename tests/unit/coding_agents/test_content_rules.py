"""What is kept of texts before they are dropped."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.content_rules import (
    ends_with_question,
    is_at_rest,
    is_question,
    question_extra,
    tool_failed,
    was_interrupted,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Which one?", True),
        ("**Which one?**\n", True),
        ("\u54ea\u4e2a\uff1f", True),
        ("Done. Was it hard? No.", False),
        ("", False),
        (None, False),
    ],
)
def test_is_question(text: object, expected: bool) -> None:
    """The last character counts, apart from white space and markup."""
    assert is_question(text) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"ends_with_question": True}, True),
        ({"last_assistant_message": "Why?"}, True),
        ({"prompt_response": "Why?"}, True),
        ({"ends_with_question": "yes"}, False),
        ({}, False),
    ],
)
def test_ends_with_question(payload: dict[str, Any], expected: bool) -> None:
    """Either the response itself or the flag that htmlgraph-hook sends instead."""
    assert ends_with_question(payload) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"is_interrupt": True}, True),
        ({"error": "Exit code 137\n[Request interrupted by user for tool use]"}, True),
        ({"error": "grep: '[Request interrupted by user for tool use]'"}, False),
        ({"error": ["x"]}, False),
    ],
)
def test_was_interrupted(payload: dict[str, Any], expected: bool) -> None:
    """The mark must be a line of its own."""
    assert was_interrupted(payload) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"is_error": True}, True),
        ({"tool_response": {"error": "x"}}, True),
        ({"tool_response": {"error": ""}}, False),
        ({"tool_response": "error"}, False),
    ],
)
def test_tool_failed(payload: dict[str, Any], expected: bool) -> None:
    """Either the result itself or the flag that htmlgraph-hook sends instead."""
    assert tool_failed(payload) is expected


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"status": "completed"}, True),
        ({"status": "running"}, False),
        ({"status": "running", "type": "teammate"}, True),
        ("completed", False),
    ],
)
def test_is_at_rest(task: object, expected: bool) -> None:
    """Ended tasks and teammates are at rest."""
    assert is_at_rest(task) is expected


def test_question_extra() -> None:
    """Only tools of the table wait for the user."""
    assert question_extra("ask", {"ask": "input"}) == {"asks": "input"}
    assert question_extra("Bash", {"ask": "input"}) is None
    assert question_extra(None, {"ask": "input"}) is None
