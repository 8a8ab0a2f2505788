"""What Gemini CLI shows and writes itself is distinguished by its text."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.gemini.messages import (
    calls_tool,
    continues_turn,
    failure_kind,
    first_text,
    is_prompt,
    is_synthetic,
    turn_end_of,
)


@pytest.mark.parametrize(
    ("content", "text"),
    [("a", "a"), ([{"text": "a"}, {"text": "b"}], "a"), ([{"inlineData": 1}], None), (None, None)],
)
def test_first_text_is_that_of_the_first_part(content: Any, text: str | None) -> None:
    """Content is a string or a list of parts."""
    assert first_text(content) == text


@pytest.mark.parametrize(
    ("content", "asks"),
    [("Fix it", True), ("  <session_context>", False), ([{"functionResponse": {}}], False)],
)
def test_is_prompt_asks_the_model(content: Any, asks: bool) -> None:
    """Context and results of tools do not."""
    assert is_prompt(content) is asks


def test_continues_turn_reads_the_start() -> None:
    """The rest of such a message varies."""
    assert continues_turn("System: Potential loop detected. Details: x")
    assert not continues_turn("The system: it hangs")
    assert not continues_turn(None)


@pytest.mark.parametrize(
    ("kind", "text", "end"),
    [
        ("info", "Request cancelled.", "interrupt"),
        ("info", "Request cancelled. Really", None),
        ("error", "Request cancelled.", None),
        ("warning", "A potential loop was detected. x", "stop"),
        ("error", "[API Error: x]", "error"),
        ("info", "[API Error: x]", None),
        ("error", "MCP ERROR (x): fetch failed", None),
        ("error", "You have exhausted your capacity on this model.", "error"),
        ("user", "x", None),
    ],
)
def test_turn_end_of_depends_on_type_and_text(kind: str, text: str, end: str | None) -> None:
    """The same text can have another meaning in another type."""
    assert turn_end_of(kind, text) == end
    assert turn_end_of(kind, [{"text": text}]) == end


def test_failure_kind_is_that_of_the_first_part_that_fits() -> None:
    """Upper and lower case do not matter."""
    assert failure_kind("QUOTA: code 429") == "usage_limited"
    assert failure_kind("x") is None


def test_is_synthetic_has_neither_model_nor_tokens() -> None:
    """A response of a model has at least one of them, or tool calls."""
    assert is_synthetic({"content": "x", "tokens": None})
    for field in ({"model": "m"}, {"tokens": {"input": 1}}, {"toolCalls": [{}]}):
        assert not is_synthetic(field)


@pytest.mark.parametrize(
    ("text", "output", "calls"),
    [
        ("", 1, True),
        ("I run the tests.", 40, True),
        ("I will run the command `echo hello` using the shell.", 45, True),
        ("done", 1, False),
        ("3.14159265358979323846", 23, False),
        ("\u4fee\u590d\u4e86\u767b\u5f55\u95ee\u9898" * 10, 70, False),
        ("\U0001f389" * 10, 25, False),
        ("\ud800", 1, False),
    ],
)
def test_calls_tool_knows_how_many_tokens_a_text_can_have(
    text: str, output: int, calls: bool
) -> None:
    """Digits, other scripts and emojis have more of them than words."""
    assert calls_tool({"content": text, "tokens": {"output": output}}) is calls
    assert not calls_tool({"content": [{"text": text}], "tokens": {"output": output}})
