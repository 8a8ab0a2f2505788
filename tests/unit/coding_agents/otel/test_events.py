"""OpenTelemetry signals to events: no input raises, and repetition adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.otel import metrics
from htmlgraph_nb.coding_agents.otel.events import events_from_log, events_from_span
from htmlgraph_nb.coding_agents.otel.metrics import TokenCounters
from htmlgraph_nb.coding_agents.otel.signals import LogRecord, Point, Span
from htmlgraph_nb.core.model import Event
from tests.helpers.strategies import json_values

NOW = datetime(2025, 1, 14, 14, 50, tzinfo=UTC)
names = st.sampled_from(
    "session.id conversation.id event.name event.kind model tool_name tool_use_id success "
    "tool_namespace call_id duration_ms request_id input_tokens output_tokens cost_usd source "
    "decision type tool_parameters "
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


@pytest.mark.parametrize(
    ("name", "namespace", "expected"),
    [
        ("exec_command", "functions", "Bash"),
        ("say_it", "mcp__demo", "mcp__demo__say_it"),
        ("view_image", "functions", "view_image"),
        ("shell", None, "Bash"),
    ],
)
def test_codex_tools_have_the_names_of_its_hooks(
    name: str, namespace: str | None, expected: str
) -> None:
    """What a person decided about a tool, and the tool's end, are of the one that hooks tell of."""
    about = {"conversation.id": "s", "tool_name": name, "call_id": "c1"}
    if namespace is not None:
        about["tool_namespace"] = namespace
    for kind, more in (("tool_result", {}), ("tool_decision", {"source": "User"})):
        values = {**about, **more, "event.name": f"codex.{kind}"}
        (event,) = events_from_log(LogRecord({}, "", "", values, 0), received_at=NOW)
        assert event.tool_name == expected


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("mcp_tool", '{"mcp_server_name":"demo","mcp_tool_name":"say_it"}', "mcp__demo__say_it"),
        ("mcp_tool", '{"mcp_server_name":"my demo.1","mcp_tool_name":"a"}', "mcp__my_demo_1__a"),
        ("mcp_tool", '{"mcp_server_name":"demo"}', "mcp_tool"),
        ("mcp_tool", "[" * 100_000, "mcp_tool"),
        ("mcp_tool", 7, "mcp_tool"),
        ("Bash", '{"mcp_server_name":"demo","mcp_tool_name":"say_it"}', "Bash"),
    ],
)
def test_claude_tools_of_servers_are_named_where_it_is_told(
    name: str, parameters: object, expected: str
) -> None:
    """As hooks and session files name them."""
    values = {
        "event.name": "tool_result",
        "session.id": "s",
        "tool_use_id": "t1",
        "tool_name": name,
        "tool_parameters": parameters,
    }
    record = LogRecord({}, "com.anthropic.claude_code.events", "", values, 0)
    (event,) = events_from_log(record, received_at=NOW)
    assert event.tool_name == expected


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


def totals(meters: TokenCounters, exports: list[list[Point]]) -> int:
    """Return the tokens that the exports add, an event that comes again counted once."""
    found = {}
    for points in exports:
        events = meters.take(points, received_at=NOW)
        meters.commit()
        found.update({event.event_id: event.total_tokens for event in events})
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
    assert totals(TokenCounters(), exports) == sum(steps)


@given(
    st.lists(st.integers(0, 1_000), min_size=1, max_size=8),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.booleans(),
)
def test_what_is_not_stored_counts_when_it_comes_again(
    steps: list[int], failing: list[bool], delta: bool
) -> None:
    """An export that could not be stored is sent again, and counts once."""
    meters = TokenCounters()
    total = counted = 0
    for at, (step, fails) in enumerate(zip(steps, failing, strict=False), 2):
        total += step
        sent = [point(float(step if delta else total), at, delta=delta)]
        if fails:
            meters.take(sent, received_at=NOW)
            meters.rollback()
        counted += sum(event.total_tokens for event in meters.take(sent, received_at=NOW))
        meters.commit()
    assert counted == sum(steps)


def test_counters_of_an_earlier_server() -> None:
    """How far they were read is not known: only their growth counts, and deltas as ever."""
    cumulative = [[point(50, 2, delta=False)], [point(70, 3, delta=False)]]
    assert totals(TokenCounters(metered=["s"]), cumulative) == 20
    assert totals(TokenCounters(metered=["other"]), cumulative) == 70
    assert totals(TokenCounters(metered=["s"]), [[point(50, 2, delta=True)]]) == 50
    assert totals(TokenCounters(answered=["s"]), cumulative) == 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The series and sessions that were not heard of for longest are forgotten."""
    monkeypatch.setattr(metrics, "MAX_SERIES", 2)
    meters = TokenCounters()
    for kind in ("input", "output", "cacheRead"):
        totals(meters, [[point(5, 2, delta=False, kind=kind)]])
    assert totals(meters, [[point(5, 3, delta=False, kind="input")]]) == 5, "it began again"
    assert totals(meters, [[point(5, 3, delta=False, kind="cacheRead")]]) == 0


def test_a_counter_that_begins_anew_counts_from_nothing() -> None:
    """A program that was started again has another start, or a smaller value."""
    anew = [[point(50, 2, delta=False)], [point(20, 3, start=3, delta=False)]]
    assert totals(TokenCounters(), anew) == 70
    smaller = [[point(50, 2, delta=False)], [point(20, 3, delta=False)]]
    assert totals(TokenCounters(), smaller) == 70


def test_a_session_with_answers_is_not_counted_by_its_counters() -> None:
    """The answers told the same tokens already; other sessions are none of their affair."""
    meters = TokenCounters()
    meters.answered("s")
    assert totals(meters, [[point(50, 2, delta=True)]]) == 0
    meters = TokenCounters()
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
    check(TokenCounters().take(iter(points), received_at=NOW))


def test_points_can_come_one_by_one() -> None:
    """The decoders yield them."""

    def stream() -> Iterator[Point]:
        yield point(5, 2, delta=True)
        yield point(7, 2, delta=True, kind="output")

    (event,) = TokenCounters().take(stream(), received_at=NOW)
    assert (event.input_tokens, event.output_tokens) == (5, 7)
