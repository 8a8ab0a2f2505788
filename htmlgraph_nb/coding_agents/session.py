"""Convert session files of coding agents to events: the code that the readers of all formats share.

A reader is the state of one file that is read line by line; see the modules ``session`` of the
agents. It opens no file and uses no clock. To follow a growing file, feed the same reader the lines
that were added.

Events contain names, ids, timestamps, counts and the keywords of the format. They never contain
prompts, responses, tool inputs or tool results.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Protocol

from ..core.ids import agent_id_of, repeated_call
from ..core.model import Event
from ..core.timestamps import to_micros
from ..core.validation import format_value
from ..errors import InvalidEvent

MAX_OPEN_CALLS = 10_000
"""Maximum number of tool calls of a session that wait for their end."""
_DECODER = json.JSONDecoder()
GIVE_UP_AFTER_S = 600.0
"""Seconds without a new line after which the last completion of a file counts as complete."""


class OpenCall(NamedTuple):
    """A tool call that waits for its end.

    Attributes:
        name: the tool.
        at: when the call started.
        input_hash: see ``Event``.
        key: name of the call in event ids, its id unless an earlier call had the same.
    """

    name: str | None = None
    at: datetime | None = None
    input_hash: int | None = None
    key: str | None = None


MAX_SIDECAR_BYTES = 8 << 20
"""A longer file beside a session is not read."""
UNKNOWN_CALL = OpenCall()


class SessionRoot(NamedTuple):
    """A folder that holds session files at any depth.

    Attributes:
        agent: name of the agent that writes them.
        path: the folder; it may not exist.
        only: the only name that folders below the first level can have; None: any name.
    """

    agent: str
    path: str
    only: str | None = None


class SessionReader(Protocol):
    """The state of one session file.

    Attributes:
        QUIET_THRESHOLDS_S: seconds without a new byte, ascending, after which ``on_quiet`` can
            return events; between two of them it returns none.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]]

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that this line completes, in the order of the file.

        The same completion can be returned again with the same ``event_id``; see
        ``dedup.supersedes`` for the choice of the final counts.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return the events that count as complete because the file has not grown for a while.

        It can be called repeatedly and returns each event once. ``feed`` can be called after it.

        Args:
            quiet_s: seconds since the file last grew.
        """

    def finish(self) -> list[Event]:
        """Return the events that wait for a line that may never come.

        ``feed`` can be called after it.
        """


class SidecarReader(SessionReader, Protocol):
    """A reader of a session that has further files; see ``CodingAgent.sidecars``."""

    def feed_sidecar(self, name: str, data: bytes) -> list[Event]:
        """Return the events that a further file reports, which is new or has changed.

        It is called after the lines that were read with it, and again with all of the file after
        each change. Events that were returned before have the same ``event_id``.

        Args:
            name: base name of the file.
            data: its bytes, at most MAX_SIDECAR_BYTES; it may be half written.
        """


def type_matcher(types: Iterable[str]) -> Callable[[bytes], object]:
    """Return a predicate of lines: whether a line, without parsing it, can have one of these types.

    It may return True for a line of another type that quotes one of these, but never returns False
    for a line of one of these types. It returns True for all lines but compact JSON objects.
    """
    patterns = tuple(f'"type":"{name}"'.encode() for name in types)

    def matches(line: bytes) -> bool:
        for pattern in patterns:
            if pattern in line:
                return True
        return not (line.startswith(b"{") and line.endswith(b"}") and b'"type":"' in line)

    return matches


def parse_record(line: bytes) -> Mapping[str, Any]:
    """Return the JSON object of one line.

    Raises:
        InvalidEvent: the line is not a JSON object, or nested too deeply.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"line: invalid JSON: {error}") from None
    if not isinstance(record, dict):
        raise InvalidEvent(f"line: expected an object, got {format_value(record)}")
    return record


def split_records(line: bytes) -> tuple[list[bytes], bool]:
    """Return the JSON objects at the start of a line, and whether there is nothing else.

    Some programs lose the line end between two records.
    """
    records: list[bytes] = []
    try:
        text = line.decode().strip()
        start = 0
        while start < len(text):
            record, end = _DECODER.raw_decode(text, start)
            if not isinstance(record, dict):
                return records, False
            records.append(text[start:end].encode())
            start = len(text) - len(text[end:].lstrip())
    except (ValueError, RecursionError):
        return records, False
    return records, bool(records)


def feed_parts(reader: SessionReader, line: bytes) -> tuple[list[Event], bool]:
    """Return the events of a line that ``feed`` did not accept, and whether all of it was read."""
    records, is_whole = split_records(line)
    return [event for record in records for event in reader.feed(record)], is_whole


class CallKeys:
    """Names the tool calls of one file, of which several may have the same id.

    Gateways and some models number the calls of each answer from 0 (``Bash:0``). A call with the id
    of an earlier one also has the time of its start in its name; copies have the same time.
    """

    def __init__(self) -> None:
        self._first: OrderedDict[str, datetime] = OrderedDict()

    def knows(self, call: str) -> bool:
        """Return whether a call with this id has started."""
        return call in self._first

    def key_of(self, call: str, at: datetime) -> str:
        """Return the name of a call in event ids.

        Args:
            call: its id.
            at: when it started.
        """
        first = self._first.setdefault(call, at)
        if len(self._first) > MAX_OPEN_CALLS:
            self._first.popitem(last=False)
        return call if first == at else repeated_call(call, to_micros(at))


def remember_call(calls: dict[str, OpenCall], key: str, call: OpenCall) -> None:
    """Add an open call, and drop the oldest beyond MAX_OPEN_CALLS."""
    calls[key] = call
    if len(calls) > MAX_OPEN_CALLS:
        del calls[next(iter(calls))]


@lru_cache(maxsize=1024)
def cached_agent_id(identifier: str, agent: str) -> str:
    """Return ``agent_id_of`` from a cache, because the lines of a file share few ids."""
    return agent_id_of(identifier, agent)
