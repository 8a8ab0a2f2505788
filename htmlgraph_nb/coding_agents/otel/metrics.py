"""Convert OpenTelemetry token metrics to events, for coding agents that send only metrics.

A token counter reports the same tokens as the logs, but not the completions that used them. A
session with completions in its logs is therefore counted by those alone, and metrics count only
where there are none. ``streams`` computes how much each point adds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
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
from .streams import MAX_SESSIONS, CounterStreams, series_of

_METRICS = {
    name: (agent.name, metric)
    for agent in AGENTS.values()
    if (telemetry := agent.telemetry()) is not None
    for name, metric in telemetry.token_metrics.items()
}
"""Name of a metric → its agent, and how it counts."""


@dataclass(slots=True)
class _Sum:
    """Tokens that one export adds to one model of one session, on the same terms."""

    agent: str
    metric: TokenMetric
    session: str
    model: str | None
    point: Point
    terms: EventFields
    at_ns: int = 0
    since_ns: list[int] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


class TokenCounters:
    """The state of the token counters: their streams, and the logged sessions.

    ``stage`` adds the points of an export, ``commit`` keeps them and ``rollback`` drops them, so an
    export that could not be stored counts when it is sent again. All state is bounded.

    Args:
        logged: sessions whose completions were in logs received earlier.
        read_until: see ``CounterStreams``.
    """

    def __init__(
        self, logged: Iterable[str] = (), read_until: Mapping[str, int] | None = None
    ) -> None:
        self._streams = CounterStreams(read_until or {})
        self._logged: OrderedDict[str, None] = OrderedDict.fromkeys(logged)

    def on_logged_completion(self, session: str) -> None:
        """Record that the logs contain a completion of this session."""
        self._logged[session] = None
        self._logged.move_to_end(session)
        if len(self._logged) > MAX_SESSIONS:
            self._logged.popitem(last=False)

    def stage(self, points: Iterable[Point], *, received_at: datetime) -> list[Event]:
        """Stage one export and return the tokens it adds, by session, model and terms."""
        sums: dict[Hashable, _Sum] = {}
        for point in points:
            metric, session = _METRICS.get(point.metric), _session(point)
            if metric is not None and session is not None:
                self._add(sums, *metric, session, point)
        return [
            _event(total, received_at)
            for total in sums.values()
            if total.tokens and total.session not in self._logged
        ]

    def commit(self) -> None:
        """Keep the staged points, which are stored now."""
        self._streams.commit()

    def rollback(self) -> None:
        """Drop the staged points, which could not be stored."""
        self._streams.rollback()

    def _add(
        self,
        sums: dict[Hashable, _Sum],
        agent: str,
        metric: TokenMetric,
        session: str,
        point: Point,
    ) -> None:
        values = point.attributes
        name = metric.fields.get(str(values.get("type") or values.get("token_type") or ""))
        series = series_of(point)
        tokens, since_ns = self._streams.stage(point, session, series)
        if name is None or tokens <= 0:
            return
        model = string(values.get("model"))
        terms = terms_of_attributes(values)
        key = (session, model, *terms.values())
        total = sums.setdefault(key, _Sum(agent, metric, session, model, point, terms))
        # The latest point, so that after a restart no stream of this sum seems to be later.
        total.at_ns = max(total.at_ns, point.at_ns)
        total.since_ns.append(since_ns)
        total.tokens[name] = total.tokens.get(name, 0) + tokens
        total.keys.append(repr((series, point.start_ns, point.at_ns, point.value)))


def _session(point: Point) -> str | None:
    for values in (point.attributes, point.resource):
        for name in ("session.id", "conversation.id"):
            session = identifier(values.get(name))
            if session is not None:
                return session
    return None


def _event(total: _Sum, received_at: datetime) -> Event:
    tokens: dict[str, Any] = dict(total.tokens)
    if total.metric.input_includes_cached:
        cached = total.tokens.get("cache_read_tokens")
        tokens["input_tokens"] = uncached(total.tokens.get("input_tokens"), cached)
    key = sha256("\n".join(sorted(total.keys)).encode("utf-8", "replace")).hexdigest()[:32]
    since_ns = min(total.since_ns)
    interval_s = -((since_ns - total.at_ns) // 10**9)
    is_known = since_ns > 0 and interval_s >= 0
    return Event(
        agent_id=agent_id_of(total.session, total.agent),
        event_type="completion",
        timestamp=time_from_ns(total.at_ns, received_at),
        session_id=total.session,
        event_id=f"{METRIC_ID_PREFIX}{key}",
        model=total.model,
        host=string(total.point.resource.get("host.name")),
        source=SOURCE,
        agent_kind=total.agent,
        extra={METRIC_INTERVAL_FIELD: interval_s} if is_known else None,
        **total.terms,
        **tokens,
    )
