"""Tokens, cost and context of Jupyter AI's personas."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_server.jupyter.persona_usage import UsageCounter, context_of


def usage(total: int, uncached: int, output: int, **others: Any) -> dict[str, Any]:
    """Return a usage record."""
    counts = {"total_tokens": total, "input_tokens": uncached, "output_tokens": output}
    return {**counts, **others}


def test_usage_counter_returns_the_increase_of_totals() -> None:
    """A record that repeats the last one adds nothing."""
    counter = UsageCounter()
    counter.report(usage(1050, 1000, 50))
    counter.report(usage(1050, 1000, 50))
    assert counter.take() == {"input_tokens": 1000, "output_tokens": 50}
    counter.report(usage(2180, 2100, 80))
    assert counter.take() == {"input_tokens": 1100, "output_tokens": 30}
    assert counter.take() == {}


def test_usage_counter_detects_counts_of_turns() -> None:
    """Once a count falls, each further record counts whole."""
    counter = UsageCounter()
    for record in (usage(100, 90, 10), usage(60, 55, 5), usage(200, 180, 20)):
        counter.report(record)
    assert counter.take() == {"input_tokens": 90 + 55 + 180, "output_tokens": 35}


@pytest.mark.parametrize(
    ("record", "tokens"),
    [
        # Uncached input, as Claude Code has it.
        (
            usage(1000, 100, 50, cached_read_tokens=800, cached_write_tokens=50),
            {"input_tokens": 100, "cache_read_tokens": 800, "cache_write_5m_tokens": 50},
        ),
        # Input with cached tokens.
        (usage(1050, 1000, 50, cached_read_tokens=800), {"input_tokens": 200}),
        # Reasoning beside output, and in it.
        (usage(1080, 1000, 50, thought_tokens=30), {"output_tokens": 80}),
        (usage(1050, 1000, 50, thought_tokens=30), {"output_tokens": 50}),
        # A total that no kinds explain.
        (usage(5000, 1000, 50), {"cost_tokens": 5000}),
        ({"total_tokens": 70}, {"cost_tokens": 70}),
    ],
)
def test_usage_counter_splits_tokens_as_events_do(
    record: dict[str, Any], tokens: dict[str, int]
) -> None:
    """The total shows what input and output include; the sum of the kinds is the total."""
    counter = UsageCounter()
    counter.report(record)
    taken = counter.take()
    assert {name: taken.get(name) for name in tokens} == tokens
    total = taken.pop("cost_tokens", None) or sum(taken.values())
    assert total == record["total_tokens"]


def test_usage_counter_takes_the_increase_of_the_cost() -> None:
    """In dollars; another currency, such as credits, is no cost here."""
    counter = UsageCounter()
    counter.report({"cost_amount": 0.25, "cost_currency": "USD"})
    counter.report({"cost_amount": 0.75, "cost_currency": "usd"})
    assert counter.take() == {"cost_usd": 0.75}
    counter.report({"cost_amount": 9.0, "cost_currency": "credits"})
    assert counter.take() == {}


def test_usage_counter_with_a_reported_cost_prices_nothing_else() -> None:
    """The cost of tokens may be published later, so their price must not count as well."""
    counter = UsageCounter()
    counter.report({"cost_amount": 0.25, "cost_currency": "USD"})
    counter.take()
    counter.report(usage(1050, 1000, 50))
    assert counter.take() == {"input_tokens": 1000, "output_tokens": 50, "cost_usd": 0.0}


def test_usage_counter_continues_after_a_restart() -> None:
    """Totals of the session include what was counted before; a new process counts from 0."""
    counter = UsageCounter(known_tokens=1000, known_cost=0.5)
    counter.report({**usage(1250, 1200, 50), "cost_amount": 0.75, "cost_currency": "USD"})
    assert counter.take() == {"cost_tokens": 250, "cost_usd": 0.25}
    fresh = UsageCounter(known_tokens=1000, known_cost=0.5)
    fresh.report({**usage(150, 100, 50), "cost_amount": 0.25, "cost_currency": "USD"})
    assert fresh.take() == {"input_tokens": 100, "output_tokens": 50, "cost_usd": 0.25}
    fresh.restart()
    fresh.report(usage(150, 100, 50))
    assert fresh.take() == {"input_tokens": 100, "output_tokens": 50, "cost_usd": 0.0}


def test_usage_counter_ignores_invalid_values() -> None:
    """Negative counts, texts and infinite costs are unknown."""
    counter = UsageCounter()
    counter.report({"input_tokens": -1, "total_tokens": "many", "output_tokens": True})
    counter.report({"cost_amount": float("inf"), "cost_currency": "USD"})
    counter.report({"cost_amount": 1.0, "cost_currency": ["USD"]})
    assert counter.take() == {}


def test_context_of_reads_tokens_and_window() -> None:
    """A window of 0 is unknown."""
    assert context_of({"context_tokens": 12, "context_size": 200}) == (12, 200)
    assert context_of({"context_tokens": 0, "context_size": 0}) == (0, None)
    assert context_of({"context_percent": 12.5}) == (None, None)
