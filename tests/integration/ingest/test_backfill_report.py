"""The cost of the last days, computed from a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from htmlgraph_nb import Event, PresenceManager
from htmlgraph_nb.ingest.backfill_report import known_cost
from htmlgraph_nb.pricing.price_list import price_of

AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


def completion(**fields: object) -> Event:
    """Return a completion of Opus 4.8 with 1,000,000 output tokens."""
    return Event(
        agent_id="a",
        event_type="completion",
        timestamp=AT,
        model="claude-opus-4-8",
        output_tokens=1_000_000,
        **fields,
    )


def test_known_cost_depends_on_the_terms_of_each_request(tmp_path: Path) -> None:
    """Fast mode, batches, place and web searches; a tier without a price is unpriced."""
    path = tmp_path / "h.db"
    with PresenceManager(path) as manager:
        for fields in (
            {},
            {"speed": "fast"},
            {"service_tier": "batch"},
            {"inference_geo": "us"},
            {"web_searches": 5},
            {"service_tier": "priority"},
            {"cost_usd": 0.5},
        ):
            manager.ingest([completion(**fields)])
    cost, unpriced = known_cost(str(path), AT - timedelta(days=1), price_of)
    assert cost == pytest.approx(25 + 50 + 12.5 + 27.5 + 25.05 + 0.5)
    assert unpriced == 1_000_000
