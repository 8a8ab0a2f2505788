"""Map traces and spans of the OpenAI Agents SDK to agents, tools and completions, without the SDK.

The span of an agent is one turn. Its parent is the agent in whose tool it runs, or the agent that
handed over to it. Other spans belong to the agent that contains them. The SDK's spans of tasks and
turns only summarize the completions and are ignored.

The SDK reports a tool call that needs approval like a call that returned None. Only after the
latter does the agent's loop continue, so a call without an output is pending if the agent ends
after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..coding_agents.fields import identifier, string
from ..coding_agents.input_key import hash_input
from ..sdk import SDK
from .agent_runs import AgentRun, AgentRuns
from .openai_spans import (
    SpanState,
    TraceState,
    ancestors_by_name,
    call_input,
    error_type,
    has_no_output,
    was_denied,
)
from .token_usage import openai_terms, openai_tokens

_SOURCE = "openai-agents"
MAX_SPANS = 10_000
_MAX_TRACES = 1_000
_COMPLETIONS = ("generation", "response")
_IGNORED = ("task", "turn", "handoff", "speech_group")


class OpenAIRuns:
    """Follows spans from start to end and reports them.

    Args:
        sdk: the handle through which to report.
        clock: returns monotonic seconds.
    """

    def __init__(self, sdk: SDK, clock: Callable[[], float] = time.monotonic) -> None:
        self._agents = AgentRuns(sdk, _SOURCE)
        self._clock = clock
        self._traces: dict[str, TraceState] = {}
        self._spans: dict[str, SpanState] = {}
        self._lock = threading.RLock()

    def start_trace(self, trace: Any) -> None:
        """Handle the start of a workflow; workflows of one group share a session."""
        with self._lock:
            group = identifier(getattr(trace, "group_id", None))
            self._trace(trace.trace_id, getattr(trace, "name", None), group)

    def end_trace(self, trace: Any) -> None:
        """Handle the end of a workflow, which ends its session unless it belongs to a group."""
        with self._lock:
            state = self._traces.get(str(trace.trace_id))
            if state is not None and not state.ended:
                state.ended = True
                self._close(state)

    def start_span(self, span: Any) -> None:
        """Handle the start of a span."""
        with self._lock:
            key, data = str(span.span_id), span.span_data
            trace = self._traces.get(str(span.trace_id)) or self._trace(span.trace_id, None, None)
            parent = self._spans.get(str(span.parent_id))
            agent = None if parent is None else parent.agent
            state = SpanState(trace, parent, agent, self._clock())
            state.turn = None if parent is None else parent.turn
            while len(self._spans) >= MAX_SPANS:
                del self._spans[next(iter(self._spans))]
            self._spans[key] = state
            if data.type == "agent":
                self._start_turn(key, state, string(data.name) or "agent")
            elif data.type in _COMPLETIONS or data.type == "turn":
                self._release_held_calls(state)
            elif data.type == "function":
                owner, name = self._owner(state), str(data.name)
                pending = trace.pending.pop((owner.agent_id, name), None) or [key]
                state.call_id, *rest = pending
                if rest:
                    trace.pending[owner.agent_id, name] = rest
                self._agents.tool_start(owner, key, state.call_id, name)

    def end_span(self, span: Any) -> None:
        """Handle the end of a span."""
        with self._lock:
            key, data = str(span.span_id), span.span_data
            state = self._spans.pop(key, None)
            if state is None:
                return
            if data.type == "agent":
                self._end_turn(state, span.error or state.failure)
            elif data.type == "turn" and state.turn is not None:
                state.turn.failure = span.error
            elif data.type in _COMPLETIONS:
                self._end_completion(key, state, data, span.error)
            elif data.type == "function":
                self._end_call(key, state, data, span.error)
            elif data.type == "handoff":
                to_agent = string(data.to_agent)
                if to_agent is not None and state.agent is not None:
                    state.trace.handed_over_by[to_agent] = state.agent
            elif data.type not in _IGNORED:
                self._report_activity(key, state, data, span.error)

    def _trace(self, trace_id: object, name: object, group: str | None) -> TraceState:
        key = str(trace_id)
        existing = self._traces.get(key)
        if existing is not None:
            existing.ended = False
            return existing
        trace = TraceState(key, string(name) or "agent", group or key[:256], group is not None)
        while len(self._traces) >= _MAX_TRACES:
            del self._traces[next(iter(self._traces))]
        self._traces[key] = trace
        return trace

    def _start_turn(self, key: str, span: SpanState, name: str) -> None:
        trace, parent = span.trace, span.agent
        trace.n_running += 1
        if parent is None:
            parent = trace.handed_over_by.pop(name, None)
            ancestors = {} if parent is None else ancestors_by_name(parent)
            if name in ancestors:
                # Handed back to an ancestor, which keeps its own parent.
                parent = ancestors[name].parent
        span.agent = trace.last_agent = self._agents.start(
            key, name, trace.session_id, parent=parent, keeps_session=True
        )
        span.turn = span
        if parent is None:
            trace.roots[span.agent.agent_id] = span.agent

    def _end_turn(self, span: SpanState, error: Any) -> None:
        run, trace = span.agent, span.trace
        if run is None:
            return
        trace.n_running -= 1
        trace.pending = {key: ids for key, ids in trace.pending.items() if key[0] != run.agent_id}
        if error is not None:
            trace.roots.pop(run.agent_id, None)
            self._release_held_calls(span)
            self._agents.end(run, "error", error_type(error))
        elif span.held_calls:
            self._wait_for_approval(span, run)
        else:
            self._agents.end(run, "stop")
        if trace.ended and trace.n_running == 0:
            self._close(trace)

    def _wait_for_approval(self, span: SpanState, run: AgentRun) -> None:
        """Report that a person must decide about the calls without an output."""
        trace = span.trace
        for number, (_, call, name, _) in enumerate(span.held_calls):
            trace.pending.setdefault((run.agent_id, name), []).append(call.call_id)
            self._agents.request_input(run, name, number)
        if run.parent is not None:
            trace.handed_over_by[run.name] = run.parent
        trace.roots.pop(run.agent_id, None)
        self._agents.end(run, "waiting")

    def _close(self, trace: TraceState) -> None:
        """Report the end of a workflow unless a tool call waits for approval."""
        if trace.pending:
            return
        self._traces.pop(trace.key, None)
        if trace.workflow_run is not None:
            self._agents.end(trace.workflow_run, "stop")
        if not trace.keeps_session:
            for run in trace.roots.values():
                self._agents.end_session(run)
        trace.roots.clear()

    def _end_completion(self, key: str, span: SpanState, data: Any, error: Any) -> None:
        response = getattr(data, "response", None)
        usage = getattr(data, "usage", None) or getattr(response, "usage", None)
        model = getattr(response, "model", None) or getattr(data, "model", None)
        tokens = openai_tokens(usage)
        owner, seconds = self._owner(span), self._clock() - span.started_at
        if error is None or tokens:
            terms = openai_terms(response)
            self._agents.completion(owner, key, model, tokens, seconds, terms)
        if error is not None:
            self._agents.activity(owner, key, error=error_type(error))

    def _end_call(self, key: str, span: SpanState, data: Any, error: Any) -> None:
        name, seconds = str(data.name), self._clock() - span.started_at
        span.input_hash = hash_input(call_input(data))
        if error is None and span.turn is not None and has_no_output(data):
            span.turn.held_calls.append((key, span, name, seconds))
        elif was_denied(error):
            self._agents.tool_denied(self._owner(span), key, span.call_id, name)
        else:
            error_name = None if error is None else error_type(error)
            owner = self._owner(span)
            self._agents.tool_end(
                owner, key, span.call_id, name, seconds, error_name, span.input_hash
            )

    def _release_held_calls(self, span: SpanState) -> None:
        """Report that the held calls have run, because their agent's loop continues."""
        turn = span.turn
        if turn is None or turn.agent is None:
            return
        for key, call, name, seconds in turn.held_calls:
            hashed = call.input_hash
            self._agents.tool_end(turn.agent, key, call.call_id, name, seconds, input_hash=hashed)
        turn.held_calls.clear()

    def _report_activity(self, key: str, span: SpanState, data: Any, error: Any) -> None:
        triggered = getattr(data, "triggered", None)
        self._agents.activity(
            self._owner(span),
            key,
            span=string(data.type, 64),
            name=string(getattr(data, "name", None), 128),
            triggered=triggered if isinstance(triggered, bool) else None,
            error=None if error is None else error_type(error),
        )

    def _owner(self, span: SpanState) -> AgentRun:
        """Return the agent that contains a span, else the last agent, else one for the workflow."""
        trace = span.trace
        owner = span.agent or trace.last_agent or trace.workflow_run
        if owner is None:
            key = f"{trace.session_id}:workflow"
            owner = trace.workflow_run = self._agents.start(
                key, trace.name, trace.session_id, keeps_session=trace.keeps_session
            )
        return owner
