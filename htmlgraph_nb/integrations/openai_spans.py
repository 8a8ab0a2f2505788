"""The state that is kept of the OpenAI Agents SDK's traces and spans, and its keywords. Pure."""

from __future__ import annotations

import json
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
"""The SDK's own messages; others may contain data of the program or of a person."""


@dataclass(slots=True, eq=False)
class TraceState:
    """One workflow.

    Attributes:
        keeps_session: its session is that of a group and outlives it.
        ended: it has ended, but continues if a person approves a pending tool call.
        n_running: number of running agents.
        handed_over_by: agent name → the agent that handed over to it, or had done so before it
            began to wait.
        last_agent: the agent that started last.
        roots: agent id → the last successful run of each agent without a parent.
        workflow_run: stands for the workflow where a span has no agent.
        pending: (agent id, tool) → ids of the tool calls that wait for approval.
    """

    key: str
    name: str
    session_id: str
    keeps_session: bool
    ended: bool = False
    n_running: int = 0
    handed_over_by: dict[str, AgentRun] = field(default_factory=dict)
    last_agent: AgentRun | None = None
    roots: dict[str, AgentRun] = field(default_factory=dict)
    workflow_run: AgentRun | None = None
    pending: dict[tuple[str, str], list[str]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class SpanState:
    """One span that has not ended.

    Attributes:
        agent: the agent in whose turn it is; None: none.
        turn: the span of that turn.
        failure: of a turn: the error with which its loop stopped.
        held_calls: of a turn: (key, span, name, seconds) of each tool call without a result, which
            may wait for approval.
        input_hash: of a tool call that has ended; see Event.
    """

    trace: TraceState
    parent: SpanState | None
    agent: AgentRun | None
    started_at: float
    call_id: str = ""
    failure: Any = None
    held_calls: list[tuple[str, SpanState, str, float]] = field(default_factory=list)
    turn: SpanState | None = None
    input_hash: int | None = None


def ancestors_by_name(run: AgentRun) -> dict[str, AgentRun]:
    """Return an agent and its ancestors, by name."""
    ancestors: dict[str, AgentRun] = {}
    current: AgentRun | None = run
    while current is not None:
        ancestors.setdefault(current.name, current)
        current = current.parent
    return ancestors


def has_no_output(data: Any) -> bool:
    """Return whether a call was recorded with its input and without an output.

    Its function returned None, or it waits for a person's approval.
    """
    return getattr(data, "input", None) is not None and getattr(data, "output", None) is None


def call_input(data: Any) -> object:
    """Return the input of a call, which is known at its end; None: it is not traced."""
    text = getattr(data, "input", None)
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def error_type(error: Any) -> str:
    """Return the SDK's own message for an error, without its data."""
    message = mapping(error).get("message")
    return message if isinstance(message, str) and message in _ERRORS else "error"


def was_denied(error: Any) -> bool:
    """Return whether a call failed because a person denied it."""
    return _DENIED in str(mapping(mapping(error).get("data")).get("error"))
