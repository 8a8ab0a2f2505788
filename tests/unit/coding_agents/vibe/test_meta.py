"""The facts in Mistral Vibe's ``meta.json``."""

from __future__ import annotations

import json

import pytest

from htmlgraph_nb.coding_agents.vibe.meta import Meta, parse_meta, shares


@pytest.mark.parametrize(("total", "n"), [(0, 3), (10, 3), (7, 7), (2, 5), (5, 0)])
def test_shares_add_up(total: int, n: int) -> None:
    """Equal parts, whose sum is exact."""
    parts = shares(total, n)
    assert len(parts) == n
    assert sum(parts) == (total if n else 0)
    assert max(parts, default=0) - min(parts, default=0) <= 1


@pytest.mark.parametrize("data", [b"", b'{"stats": {', b"[]", b"[" * 100_000, b"\xff"])
def test_parse_meta_skips_what_is_half_written(data: bytes) -> None:
    """It is read again when it is complete."""
    assert parse_meta(data) is None


def test_parse_meta_reads_the_window_of_the_selected_model() -> None:
    """That of the model counts before the general one."""
    models = [{"alias": "a", "auto_compact_threshold": 5}, {"alias": "b"}]
    config = {"active_model": "a", "auto_compact_threshold": 9, "models": models}
    for model, window in (("a", 5), ("b", 9), ("c", 9)):
        data = json.dumps({"config": {**config, "active_model": model}}).encode()
        meta = parse_meta(data)
        assert meta is not None
        assert (meta.model, meta.window) == (model, window)


def test_meta_without_prices_knows_no_cost() -> None:
    """The cost is then that of the table of prices."""
    assert Meta().cost_of(10, 10) is None
    assert Meta(output_price=2.0).cost_of(10, 500_000) == 1.0
