"""Gemini CLI's telemetry is translated with its own way to count tokens."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.gemini.telemetry import TELEMETRY


def test_telemetry_adds_tool_tokens_and_thoughts() -> None:
    """The input excludes tool tokens and includes cached ones; the output excludes thoughts."""
    fields = TELEMETRY.logs["api_response"](
        {
            "input_token_count": 100,
            "cached_content_token_count": "40",
            "tool_token_count": 3,
            "output_token_count": 5,
            "thoughts_token_count": 7,
        }
    )
    assert fields is not None
    assert (fields["input_tokens"], fields["cache_read_tokens"]) == (63, 40)
    assert fields["output_tokens"] == 12


def test_telemetry_without_counts_has_none() -> None:
    """Missing counts are unknown, not 0."""
    fields = TELEMETRY.logs["api_response"]({})
    assert fields is not None
    assert fields["input_tokens"] is fields["output_tokens"] is None
