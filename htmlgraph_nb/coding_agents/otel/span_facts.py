"""What a span is: the run of an agent, a call of a model or a tool, or something between. Pure.

Three families of attributes are read:

- ``gen_ai.*``: the OpenTelemetry semantic conventions for generative AI (in development), with the
  names of all versions since 1.27.
- ``openinference.span.kind``: https://github.com/Arize-ai/openinference, ``spec/``.
- ``traceloop.span.kind``: https://github.com/traceloop/openllmetry, package
  ``opentelemetry-semantic-conventions-ai``.

Where a framework departs from them, the comment names the version with which it was tried; the
programs are in ``tests/manual/frameworks``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from ..fields import identifier, label, mapping
from .signals import Attributes, Span
from .span_origin import MAX_NAME_CHARS

_MAX_METADATA_CHARS = 65_536

_SESSION_KEYS = (
    "gen_ai.conversation.id",
    *("session.id", "conversation.id", "session_id", "conversation_id"),
    "traceloop.association.properties.thread_id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.conversation_id",
)
_RESOURCE_KEYS = ("session.id", "conversation.id", "session_id", "conversation_id")
_ALL_SESSION_KEYS = frozenset(_SESSION_KEYS)
_ALL_RESOURCE_KEYS = frozenset(_RESOURCE_KEYS)
_CALLER_KEYS = (
    "gen_ai.agent.name",
    "traceloop.association.properties.lc_agent_name",
)
_NAME_KEYS = (
    *("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.id"),
    *("crewai.crew.name", "crewai.agent.role", "traceloop.entity.name"),
)
_SUFFIX = re.compile(
    r"^invoke_agent\s+|\.(?:run|_execute_core|kickoff(?:_async)?|workflow|agent|task)$"
)
_UNNAMED = frozenset({"invoke_agent", "invoke_workflow", "crewai.workflow"})
_AUTOGEN_ID = re.compile(r"(?P<name>.+)_(?P<key>[0-9a-f-]{36})/(?P=key)", re.DOTALL)


class SpanKind(Enum):
    """What a span stands for; LINK: it only connects others."""

    AGENT = "agent"
    MODEL = "model"
    TOOL = "tool"
    LINK = "link"


class SpanFacts(NamedTuple):
    """What a span says about itself.

    Attributes:
        conversation: id of the conversation or session; None: it names none.
        agent: name of the agent that it runs, or that made the call; None: unknown.
        is_wrapper: the run may lack the conversation that the spans around it have, or be a copy.
        is_copy: the run may be a copy of the run around it.
        has_team: the agent belongs to a team that has no span of its own.
    """

    kind: SpanKind
    conversation: str | None = None
    agent: str | None = None
    is_wrapper: bool = False
    is_copy: bool = False
    has_team: bool = False


_OPERATIONS = {
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion"), SpanKind.MODEL),
    "execute_tool": SpanKind.TOOL,
    **dict.fromkeys(("invoke_agent", "invoke_workflow"), SpanKind.AGENT),
}
_OPENINFERENCE = {"LLM": SpanKind.MODEL, "TOOL": SpanKind.TOOL, "AGENT": SpanKind.AGENT}
_TRACELOOP = {"workflow": SpanKind.AGENT, "agent": SpanKind.AGENT, "tool": SpanKind.TOOL}
_LINK = SpanFacts(SpanKind.LINK)


def facts_of_span(span: Span, framework: str | None) -> SpanFacts:
    """Return what a span says about itself, whatever its attributes contain.

    Args:
        framework: name of the framework that sent it; None: unknown.
    """
    values = span.attributes
    kind = _kind_of(span, values)
    if kind is SpanKind.LINK and "openinference.span.kind" not in values:
        conversation = _conversation(values, span.resource)
        return _LINK if conversation is None else _LINK._replace(conversation=conversation)
    metadata = _metadata(values) if framework == "langchain" else {}
    conversation = _conversation(values, span.resource) or identifier(metadata.get("thread_id"))
    if kind is SpanKind.AGENT or "openinference.span.kind" in values:
        kind = _run_kind(kind, span, values, metadata, framework)
    if kind is SpanKind.LINK:
        return SpanFacts(kind, conversation)
    if kind is not SpanKind.AGENT:
        caller = _first_label(values, _CALLER_KEYS) or label(metadata.get("lc_agent_name"))
        return SpanFacts(kind, conversation, _short(caller))
    name = _first_label(values, _NAME_KEYS)
    if name is None and span.name not in _UNNAMED:
        name = label(_SUFFIX.sub("", span.name[:256]))
    has_team = False
    if framework == "autogen" and conversation is None:
        # AutoGen 0.7.5: the members of a team are "NAME_TEAM/TEAM", in a trace for each message.
        match = _AUTOGEN_ID.fullmatch(str(values.get("gen_ai.agent.id") or "")[:512])
        if match is not None:
            conversation, has_team = identifier(match["key"]), True
    # OpenLLMetry 0.62: "NAME.workflow" is inside of "invoke_agent NAME", which has no conversation
    # unless it is the outermost.
    is_wrapper = framework == "langchain" and "openinference.span.kind" not in values
    is_copy = is_wrapper and "traceloop.span.kind" in values
    return SpanFacts(kind, conversation, _short(name), is_wrapper, is_copy, has_team)


def _kind_of(span: Span, values: Attributes) -> SpanKind:
    operation = values.get("gen_ai.operation.name")
    traced = values.get("traceloop.span.kind")
    if isinstance(operation, str):
        kind = _OPERATIONS.get(operation, SpanKind.LINK)
        # The tasks of CrewAI in OpenLLMetry 0.62 contain the run of an agent.
        return SpanKind.LINK if kind is SpanKind.AGENT and traced == "task" else kind
    inference = values.get("openinference.span.kind")
    if isinstance(inference, str):
        return _OPENINFERENCE.get(inference, SpanKind.LINK)
    if isinstance(traced, str):
        return _TRACELOOP.get(traced, SpanKind.LINK)
    if values.get("llm.request.type") in ("chat", "completion"):
        # OpenLLMetry before 0.50.
        return SpanKind.MODEL
    if span.scope == "pydantic-ai":
        # Version 1 of its format, until pydantic-ai 1.0.
        if "agent_name" in values:
            return SpanKind.AGENT
        if "gen_ai.tool.name" in values:
            return SpanKind.TOOL
    return SpanKind.LINK


def _run_kind(
    kind: SpanKind,
    span: Span,
    values: Attributes,
    metadata: Mapping[str, object],
    framework: str | None,
) -> SpanKind:
    """Return whether a span of OpenInference is the run of an agent or a step of one."""
    if "openinference.span.kind" not in values or kind in (SpanKind.MODEL, SpanKind.TOOL):
        return kind
    is_chain = values.get("openinference.span.kind") in ("CHAIN", "AGENT")
    if not is_chain:
        return SpanKind.LINK
    if not span.parent_id:
        return SpanKind.AGENT
    if framework == "langchain":
        # OpenInference 0.1.80 takes any name with "agent" in it for an agent, also that of a node.
        is_run = label(metadata.get("lc_agent_name")) == label(span.name[:256])
        return SpanKind.AGENT if is_run else SpanKind.LINK
    if framework == "crewai" and span.name.endswith((".kickoff", ".kickoff_async")):
        return SpanKind.AGENT
    return kind


def _metadata(values: Attributes) -> Mapping[str, object]:
    text = values.get("metadata")
    if not isinstance(text, str) or len(text) > _MAX_METADATA_CHARS:
        return {}
    try:
        return mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _conversation(values: Attributes, resource: Attributes) -> str | None:
    # Most spans of other programs have none of them.
    if not _ALL_SESSION_KEYS.isdisjoint(values):
        for name in _SESSION_KEYS:
            if name in values and (found := identifier(values[name])) is not None:
                return found
    if not _ALL_RESOURCE_KEYS.isdisjoint(resource):
        for name in _RESOURCE_KEYS:
            if name in resource and (found := identifier(resource[name])) is not None:
                return found
    return None


def _first_label(values: Attributes, names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in values and (found := label(values[name])) is not None:
            return found
    return None


def _short(name: str | None) -> str | None:
    return None if name is None else name[:MAX_NAME_CHARS]
