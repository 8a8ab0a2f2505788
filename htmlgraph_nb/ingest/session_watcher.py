"""Follows the session files that agents write now, each from where it was last read.

Files are looked at by their size and time, often where they change and seldom where they rest, and
only what was added is read. A file is read from its begin when it is first met, and again after a
restart: the events' ids make that harmless, so no position must be kept anywhere. Files that were
last changed before ``since`` are of the past and are not opened until they change.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..coding_agents.agent import SessionRoot
from ..core.model import Event
from ..storage.database import open_reader, sqlite_errors
from .backfill import EventIds, final_events
from .session_files import SessionFile, SessionTail
from .session_scanner import SessionScanner, root_of

logger = logging.getLogger("htmlgraph.sessions")

QUICK_S = 0.1
"""Seconds between two looks at a file that changed a moment ago, while few are followed."""
CALM_S = 2 * QUICK_S
"""Seconds between two looks at any other, and at the folders; they fall together with every second
quick one, so that what many sessions tell at a time is one transaction."""
FEW = 50
"""Files up to which the quick looks cost next to nothing."""
BEHIND_S = 0.03
QUICK_FOR_S = 5.0
ACTIVE_FOR_S = 660.0
"""Longer than a reader waits for the rest of an answer."""
NAMED_FOR_S = 5.0
"""Seconds for which a file is looked at that is read only because a hook named it."""
ENDED_S = 1.0
"""Seconds of quiet after the end of a session in which its last line may still be written."""
SLICE_BYTES = 256 << 10
SLICE_S = 0.02
LONGEST_AWAY_S = 86_400.0
"""Seconds before now beyond which files of a time without a server are left to ``import``."""
MAX_AWAKE = 2_000
MAX_ASLEEP = 1_000
MAX_NAMED = 10_000
_SLACK_S = 0.02
_LAST_TOLD = "SELECT ts FROM tellings WHERE source = 'file' ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Named:
    """A session file that a hook named.

    Attributes:
        path: whatever the hook said; it is checked before anything is opened.
        ended: whether its session is over.
    """

    path: str
    ended: bool = False


@dataclass(slots=True)
class _Awake:
    """A file that is followed.

    Attributes:
        seen: number, size and time of the file when it was last read.
        changed: monotonic seconds at which it last changed.
        pending: events of a file that is still read for the first time; None: it was read.
        settled: how many of the reader's times of quiet have passed.
        settle_at: monotonic seconds at which the next of them has, or it falls asleep.
        told: ids of events of a file that is written anew each time; None: it is not.
        answers_only: take nothing but the answers with their tokens.
    """

    tail: SessionTail
    changed: float
    answers_only: bool
    ids: EventIds = field(default_factory=EventIds)
    pending: list[Event] | None = field(default_factory=list)
    seen: tuple[int, int, int] | None = None
    settled: int = 0
    settle_at: float = 0.0
    due: float = 0.0
    told: set[str | None] | None = None
    ended: bool = False


class SessionWatcher:
    """A live source: what agents write into their session files; see ``sources.LiveSource``.

    Args:
        roots: the agents' folders.
        since: seconds since 1970; files that were last changed before it rest until they change.
        watch: follow all files there; False: read only those that hooks name, and only the answers.
        monotonic: returns seconds that never go back.
    """

    def __init__(
        self,
        roots: Sequence[SessionRoot],
        since: float,
        *,
        watch: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roots = tuple(roots)
        self._monotonic = monotonic
        self._folders = SessionScanner(roots, since) if watch else None
        self._folders_due = 0.0
        self._awake: OrderedDict[str, _Awake] = OrderedDict()
        self._asleep: OrderedDict[str, _Awake] = OrderedDict()
        self._named: deque[Named] = deque(maxlen=MAX_NAMED)
        self._pause_s = CALM_S

    @property
    def interval_s(self) -> float:
        """Seconds until it should be asked again."""
        return self._pause_s

    def name(self, files: Iterable[Named]) -> None:
        """Take in that hooks named these files, which are looked at next; from any thread."""
        self._named.extend(files)

    def report(self) -> dict[str, Any]:
        """Return what is watched, as ``/api/status`` tells it."""
        folders = [] if self._folders is None else [root.path for root in self._roots]
        return {
            "folders": [path for path in folders if os.path.isdir(path)],
            "files": 0 if self._folders is None else self._folders.n_files,
            "followed": len(self._awake),
        }

    def poll(self, now: datetime) -> list[Event]:
        """Return what was added to the files since the last call."""
        at = self._monotonic()
        self._meet_named(at)
        if self._folders is not None and self._folders_due <= at:
            changed = self._folders.poll(at)
            self._folders_due = at if self._folders.behind else _next(at, CALM_S)
            for path, root in _oldest_first(changed):
                self._wake(path, root.agent, at, answers_only=False)
        found, behind = self._read_due(at, now.timestamp())
        self._trim()
        self._pause_s = BEHIND_S if behind else self._pause(at)
        return found

    def _meet_named(self, at: float) -> None:
        while self._named:
            named = self._named.popleft()
            root = root_of(named.path, self._roots)
            if root is None:
                logger.debug("a hook named a file that is no session's, or is not there")
                continue
            path = os.path.realpath(named.path)
            one = self._wake(path, root.agent, at, answers_only=self._folders is None)
            one.ended = named.ended
            one.due = 0.0
            if self._folders is None:
                one.changed = max(one.changed, at)

    def _wake(self, path: str, agent: str, at: float, *, answers_only: bool) -> _Awake:
        one = self._awake.get(path) or self._asleep.pop(path, None)
        if one is not None and one.due == float("inf"):
            one.due = 0.0
        if one is None:
            tail = SessionTail(SessionFile(path, agent, 0, 0.0))
            one = _Awake(tail, at, answers_only)
            if path.endswith(".json"):
                one.told = set()
        self._awake[path] = one
        return one

    def _read_due(self, at: float, wall: float) -> tuple[list[Event], bool]:
        """Return the events of the files whose turn it is, and whether there is more to read."""
        found: list[Event] = []
        end = self._monotonic() + SLICE_S
        for path in [path for path, one in self._awake.items() if one.due <= at + _SLACK_S]:
            if self._monotonic() >= end:
                # Those that had no turn are the first of the next.
                return found, True
            one = self._awake[path]
            try:
                found += self._look(one, at, wall)
            except FileNotFoundError:
                # Deleted or moved away; where it is moved to, it is met again.
                found += self._kept(one, one.tail.finish())
                del self._awake[path]
            except OSError as error:
                logger.debug("%s cannot be read: %s", path, error)
                one.due = at + 1.0
            else:
                self._awake.move_to_end(path)
        return found, any(one.tail.behind for one in self._awake.values())

    def _look(self, one: _Awake, at: float, wall: float) -> list[Event]:
        path = one.tail.file.path
        state = os.stat(path)
        seen = state.st_ino, state.st_size, state.st_mtime_ns
        if seen == one.seen and not one.tail.behind:
            one.due = self._next_look(one, at)
            return self._settle(one, at) if at >= one.settle_at or one.ended else []
        one.changed = at if one.seen else at - max(0.0, wall - state.st_mtime)
        one.seen = seen
        one.settled = 0
        one.settle_at = at
        one.due = self._next_look(one, at)
        events = list(one.tail.read(max_bytes=SLICE_BYTES))
        if one.tail.behind:
            one.due = 0.0
        if one.pending is None:
            return self._kept(one, events)
        one.pending += events
        if one.tail.behind:
            return []
        # Of a file that is met, all is there: of the copies of an answer the final one counts.
        first, one.pending = final_events(map(one.ids.identified, one.pending)), None
        return self._kept(one, first)

    def _next_look(self, one: _Awake, at: float) -> float:
        quick = at - one.changed < QUICK_FOR_S and len(self._awake) <= FEW
        return _next(at, QUICK_S if quick else CALM_S)

    def _settle(self, one: _Awake, at: float) -> list[Event]:
        quiet_s = at - one.changed
        quiets = one.tail.quiets
        events: list[Event] = []
        if one.settled < len(quiets) and quiet_s >= quiets[one.settled]:
            one.settled = sum(1 for each in quiets if quiet_s >= each)
            events = one.tail.settle(quiet_s)
        if one.ended and quiet_s >= ENDED_S:
            one.ended = False
            events = [*events, *one.tail.finish()]
        asleep_s = NAMED_FOR_S if one.answers_only else ACTIVE_FOR_S
        one.settle_at = one.changed + min(asleep_s, *quiets[one.settled :], asleep_s)
        if quiet_s >= asleep_s:
            path = one.tail.file.path
            self._asleep[path] = self._awake[path]
            one.due = float("inf")
        return self._kept(one, events)

    def _kept(self, one: _Awake, events: list[Event]) -> list[Event]:
        if one.answers_only:
            events = [event for event in events if event.event_type == "completion"]
        events = [one.ids.identified(event) for event in events]
        if one.told is not None:
            events = [event for event in events if event.event_id not in one.told]
            one.told.update(event.event_id for event in events)
        return events

    def _trim(self) -> None:
        for path in [path for path, one in self._awake.items() if one.due == float("inf")]:
            del self._awake[path]
        while len(self._awake) > MAX_AWAKE:
            path, one = min(self._awake.items(), key=lambda item: item[1].changed)
            self._asleep[path] = one
            del self._awake[path]
        while len(self._asleep) > MAX_ASLEEP:
            self._asleep.popitem(last=False)

    def _pause(self, at: float) -> float:
        dues = [one.due for one in self._awake.values()]
        if self._folders is not None:
            dues.append(self._folders_due)
        return min(max(min(dues, default=at + 1.0) - at, _SLACK_S), 1.0)


def _next(at: float, every_s: float) -> float:
    """Return when the next look is due that is one of a row for all, ``every_s`` apart."""
    return ((at + _SLACK_S) // every_s + 1) * every_s


def resume_time(path: str, now: datetime) -> float:
    """Return from which time of change on the files matter to a database, seconds since 1970.

    That is shortly before the last fact that a session file told it, at most a day ago, so that
    what was written while no server ran is taken in; a new database begins with what is written
    now.
    """
    last = now.timestamp()
    with closing(open_reader(path)) as db, sqlite_errors(path):
        row = db.execute(_LAST_TOLD).fetchone()
    if row is not None:
        last = min(last, max(row[0] / 1e6, last - LONGEST_AWAY_S))
    return last - ACTIVE_FOR_S


def _oldest_first(files: list[tuple[str, SessionRoot]]) -> list[tuple[str, SessionRoot]]:
    """Return files with those of subagents last and older ones first, as ``find_sessions``."""

    def order(file: tuple[str, SessionRoot]) -> tuple[bool, float]:
        try:
            return "subagents" in file[0].split(os.sep), os.stat(file[0]).st_mtime
        except OSError:
            return True, 0.0

    return sorted(files, key=order)
