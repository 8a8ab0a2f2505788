"""Token counters for unit tests: what a server keeps of them, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from htmlgraph_nb.coding_agents.otel.metrics import readings_of, token_events
from htmlgraph_nb.coding_agents.otel.signals import Point
from htmlgraph_nb.coding_agents.otel.streams import CounterStreams, LastPoint
from htmlgraph_nb.core.model import Event

from .otlp_signals import NOW


class Counters:
    """The last points of all streams; ``stage`` adds an export, which ``commit`` keeps."""

    def __init__(self, read_until: Mapping[str, int] | None = None) -> None:
        self._known: dict[str, LastPoint] = {}
        self._staged: dict[str, LastPoint] = {}
        self._read_until = read_until or {}

    def stage(self, points: Iterable[Point]) -> list[Event]:
        """Return the events of an export that is not kept yet."""
        streams = CounterStreams(self._known, self._read_until)
        events = token_events(readings_of(points), streams, received_at=NOW)
        self._staged = streams.changed
        return events

    def commit(self) -> None:
        """Keep the staged export."""
        self._known.update(self._staged)
        self._staged = {}


def totals(counters: Counters, exports: list[list[Point]]) -> int:
    """Return the tokens that the exports add; a repeated event counts once."""
    tokens = {}
    for points in exports:
        events = counters.stage(points)
        counters.commit()
        tokens.update({event.event_id: event.total_tokens for event in events})
    return sum(tokens.values())
