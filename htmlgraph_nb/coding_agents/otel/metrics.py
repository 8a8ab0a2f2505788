"""Convert OpenTelemetry token metrics to events, for coding agents that send only metrics.

A token counter reports the same tokens as the logs, but not the completions that used them. A
session with completions is therefore counted by those alone; see ``core.dedup.TokenSource``.
``streams`` computes how much each point adds to the last point of its stream, which is stored in
the transaction of the events.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from ...core.dedup import METRIC_ID_PREFIX, METRIC_INTERVAL_FIELD
from ...core.ids import agent_id_of
from ...core.model import Event
from ..fields import identifier, string
from ..registry import AGENTS
from ..telemetry import EventFields, TokenMetric, terms_of_attributes, uncached
from .events import SOURCE, time_from_ns
from .signals import Point
from .streams import CounterStreams, StreamPoint, series_of, stream_point

_METRICS = {
    name: (agent.name, metric)
    for agent in AGENTS.values()
    if (telemetry := agent.telemetry()) is not None
    for name, metric in telemetry.token_metrics.items()
}
"""Name of a metric → its agent, and how it counts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A point of a token counter.

    Attributes:
        agent: name of the kind of agent.
        metric: how its counter counts.
        session: id of the session.
        field_name: field of the event for its tokens; None: a kind of tokens that is not counted.
        model, host: where the tokens were used; None if unknown.
        terms: fields of the event that decide the price.
        series: ``series_of`` the point.
        point: its value, time and stream.
    """

    agent: str
    metric: TokenMetric
    session: str
    field_name: str | None
    model: str | None
    host: str | None
    terms: EventFields
    series: bytes
    point: StreamPoint

    @property
    def agent_id(self) -> str:
        """The id of the session's agent."""
        return agent_id_of(self.session, self.agent)


@dataclass(slots=True)
class _Sum:
    """Tokens that one export adds to one model of one session, on the same terms."""

    first: Reading
    at_ns: int = 0
    since_ns: list[int] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


def readings_of(points: Iterable[Point]) -> Iterator[Reading]:
    """Yield those of the points that are points of token counters."""
    for point in points:
        known, session = _METRICS.get(point.metric), _session(point)
        if known is None or session is None:
            continue
        agent, metric = known
        values = point.attributes
        series = series_of(point)
        yield Reading(
            agent,
            metric,
            session,
            metric.fields.get(str(values.get("type") or values.get("token_type") or "")),
            string(values.get("model")),
            string(point.resource.get("host.name")),
            terms_of_attributes(values),
            series,
            stream_point(point, session, series),
        )


def token_events(
    readings: Iterable[Reading], streams: CounterStreams, *, received_at: datetime
) -> list[Event]:
    """Return the tokens that one export adds, by session, model and terms.

    Args:
        streams: the last points of the streams; the readings are added to it.
        received_at: time of a point without a plausible one, UTC.
    """
    sums: dict[Hashable, _Sum] = {}
    for reading in readings:
        tokens, since_ns = streams.add(reading.point)
        if reading.field_name is None or tokens <= 0:
            continue
        key = (reading.session, reading.model, *reading.terms.values())
        total = sums.setdefault(key, _Sum(reading))
        # The latest point, so that no stream of this sum seems to be later.
        total.at_ns = max(total.at_ns, reading.point.at_ns)
        total.since_ns.append(since_ns)
        total.tokens[reading.field_name] = total.tokens.get(reading.field_name, 0) + tokens
        _, _, start_ns, at_ns, value, _ = reading.point
        total.keys.append(repr((reading.series, start_ns, at_ns, value)))
    return [_event(total, received_at) for total in sums.values() if total.tokens]


def _session(point: Point) -> str | None:
    for values in (point.attributes, point.resource):
        for name in ("session.id", "conversation.id"):
            session = identifier(values.get(name))
            if session is not None:
                return session
    return None


def _event(total: _Sum, received_at: datetime) -> Event:
    first = total.first
    tokens: dict[str, Any] = dict(total.tokens)
    if first.metric.input_includes_cached:
        cached = total.tokens.get("cache_read_tokens")
        tokens["input_tokens"] = uncached(total.tokens.get("input_tokens"), cached)
    key = sha256("\n".join(sorted(total.keys)).encode("utf-8", "replace")).hexdigest()[:32]
    since_ns = min(total.since_ns)
    interval_s = -((since_ns - total.at_ns) // 10**9)
    is_known = since_ns > 0 and interval_s >= 0
    return Event(
        agent_id=first.agent_id,
        event_type="completion",
        timestamp=time_from_ns(total.at_ns, received_at),
        session_id=first.session,
        event_id=f"{METRIC_ID_PREFIX}{key}",
        model=first.model,
        host=first.host,
        source=SOURCE,
        agent_kind=first.agent,
        extra={METRIC_INTERVAL_FIELD: interval_s} if is_known else None,
        **first.terms,
        **tokens,
    )
