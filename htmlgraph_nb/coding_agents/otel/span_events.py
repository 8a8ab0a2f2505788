"""Spans of agents to events. Pure; the state is that of the open traces.

There is one agent for each conversation (``gen_ai.conversation.id`` or a session id; a trace
without one is a conversation of its own) and name (``gen_ai.agent.name``). An agent whose run is
inside of another agent's run is its subagent.

A call of a model or a tool counts for the agent that it names, else for the agent whose run
contains it. That run arrives later, because a span is sent when it ends. The call waits for it, at
most HOLD_S, and meanwhile a placeholder shows that there is work; after that it counts for the main
agent of the conversation. Only calls of models count tokens: the runs around them, and calls inside
of them, repeat theirs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ...core.ids import shorten_id
from ...core.model import Event, new_event
from ...core.timestamps import to_micros
from .events import SOURCE
from .signals import Span
from .span_facts import SpanFacts, SpanKind, facts_of_span
from .span_fields import agent_event, call_event, run_events
from .span_origin import SpanOrigin, origin_of
from .trace_links import MAX_DEPTH, Ancestry, Node, Trace, TraceTable, Waiting

HOLD_S = 60.0
"""Seconds that a call waits for the run that contains it."""
SHOWN_AFTER_S = 1.0
"""Seconds that a call waits before a placeholder shows it; most runs end in the same export."""
FORGET_S = 3_600.0
"""Seconds without a span after which a trace is forgotten."""
MAX_AGENTS = 20_000
"""Subagents whose parent is remembered."""
_ALIVE_US = 10_000_000
"""Time between two events of a placeholder, in microseconds."""


class _Call(NamedTuple):
    """A call that waits for the run that contains it; the event is that of the main agent."""

    event: Event
    facts: SpanFacts
    origin: SpanOrigin


class _Link(NamedTuple):
    """A subagent that waits for the run of its parent; the event says that it has one."""

    event: Event


class _Run(NamedTuple):
    """A run, which may wait for those around it, as it can be a copy of one."""

    span: Span
    facts: SpanFacts
    origin: SpanOrigin
    received_at: datetime


Released = list[tuple[Trace, str, str | None, Waiting]]
"""What a span has released: its trace and id, the placeholder of the trace, and what waited."""


class SpanTranslator:
    """Translates spans to events; calls may come from several threads.

    All state is bounded. Repeated spans give the same events, so a sender may send again what could
    not be stored, once ``restore`` has undone what it released.
    """

    def __init__(self) -> None:
        self._traces = TraceTable()
        # Subagent → parent.
        self._parents: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def translate(
        self, span: Span, released: Released, *, received_at: datetime, now: float
    ) -> list[Event]:
        """Return the events that a span reports, and those that waited for it.

        Args:
            released: what waited for the span is appended, for ``restore``.
            received_at: the timestamp of an event whose span has no timestamp.
            now: monotonic seconds.
        """
        origin = origin_of(span)
        if origin.repeats_logs and span.name != origin.turn_span:
            return []
        run = _Run(span, facts_of_span(span, origin.framework), origin, received_at)
        if origin.repeats_logs:
            return _end_of_turn(run)
        if origin.agent is not None and run.facts.conversation is not None:
            return _events_of_session(run)
        if not (_is_id(span.trace_id) and _is_id(span.span_id)):
            return _events_without_trace(run)
        with self._lock:
            events = self._translate(run, released, now)
            for trace_id, trace in self._traces.evict():
                self._give_up(events, trace_id, trace, trace.overdue(float("inf")))
        return events

    def restore(self, released: Released) -> None:
        """Let what waited for spans wait again, because their events could not be stored."""
        with self._lock:
            for trace, missing, placeholder, waiting in released:
                trace.placeholder = placeholder
                trace.wait(missing, waiting)

    def overdue(self, now: float, hold_s: float = HOLD_S) -> list[Event]:
        """Return the events of what waits: of placeholders, and of calls that waited too long.

        Args:
            now: monotonic seconds.
            hold_s: seconds that they may wait.
        """
        events: list[Event] = []
        with self._lock:
            for trace_id, trace in self._traces:
                if trace.n_waiting:
                    self._give_up(events, trace_id, trace, trace.overdue(now - hold_s))
                latest = trace.latest
                if latest is not None and trace.n_waiting and latest.since <= now - SHOWN_AFTER_S:
                    _show_placeholder(events, trace, latest.work)
                    trace.latest = None
            self._traces.forget(now - FORGET_S)
        return events

    def _translate(self, run: _Run, released: Released, now: float) -> list[Event]:
        span, facts, origin, received_at = run
        parent_id = span.parent_id if _is_id(span.parent_id) else ""
        node = Node(parent_id, facts.kind, facts.conversation)
        is_run = facts.kind is SpanKind.AGENT
        if is_run and not facts.is_wrapper:
            node = _node_of_run(run, parent_id, facts.conversation)
        trace = self._traces.add(span.trace_id, span.span_id, node, now)
        events: list[Event] = []
        if is_run and facts.is_wrapper:
            self._take_wrapper(events, trace, run, parent_id, now)
        elif is_run:
            self._take_run(events, trace, run, node, now)
        elif facts.kind is not SpanKind.LINK:
            session = facts.conversation or span.trace_id
            call = _Call(call_event(span, facts, origin, session, received_at), facts, origin)
            if facts.agent is not None:
                events.append(call.event)
            else:
                self._take_call(events, trace, call, parent_id, now)
        if arrived := trace.arrived(span.span_id):
            released += [(trace, span.span_id, trace.placeholder, waiting) for waiting in arrived]
            self._release(events, trace, arrived)
        return events

    def _release(self, events: list[Event], trace: Trace, arrived: Iterable[Waiting]) -> None:
        """Add the events that waited for a span."""
        for _, parent_id, since, work in _runs_first(arrived):
            if isinstance(work, _Run):
                self._take_wrapper(events, trace, work, parent_id, since)
            elif isinstance(work, _Call):
                self._take_call(events, trace, work, parent_id, since)
            else:
                self._take_link(events, trace, work, parent_id, since)
        _remove_placeholder(events, trace)

    def _take_call(
        self, events: list[Event], trace: Trace, call: _Call, parent_id: str, since: float
    ) -> None:
        """Add the event of a call if its agent is known, else let it wait."""
        known = trace.ancestry(parent_id)
        if known.in_model and call.facts.kind is SpanKind.MODEL:
            # The instrumentation of a model's client, inside of that of a framework.
            return
        waiting = Waiting(str(call.event.event_id), parent_id, since, call)
        if known.missing and trace.wait(known.missing, waiting):
            trace.latest = waiting
        else:
            events.append(_of_agent(call, known))

    def _take_link(
        self, events: list[Event], trace: Trace, link: _Link, parent_id: str, since: float
    ) -> None:
        """Add the event of a subagent if its parent is known, else let it wait."""
        child = link.event.agent_id
        known = trace.ancestry(parent_id, child)
        if known.missing:
            trace.wait(known.missing, Waiting(str(link.event.event_id), parent_id, since, link))
        elif known.agent_id is not None and self._can_be_parent(known.agent_id, child):
            key = shorten_id(f"subagent:{child}:{known.agent_id}")
            events.append(replace(link.event, parent_agent_id=known.agent_id, event_id=key))

    def _take_wrapper(
        self, events: list[Event], trace: Trace, run: _Run, parent_id: str, since: float
    ) -> None:
        """Add the events of a run unless it is a copy of another one, or let it wait."""
        known = trace.ancestry(parent_id)
        conversation = run.facts.conversation or known.conversation
        is_certain = conversation is not None and not run.facts.is_copy
        waiting = Waiting(run.span.span_id, parent_id, since, run)
        if known.missing and not is_certain and trace.wait(known.missing, waiting):
            return
        node = _node_of_run(run, parent_id, conversation)
        if node.agent_id != known.agent_id:
            trace.nodes[run.span.span_id] = node
            self._take_run(events, trace, run, node, since)

    def _take_run(
        self, events: list[Event], trace: Trace, run: _Run, node: Node, since: float
    ) -> None:
        """Add the start and the end of a run, and its parent once it is known."""
        agent_id = str(node.agent_id)
        known = trace.ancestry(node.parent_id, agent_id)
        parent = known.agent_id
        about = run.span, run.facts, run.origin
        if parent is None and run.facts.has_team:
            parent = run.origin.agent_id(None, node.session)
            team = agent_event(*about, parent, node.session, run.received_at)
            events.append(replace(team, title="team"))
        if parent is not None and not self._can_be_parent(parent, agent_id):
            parent = None
        for event in run_events(*about, agent_id, node.session, run.received_at):
            linked = event if parent is None else replace(event, parent_agent_id=parent)
            events.append(linked)
        if known.missing and parent is None:
            link = _Link(agent_event(*about, agent_id, node.session, run.received_at))
            key = str(link.event.event_id)
            trace.wait(known.missing, Waiting(key, node.parent_id, since, link))

    def _give_up(
        self, events: list[Event], trace_id: str, trace: Trace, overdue: Iterable[Waiting]
    ) -> None:
        """Add the events of what has waited too long."""
        for _, parent_id, since, work in _runs_first(overdue):
            known = trace.ancestry(parent_id)
            if isinstance(work, _Call):
                if not (known.in_model and work.facts.kind is SpanKind.MODEL):
                    events.append(_of_agent(work, known))
            elif isinstance(work, _Run):
                node = _node_of_run(work, "", work.facts.conversation or known.conversation)
                if node.agent_id != known.agent_id:
                    self._take_run(events, trace, work, node, since)
        _remove_placeholder(events, trace)

    def _can_be_parent(self, parent: str, child: str) -> bool:
        """Return whether an agent is no descendant of another, and note that it is its parent."""
        ancestor: str | None = parent
        for _ in range(MAX_DEPTH):
            if ancestor is None:
                break
            if ancestor == child:
                return False
            ancestor = self._parents.get(ancestor)
        self._parents[child] = parent
        self._parents.move_to_end(child)
        if len(self._parents) > MAX_AGENTS:
            self._parents.popitem(last=False)
        return True


def _is_id(text: str) -> bool:
    """Return whether a text is an id of a trace or span; zeros stand for none."""
    return text.strip("0") != ""


def _show_placeholder(events: list[Event], trace: Trace, call: _Call) -> None:
    """Show that an agent works whose name is not known yet."""
    event = call.event
    at_us = 0 if event.timestamp is None else to_micros(event.timestamp)
    if at_us < trace.alive_until:
        return
    trace.alive_until = at_us + _ALIVE_US
    trace.placeholder = trace.placeholder or shorten_id(f"{event.agent_id}:open")
    events.append(
        new_event(
            agent_id=trace.placeholder,
            event_type="activity",
            timestamp=event.timestamp,
            event_id=shorten_id(f"{event.event_id}:alive"),
            session_id=event.session_id,
            source=SOURCE,
            host=event.host,
            project=event.project,
            cwd=event.cwd,
        )
    )


def _remove_placeholder(events: list[Event], trace: Trace) -> None:
    """Remove the placeholder of a trace if no call waits any more."""
    if not trace.n_waiting:
        if trace.placeholder is not None:
            events.append(new_event(agent_id=trace.placeholder, event_type="forget", source=SOURCE))
        trace.placeholder = trace.latest = None
        trace.alive_until = 0


def _runs_first(waiting: Iterable[Waiting]) -> list[Waiting]:
    # Calls may be inside of the runs.
    return sorted(waiting, key=lambda each: not isinstance(each.work, _Run))


def _node_of_run(run: _Run, parent_id: str, conversation: str | None) -> Node:
    session = conversation or run.span.trace_id
    agent_id = run.origin.agent_id(run.facts.agent, session)
    return Node(parent_id, run.facts.kind, run.facts.conversation, agent_id, session)


def _of_agent(call: _Call, known: Ancestry) -> Event:
    """Return the event of a call for the agent whose run contains it, else for the main agent."""
    if known.agent_id is not None:
        return replace(call.event, agent_id=known.agent_id, session_id=known.session)
    if call.facts.conversation is None and known.conversation is not None:
        agent_id = call.origin.agent_id(None, known.conversation)
        return replace(call.event, agent_id=agent_id, session_id=known.conversation)
    return call.event


def _end_of_turn(run: _Run) -> list[Event]:
    """Return the end of a turn of a coding agent whose logs report all else."""
    span, facts, origin, received_at = run
    session = facts.conversation
    if facts.kind is not SpanKind.AGENT or session is None or span.parent_id:
        return []
    agent_id = origin.agent_id(None, session)
    unnamed = facts._replace(agent=None)
    return run_events(span, unnamed, origin, agent_id, session, received_at)[1:]


def _events_of_session(run: _Run) -> list[Event]:
    """Return the events of a span of a coding agent, for the main agent of the session.

    Its spans name subagents by their kind only, so they cannot be those of its other sources.
    """
    facts = run.facts._replace(agent=None)
    if facts.kind is SpanKind.AGENT and not run.origin.is_turn(run.span.name, run.facts.agent):
        return []
    return _events_without_trace(run._replace(facts=facts))


def _events_without_trace(run: _Run) -> list[Event]:
    """Return the events of a span that cannot be connected with others, as it has no valid ids."""
    span, facts, origin, received_at = run
    session = facts.conversation
    if facts.kind is SpanKind.LINK:
        return []
    if facts.kind is SpanKind.AGENT:
        agent_id = origin.agent_id(facts.agent, session)
        return run_events(span, facts, origin, agent_id, session, received_at)
    return [call_event(span, facts, origin, session, received_at)]
