"""OpenTelemetry signals to events: no input raises, and repetition adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.connectors.otlp import events_from_log, events_from_span
from htmlgraph_nb.connectors.otlp_metrics import TokenMeters
from htmlgraph_nb.connectors.telemetry import LogRecord, Point, Span
from htmlgraph_nb.model import Event

from .strategies import json_values

NOW = datetime(2025, 1, 14, 14, 50, tzinfo=UTC)
names = st.sampled_from(
    "session.id conversation.id event.name event.kind model tool_name tool_use_id success "
    "duration_ms request_id input_tokens output_tokens cost_usd source decision type "
    "input_token_count cached_token_count gen_ai.operation.name gen_ai.agent.name "
    "gen_ai.usage.input_tokens gen_ai.tool.name service.name cwd".split()
)
attributes = st.dictionaries(names, json_values, max_size=8)
event_names = st.sampled_from(
    [
        *(f"claude_code.{one}" for one in ("user_prompt", "tool_result", "api_request")),
        *(f"codex.{one}" for one in ("sse_event", "tool_decision", "tool_result")),
        *(f"gemini_cli.{one}" for one in ("config", "api_response", "tool_call")),
        "something.else",
        "",
    ]
)
times = st.integers(0, 2**64 - 1)
logs = st.builds(
    LogRecord,
    resource=attributes,
    scope=st.text(max_size=9),
    name=event_names,
    attributes=attributes,
    at_ns=times,
)
spans = st.builds(
    Span,
    resource=attributes,
    scope=st.text(max_size=9),
    name=st.text(max_size=9),
    attributes=attributes
    | attributes.map(lambda known: {**known, "gen_ai.operation.name": "execute_tool"}),
    start_ns=times,
    end_ns=times,
    trace_id=st.text("0123456789abcdef", max_size=32),
    span_id=st.text("0123456789abcdef", max_size=16),
    failed=st.booleans(),
)


def check(events: list[Event]) -> None:
    """Every event passes the checks that all events pass."""
    for event in events:
        event.checked()
        assert event.event_id


@given(logs)
def test_no_log_raises(record: LogRecord) -> None:
    """Whatever it holds is an event or nothing, the same each time."""
    found = events_from_log(record, received_at=NOW)
    check(found)
    assert events_from_log(record, received_at=NOW) == found


@given(spans)
def test_no_span_raises(span: Span) -> None:
    """Whatever it holds is events or nothing, the same each time."""
    found = events_from_span(span, received_at=NOW)
    check(found)
    assert events_from_span(span, received_at=NOW) == found


def point(value: float, at: int, *, start: int = 1, delta: bool, kind: str = "input") -> Point:
    """Return a point of Claude Code's token counter."""
    values: dict[str, Any] = {"session.id": "s", "type": kind, "model": "m"}
    metric = "claude_code.token.usage"
    return Point({}, "", metric, values, value, start, at, delta)


def totals(meters: TokenMeters, exports: list[list[Point]]) -> int:
    """Return the tokens that the exports add, an event that comes again counted once."""
    found = {
        event.event_id: event.total_tokens
        for points in exports
        for event in meters.take(points, received_at=NOW)
    }
    return sum(found.values())


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=12), st.booleans(), st.data())
def test_counters_add_up(steps: list[int], delta: bool, data: st.DataObject) -> None:
    """Delta or cumulative, each point sent once or more: the sum is what was counted."""
    exports: list[list[Point]] = []
    total = 0
    for at, step in enumerate(steps, 2):
        total += step
        sent = [point(float(step if delta else total), at, delta=delta)]
        exports += [sent] * data.draw(st.integers(1, 2))
    assert totals(TokenMeters(), exports) == sum(steps)


def test_a_counter_that_begins_anew_counts_from_nothing() -> None:
    """A program that was started again has another start, or a smaller value."""
    anew = [[point(50, 2, delta=False)], [point(20, 3, start=3, delta=False)]]
    assert totals(TokenMeters(), anew) == 70
    smaller = [[point(50, 2, delta=False)], [point(20, 3, delta=False)]]
    assert totals(TokenMeters(), smaller) == 70


def test_a_session_with_answers_is_not_counted_by_its_counters() -> None:
    """The answers told the same tokens already; other sessions are none of their affair."""
    meters = TokenMeters()
    meters.answered("s")
    assert totals(meters, [[point(50, 2, delta=True)]]) == 0
    meters = TokenMeters()
    meters.answered("other")
    assert totals(meters, [[point(50, 2, delta=True)]]) == 50


@given(
    st.lists(
        st.builds(
            Point,
            resource=attributes,
            scope=st.just(""),
            metric=st.sampled_from(
                ["claude_code.token.usage", "gemini_cli.token.usage", "codex.turn.token_usage", "x"]
            ),
            attributes=attributes,
            value=st.floats() | st.integers(-5, 5).map(float),
            start_ns=times,
            at_ns=times,
            delta=st.booleans(),
        ),
        max_size=6,
    )
)
def test_no_point_raises(points: list[Point]) -> None:
    """Whatever a counter says is tokens or nothing."""
    check(TokenMeters().take(iter(points), received_at=NOW))


def test_points_can_come_one_by_one() -> None:
    """The decoders yield them."""

    def stream() -> Iterator[Point]:
        yield point(5, 2, delta=True)
        yield point(7, 2, delta=True, kind="output")

    (event,) = TokenMeters().take(stream(), received_at=NOW)
    assert (event.input_tokens, event.output_tokens) == (5, 7)
