"""OpenTelemetry token metrics of coding agents to Events, for those who send metrics only.

A counter of tokens tells the same tokens as the logs, without the answers they belong to. So a
session of which an answer was told is counted by its answers alone, and metrics count where there
are no others. Delta and cumulative counters are read; a point that is sent again counts once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from ...core.dedup import METRIC
from ...core.ids import agent_id_of
from ...core.model import Event
from ..fields import identifier, text
from .agent_logs import uncached
from .events import SOURCE, moment_of
from .signals import Point

MAX_SERIES = 20_000
MAX_SESSIONS = 10_000


class _Meter(NamedTuple):
    """How a metric counts: its agent, ``type`` → field of an Event, and what its input holds."""

    agent: str
    fields: dict[str, str]
    input_has_cached: bool


_METERS = {
    "claude_code.token.usage": _Meter(
        "claude",
        {
            "input": "input_tokens",
            "output": "output_tokens",
            "cacheRead": "cache_read_tokens",
            "cacheCreation": "cache_write_5m_tokens",
        },
        False,
    ),
    "gemini_cli.token.usage": _Meter(
        "gemini",
        {
            "input": "input_tokens",
            "output": "output_tokens",
            "thought": "output_tokens",
            "cache": "cache_read_tokens",
        },
        True,
    ),
    "codex.turn.token_usage": _Meter(
        "codex",
        {
            "input": "input_tokens",
            "output": "output_tokens",
            "cached_input": "cache_read_tokens",
        },
        True,
    ),
}


class _Value(NamedTuple):
    """The last point of a series."""

    start_ns: int
    at_ns: int
    value: float


@dataclass(slots=True)
class _Sum:
    """What one export adds to one session's tokens of one model."""

    meter: _Meter
    session: str
    model: str | None
    point: Point
    tokens: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


class TokenCounters:
    """What is known of the token counters: the last value of each series, and whose answers came.

    ``take`` stages what points tell, ``commit`` keeps it and ``rollback`` forgets it, so that an
    export that could not be stored counts when it is sent again. All of it is bounded; a series
    that is forgotten begins again with its next point.

    Args:
        answered: sessions whose answers were told by logs before this.
        metered: sessions of which counters were read before this, it is not known how far: of a
            cumulative one only what it grows by from its first point on is counted.
    """

    def __init__(self, answered: Iterable[str] = (), metered: Iterable[str] = ()) -> None:
        self._last: OrderedDict[Hashable, _Value] = OrderedDict()
        self._staged: dict[Hashable, _Value] = {}
        self._answered: OrderedDict[str, None] = OrderedDict.fromkeys(answered)
        self._metered = frozenset(metered)

    def answered(self, session: str) -> None:
        """Take in that answers of this session are told by logs."""
        self._answered[session] = None
        self._answered.move_to_end(session)
        if len(self._answered) > MAX_SESSIONS:
            self._answered.popitem(last=False)

    def take(self, points: Iterable[Point], *, received_at: datetime) -> list[Event]:
        """Return the tokens that the points of one export add: one event a session and model."""
        sums: dict[Hashable, _Sum] = {}
        for point in points:
            meter, session = _METERS.get(point.metric), _session(point)
            if meter is not None and session is not None:
                self._add(sums, meter, session, point)
        return [
            _event(one, received_at)
            for one in sums.values()
            if one.tokens and one.session not in self._answered
        ]

    def commit(self) -> None:
        """Keep what was taken: it is stored."""
        for series, value in self._staged.items():
            self._last[series] = value
            self._last.move_to_end(series)
        self._staged.clear()
        while len(self._last) > MAX_SERIES:
            self._last.popitem(last=False)

    def rollback(self) -> None:
        """Forget what was taken: it is not stored."""
        self._staged.clear()

    def _add(self, sums: dict[Hashable, _Sum], meter: _Meter, session: str, point: Point) -> None:
        values = point.attributes
        name = meter.fields.get(str(values.get("type") or values.get("token_type") or ""))
        series = (point.metric, session, *sorted((k, str(v)) for k, v in values.items()))
        tokens = self._added(series, point, session)
        if name is None or tokens <= 0:
            return
        model = text(values.get("model"))
        known = sums.setdefault((session, model), _Sum(meter, session, model, point))
        known.tokens[name] = known.tokens.get(name, 0) + tokens
        known.keys.append(repr((series, point.start_ns, point.at_ns)))

    def _added(self, series: Hashable, point: Point, session: str) -> int:
        """Return what the point adds to its series, and stage it."""
        known = self._staged.get(series) or self._last.get(series)
        if not 0 <= point.value < 1e15 or (known is not None and point.at_ns <= known.at_ns):
            return 0
        self._staged[series] = _Value(point.start_ns, point.at_ns, point.value)
        if point.delta:
            return round(point.value)
        if known is None:
            return 0 if session in self._metered else round(point.value)
        # A counter that began anew counts from 0 again.
        anew = point.start_ns != known.start_ns or point.value < known.value
        return round(point.value - (0.0 if anew else known.value))


def _session(point: Point) -> str | None:
    for values in (point.attributes, point.resource):
        for name in ("session.id", "conversation.id"):
            found = identifier(values.get(name))
            if found is not None:
                return found
    return None


def _event(one: _Sum, received_at: datetime) -> Event:
    tokens: dict[str, Any] = dict(one.tokens)
    if one.meter.input_has_cached:
        cached = one.tokens.get("cache_read_tokens")
        tokens["input_tokens"] = uncached(one.tokens.get("input_tokens"), cached)
    key = sha256("\n".join(sorted(one.keys)).encode("utf-8", "replace")).hexdigest()[:32]
    return Event(
        agent_id=agent_id_of(one.session, one.meter.agent),
        event_type="completion",
        timestamp=moment_of(one.point.at_ns, received_at),
        session_id=one.session,
        event_id=f"{METRIC}{key}",
        model=one.model,
        host=text(one.point.resource.get("host.name")),
        source=SOURCE,
        **tokens,
    )
