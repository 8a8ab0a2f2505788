"""Completions of Codex have the service tier of their turn, as the session file writes it."""

from __future__ import annotations

from typing import Any

import pytest

from htmlgraph_nb.coding_agents.codex.session import CodexSession
from htmlgraph_nb.pricing.price_list import price_of
from tests.helpers.codex_lines import completions, count, entry, message, meta, turn
from tests.helpers.session_lines import read


def settings(tier: str | None, seconds: float = 0) -> bytes:
    """Return the line of settings that were applied; a standard tier is left out."""
    chosen = {"model": "gpt-5.5", "model_provider_id": "openai"}
    if tier is not None:
        chosen["service_tier"] = tier
    return message("thread_settings_applied", seconds, thread_settings=chosen)


def answer(number: int) -> bytes:
    """Return the n-th completion, with 1,000 input and 10 output tokens."""
    total = (1_000 * number, 0, 10 * number, 0)
    return count(total, (1_000, 0, 10, 0), 10 + number)


def tiers(*lines: bytes) -> list[str | None]:
    """Return the tiers of the completions in a session of these lines."""
    first = [meta(), entry("turn_context", 1, turn_id="t1", model="gpt-5.5")]
    return [e.service_tier for e in completions(read(CodexSession(), [*first, *lines]))]


def test_tier_without_settings_is_standard() -> None:
    """Older versions write none."""
    assert tiers(answer(1)) == [None]


@pytest.mark.parametrize(
    ("written", "tier"),
    [
        ("priority", "priority"),
        ("fast", "priority"),
        ("flex", "flex"),
        ("default", None),
        ("ultra", "ultra"),
        (None, None),
    ],
)
def test_tier_is_that_of_the_settings(written: str | None, tier: str | None) -> None:
    """Fast mode is another name for priority; unknown words are kept."""
    assert tiers(settings(written), answer(1)) == [tier]


def test_tier_holds_until_the_next_settings() -> None:
    """Settings without a tier end it."""
    lines = (settings("priority"), answer(1), answer(2), settings(None, 12.5), answer(3))
    assert tiers(*lines) == ["priority", "priority", None]


def test_tier_of_a_running_turn_does_not_change() -> None:
    """Settings during a turn apply to the next one, which Codex' own tests require."""
    lines = (
        settings("priority"),
        turn("task_started", 2),
        answer(1),
        settings("default", 11.5),
        answer(2),
        turn("task_complete", 13),
        turn("task_started", 14),
        answer(3),
    )
    assert tiers(*lines) == ["priority", "priority", None]


def test_tier_written_at_the_start_of_a_turn_applies_to_it() -> None:
    """The settings of the prompt that starts a turn can follow its start."""
    lines = (turn("task_started", 2), settings("priority", 3), answer(1))
    assert tiers(*lines) == ["priority"]


def test_tier_after_a_turn_is_the_next_one() -> None:
    """A compaction between turns has the new settings."""
    lines = (
        turn("task_started", 2),
        answer(1),
        settings("priority", 11.5),
        turn("turn_aborted", 12),
        answer(2),
    )
    assert tiers(*lines) == [None, "priority"]


def test_tier_of_the_turn_context_counts() -> None:
    """If a version writes it there."""
    assert tiers(entry("turn_context", 2, service_tier="flex"), answer(1)) == ["flex"]


def test_tier_ends_with_the_session() -> None:
    """A second session in the file starts as a standard one."""
    other = meta("019e7584-5201-7901-b1e7-a3f0c990c12f", 20)
    assert tiers(settings("priority"), answer(1), other, answer(2)) == ["priority", None]


@pytest.mark.parametrize("value", [7, None, [], {}, "no keyword: a sentence"])
def test_tier_ignores_other_values(value: Any) -> None:
    """They are no names of tiers."""
    lines = message("thread_settings_applied", 2, thread_settings={"service_tier": value})
    assert tiers(lines, answer(1)) == [None]


@pytest.mark.parametrize(("model", "factor"), [("gpt-5.5", 2.5), ("gpt-5.4", 2), ("gpt-5.2", 2)])
def test_tier_priority_costs_more(model: str, factor: float) -> None:
    """2.5 times as much for GPT-5.5 (developers.openai.com/codex/speed)."""
    context = entry("turn_context", 1, turn_id="t1", model=model)
    lines = [meta(), context, answer(1), settings("priority", 11.5), answer(2)]
    standard, fast = map(price_of, completions(read(CodexSession(), lines)))
    assert standard is not None
    assert fast == pytest.approx(standard * factor)
