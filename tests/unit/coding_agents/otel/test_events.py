"""Logs and spans to events: any input is accepted."""

from __future__ import annotations

from hypothesis import given

from htmlgraph_nb.coding_agents.otel.events import events_from_log, events_from_span
from htmlgraph_nb.coding_agents.otel.signals import LogRecord, Span
from tests.helpers.otlp_signals import (
    NOW,
    check,
    logs,
    spans,
)


@given(logs)
def test_events_from_log_accept_any_record(record: LogRecord) -> None:
    """Any record gives valid events or none, the same each time."""
    events = events_from_log(record, received_at=NOW)
    check(events)
    assert events_from_log(record, received_at=NOW) == events


@given(spans)
def test_events_from_span_accept_any_span(span: Span) -> None:
    """Any span gives valid events or none, the same each time."""
    events = events_from_span(span, received_at=NOW)
    check(events)
    assert events_from_span(span, received_at=NOW) == events
