"""Costs of a history depend on the terms of each request, and warn about an old price table."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from htmlgraph_nb import PriceWarning, agents, burn_rate, summary, token_costs
from htmlgraph_nb.analysis import costs as costs_module
from htmlgraph_nb.analysis.costs import compute_spending
from htmlgraph_nb.pricing import prices
from tests.helpers.event_frames import event_frame

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def history(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return a history of completions with 1,000,000 output tokens each."""
    common = {
        "timestamp": NOON,
        "agent_id": "a",
        "event_type": "completion",
        "model": "claude-opus-4-8",
        "input_tokens": 0,
        "output_tokens": 1_000_000,
    }
    return pd.DataFrame([{**common, **row} for row in rows])


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_token_costs_depend_on_the_terms(dtype: str) -> None:
    """Speed, tier, place and searches, in columns of any type."""
    df = history(
        {},
        {"speed": "fast"},
        {"service_tier": "batch"},
        {"inference_geo": "us"},
        {"web_searches": 5},
        {"speed": "fast", "inference_geo": "us", "web_searches": 5},
    ).assign(n=range(6))
    names = ["speed", "service_tier", "inference_geo"]
    df = df.astype(dict.fromkeys(names, dtype)).astype({"web_searches": "Int64"})
    assert token_costs(df, "n")["usd"].tolist() == pytest.approx([25, 50, 12.5, 27.5, 25.05, 55.05])


def test_token_costs_without_the_columns_are_standard() -> None:
    """Files of earlier versions lack them."""
    assert token_costs(history({}))["usd"].tolist() == [25.0]


def test_token_costs_name_requests_without_a_price() -> None:
    """Their tokens are unpriced, those of standard requests of the same model are not."""
    costs = token_costs(history({}, {"service_tier": "priority"}))
    assert (costs["usd"].item(), costs["unpriced_tokens"].item()) == (25.0, 1_000_000)
    assert costs.attrs["unknown_models"] == ["claude-opus-4-8 (priority)"]


def test_token_costs_say_how_old_the_table_is() -> None:
    """As the date of its latest change, and the days since."""
    source = token_costs(history({})).attrs["prices"]
    assert set(source) == {"source", "version", "date", "age_days"}
    assert source["age_days"] >= 0


@pytest.mark.parametrize("function", [token_costs, agents, summary, lambda df: burn_rate(df, "1h")])
def test_costs_warn_if_the_table_is_older_than_the_answers(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the line of the caller, whichever function computes them."""
    table = {"source": "genai-prices", "version": "0.1.4", "date": "2026-08-21", "age_days": 100}
    monkeypatch.setattr(prices, "price_table", lambda: table)
    function(history({"timestamp": datetime(2026, 10, 20, tzinfo=UTC)}))
    with pytest.warns(PriceWarning, match=r"genai-prices 0\.1\.4 is of 2026-08-21") as caught:
        function(history({"timestamp": datetime(2026, 11, 20, tzinfo=UTC)}))
    assert [warning.filename for warning in caught] == [__file__]


def test_costs_warn_about_a_model_that_only_begins_like_a_known_one() -> None:
    """The price may be that of another model; the attributes name it, too."""
    with pytest.warns(PriceWarning, match="does not know claude-opus-4-8-turbo"):
        costs = token_costs(history({"model": "claude-opus-4-8-turbo"}))
    assert costs.attrs["guessed_models"] == ["claude-opus-4-8-turbo"]


def test_costs_do_not_warn_without_use_of_the_table() -> None:
    """Own prices and reported costs do not get old."""
    later = datetime(2030, 1, 1, tzinfo=UTC)
    df = history({"timestamp": later, "model": "mine"}, {"timestamp": later, "cost_usd": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        costs = token_costs(df, (), prices={"mine": {"input": 1, "output": 2}})
    assert costs["usd"].tolist() == [2.5]


@pytest.mark.parametrize("part_rows", [1, 3, 100])
def test_compute_spending_is_the_same_in_parts(
    part_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs, and the names of models without a price or with a guessed one; also of no rows."""
    models = ["claude-opus-4-5", None, "my-model", "gpt-5", "gpt-5-new", "my-model", "o3", "gpt-5"]
    rows = [
        {
            "agent_id": "a",
            "event_type": "completion" if n % 3 else "prompt",
            "at": n,
            "model": models[n % len(models)],
            **({"input_tokens": n, "output_tokens": 5} if n % 3 else {}),
            **({"cost_usd": 0.5} if n % 7 == 1 else {}),
        }
        for n in range(40)
    ]
    for df in (event_frame(rows), event_frame(rows).head(0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PriceWarning)
            whole = compute_spending(df)
            monkeypatch.setattr(costs_module, "PART_ROWS", part_rows)
            parts = compute_spending(df)
        assert parts.attrs() == whole.attrs()
        assert parts.priced.newest == whole.priced.newest
        assert np.array_equal(parts.priced.usd, whole.priced.usd, equal_nan=True)
        assert all(map(np.array_equal, parts.tokens, whole.tokens))
        assert len(whole.rows) == (28 if len(df) else 0)
        monkeypatch.undo()
