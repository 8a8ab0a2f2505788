"""Calls whose trace stays incomplete are stored, also after the database was full."""

from __future__ import annotations

from pathlib import Path

import pytest

from htmlgraph_nb.coding_agents.otel.span_events import HOLD_S, SpanTranslator
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.roster import Limits
from htmlgraph_nb.errors import CapacityError
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_server.background.waiting_calls import WaitingCalls
from tests.helpers.framework_spans import RECEIVED, spans_of


def translator() -> SpanTranslator:
    """Return a translator with a call that waits for its run."""
    spans = SpanTranslator()
    call = spans_of("agent_framework/spans.jsonl")[0]
    assert spans.translate(call, [], received_at=RECEIVED, now=100.0) == []
    return spans


def test_store_shows_and_then_counts_a_call(tmp_path: Path) -> None:
    """A placeholder is active after seconds; the call counts after HOLD_S."""
    now = 102.0
    with PresenceManager(str(tmp_path / "x.db"), limits=Limits(idle_timeout_s=0)) as manager:
        calls = WaitingCalls(manager, translator(), clock=lambda: now)
        calls.store()
        ((name, agent),) = manager.snapshot().items()
        assert (name.endswith(":open"), agent.status.value) == (True, "active")
        now = 101.0 + HOLD_S
        calls.store()
        ((name, agent),) = manager.snapshot().items()
        assert (name.endswith(":open"), agent.total_cost_tokens) == (False, 107)


def test_store_keeps_events_that_could_not_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are stored by the next call, or when the server stops."""
    with PresenceManager(str(tmp_path / "x.db")) as manager:
        calls = WaitingCalls(manager, translator(), clock=lambda: 200.0)
        ingest = manager.ingest

        def fail(events: list[Event]) -> None:
            raise CapacityError("agents: no room", "too_many_agents")

        monkeypatch.setattr(manager, "ingest", fail)
        with pytest.raises(CapacityError):
            calls.store()
        calls.close()
        monkeypatch.setattr(manager, "ingest", ingest)
        calls.close()
        (agent,) = manager.snapshot().values()
        assert agent.total_cost_tokens == 107
