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

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

from .signals import Point

MAX_STREAMS = 20_000
MAX_STREAMS_PER_SESSION = 2_000
MAX_SESSIONS = 10_000
_MAX_VALUE = 1e15

_Value = TypeVar("_Value")


class _Key(NamedTuple):
    """Identity of a stream, or of a delta point.

    Attributes:
        interval: start time, and for a delta point also its time and value.
    """

    session: str
    series: bytes
    interval: tuple[float, ...]


class Growth(NamedTuple):
    """How much a point adds.

    Attributes:
        since_ns: when the time begins that it covers, in nanoseconds since 1970; 0: unknown.
    """

    value: int
    since_ns: int = 0


_NONE = Growth(0)


class _LastPoint(NamedTuple):
    """The last point of a cumulative stream."""

    at_ns: int
    value: float


class CounterStreams:
    """The last point of each stream.

    ``stage`` adds points, ``commit`` keeps them and ``rollback`` drops them. All state is bounded:
    the streams that were not used for longest are evicted first. An evicted stream continues like
    one of before the start of the program, so that no token counts twice.

    Args:
        read_until: session → time, in nanoseconds since 1970, until which its counters were read
            earlier, up to unknown values. Of a cumulative stream that started before, only the
            growth after its first point counts.
    """

    def __init__(self, read_until: Mapping[str, int]) -> None:
        self._last: _RecentlyUsed[_LastPoint] = _RecentlyUsed()
        self._deltas: _RecentlyUsed[None] = _RecentlyUsed()
        self._staged: dict[_Key, _LastPoint] = {}
        self._staged_deltas: dict[_Key, None] = {}
        self._read_until = OrderedDict(read_until)

    def stage(self, point: Point, session: str, series: bytes) -> Growth:
        """Stage a point and return how much it adds.

        Args:
            series: ``series_of(point)``.
        """
        if not 0 <= point.value < _MAX_VALUE:
            return _NONE
        if point.delta:
            return self._stage_delta(point, session, series)
        key = _Key(session, series, (point.start_ns,))
        last = self._staged.get(key) or self._last.get(key)
        if last is not None and point.at_ns <= last.at_ns:
            return _NONE
        self._staged[key] = _LastPoint(point.at_ns, point.value)
        if last is None:
            is_continued = point.start_ns == point.at_ns
            was_read = point.start_ns <= self._read_until.get(session, -1)
            is_new = not (is_continued or was_read)
            return Growth(round(point.value), point.start_ns) if is_new else _NONE
        was_reset = point.value < last.value
        return Growth(round(point.value - (0.0 if was_reset else last.value)), last.at_ns)

    def commit(self) -> None:
        """Keep the staged points."""
        for key, last in self._staged.items():
            for evicted, evicted_last in self._last.put(key, last):
                self._set_read_until(evicted.session, evicted_last.at_ns)
        for key in self._staged_deltas:
            self._deltas.put(key, None)
        self.rollback()

    def rollback(self) -> None:
        """Drop the staged points."""
        self._staged.clear()
        self._staged_deltas.clear()

    def _stage_delta(self, point: Point, session: str, series: bytes) -> Growth:
        key = _Key(session, series, (point.start_ns, point.at_ns, point.value))
        if not point.value or key in self._staged_deltas or key in self._deltas:
            return _NONE
        self._staged_deltas[key] = None
        return Growth(round(point.value), point.start_ns)

    def _set_read_until(self, session: str, at_ns: int) -> None:
        self._read_until[session] = max(at_ns, self._read_until.get(session, 0))
        self._read_until.move_to_end(session)
        if len(self._read_until) > MAX_SESSIONS:
            self._read_until.popitem(last=False)


def series_of(point: Point) -> bytes:
    """Return what identifies the series of a point: a hash of all but its time and value."""
    parts = [point.metric, point.scope]
    for values in (point.attributes, point.resource):
        parts += sorted(f"{name}={value!r}" for name, value in values.items())
        parts.append("")
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


class _RecentlyUsed(Generic[_Value]):
    """A mapping that is bounded overall and by session; the least recently used entries go."""

    def __init__(self) -> None:
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()
        self._by_session: dict[str, OrderedDict[_Key, None]] = {}

    def __contains__(self, key: _Key) -> bool:
        return key in self._entries

    def get(self, key: _Key) -> _Value | None:
        """Return the value of a key; None if it is unknown."""
        return self._entries.get(key)

    def put(self, key: _Key, value: _Value) -> list[tuple[_Key, _Value]]:
        """Set a value and return the entries that are evicted for it."""
        own = self._by_session.setdefault(key.session, OrderedDict())
        self._entries[key], own[key] = value, None
        self._entries.move_to_end(key)
        own.move_to_end(key)
        evicted = []
        if len(own) > MAX_STREAMS_PER_SESSION:
            evicted.append(self._remove(next(iter(own))))
        if len(self._entries) > MAX_STREAMS:
            evicted.append(self._remove(next(iter(self._entries))))
        return evicted

    def _remove(self, key: _Key) -> tuple[_Key, _Value]:
        own = self._by_session[key.session]
        del own[key]
        if not own:
            del self._by_session[key.session]
        return key, self._entries.pop(key)
