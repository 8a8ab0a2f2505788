"""The OpenAI Agents SDK's traces and spans as agents, tools and answers; it loads no SDK.

A span of an agent is a turn of it. Its parent is the agent whose tool it runs in, or the one that
handed over to it. Other spans belong to the agent around them. The SDK's spans of tasks and turns
sum up what those of the answers tell, and are passed over.

A tool call that needs approval is told like one that returned None. As a loop goes on after the
latter, a call without a result after which the agent ends is taken as one that waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..connectors.fields import identifier, mapping, text
from ..sdk import SDK
from .agent_runs import AgentRun, AgentRuns
from .usage import openai_tokens

SOURCE = "openai-agents"
MAX_SPANS = 10_000
_MAX_TRACES = 1_000
_ANSWERS = ("generation", "response")
_PASSED = ("task", "turn", "handoff", "speech_group")
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
class _Trace:
    """One workflow.

    Attributes:
        lasts: its session is a group's and outlives it; ``over``: it ended, and may go on.
        handed: who handed over to an agent, by that one's name.
        roots: the agents that nobody of the workflow started, as they last ended well.
        pending: ids of the tool calls that wait for approval, by agent and tool.
    """

    name: str
    session_id: str
    lasts: bool
    over: bool = False
    handed: dict[str, AgentRun] = field(default_factory=dict)
    last: AgentRun | None = None
    roots: dict[str, AgentRun] = field(default_factory=dict)
    implied: AgentRun | None = None
    pending: dict[tuple[str, str], list[str]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Span:
    """One span that goes on.

    Attributes:
        agent: in whose turn it is; None: in nobody's.
        turn: the span of that turn, which holds the calls that may wait for approval, and the
            failure with which its loop last stopped.
    """

    trace: _Trace
    parent: _Span | None
    agent: AgentRun | None
    began: float
    call_id: str = ""
    failure: Any = None
    held: list[tuple[str, _Span, str, float]] = field(default_factory=list)
    turn: _Span | None = None


class OpenAIRuns:
    """Follows spans from their start to their end and reports what they are.

    Args:
        sdk: the handle through which it reports.
        clock: seconds, only forward.
    """

    def __init__(self, sdk: SDK, clock: Callable[[], float] = time.monotonic) -> None:
        self._agents = AgentRuns(sdk, SOURCE)
        self._clock = clock
        self._traces: dict[str, _Trace] = {}
        self._spans: dict[str, _Span] = {}
        self._lock = threading.RLock()

    def start_trace(self, trace: Any) -> None:
        """Take the start of a workflow; what is in a group is in the session of that group."""
        with self._lock:
            group = identifier(getattr(trace, "group_id", None))
            self._trace(trace.trace_id, getattr(trace, "name", None), group)

    def end_trace(self, trace: Any) -> None:
        """Take the end of a workflow, and with it of its session unless that is a group's."""
        with self._lock:
            key = str(trace.trace_id)
            known = self._traces.get(key)
            if known is None or known.over:
                return
            known.over = True
            if known.implied is not None:
                self._agents.end(known.implied, "stop")
            if not known.lasts:
                for run in known.roots.values():
                    self._agents.end_session(run)
            known.roots.clear()
            if not known.pending:
                del self._traces[key]

    def start_span(self, span: Any) -> None:
        """Take the start of a span."""
        with self._lock:
            key, data = str(span.span_id), span.span_data
            trace = self._traces.get(str(span.trace_id)) or self._trace(span.trace_id, None, None)
            parent = self._spans.get(str(span.parent_id))
            agent = None if parent is None else parent.agent
            now = _Span(trace, parent, agent, self._clock())
            now.turn = None if parent is None else parent.turn
            while len(self._spans) >= MAX_SPANS:
                del self._spans[next(iter(self._spans))]
            self._spans[key] = now
            if data.type == "agent":
                self._begin(key, now, text(data.name) or "agent")
            elif data.type in _ANSWERS or data.type == "turn":
                self._release(now)
            elif data.type == "function":
                owner, name = self._owner(now), str(data.name)
                waiting = trace.pending.pop((owner.agent_id, name), None) or [key]
                now.call_id, *rest = waiting
                if rest:
                    trace.pending[owner.agent_id, name] = rest
                self._agents.tool_start(owner, key, now.call_id, name)

    def end_span(self, span: Any) -> None:
        """Take the end of a span."""
        with self._lock:
            key, data = str(span.span_id), span.span_data
            now = self._spans.pop(key, None)
            if now is None:
                return
            if data.type == "agent":
                self._end(now, span.error or now.failure)
            elif data.type == "turn" and now.turn is not None:
                now.turn.failure = span.error
            elif data.type in _ANSWERS:
                self._answer(key, now, data, span.error)
            elif data.type == "function":
                self._end_call(key, now, data, span.error)
            elif data.type == "handoff":
                to_agent = text(data.to_agent)
                if to_agent is not None and now.agent is not None:
                    now.trace.handed[to_agent] = now.agent
            elif data.type not in _PASSED:
                self._note(key, now, data, span.error)

    def _trace(self, trace_id: object, name: object, group: str | None) -> _Trace:
        key = str(trace_id)
        known = self._traces.get(key)
        if known is not None:
            known.over = False
            return known
        trace = _Trace(text(name) or "agent", group or key[:256], group is not None)
        while len(self._traces) >= _MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        self._traces[key] = trace
        return trace

    def _begin(self, key: str, span: _Span, name: str) -> None:
        trace, parent = span.trace, span.agent
        if parent is None:
            parent = trace.handed.pop(name, None)
            line = {} if parent is None else _line(parent)
            if name in line:
                # Handed back: it goes on as what it was before.
                parent = line[name].parent
        span.agent = trace.last = self._agents.begin(
            key, name, trace.session_id, parent=parent, lasts=True
        )
        span.turn = span
        if parent is None:
            trace.roots[span.agent.agent_id] = span.agent

    def _end(self, span: _Span, error: Any) -> None:
        run, trace = span.agent, span.trace
        if run is None:
            return
        if error is None and not span.held:
            self._agents.end(run, "stop")
            if trace.over and not trace.lasts and run.parent is None:
                self._agents.end_session(run)
            return
        trace.roots.pop(run.agent_id, None)
        if error is not None:
            self._release(span)
            self._agents.end(run, "error", _kind(error))
            return
        # No turn came after a call that gave nothing: it waits for approval.
        for number, (_, call, name, _) in enumerate(span.held):
            trace.pending.setdefault((run.agent_id, name), []).append(call.call_id)
            self._agents.ask(run, name, number)
        self._agents.end(run, "waiting")

    def _answer(self, key: str, span: _Span, data: Any, error: Any) -> None:
        response = getattr(data, "response", None)
        usage = getattr(data, "usage", None) or getattr(response, "usage", None)
        model = getattr(response, "model", None) or getattr(data, "model", None)
        tokens = openai_tokens(usage)
        owner, taken = self._owner(span), self._clock() - span.began
        if error is None or tokens:
            self._agents.answer(owner, key, model, tokens, taken)
        if error is not None:
            self._agents.note(owner, key, error=_kind(error))

    def _end_call(self, key: str, span: _Span, data: Any, error: Any) -> None:
        name, taken = str(data.name), self._clock() - span.began
        if error is None and span.turn is not None and _gave_nothing(data):
            span.turn.held.append((key, span, name, taken))
        elif error is not None and _DENIED in str(_data_of(error).get("error")):
            self._agents.denied(self._owner(span), key, span.call_id, name)
        else:
            kind = None if error is None else _kind(error)
            self._agents.tool_end(self._owner(span), key, span.call_id, name, taken, kind)

    def _release(self, span: _Span) -> None:
        """Report the tools that turned out to have run, as their agent's loop goes on."""
        turn = span.turn
        if turn is None or turn.agent is None:
            return
        for key, call, name, taken in turn.held:
            self._agents.tool_end(turn.agent, key, call.call_id, name, taken)
        turn.held.clear()

    def _note(self, key: str, span: _Span, data: Any, error: Any) -> None:
        triggered = getattr(data, "triggered", None)
        self._agents.note(
            self._owner(span),
            key,
            span=text(data.type, 64),
            name=text(getattr(data, "name", None), 128),
            triggered=triggered if isinstance(triggered, bool) else None,
            error=None if error is None else _kind(error),
        )

    def _owner(self, span: _Span) -> AgentRun:
        """Return the agent around a span, else the last one, else one of the workflow's name."""
        trace = span.trace
        found = span.agent or trace.last or trace.implied
        if found is None:
            found = trace.implied = self._agents.begin(
                f"{trace.session_id}:workflow", trace.name, trace.session_id, lasts=trace.lasts
            )
        return found


def _line(run: AgentRun) -> dict[str, AgentRun]:
    """Return an agent and those above it, by name."""
    found: dict[str, AgentRun] = {}
    one: AgentRun | None = run
    while one is not None:
        found.setdefault(one.name, one)
        one = one.parent
    return found


def _gave_nothing(data: Any) -> bool:
    """Whether a call was recorded with what went in and with nothing that came out.

    So is one that waits for a person's approval, and one whose function returned None.
    """
    return getattr(data, "input", None) is not None and getattr(data, "output", None) is None


def _kind(error: Any) -> str:
    """Return the SDK's own words for an error, without its data."""
    message = mapping(error).get("message")
    return message if isinstance(message, str) and message in _ERRORS else "error"


def _data_of(error: Any) -> Mapping[str, Any]:
    return mapping(mapping(error).get("data"))
