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
from collections.abc import Callable
from typing import Any

from ..coding_agents.fields import identifier, text
from ..sdk import SDK
from .agent_runs import AgentRun, AgentRuns
from .openai_spans import (
    SpanState,
    TraceState,
    ancestors_by_name,
    error_type,
    has_no_output,
    was_denied,
)
from .token_usage import openai_tokens

_SOURCE = "openai-agents"
MAX_SPANS = 10_000
_MAX_TRACES = 1_000
_ANSWERS = ("generation", "response")
_PASSED = ("task", "turn", "handoff", "speech_group")


class OpenAIRuns:
    """Follows spans from their start to their end and reports what they are.

    Args:
        sdk: the handle through which it reports.
        clock: seconds, only forward.
    """

    def __init__(self, sdk: SDK, clock: Callable[[], float] = time.monotonic) -> None:
        self._agents = AgentRuns(sdk, _SOURCE)
        self._clock = clock
        self._traces: dict[str, TraceState] = {}
        self._spans: dict[str, SpanState] = {}
        self._lock = threading.RLock()

    def start_trace(self, trace: Any) -> None:
        """Take the start of a workflow; what is in a group is in the session of that group."""
        with self._lock:
            group = identifier(getattr(trace, "group_id", None))
            self._trace(trace.trace_id, getattr(trace, "name", None), group)

    def end_trace(self, trace: Any) -> None:
        """Take the end of a workflow, and with it of its session unless that is a group's."""
        with self._lock:
            known = self._traces.get(str(trace.trace_id))
            if known is not None and not known.over:
                known.over = True
                self._close(known)

    def start_span(self, span: Any) -> None:
        """Take the start of a span."""
        with self._lock:
            key, data = str(span.span_id), span.span_data
            trace = self._traces.get(str(span.trace_id)) or self._trace(span.trace_id, None, None)
            parent = self._spans.get(str(span.parent_id))
            agent = None if parent is None else parent.agent
            now = SpanState(trace, parent, agent, self._clock())
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

    def _trace(self, trace_id: object, name: object, group: str | None) -> TraceState:
        key = str(trace_id)
        known = self._traces.get(key)
        if known is not None:
            known.over = False
            return known
        trace = TraceState(key, text(name) or "agent", group or key[:256], group is not None)
        while len(self._traces) >= _MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        self._traces[key] = trace
        return trace

    def _begin(self, key: str, span: SpanState, name: str) -> None:
        trace, parent = span.trace, span.agent
        trace.n_open += 1
        if parent is None:
            parent = trace.handed.pop(name, None)
            line = {} if parent is None else ancestors_by_name(parent)
            if name in line:
                # Handed back: it goes on as what it was before.
                parent = line[name].parent
        span.agent = trace.last = self._agents.begin(
            key, name, trace.session_id, parent=parent, lasts=True
        )
        span.turn = span
        if parent is None:
            trace.roots[span.agent.agent_id] = span.agent

    def _end(self, span: SpanState, error: Any) -> None:
        run, trace = span.agent, span.trace
        if run is None:
            return
        trace.n_open -= 1
        trace.pending = {key: ids for key, ids in trace.pending.items() if key[0] != run.agent_id}
        if error is not None:
            trace.roots.pop(run.agent_id, None)
            self._release(span)
            self._agents.end(run, "error", error_type(error))
        elif span.held:
            self._wait(span, run)
        else:
            self._agents.end(run, "stop")
        if trace.over and trace.n_open == 0:
            self._close(trace)

    def _wait(self, span: SpanState, run: AgentRun) -> None:
        """Report that a person is asked: no turn came after a call that gave nothing."""
        trace = span.trace
        for number, (_, call, name, _) in enumerate(span.held):
            trace.pending.setdefault((run.agent_id, name), []).append(call.call_id)
            self._agents.ask(run, name, number)
        if run.parent is not None:
            trace.handed[run.name] = run.parent
        trace.roots.pop(run.agent_id, None)
        self._agents.end(run, "waiting")

    def _close(self, trace: TraceState) -> None:
        """Report the end of a workflow that waits for nobody."""
        if trace.pending:
            return
        self._traces.pop(trace.key, None)
        if trace.implied is not None:
            self._agents.end(trace.implied, "stop")
        if not trace.lasts:
            for run in trace.roots.values():
                self._agents.end_session(run)
        trace.roots.clear()

    def _answer(self, key: str, span: SpanState, data: Any, error: Any) -> None:
        response = getattr(data, "response", None)
        usage = getattr(data, "usage", None) or getattr(response, "usage", None)
        model = getattr(response, "model", None) or getattr(data, "model", None)
        tokens = openai_tokens(usage)
        owner, taken = self._owner(span), self._clock() - span.began
        if error is None or tokens:
            self._agents.answer(owner, key, model, tokens, taken)
        if error is not None:
            self._agents.note(owner, key, error=error_type(error))

    def _end_call(self, key: str, span: SpanState, data: Any, error: Any) -> None:
        name, taken = str(data.name), self._clock() - span.began
        if error is None and span.turn is not None and has_no_output(data):
            span.turn.held.append((key, span, name, taken))
        elif was_denied(error):
            self._agents.denied(self._owner(span), key, span.call_id, name)
        else:
            kind = None if error is None else error_type(error)
            self._agents.tool_end(self._owner(span), key, span.call_id, name, taken, kind)

    def _release(self, span: SpanState) -> None:
        """Report the tools that turned out to have run, as their agent's loop goes on."""
        turn = span.turn
        if turn is None or turn.agent is None:
            return
        for key, call, name, taken in turn.held:
            self._agents.tool_end(turn.agent, key, call.call_id, name, taken)
        turn.held.clear()

    def _note(self, key: str, span: SpanState, data: Any, error: Any) -> None:
        triggered = getattr(data, "triggered", None)
        self._agents.note(
            self._owner(span),
            key,
            span=text(data.type, 64),
            name=text(getattr(data, "name", None), 128),
            triggered=triggered if isinstance(triggered, bool) else None,
            error=None if error is None else error_type(error),
        )

    def _owner(self, span: SpanState) -> AgentRun:
        """Return the agent around a span, else the last one, else one of the workflow's name."""
        trace = span.trace
        found = span.agent or trace.last or trace.implied
        if found is None:
            found = trace.implied = self._agents.begin(
                f"{trace.session_id}:workflow", trace.name, trace.session_id, lasts=trace.lasts
            )
        return found
