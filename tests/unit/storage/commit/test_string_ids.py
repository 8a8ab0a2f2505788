"""Ids of decisions, in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.timestamps import EPOCH
from htmlgraph_nb.storage.commit import string_ids
from htmlgraph_nb.storage.commit.string_ids import StringIds, decision_id, decision_key
from htmlgraph_nb.storage.migrations import migrate


def test_decision_id_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is bounded, and the table knows what it has dropped."""
    monkeypatch.setattr(string_ids, "MAX_NAMES", 1)
    key = decision_key(AgentState.new("a", EPOCH).presence)
    cache = StringIds()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, ":memory:")
        first = decision_id(db, cache.decision_ids, key)
        others = [decision_id(db, cache.decision_ids, (*key[:1], f"{n}", *key[2:])) for n in "abc"]
        assert len({first, *others}) == 4
        assert len(cache.decision_ids) <= 2
        assert decision_id(db, cache.decision_ids, key) == first
    cache.clear()
    assert cache.decision_ids == {}
