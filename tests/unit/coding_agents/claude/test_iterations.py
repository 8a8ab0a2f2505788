"""Each billed answer of a message counts by itself, with its own model and cache writes."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.claude.iterations import split_usage
from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.pricing.price_list import price_of
from tests.helpers.claude_lines import ANSWER, completion
from tests.helpers.session_lines import read


def counts(kind: str, read: int, output: int, **more: Any) -> dict[str, Any]:
    """Return an iteration with some input and output tokens."""
    return {"type": kind, "input_tokens": read, "output_tokens": output, **more}


def answers(usage: dict[str, Any], **fields: Any) -> list[Any]:
    """Return the completions of one message with this usage."""
    lines = [completion(ANSWER, usage.get("output_tokens", 0), usage=usage, **fields)]
    return [e for e in read(ClaudeSession(), lines) if e.event_type == "completion"]


def summary(events: list[Any]) -> list[tuple[Any, ...]]:
    """Return model, input and output of completions."""
    return [(e.model, e.input_tokens, e.output_tokens) for e in events]


def test_usage_without_iterations_is_one_answer() -> None:
    """The usual case."""
    usage = {"input_tokens": 5, "output_tokens": 7}
    assert split_usage(usage) == ([], usage, [])


def test_usage_of_one_iteration_is_one_answer() -> None:
    """The counts beside the list are the same, and complete."""
    usage = {"input_tokens": 5, "output_tokens": 7, "iterations": [counts("message", 5, 7)]}
    assert summary(answers(usage)) == [("claude-opus-4-8", 5, 7)]


def test_compaction_is_an_answer_of_its_own() -> None:
    """Its tokens are only in the list (platform.claude.com, compaction)."""
    usage = {
        "input_tokens": 23_000,
        "output_tokens": 1_000,
        "iterations": [counts("compaction", 180_000, 3_500), counts("message", 23_000, 1_000)],
    }
    events = answers(usage)
    assert summary(events) == [
        ("claude-opus-4-8", 180_000, 3_500),
        ("claude-opus-4-8", 23_000, 1_000),
    ]
    assert [event.event_id for event in events] == [
        f"claude:{ANSWER}:iteration:0",
        f"claude:{ANSWER}",
    ]
    assert [event.context_tokens for event in events] == [None, 23_000]
    assert sum(price_of(event) or 0 for event in events) == pytest.approx(1.1275)


def test_fallback_counts_each_model() -> None:
    """The first model had output before it declined, so both are billed."""
    usage = {
        "input_tokens": 21_000,
        "output_tokens": 3_000,
        "iterations": [
            counts("message", 20_000, 800, model="claude-fable-5"),
            counts("fallback_message", 21_000, 3_000, model="claude-opus-4-8"),
        ],
    }
    events = answers(usage)
    assert summary(events) == [
        ("claude-fable-5", 20_000, 800),
        ("claude-opus-4-8", 21_000, 3_000),
    ]
    assert [price_of(event) for event in events] == [pytest.approx(0.24), pytest.approx(0.18)]


def test_attempt_declined_before_output_is_not_billed() -> None:
    """Also the second one of a chain."""
    usage = {
        "input_tokens": 9,
        "output_tokens": 3,
        "iterations": [
            counts("message", 20_000, 0, model="claude-fable-5"),
            counts("fallback_message", 20_000, 0, model="claude-opus-5"),
            counts("fallback_message", 9, 3, model="claude-opus-4-8"),
        ],
    }
    assert summary(answers(usage)) == [("claude-opus-4-8", 9, 3)]


def test_refusal_without_output_costs_nothing() -> None:
    """Its tokens count, but are free and not unpriced."""
    usage = {"input_tokens": 20_000, "output_tokens": 0}
    (event,) = answers(usage, stop_reason="refusal", content=[])
    assert (event.input_tokens, event.cost_usd) == (20_000, 0.0)
    (empty,) = answers({**usage, "output_tokens": 1}, stop_reason="refusal", content=[])
    assert empty.cost_usd == 0.0


def test_refusal_after_output_is_billed() -> None:
    """Like any other answer."""
    usage = {"input_tokens": 20_000, "output_tokens": 30}
    text = [{"type": "text", "text": "partial"}]
    (event,) = answers(usage, stop_reason="refusal", content=text)
    assert event.cost_usd is None


def test_iterations_of_server_tools_each_count() -> None:
    """The counts beside the list are their sum."""
    usage = {
        "input_tokens": 300_000,
        "output_tokens": 30,
        "iterations": [counts("message", 100_000, 10), counts("message", 200_000, 20)],
        "server_tool_use": {"web_search_requests": 2},
    }
    events = answers(usage)
    assert summary(events) == [("claude-opus-4-8", 100_000, 10), ("claude-opus-4-8", 200_000, 20)]
    assert [event.web_searches for event in events] == [None, 2]


def test_iteration_has_its_own_cache_writes() -> None:
    """Its own split counts, not that of the whole message."""
    usage = {
        "output_tokens": 2,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 300},
        "iterations": [
            counts(
                "compaction",
                1,
                1,
                cache_creation_input_tokens=1_000,
                cache_creation={"ephemeral_5m_input_tokens": 1_000},
            ),
            counts(
                "message",
                1,
                2,
                cache_creation_input_tokens=300,
                cache_creation={"ephemeral_1h_input_tokens": 300},
            ),
        ],
    }
    written = [(e.cache_write_5m_tokens, e.cache_write_1h_tokens) for e in answers(usage)]
    assert written == [(1_000, 0), (0, 300)]


def test_iteration_without_a_split_has_the_lifetime_of_the_message() -> None:
    """If the message names only one."""
    usage = {
        "output_tokens": 2,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 300},
        "iterations": [
            counts("compaction", 1, 1, cache_creation_input_tokens=1_000),
            counts("message", 1, 2, cache_creation_input_tokens=300),
        ],
    }
    written = [(e.cache_write_5m_tokens, e.cache_write_1h_tokens) for e in answers(usage)]
    assert written == [(0, 1_000), (0, 300)]


def test_last_iteration_without_a_split_has_that_of_the_message() -> None:
    """The counts beside the list are those of the last one."""
    usage = {
        "output_tokens": 2,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "iterations": [
            counts("compaction", 1, 1, cache_creation_input_tokens=1_000),
            counts("message", 1, 2, cache_creation_input_tokens=300),
        ],
    }
    written = [(e.cache_write_5m_tokens, e.cache_write_1h_tokens) for e in answers(usage)]
    assert written == [(1_000, 0), (100, 200)]


def test_single_iteration_with_a_split_corrects_that_of_the_message() -> None:
    """The split beside the list can be that of other requests."""
    usage = {
        "output_tokens": 2,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 9, "ephemeral_1h_input_tokens": 1_000},
        "iterations": [
            counts("message", 1, 2, cache_creation={"ephemeral_5m_input_tokens": 300}),
        ],
    }
    (event,) = answers(usage)
    assert (event.cache_write_5m_tokens, event.cache_write_1h_tokens) == (300, 0)


def test_advisor_has_no_fast_mode() -> None:
    """Speed is that of the main model; place and tier are those of the request."""
    usage = {
        "output_tokens": 4,
        "speed": "fast",
        "service_tier": "batch",
        "inference_geo": "us",
        "iterations": [
            counts("message", 1, 4),
            counts("advisor_message", 9, 9, model="claude-haiku-4-5"),
        ],
    }
    main, advice = answers(usage)
    assert (main.speed, main.service_tier, main.inference_geo) == ("fast", "batch", "us")
    assert (advice.speed, advice.service_tier, advice.inference_geo) == (None, "batch", "us")
    assert advice.event_id == f"claude:{ANSWER}:advisor:1"
