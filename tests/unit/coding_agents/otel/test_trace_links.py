"""Which span contains which, and what waits for which."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.otel import trace_links
from htmlgraph_nb.coding_agents.otel.span_facts import SpanKind
from htmlgraph_nb.coding_agents.otel.trace_links import Ancestry, Node, Trace, TraceTable, Waiting


def test_ancestry_finds_the_nearest_agent() -> None:
    """With the conversation on the way, and whether a call of a model is."""
    trace = Trace()
    assert trace.ancestry("a") == Ancestry("a")
    trace.nodes["a"] = Node("b", SpanKind.MODEL, None)
    trace.nodes["b"] = Node("c", SpanKind.LINK, "s")
    assert trace.ancestry("a") == Ancestry("c", None, None, "s", True)
    trace.nodes["c"] = Node("d", SpanKind.AGENT, None, "weather", "t")
    assert trace.ancestry("a") == Ancestry("", "weather", "t", "s", True)
    assert trace.ancestry("a", "weather") == Ancestry("d", None, None, "s", True)
    trace.nodes["d"] = Node("", SpanKind.AGENT, None, "planner", "t")
    assert trace.ancestry("a", "weather").agent_id == "planner"
    assert trace.ancestry("") == Ancestry("")


def test_wait_is_bounded_and_counts_each_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits twice under one key waits once."""
    monkeypatch.setattr(trace_links, "MAX_WAITING_PER_TRACE", 2)
    trace = Trace()
    for _ in range(2):
        assert trace.wait("a", Waiting("x", "a", 1.0, None))
    assert trace.wait("b", Waiting("y", "b", 2.0, None))
    assert not trace.wait("b", Waiting("z", "b", 2.0, None))
    assert [each.key for each in trace.overdue(2.0)] == ["x"]
    assert [each.key for each in trace.arrived("b")] == ["y"]
    assert (trace.arrived("b"), trace.n_waiting, trace.waiting) == ([], 0, {})


def test_trace_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spans of a trace that came first go, and the traces that were not used for longest."""
    monkeypatch.setattr(trace_links, "MAX_SPANS_PER_TRACE", 2)
    monkeypatch.setattr(trace_links, "MAX_SPANS", 5)
    table = TraceTable()
    node = Node("", SpanKind.LINK, None)
    for trace_id in "ababcc":
        for span_id in "xyz":
            trace = table.add(trace_id, span_id, node, 0.0)
        assert list(trace.nodes) == ["y", "z"]
    assert [trace_id for trace_id, _ in table.evict()] == ["a"]
    assert [trace_id for trace_id, _ in table] == ["b", "c"]
    assert table.evict() == []


def test_trace_table_forgets_what_nothing_waits_for() -> None:
    """Once no span has arrived for long."""
    table = TraceTable()
    node = Node("", SpanKind.LINK, None)
    table.add("a", "x", node, 1.0)
    table.add("b", "x", node, 2.0).wait("y", Waiting("k", "y", 2.0, None))
    table.add("c", "x", node, 9.0)
    table.forget(5.0)
    assert [trace_id for trace_id, _ in table] == ["b", "c"]
