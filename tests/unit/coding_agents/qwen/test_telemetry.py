"""Qwen Code's telemetry is read as that of Gemini CLI, with ids of calls."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.qwen.telemetry import TELEMETRY


@pytest.mark.parametrize(("output", "total", "expected"), [(7, 107, 7), (7, 110, 10)])
def test_telemetry_counts_thoughts_once(output: int, total: int, expected: int) -> None:
    """Some providers count them as part of the output; the total says which."""
    fields = TELEMETRY.logs["api_response"](
        {
            "input_token_count": 100,
            "cached_content_token_count": 40,
            "output_token_count": output,
            "thoughts_token_count": 3,
            "total_token_count": total,
        }
    )
    assert fields is not None
    assert (fields["input_tokens"], fields["cache_read_tokens"]) == (60, 40)
    assert fields["output_tokens"] == expected


def test_telemetry_calls_have_the_ids_of_the_session_file() -> None:
    """So that hooks, files and telemetry agree."""
    values = {"function_name": "edit", "call_id": "call_1", "success": "false"}
    fields = TELEMETRY.logs["tool_call"](values)
    assert fields is not None
    assert (fields["tool_use_id"], fields["event_type"]) == ("call_1", "tool_error")
