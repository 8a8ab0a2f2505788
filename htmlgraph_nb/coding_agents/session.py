"""Session files of coding agents to Events, pure: what the readers of the formats have in common.

A reader is the state of one file that is read line by line; see claude_session.py,
codex_session.py and gemini_session.py. It opens nothing and knows no clock, so a file that grows
is followed by feeding the same reader what was added.

Kept are names, ids, times, counts and the format's own keywords. Prompts, answers, tool inputs and
results never reach an Event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from ..core.ids import agent_id_of
from ..core.model import Event
from ..core.validation import format_value
from ..errors import InvalidEvent

MAX_OPEN_CALLS = 10_000
"""Most tool calls of a session whose end is waited for."""
GIVE_UP_AFTER_S = 600.0
"""Seconds after which nothing more is expected of an answer that is the last line of its file."""

Call = tuple[str | None, datetime | None]
"""Name of a tool and when its call began."""


class SessionReader(Protocol):
    """The state of one session file.

    Attributes:
        QUIETS: seconds without a new byte, ascending, at which ``on_quiet`` can have news; between
            two of them it has none.
    """

    QUIET_THRESHOLDS_S: ClassVar[tuple[float, ...]]

    def feed(self, line: bytes) -> list[Event]:
        """Return the events that are certain with this line, in the order of the file.

        The same answer of a model can come again, with the same ``event_id``: the one that
        ``supersedes`` the other holds the final counts.

        Raises:
            InvalidEvent: the line is not a JSON object.
        """

    def on_quiet(self, quiet_s: float) -> list[Event]:
        """Return what is certain because nothing was added to the file for so long.

        It can be called again and again, and ``feed`` goes on after it: what was told is not told
        again, and what a later line brings is told then.

        Args:
            quiet_s: seconds since the file last grew.
        """

    def finish(self) -> list[Event]:
        """Return what waits for a line that may no longer come; ``feed`` goes on after it."""


def type_finder(kinds: Iterable[str]) -> Callable[[bytes], object]:
    """Return a test whether a line can be of one of these types, which need not parse it.

    It may hold for a line of another type that quotes one of these, never fail for one of them:
    where a line is no compact JSON object, it holds.
    """
    wanted = tuple(f'"type":"{kind}"'.encode() for kind in kinds)

    def test(line: bytes) -> bool:
        for kind in wanted:
            if kind in line:
                return True
        return not (line.startswith(b"{") and line.endswith(b"}") and b'"type":"' in line)

    return test


def record_of(line: bytes) -> Mapping[str, Any]:
    """Return the JSON object of one line.

    Raises:
        InvalidEvent: it is no JSON object, or nested too deeply to be read.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"line: invalid JSON: {error}") from None
    if not isinstance(record, dict):
        raise InvalidEvent(f"line: expected an object, got {format_value(record)}")
    return record


def remember_call(calls: dict[str, Call], key: str, call: Call) -> None:
    """Add an open call; the oldest is dropped beyond MAX_OPEN_CALLS."""
    calls[key] = call
    if len(calls) > MAX_OPEN_CALLS:
        del calls[next(iter(calls))]


@lru_cache(maxsize=1024)
def known_agent(identifier: str, agent: str) -> str:
    """Return ``agent_id_of``, which is asked for the same few ids at each line."""
    return agent_id_of(identifier, agent)
