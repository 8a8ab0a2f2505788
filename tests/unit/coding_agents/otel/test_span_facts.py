"""What a span says about itself, in each family of attributes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from htmlgraph_nb.coding_agents.otel.signals import Span
from htmlgraph_nb.coding_agents.otel.span_facts import SpanFacts, SpanKind, facts_of_span
from tests.helpers.otlp_signals import spans

AGENT, MODEL, TOOL, LINK = SpanKind.AGENT, SpanKind.MODEL, SpanKind.TOOL, SpanKind.LINK


def facts(
    values: dict[str, object], *, name: str = "s", framework: str | None = None, parent: str = "b"
) -> SpanFacts:
    """Return the facts of a span with these attributes."""
    scope = "pydantic-ai" if framework == "pydantic-ai" else ""
    return facts_of_span(Span({}, scope, name, values, 1, 2, "1", "a", False, parent), framework)


@given(spans)
def test_facts_of_span_accept_any_span(span: Span) -> None:
    """Any attributes are accepted."""
    for framework in (None, "langchain", "crewai", "autogen"):
        facts_of_span(span, framework)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"gen_ai.operation.name": "chat"}, MODEL),
        ({"gen_ai.operation.name": "generate_content"}, MODEL),
        ({"gen_ai.operation.name": "execute_tool"}, TOOL),
        ({"gen_ai.operation.name": "invoke_agent"}, AGENT),
        ({"gen_ai.operation.name": "invoke_workflow"}, AGENT),
        ({"gen_ai.operation.name": "create_agent"}, LINK),
        ({"gen_ai.operation.name": "embeddings"}, LINK),
        ({"gen_ai.operation.name": "invoke_agent", "traceloop.span.kind": "task"}, LINK),
        ({"gen_ai.operation.name": ["chat"]}, LINK),
        ({"openinference.span.kind": "LLM"}, MODEL),
        ({"openinference.span.kind": "TOOL"}, TOOL),
        ({"openinference.span.kind": "AGENT"}, AGENT),
        ({"openinference.span.kind": "CHAIN"}, LINK),
        ({"openinference.span.kind": "RETRIEVER"}, LINK),
        ({"traceloop.span.kind": "workflow"}, AGENT),
        ({"traceloop.span.kind": "tool"}, TOOL),
        ({"llm.request.type": "chat"}, MODEL),
        ({"http.method": "GET"}, LINK),
        ({}, LINK),
    ],
)
def test_facts_of_span_kind(values: dict[str, object], kind: SpanKind) -> None:
    """Operations and kinds of all three families."""
    assert facts(values).kind is kind


def test_facts_of_span_first_format_of_pydantic_ai() -> None:
    """It has no names of operations for runs and tools."""
    assert facts({"agent_name": "planner"}, framework="pydantic-ai").kind is AGENT
    assert facts({"gen_ai.tool.name": "search"}, framework="pydantic-ai").kind is TOOL


@pytest.mark.parametrize(
    ("values", "conversation"),
    [
        ({"gen_ai.conversation.id": "c", "session.id": "s"}, "c"),
        ({"session.id": "s"}, "s"),
        ({"gen_ai.conversation.id": 7, "session.id": "s"}, "s"),
        ({"traceloop.association.properties.thread_id": "t"}, "t"),
        ({"gen_ai.conversation.id": ""}, None),
        ({}, None),
    ],
)
def test_facts_of_span_conversation(values: dict[str, object], conversation: str | None) -> None:
    """The conversation comes before the session."""
    assert facts({"gen_ai.operation.name": "chat", **values}).conversation == conversation
    assert facts(values).conversation == conversation, "also of spans in between"


@pytest.mark.parametrize(
    ("name", "values", "agent"),
    [
        ("invoke_agent planner", {}, "planner"),
        ("planner.run", {}, "planner"),
        ("weather._execute_core", {"graph.node.id": "weather"}, "weather"),
        ("crewai.workflow", {"crewai.crew.name": "trip"}, "trip"),
        ("crewai.workflow", {}, None),
        ("invoke_agent", {}, None),
        ("x", {"gen_ai.agent.name": "a\nb " + "c" * 99}, ("a b " + "c" * 99)[:64]),
    ],
)
def test_facts_of_span_name_of_agent(
    name: str, values: dict[str, object], agent: str | None
) -> None:
    """The attribute of the agent's name, else the name of the span without what it adds."""
    run = {"gen_ai.operation.name": "invoke_agent", **values}
    assert facts(run, name=name).agent == agent


def test_facts_of_span_langgraph() -> None:
    """OpenInference: the graph of an agent is a chain with its name, a node has another one."""

    def chain(name: str, parent: str = "b", kind: str = "CHAIN") -> SpanFacts:
        metadata = json.dumps({"lc_agent_name": "weather_agent", "thread_id": "t"})
        values = {"openinference.span.kind": kind, "metadata": metadata}
        return facts(values, name=name, framework="langchain", parent=parent)

    assert chain("weather_agent")[:3] == (AGENT, "t", "weather_agent")
    assert chain("weather_agent", kind="AGENT").kind is AGENT
    assert chain("agent", kind="AGENT").kind is LINK, "a node with this name"
    assert chain("model").kind is LINK
    assert chain("model", parent="").kind is AGENT, "the outermost chain is a run"
    assert chain("ChatOpenAI", kind="LLM")[:3] == (MODEL, "t", "weather_agent")


@pytest.mark.parametrize("metadata", ["{", "[]", "[" * 5000, '{"lc_agent_name": 3}', "x" * 99_999])
def test_facts_of_span_metadata_that_are_none(metadata: str) -> None:
    """They are ignored."""
    values = {"openinference.span.kind": "LLM", "metadata": metadata}
    assert facts(values, framework="langchain") == SpanFacts(MODEL)


def test_facts_of_span_members_of_a_team() -> None:
    """AutoGen: the id of a member names its team."""
    team = "5dc6341d-5bed-4c55-9a7f-596469bc0630"
    values = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "weather"}
    member = facts({**values, "gen_ai.agent.id": f"weather_{team}/{team}"}, framework="autogen")
    assert (member.conversation, member.agent, member.has_team) == (team, "weather", True)
    alone = facts({**values, "gen_ai.agent.id": "weather/default"}, framework="autogen")
    assert (alone.conversation, alone.has_team) == (None, False)
