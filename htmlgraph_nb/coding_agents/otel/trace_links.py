"""Which span contains which: the open traces, bounded. Pure.

A span arrives when it has ended, so a span that contains others arrives after them. Until then they
wait for it; ``Trace.ancestry`` returns for which span.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .span_facts import SpanKind

MAX_SPANS = 50_000
"""Spans of all traces; the traces that were not used for longest are forgotten first."""
MAX_TRACES = 5_000
MAX_SPANS_PER_TRACE = 5_000
MAX_WAITING_PER_TRACE = 1_000
MAX_DEPTH = 128
"""Spans deeper inside of others than this count as if they were in no other."""


class Node(NamedTuple):
    """What is kept of a span.

    Attributes:
        agent_id: id of the agent that it runs; None: it runs none, or a copy of another run.
        session: id of the conversation of this agent.
    """

    parent_id: str
    kind: SpanKind
    conversation: str | None
    agent_id: str | None = None
    session: str | None = None


class Ancestry(NamedTuple):
    """What the spans around a span say.

    Attributes:
        missing: id of the nearest span around it that has not arrived; "": all that matter have.
        agent_id: the nearest agent around it; None: there is none, or it is unknown.
        session: id of the conversation of this agent.
        conversation: the nearest conversation around it; None: there is none, or it is unknown.
        in_model: whether it is inside of a call of a model.
    """

    missing: str
    agent_id: str | None = None
    session: str | None = None
    conversation: str | None = None
    in_model: bool = False


class Waiting(NamedTuple):
    """Something that waits for a span.

    Attributes:
        key: identifies it in its trace.
        parent_id: the span that contains it.
        since: when it began to wait, monotonic seconds.
        work: what to do once the span has arrived.
    """

    key: str
    parent_id: str
    since: float
    work: Any


@dataclass(slots=True)
class Trace:
    """The spans of one trace that have arrived.

    Attributes:
        waiting: id of a span that has not arrived → what waits for it, by key.
        n_waiting: number of what waits.
        placeholder: id of the agent that is shown while the real one is unknown; None: none is.
        alive_until: until when the placeholder needs no other event, microseconds since 1970.
        latest: the latest call that waits, unless a placeholder shows it.
        used_at: when a span arrived last, monotonic seconds.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    waiting: dict[str, dict[str, Waiting]] = field(default_factory=dict)
    n_waiting: int = 0
    placeholder: str | None = None
    alive_until: int = 0
    latest: Waiting | None = None
    used_at: float = 0.0

    def ancestry(self, parent_id: str, agent_id: str | None = None) -> Ancestry:
        """Return what is known of the spans around a span.

        Args:
            parent_id: the span that contains it; "": none does.
            agent_id: an agent to pass over.
        """
        conversation, in_model = None, False
        for _ in range(MAX_DEPTH):
            if not parent_id:
                break
            node = self.nodes.get(parent_id)
            if node is None:
                return Ancestry(parent_id, None, None, conversation, in_model)
            conversation = conversation or node.conversation
            if node.kind is SpanKind.MODEL:
                in_model = True
            elif node.agent_id is not None and node.agent_id != agent_id:
                return Ancestry("", node.agent_id, node.session, conversation, in_model)
            parent_id = node.parent_id
        return Ancestry("", None, None, conversation, in_model)

    def wait(self, missing: str, waiting: Waiting) -> bool:
        """Keep what waits for a span; return False if too much waits already."""
        if self.n_waiting >= MAX_WAITING_PER_TRACE:
            return False
        others = self.waiting.setdefault(missing, {})
        self.n_waiting += waiting.key not in others
        others[waiting.key] = waiting
        return True

    def arrived(self, span_id: str) -> list[Waiting]:
        """Remove and return what waits for a span."""
        found = [*self.waiting.pop(span_id, {}).values()]
        self.n_waiting -= len(found)
        return found

    def overdue(self, before: float) -> list[Waiting]:
        """Remove and return what has waited since before a time."""
        found: list[Waiting] = []
        for missing, others in list(self.waiting.items()):
            old = [waiting for waiting in others.values() if waiting.since < before]
            for waiting in old:
                del others[waiting.key]
            if not others:
                del self.waiting[missing]
            found += old
        self.n_waiting -= len(found)
        return found


class TraceTable:
    """The traces of which a span arrived lately."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._n_spans = 0

    def __iter__(self) -> Iterator[tuple[str, Trace]]:
        return iter(self._traces.items())

    def add(self, trace_id: str, span_id: str, node: Node, now: float) -> Trace:
        """Add a span and return its trace."""
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = Trace()
        else:
            self._traces.move_to_end(trace_id)
        trace.used_at = now
        nodes = trace.nodes
        if span_id not in nodes:
            self._n_spans += 1
            if len(nodes) >= MAX_SPANS_PER_TRACE:
                del nodes[next(iter(nodes))]
                self._n_spans -= 1
        nodes[span_id] = node
        return trace

    def evict(self) -> list[tuple[str, Trace]]:
        """Remove and return the traces that exceed the limits."""
        evicted = []
        while len(self._traces) > 1 and (
            self._n_spans > MAX_SPANS or len(self._traces) > MAX_TRACES
        ):
            evicted.append(self._traces.popitem(last=False))
            self._n_spans -= len(evicted[-1][1].nodes)
        return evicted

    def forget(self, before: float) -> None:
        """Remove the traces of which nothing waits and no span arrived since a time."""
        for trace_id, trace in list(self._traces.items()):
            if trace.used_at >= before:
                break
            if not trace.n_waiting:
                del self._traces[trace_id]
                self._n_spans -= len(trace.nodes)
