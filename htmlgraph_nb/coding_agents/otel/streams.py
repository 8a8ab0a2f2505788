"""Streams of counters: how much each point adds to the total of its session. Pure.

Rules of https://opentelemetry.io/docs/specs/otel/metrics/data-model/ ("Resets and Gaps"):

- Points with equal resource, scope, metric, attributes and start time are a stream. Several
  processes of one session often differ only in the start time, so each counts on its own.
- A cumulative point adds its growth since the last point of its stream, and the whole value if it
  is the first one. A smaller value is a reset: the counter counts from 0 again.
- A first point whose start time is its own time continues a counter of unknown value: only its
  growth counts.
- A delta point adds its value. Its interval is part of its identity, so it counts once, also if it
  arrives late.
- Streams that all lack a start time cannot be distinguished; they count as one.

Points that are repeated or older than the last point of a cumulative stream add nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from .signals import Point

_MAX_VALUE = 1e15
_MAX_NS = 2**63 - 1


class StreamPoint(NamedTuple):
    """A point of a stream.

    Attributes:
        stream: identity of its stream; of a delta point, which is in none, that of the point.
        session: the session whose tokens it counts.
        start_ns, at_ns: nanoseconds since 1970.
        delta: whether it counts since the last point, not since ``start_ns``.
    """

    stream: str
    session: str
    start_ns: int
    at_ns: int
    value: float
    delta: bool


class Growth(NamedTuple):
    """How much a point adds.

    Attributes:
        since_ns: when the time begins that it covers, in nanoseconds since 1970; 0: unknown.
    """

    value: int
    since_ns: int = 0


_NONE = Growth(0)


class LastPoint(NamedTuple):
    """The last point of a stream, or a delta point that counts already.

    Attributes:
        session: its session.
        at_ns: its time in nanoseconds since 1970.
        value: its value; None: a delta point, which is not needed again.
    """

    session: str
    at_ns: int
    value: float | None


class CounterStreams:
    """How much the points of an export add to what was read before.

    Args:
        known: the last point of each stream of ``StreamPoint.stream`` that was read before.
        read_until: session → time, in nanoseconds since 1970, until which its counters were read
            earlier, up to unknown values. Of a cumulative stream that started before, only the
            growth after its first point counts.

    Attributes:
        changed: the new last points, which are to be known for the next export.
    """

    def __init__(self, known: Mapping[str, LastPoint], read_until: Mapping[str, int]) -> None:
        self._known = known
        self._read_until = read_until
        self.changed: dict[str, LastPoint] = {}

    def add(self, point: StreamPoint) -> Growth:
        """Add a point and return how much it adds."""
        stream, session, start_ns, at_ns, value, delta = point
        if not 0 <= value < _MAX_VALUE:
            return _NONE
        last = self.changed.get(stream) or self._known.get(stream)
        if delta:
            if not value or last is not None:
                return _NONE
            self.changed[stream] = LastPoint(session, at_ns, None)
            return Growth(round(value), start_ns)
        if last is not None and at_ns <= last.at_ns:
            return _NONE
        self.changed[stream] = LastPoint(session, at_ns, value)
        if last is None or last.value is None:
            is_continued = start_ns == at_ns
            was_read = start_ns <= self._read_until.get(session, -1)
            return _NONE if is_continued or was_read else Growth(round(value), start_ns)
        was_reset = value < last.value
        return Growth(round(value - (0.0 if was_reset else last.value)), last.at_ns)


def series_of(point: Point) -> bytes:
    """Return what identifies the series of a point: a hash of all but its time and value."""
    parts = [point.metric, point.scope]
    for values in (point.attributes, point.resource):
        parts += sorted(f"{name}={value!r}" for name, value in values.items())
        parts.append("")
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


def stream_point(point: Point, session: str, series: bytes) -> StreamPoint:
    """Return a point with the identity of its stream.

    Args:
        series: ``series_of(point)``.
    """
    start_ns, at_ns = min(point.start_ns, _MAX_NS), min(point.at_ns, _MAX_NS)
    interval = (start_ns, at_ns, point.value) if point.delta else (start_ns,)
    key = f"{session}\0{interval}".encode("utf-8", "replace")
    stream = blake2b(series + key, digest_size=16).hexdigest()
    return StreamPoint(stream, session, start_ns, at_ns, point.value, point.delta)
