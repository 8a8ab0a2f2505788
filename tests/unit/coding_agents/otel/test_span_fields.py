"""The events of calls and runs: tokens, models, prices, tools and errors."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given

from htmlgraph_nb.coding_agents.otel.signals import Span
from htmlgraph_nb.coding_agents.otel.span_facts import SpanFacts, SpanKind, facts_of_span
from htmlgraph_nb.coding_agents.otel.span_fields import (
    call_event,
    completion_fields,
    run_events,
    tool_fields,
)
from htmlgraph_nb.coding_agents.otel.span_origin import origin_of
from htmlgraph_nb.core.model import Event
from tests.helpers.otlp_signals import NOW, check, spans


def span_of(values: dict[str, object], *, failed: bool = False, name: str = "chat") -> Span:
    """Return a span with these attributes."""
    return Span({}, "", name, values, 1, 2, "1" * 32, "2" * 16, failed)


@given(spans)
def test_call_event_and_run_events_accept_any_span(span: Span) -> None:
    """Any span gives valid events, the same each time."""
    facts, origin = facts_of_span(span, None), origin_of(span)
    events = [call_event(span, facts, origin, None, NOW)]
    events += run_events(span, facts, origin, "a", "s", NOW)
    check(events)
    assert events[0] == call_event(span, facts, origin, None, NOW)


OLD = {"gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 7}
NEW = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 7}


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        (OLD, (100, None, None, 7)),
        (NEW, (100, None, None, 7)),
        ({**NEW, "gen_ai.usage.cache_read.input_tokens": 40}, (60, 40, None, 7)),
        (
            {
                **NEW,
                "gen_ai.usage.cache_read.input_tokens": 40,
                "gen_ai.usage.cache_creation.input_tokens": 50,
            },
            (10, 40, 50, 7),
        ),
        ({**NEW, "gen_ai.usage.cache_read_input_tokens": 400}, (100, 400, None, 7)),
        ({**NEW, "gen_ai.usage.reasoning.output_tokens": 3}, (100, None, None, 7)),
        ({**NEW, "gen_ai.usage.details.reasoning_tokens": 30}, (100, None, None, 37)),
        (
            {
                "llm.token_count.prompt": 100,
                "llm.token_count.completion": 7,
                "llm.token_count.prompt_details.cache_read": 40,
            },
            (60, 40, None, 7),
        ),
        ({"gen_ai.usage.input_tokens": "100"}, (100, None, None, None)),
        ({"gen_ai.usage.input_tokens": -1, "gen_ai.usage.prompt_tokens": 5}, (5, None, None, None)),
        ({"gen_ai.usage.input_tokens": "x"}, (None, None, None, None)),
        ({}, (None, None, None, None)),
    ],
)
def test_completion_fields_tokens(
    values: dict[str, object], counts: tuple[int | None, ...]
) -> None:
    """Names of all versions; cached tokens are part of the input, reasoning part of the output."""
    fields = completion_fields(span_of(values))
    names = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "output_tokens")
    assert tuple(fields[name] for name in names) == counts


def test_completion_fields_model_provider_and_cost() -> None:
    """The model that responded comes before the one that was requested."""
    values = {
        "gen_ai.request.model": "gpt-5.4",
        "gen_ai.response.model": "gpt-5.4-2026-01-01",
        "gen_ai.system": "openai",
        "gen_ai.usage.cost": "0.25",
    }
    fields = completion_fields(span_of(values))
    assert (fields["model"], fields["cost_usd"]) == ("gpt-5.4-2026-01-01", 0.25)
    assert fields["extra"] == {"provider": "openai"}
    assert completion_fields(span_of({"llm.cost.total": 0}))["cost_usd"] is None
    assert completion_fields(span_of({"llm.model_name": "m"}))["model"] == "m"


@pytest.mark.parametrize(
    ("values", "tier"),
    [
        ({"openai.response.service_tier": "priority"}, "priority"),
        ({"gen_ai.openai.response.service_tier": "flex"}, "flex"),
        ({"openai.request.service_tier": "priority"}, "priority"),
        (
            {"openai.request.service_tier": "priority", "openai.response.service_tier": "auto"},
            None,
        ),
        ({"openai.response.service_tier": ["priority"]}, None),
        ({}, None),
    ],
)
def test_completion_fields_service_tier(values: dict[str, object], tier: str | None) -> None:
    """The tier that served the request counts before the one that it asked for."""
    assert completion_fields(span_of(values))["service_tier"] == tier


def test_tool_fields_success_and_failure() -> None:
    """The status of the span decides; the type of the error is kept, its message is not."""
    values = {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": "call_1"}
    assert tool_fields(span_of(values)) == {
        "event_type": "tool_execute",
        "tool_name": "search",
        "tool_use_id": "call_1",
        "extra": None,
    }
    failed = tool_fields(span_of({**values, "error.type": "ValueError"}, failed=True))
    assert (failed["event_type"], failed["extra"]) == ("tool_error", {"error_type": "ValueError"})
    prose = tool_fields(span_of({**values, "error.type": "it is no number"}, failed=True))
    assert prose["extra"] is None
    assert tool_fields(span_of({"tool.name": "book"}))["tool_name"] == "book"
    assert tool_fields(span_of({}, name="execute_tool book"))["tool_name"] == "book"


def test_run_events_are_in_order() -> None:
    """The end of a run is after all calls inside, which may end in the same microsecond."""
    at_ns = 1_796_000_000 * 10**9
    span = Span({}, "", "x", {}, at_ns, at_ns + 10**6, "1" * 32, "2" * 16, False)
    facts, origin = SpanFacts(SpanKind.AGENT, None, "planner"), origin_of(span)
    start, end = run_events(span, facts, origin, "planner-1", "s", NOW)
    call = call_event(span, facts, origin, "s", NOW)
    assert ordered(start, call, end)
    assert (start.event_type, end.event_type, end.duration_ms) == ("prompt", "stop", 1)
    assert start.timestamp == datetime.fromtimestamp(1_796_000_000, UTC)


def ordered(*events: Event) -> bool:
    """Return whether each event is later than the one before it."""
    times = [event.timestamp for event in events]
    return all(a is not None and b is not None and a < b for a, b in itertools.pairwise(times))
