"""What is kept of the OpenAI Agents SDK's traces and spans, and the words it uses; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..coding_agents.fields import mapping
from .agent_runs import AgentRun

_DENIED = "manually rejected by user"
_ERRORS = frozenset(
    {
        "Error",
        "Error getting response",
        "Error in agent run",
        "Error running tool",
        "Error running tool (non-fatal)",
        "Error streaming response",
        "Guardrail tripwire triggered",
        "Max turns exceeded",
    }
)
"""The SDK's own words; others may be a program's, or a person's."""


@dataclass(slots=True, eq=False)
class TraceState:
    """One workflow.

    Attributes:
        lasts: its session is a group's and outlives it.
        over: it ended, but goes on if somebody approves what waits; ``n_open``: agents that run.
        handed: who handed over to an agent, or had done so when it began to wait, by its name.
        roots: the agents that nobody of the workflow started, as they last ended well.
        pending: ids of the tool calls that wait for approval, by agent and tool.
    """

    key: str
    name: str
    session_id: str
    lasts: bool
    over: bool = False
    n_open: int = 0
    handed: dict[str, AgentRun] = field(default_factory=dict)
    last: AgentRun | None = None
    roots: dict[str, AgentRun] = field(default_factory=dict)
    implied: AgentRun | None = None
    pending: dict[tuple[str, str], list[str]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class SpanState:
    """One span that goes on.

    Attributes:
        agent: in whose turn it is; None: in nobody's.
        turn: the span of that turn, which holds the calls that may wait for approval, and the
            failure with which its loop last stopped.
    """

    trace: TraceState
    parent: SpanState | None
    agent: AgentRun | None
    began: float
    call_id: str = ""
    failure: Any = None
    held: list[tuple[str, SpanState, str, float]] = field(default_factory=list)
    turn: SpanState | None = None


def ancestors_by_name(run: AgentRun) -> dict[str, AgentRun]:
    """Return an agent and those above it, by name."""
    found: dict[str, AgentRun] = {}
    one: AgentRun | None = run
    while one is not None:
        found.setdefault(one.name, one)
        one = one.parent
    return found


def has_no_output(data: Any) -> bool:
    """Whether a call was recorded with what went in and with nothing that came out.

    So is one that waits for a person's approval, and one whose function returned None.
    """
    return getattr(data, "input", None) is not None and getattr(data, "output", None) is None


def error_type(error: Any) -> str:
    """Return the SDK's own words for an error, without its data."""
    message = mapping(error).get("message")
    return message if isinstance(message, str) and message in _ERRORS else "error"


def was_denied(error: Any) -> bool:
    """Whether the error of a call is that a person did not allow it."""
    return _DENIED in str(mapping(mapping(error).get("data")).get("error"))
