"""Prices of single answers: as the package and as whole frames have them, None where unknown."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.evidence import observe
from htmlgraph_nb.model import Event
from htmlgraph_nb.price_table import listed, price_of
from htmlgraph_nb.pricing import price_answers
from htmlgraph_nb.state import AgentState
from htmlgraph_nb.times import to_micros

AT = datetime(2025, 11, 1, 12, tzinfo=UTC)
MODELS = ["claude-sonnet-4-5", "claude-opus-4-1", "gpt-5", "gemini-2.5-pro", "no-such-model"]
FIELDS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)


def answer(model: str | None, counts: list[int], **fields: object) -> Event:
    """Return an answer of a model with these tokens, in the order of FIELDS."""
    tokens = dict(zip(FIELDS, counts, strict=True))
    return Event(
        agent_id="a", event_type="completion", timestamp=AT, model=model, **tokens, **fields
    )


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.lists(st.integers(0, 400_000), min_size=5, max_size=5))
def test_one_answer_costs_what_it_costs_in_a_frame(model: str, counts: list[int]) -> None:
    """The two ways to the table agree, tiers by size included."""
    one = price_of(answer(model, counts))
    priced = price_answers(
        [model],
        np.zeros(1, np.int64),
        np.array([to_micros(AT)]),
        np.array(counts, np.int64)[:, np.newaxis],
        np.array([np.nan]),
    )
    if one is None:
        assert not sum(counts) or listed(model) is None
        assert not priced.usd[0] > 0
    else:
        assert one == pytest.approx(priced.usd[0], rel=1e-9, abs=1e-12)


def test_what_cannot_be_priced_is_none() -> None:
    """No model, no tokens by kind, or a model that is not in the table."""
    assert price_of(answer(None, [1, 0, 0, 0, 1])) is None
    assert price_of(answer("gpt-5", [0, 0, 0, 0, 0])) is None
    assert price_of(answer("no-such-model", [1, 0, 0, 0, 1])) is None
    assert price_of(Event(agent_id="a", model="gpt-5", cost_tokens=100)) is None


def test_the_agents_own_word_goes_before_the_table() -> None:
    """What it tells is added as it is; what it does not tell is priced, if somebody can."""
    new = AgentState.new("a", AT)
    counts = [1_000_000, 0, 0, 0, 0]
    told = answer("claude-sonnet-4-5", counts, cost_usd=0.5)
    open_ = answer("claude-sonnet-4-5", counts)
    assert observe(new, told, AT, price_of).cost_usd == 0.5
    assert observe(new, open_, AT, price_of).cost_usd == pytest.approx(price_of(open_))
    assert observe(new, open_, AT).cost_usd is None
    assert observe(new, answer("no-such-model", counts), AT, price_of).cost_usd is None
