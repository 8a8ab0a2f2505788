"""What holds for the reader of every session file, whatever its agent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..coding_agents.session import SessionReader
from ..core.model import Event
from ..errors import InvalidEvent
from ..ingest.event_buffer import final_events

MakeReader = Callable[[], SessionReader]
_MAX_LINES = 2_000
_MAX_HOSTILE = 4_000
_HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 2**70, 1e308, "", "\ud800", "\0" * 9, [], {}, [[]], [{"id": []}]),
    *("x" * 5_000, "2026-13-45T99:99:99Z"),
)
_HOSTILE_LINES = (b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}" * 3, b"[" * 3_000, b'{"type":"x"}')


def reader_problems(make: MakeReader, content: bytes, source: str) -> list[str]:
    """Return what is wrong with a reader; an empty list if nothing is.

    Args:
        make: returns a new reader of the session.
        content: the recorded session file.
        source: the ``source`` that its events must have.
    """
    lines = content.splitlines()[:_MAX_LINES]
    try:
        events, again = _read(make(), lines), _read(make(), lines)
    except Exception as error:  # noqa: BLE001  any error is a finding
        return [f"reading the file raised {_text(error)}"]
    problems = [*_event_problems(events, source)]
    if _names(events) != _names(again):
        problems.append("reading the file twice gives other events: they need the same event_id")
    problems += _part_problems(make, lines, events)
    problems += _hostile_problems(make, lines)
    return problems


def _read(reader: SessionReader, lines: Sequence[bytes]) -> list[Event]:
    """Return all events of the lines; a line that is no JSON object counts as broken."""
    return [*_fed(reader, lines), *reader.on_quiet(1e9), *reader.finish()]


def _fed(reader: SessionReader, lines: Sequence[bytes]) -> list[Event]:
    events = []
    for line in lines:
        try:
            events += reader.feed(line)
        except InvalidEvent:
            if _is_object(line):
                raise
    return events


def _names(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    return [
        (event.event_id, event.event_type, event.timestamp, event.agent_id, event.output_tokens)
        for event in final_events(events)
    ]


def _event_problems(events: Sequence[Event], source: str) -> Iterator[str]:
    if not events:
        yield "the file has no events"
    for event in events:
        try:
            event.checked()
        except InvalidEvent as error:
            yield f"an event of the type {event.event_type!r} is invalid: {error}"
            return
    wrong = Counter(event.source for event in events if event.source != source)
    if wrong:
        yield f"events have the source {wrong.most_common(1)[0][0]!r}, expected {source!r}"
    if any(event.timestamp is None for event in events):
        yield "an event has no timestamp"
    kinds: dict[str | None, set[str]] = {}
    for event in events:
        kinds.setdefault(event.event_id, set()).add(event.event_type)
    shared = [kind for name, kind in kinds.items() if name is not None and len(kind) > 1]
    if shared:
        yield f"events of the types {', '.join(sorted(shared[0]))} have the same event_id"


def _part_problems(
    make: MakeReader, lines: Sequence[bytes], events: Sequence[Event]
) -> Iterator[str]:
    """Yield the parts of a file in which reading gives other events than reading all of it."""
    reader, parts = make(), []
    for line in lines:
        # A follower asks after each line whether silence has completed something.
        parts += _fed(reader, [line])
        parts += reader.on_quiet(0.0)
    parts += [*reader.on_quiet(1e9), *reader.finish()]
    if _names(parts) != _names(events):
        yield "reading line by line, with silences, gives other events than reading all at once"
    known = {event.event_id for event in events}
    for cut in sorted({1, len(lines) // 3, len(lines) // 2, len(lines) - 1} & {*range(len(lines))}):
        half = lines[cut][: len(lines[cut]) // 2]
        try:
            early = _read(make(), [*lines[:cut], half])
        except Exception as error:  # noqa: BLE001  any error is a finding
            yield f"a file that ends in the middle of line {cut + 1} raised {_text(error)}"
            return
        # The start of a call may be left out once its end is known.
        lasting = ("prompt", "session_start")
        strange = [
            event for event in early if event.event_id not in known and event.event_type in lasting
        ]
        if strange:
            kind = strange[0].event_type
            yield f"a file that ends after line {cut} has an event {kind!r} that it later has not"
            return


def _hostile_problems(make: MakeReader, lines: Sequence[bytes]) -> Iterator[str]:
    """Yield the lines that no agent writes which raise an error."""
    reader = make()
    for line in [*_hostile_lines(lines)][:_MAX_HOSTILE]:
        for each in (reader, make()):
            try:
                for event in [*each.feed(line), *each.on_quiet(1e9)]:
                    event.checked()
            except InvalidEvent as error:
                if _is_object(line):
                    yield f"the line {_shown(line)} raised {_text(error)}; skip what is invalid"
                    return
            except Exception as error:  # noqa: BLE001  any error is a finding
                yield f"the line {_shown(line)} raised {_text(error)}"
                return


def _hostile_lines(lines: Sequence[bytes]) -> Iterator[bytes]:
    yield from _HOSTILE_LINES
    seen = set()
    for line in lines:
        if not _is_object(line):
            continue
        record = json.loads(line)
        for path in _paths(record):
            # One of each kind of place.
            shape = (record.get("type"), *(part for part in path if isinstance(part, str)))
            if shape in seen:
                continue
            seen.add(shape)
            for value in _HOSTILE_VALUES:
                yield json.dumps(_replaced(record, path, value)).encode()
            yield json.dumps(_replaced(record, path, _MISSING)).encode()


_MISSING = object()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:3])
    for key, below in items if len(path) < 8 else ():
        yield (*path, key)
        yield from _paths(below, (*path, key))


def _replaced(value: Any, path: Sequence[Any], new: Any) -> Any:
    """Return a copy of a JSON value with another value at a path."""
    key, rest = path[0], path[1:]
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    if rest:
        copy[key] = _replaced(copy[key], rest, new)
    elif new is _MISSING:
        del copy[key]
    else:
        copy[key] = new
    return copy


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace")
    return text if len(text) <= 160 else f"{text[:120]}… ({len(text):,} characters)"
