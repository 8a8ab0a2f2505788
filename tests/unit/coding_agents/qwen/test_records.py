"""Single lines of Qwen Code's session files."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.qwen.records import growth, is_retried, last_text, usage_of


def usage(**counts: Any) -> dict[str, int] | None:
    """Return the counts of a response."""
    return usage_of({"usageMetadata": counts})


@pytest.mark.parametrize(
    ("counts", "output"),
    [
        ({"candidatesTokenCount": 7, "thoughtsTokenCount": 3, "totalTokenCount": 107}, 7),
        ({"candidatesTokenCount": 7, "thoughtsTokenCount": 3, "totalTokenCount": 110}, 10),
        ({"candidatesTokenCount": 7, "thoughtsTokenCount": 3}, 10),
        ({"candidatesTokenCount": 7, "totalTokenCount": 500}, 7),
        ({"candidatesTokenCount": 7, "totalTokenCount": 50}, 7),
    ],
)
def test_usage_of_counts_thoughts_once(counts: dict[str, int], output: int) -> None:
    """The total says whether the output includes them."""
    found = usage(promptTokenCount=100, cachedContentTokenCount=40, **counts)
    assert found is not None
    assert (found["input_tokens"], found["cache_read_tokens"]) == (60, 40)
    assert found["output_tokens"] == output


def test_usage_of_a_cache_beyond_the_prompt_is_the_prompt() -> None:
    """No count becomes negative."""
    found = usage(promptTokenCount=10, cachedContentTokenCount=40)
    assert found is not None
    assert (found["input_tokens"], found["cache_read_tokens"]) == (0, 10)


def test_growth_is_never_negative() -> None:
    """A response that is written again has counts at least as large."""
    assert growth({"a": 5, "b": 1}, {"a": 3, "b": 2}) == {"a": 2, "b": 0}


@pytest.mark.parametrize(
    ("status", "retried"), [(None, True), (429, True), (503, True), (401, False), (400, False)]
)
def test_is_retried_by_status(status: int | None, retried: bool) -> None:
    """Errors of the key and of the request are not."""
    assert is_retried(status) is retried


def test_last_text_is_no_thought() -> None:
    """Thoughts are parts of a response, too."""
    parts = [{"text": "a"}, {"text": "b", "thought": True}, {"functionCall": {}}]
    assert last_text({"message": {"parts": parts}}) == "a"
