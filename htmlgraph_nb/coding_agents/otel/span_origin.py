"""Which program sent a span, and the ids of its agents. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from ...core.ids import agent_id_of
from ..registry import AGENTS
from ..session import cached_agent_id
from .signals import Span

MAX_NAME_CHARS = 64
_BLANKS = re.compile(r"\s+")
_NO_SERVICE = "unknown_service"
_TELEMETRY = {
    name: telemetry
    for name, agent in AGENTS.items()
    if (telemetry := agent.telemetry()) is not None
}
_FRAMEWORKS = (
    ("pydantic-ai", "pydantic-ai"),
    ("openinference.instrumentation.langchain", "langchain"),
    ("opentelemetry.instrumentation.langchain", "langchain"),
    ("openinference.instrumentation.smolagents", "smolagents"),
    ("openinference.instrumentation.crewai", "crewai"),
    ("opentelemetry.instrumentation.crewai", "crewai"),
    ("openinference.instrumentation.autogen", "autogen"),
    ("autogen", "autogen"),
    ("agent_framework", "agent-framework"),
)
"""Prefix of an instrumentation scope → framework."""


class SpanOrigin(NamedTuple):
    """The program that sent a span.

    Attributes:
        agent: name of the coding agent; None: it is another program.
        framework: name of the framework; None: unknown.
        service: name of the service; "" if it has none.
        repeats_logs: whether its logs report the same, so that its spans are ignored.
        turn_span: the name of its span that is read nevertheless, for the end of a turn; "": none.
    """

    agent: str | None
    framework: str | None
    service: str
    repeats_logs: bool
    turn_span: str = ""

    @property
    def kind(self) -> str | None:
        """The ``agent_kind`` of its agents; None: unknown."""
        return self.agent or self.framework

    def is_turn(self, span_name: str, agent_name: str | None) -> bool:
        """Return whether the run of an agent is a turn of the coding agent, not of a subagent.

        Args:
            agent_name: the name of the agent; None: it has no other than that of the program.
        """
        if self.agent is None or span_name in _TELEMETRY[self.agent].inner_runs:
            return False
        return agent_name is None or agent_name.lower() == self.agent

    def tool_name(self, name: str | None) -> str | None:
        """Return the name that the other sources of the agent give to a tool."""
        if name is None or self.agent is None:
            return name
        return _TELEMETRY[self.agent].span_tool_name(name)

    def agent_id(self, name: str | None, session: str | None) -> str:
        """Return the id of an agent of a conversation.

        Args:
            name: its name; None: it is the main agent, or unknown.
            session: id of the conversation; None: unknown.
        """
        if self.agent is not None and name is None and session is not None:
            return cached_agent_id(session, self.agent)
        return _agent_id(name or self.agent or self.service or "agent", session)


def origin_of(span: Span) -> SpanOrigin:
    """Return which program sent a span."""
    service = span.resource.get("service.name")
    return _origin(service[:256] if isinstance(service, str) else "", span.scope[:256])


@lru_cache(maxsize=1024)
def _origin(service: str, scope: str) -> SpanOrigin:
    for name, telemetry in _TELEMETRY.items():
        if any(each in (scope, service) or scope.startswith(each) for each in telemetry.span_names):
            return SpanOrigin(name, None, service, True, telemetry.turn_span)
    agents = [
        name
        for name, telemetry in _TELEMETRY.items()
        if scope in telemetry.agent_spans or service in telemetry.agent_spans
    ]
    framework = next((name for prefix, name in _FRAMEWORKS if scope.startswith(prefix)), None)
    name = "" if service.startswith(_NO_SERVICE) else service
    return SpanOrigin(agents[0] if agents else None, framework, name, False)


@lru_cache(maxsize=4096)
def _agent_id(name: str, session: str | None) -> str:
    prefix = _BLANKS.sub("-", name.replace("\0", "").strip())[:MAX_NAME_CHARS] or "agent"
    prefix = prefix.encode("utf-8", "replace").decode()
    return prefix if session is None else agent_id_of(session, prefix)
