"""Which program sent a span, and the ids of its agents."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.otel.signals import Span
from htmlgraph_nb.coding_agents.otel.span_origin import SpanOrigin, origin_of


def origin(scope: str = "", service: object = None) -> SpanOrigin:
    """Return the origin of a span."""
    return origin_of(Span({"service.name": service}, scope, "", {}, 0, 0, "", "", False))


@pytest.mark.parametrize(
    ("scope", "service"),
    [
        ("com.anthropic.claude_code.tracing", None),
        ("codex", None),
        ("x", "codex"),
        ("gemini-cli", None),
    ],
)
def test_origin_of_agents_whose_logs_report_the_same(scope: str, service: str | None) -> None:
    """Their spans are ignored."""
    assert origin(scope, service).repeats_logs


@pytest.mark.parametrize(
    ("scope", "framework"),
    [
        ("pydantic-ai", "pydantic-ai"),
        ("openinference.instrumentation.langchain", "langchain"),
        ("opentelemetry.instrumentation.crewai.instrumentation", "crewai"),
        ("autogen SingleThreadedAgentRuntime", "autogen"),
        ("agent_framework", "agent-framework"),
        ("openinference.instrumentation.openai", None),
    ],
)
def test_origin_of_frameworks(scope: str, framework: str | None) -> None:
    """The scope names the framework."""
    assert origin(scope).kind == framework
    assert not origin(scope).repeats_logs


@pytest.mark.parametrize("service", [None, 7, "unknown_service", "unknown_service:node"])
def test_origin_of_programs_without_service(service: object) -> None:
    """The SDK's default is no name."""
    assert origin(service=service).agent_id(None, "s-1") == "agent-s-1"


def test_agent_id_is_of_name_and_conversation() -> None:
    """A name is one word of the id; without a conversation it is the id."""
    named = origin(service="trip planner")
    assert named.agent_id(None, "s-1") == "trip-planner-s-1"
    assert named.agent_id("the\tweather", "s-1") == "the-weather-s-1"
    assert named.agent_id("weather", "4bf92f3577b34da6a3ce929d0e0e4736") == "weather-4bf92f35"
    assert named.agent_id(" \ud800\0", None) == "?"
    assert len(named.agent_id("x" * 999, "y" * 256)) <= 256
