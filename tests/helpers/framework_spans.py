"""Recorded spans of agent frameworks, and the agents that they lead to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from htmlgraph_nb.coding_agents.otel.signals import Span
from htmlgraph_nb.coding_agents.otel.span_events import SpanTranslator
from htmlgraph_nb.core.model import AgentPresence, Event
from htmlgraph_nb.core.roster import Limits, Roster
from htmlgraph_server.otlp.json_codec import JsonCodec
from tests.helpers.paths import ROOT

PAYLOADS = ROOT / "tests/payloads/otel"
RECORDINGS = tuple(
    sorted(path.relative_to(PAYLOADS).as_posix() for path in PAYLOADS.glob("*/*.jsonl"))
)
RECEIVED = datetime(2026, 12, 1, tzinfo=UTC)


def exports_of(recording: str) -> list[bytes]:
    """Return the exports of a recording, in OTLP JSON."""
    return (PAYLOADS / recording).read_bytes().splitlines()


@cache
def spans_of(recording: str) -> tuple[Span, ...]:
    """Return the spans of a recording in order of arrival."""
    codec = JsonCodec()
    return tuple(
        span for body in exports_of(recording) for span in codec.decode_spans(json.loads(body))
    )


class Agent(NamedTuple):
    """What is compared of an agent."""

    parent: str | None
    status: str
    reason: str | None
    tools: int
    errors: int
    tokens: int
    title: str | None
    model: str | None
    session: str | None

    @classmethod
    def of(cls, presence: AgentPresence) -> Agent:
        """Return it for a presence."""
        return cls(
            presence.parent_agent_id,
            presence.status.value,
            presence.reason,
            presence.total_tools_executed,
            presence.total_errors,
            presence.total_cost_tokens,
            presence.title,
            presence.model,
            presence.session_id,
        )


class Agents:
    """A translator with a roster; repeated event ids count once, as in the store."""

    def __init__(self) -> None:
        self.translator = SpanTranslator()
        self.events: list[Event] = []
        self._roster = Roster(Limits(idle_timeout_s=0, offline_timeout_s=0, forget_after_s=0))
        self._known: set[str] = set()

    def receive(self, spans: Iterable[Span], now: float = 0.0) -> None:
        """Translate spans and apply their events."""
        for span in spans:
            self.apply(self.translator.translate(span, [], received_at=RECEIVED, now=now))

    def give_up(self) -> None:
        """Apply the events of all that waits."""
        self.apply(self.translator.overdue(0.0, hold_s=-1e9))

    def apply(self, events: Iterable[Event]) -> None:
        """Apply events that are new."""
        for event in events:
            event.checked()
            if event.event_id is not None and event.event_id in self._known:
                continue
            self._known.add(event.event_id or "")
            self.events.append(event)
            self._roster.apply(event, len(self.events), RECEIVED)
            self._roster.commit()

    @property
    def agents(self) -> dict[str, Agent]:
        """The agents by id."""
        return {
            name: Agent.of(state.presence) for name, state in sorted(self._roster.agents.items())
        }


def agents_of(spans: Sequence[Span]) -> dict[str, Agent]:
    """Return the agents that spans lead to once nothing waits any more."""
    agents = Agents()
    agents.receive(spans)
    agents.give_up()
    return agents.agents
