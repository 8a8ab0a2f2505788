"""Each completion of a session file counts once, with its final counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.session import TURN_QUIET_S, ClaudeSession
from htmlgraph_nb.coding_agents.session import GIVE_UP_AFTER_S
from htmlgraph_nb.pricing.price_list import price_of
from tests.helpers.claude_lines import (
    ANSWER,
    call,
    completion,
    final,
    only,
    user,
)
from tests.helpers.session_lines import (
    START,
    kinds,
    once,
    read,
    tokens,
)


def test_completion_is_the_line_with_the_most_output() -> None:
    """Of the lines of a completion the one with the most output counts, of equal ones the last."""
    lines = [
        completion(ANSWER, 2, 0, cache_read=100),
        completion(ANSWER, 40, 1, cache_read=200),
        completion(ANSWER, 40, 2, cache_read=300),
        completion(ANSWER, 1, 3, cache_read=999),
        user("next", 4),
    ]
    events = read(ClaudeSession(), lines)
    event = only(events, "completion")
    assert (event.cache_read_tokens, event.output_tokens) == (300, 40)
    assert event.timestamp is not None
    assert (event.timestamp - START).total_seconds() == 2
    assert event.event_id == f"claude:{ANSWER}"
    assert event.extra == {"request_id": f"req_{ANSWER}", "stop_reason": "tool_use"}


def test_completion_line_after_another_completion_counts() -> None:
    """Lines of a completion may be apart: the one with the most output supersedes the others."""
    lines = [completion("msg_1", 2, 0), completion("msg_2", 5, 1), completion("msg_1", 40, 2)]
    events = read(ClaudeSession(), lines)
    assert kinds(events).count("completion") == 3
    assert tokens(events)[-1] == 45


def test_completion_waits_for_its_last_line() -> None:
    """A completion is returned once another line shows that it is complete."""
    reader = ClaudeSession()
    assert "completion" not in kinds(reader.feed(completion("msg_1", 2, 0)))
    assert "completion" not in kinds(reader.feed(completion("msg_1", 9, 1)))
    assert kinds(reader.feed(completion("msg_2", 1, 2))) == ["completion"]
    assert kinds(reader.finish()) == ["completion"]
    assert reader.finish() == []


def test_completion_of_claude_code_itself_is_ignored() -> None:
    """Synthetic completions cost nothing; an API error in one ends the turn."""
    error = completion("x", 4, 2, model="<synthetic>", isApiErrorMessage=True, error="rate_limit")
    events = read(ClaudeSession(), [completion("y", 4, 1, model="<synthetic>"), error])
    assert kinds(events) == ["session_start", "error"]
    assert events[1].extra == {"error": "rate_limit", "cannot_work": "rate_limited"}


def test_completions_without_an_id_each_count() -> None:
    """Lines without a common id are separate completions."""
    bare = [completion(None, 4, second, requestId=None) for second in range(3)]
    assert tokens(read(ClaudeSession(), bare))[-1] == 12
    nameless = [completion(None, 4, second, requestId=None, uuid=None) for second in range(3)]
    assert tokens(read(ClaudeSession(), nameless))[-1] == 12


def test_completion_without_a_request_id_counts_once() -> None:
    """The message id identifies a completion that has no request id."""
    lines = [completion("msg_1", 4, 0, requestId=None), completion("msg_1", 9, 1, requestId=None)]
    assert tokens(read(ClaudeSession(), lines))[-1] == 9


def test_completion_of_an_advisor_is_separate() -> None:
    """The tokens of an advisor model count under its own name."""
    advice = {"type": "advisor_message", "model": "claude-haiku", "output_tokens": 50}
    usage = {"iterations": [{"type": "message", "output_tokens": 4}, advice]}
    events = read(ClaudeSession(), [completion("msg_1", 4, usage=usage)])
    models = {event.model: event.output_tokens for event in events if event.model}
    assert models == {"claude-opus-4-8": 4, "claude-haiku": 50}


def test_completion_in_fast_mode_costs_more() -> None:
    """Twice as much for Opus 4.8, with the multipliers of the cache (platform.claude.com)."""
    usage = {
        "input_tokens": 1_000,
        "cache_creation_input_tokens": 1_000,
        "cache_read_input_tokens": 100_000,
        "output_tokens": 1_000,
        "service_tier": "standard",
        "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 0},
    }
    lines = [
        completion("msg_1", 1_000, 0, usage={**usage, "speed": "fast"}),
        completion("msg_2", 1_000, 1, usage={**usage, "speed": "standard"}),
    ]
    events = [e for e in read(ClaudeSession(), lines) if e.event_type == "completion"]
    assert [event.speed for event in events] == ["fast", None]
    assert [price_of(event) for event in events] == [
        pytest.approx(0.1725),
        pytest.approx(0.08625),
    ]


def test_completion_with_web_searches_costs_their_fee() -> None:
    """A cent each; fetches are free (platform.claude.com, pricing)."""
    usage = {
        "input_tokens": 1_000,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": None,
        "server_tool_use": {"web_search_requests": 5, "web_fetch_requests": 3},
    }
    event = only(read(ClaudeSession(), [completion("msg_1", 1_000, usage=usage)]), "completion")
    assert event.web_searches == 5
    assert price_of(event) == pytest.approx(0.08)


def test_completion_in_the_us_costs_more() -> None:
    """Claude models from 4.6 on cost 1.1 times as much; "global" is the standard."""
    usage = {"input_tokens": 1_000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    lines = [
        completion("msg_1", 1_000, 0, usage={**usage, "inference_geo": "us"}),
        completion("msg_2", 1_000, 1, usage={**usage, "inference_geo": "global"}),
    ]
    events = [e for e in read(ClaudeSession(), lines) if e.event_type == "completion"]
    assert [event.inference_geo for event in events] == ["us", None]
    assert [price_of(event) for event in events] == [pytest.approx(0.033), pytest.approx(0.03)]


def test_completion_without_stop_reason_has_the_version() -> None:
    """Without a stop reason the counts may be placeholders, so the version is kept."""
    event = only(read(ClaudeSession(), [completion("msg_1", 4, stop_reason=None)]), "completion")
    assert event.extra == {"request_id": "req_msg_1", "version": "2.1.158"}


def test_completion_keeps_the_cost_of_older_versions() -> None:
    """The cost is kept if the line contains it; 0 beside tokens is no price."""
    costs = [0.25, "much", 0]
    lines = [completion(f"m{i}", 4, costUSD=cost) for i, cost in enumerate(costs)]
    completions = [e for e in read(ClaudeSession(), lines) if e.event_type == "completion"]
    assert [event.cost_usd for event in completions] == [0.25, None, None]


COMPLETIONS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=12
)


@given(COMPLETIONS, st.randoms(use_true_random=False))
def test_completion_totals_ignore_order_and_repetition(
    drawn: list[tuple[int, int, int]], random: Any
) -> None:
    """Each completion counts once with its largest output, in any order of lines."""
    lines = [
        completion(f"msg_{key}", output, second, cache_read=output)
        for second, (key, output, _) in enumerate(drawn)
    ]
    expected = {
        key: max(output for other, output, _ in drawn if other == key) for key, _, _ in drawn
    }
    shuffled = [*lines, *random.choices(lines, k=5)]
    random.shuffle(shuffled)
    for order in (lines, shuffled):
        total = tokens(read(ClaudeSession(), order))
        assert total[-1] == total[1] == sum(expected.values())
        assert total[0] == 3 * len(expected)


def test_completion_without_stop_reason_waits_for_a_long_quiet() -> None:
    """Counts may grow until a stop reason or a long quiet."""
    reader = ClaudeSession()
    reader.feed(completion("msg_1", 5, stop_reason=None))
    assert reader.on_quiet(TURN_QUIET_S) == []
    assert "completion" in kinds(reader.on_quiet(GIVE_UP_AFTER_S))


def test_completion_is_dated_before_its_first_call() -> None:
    """A completion is dated up to its first call, which may wait for the user meanwhile."""
    lines = [call(1), completion("msg_call", 9, 3), final(8)]
    events = once(read(ClaudeSession(), lines))
    first = next(event for event in events if event.event_type == "completion")
    assert (first.output_tokens, first.timestamp) == (9, START + timedelta(seconds=1))
