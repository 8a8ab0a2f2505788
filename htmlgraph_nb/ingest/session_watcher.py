"""Follow the session files that agents are writing: a polled source of events.

Files are compared by size and timestamp, often while they change and rarely while they are
unchanged, and only added bytes are read. A file is read from its start when it is first seen, and
again after a restart of the server. The ids of the events make that harmless, so no read position
is stored. Files last changed before ``since`` are not opened until they change.

Above MAX_ACTIVE files, the others wait until the first ones have been read.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush, nsmallest
from itertools import islice
from typing import Any

from ..coding_agents.hook_hints import HookHints
from ..coding_agents.session import SessionRoot
from ..core.model import Event
from ..storage.database import open_reader, sqlite_errors
from .event_buffer import EventBuffer, EventIds
from .file_facts import FileFacts
from .files.session_names import compression_of
from .files.session_roots import named_file
from .files.skipped_files import SkippedFiles
from .session_files import SessionFile
from .session_scanner import SessionScanner, subagents_last
from .session_tail import SessionTail, why_no_session

logger = logging.getLogger(__name__)

FAST_INTERVAL_S = 0.1
"""Seconds between two checks of a file that changed recently, while few files are active."""
SLOW_INTERVAL_S = 2 * FAST_INTERVAL_S
"""Seconds between two checks of any other file, and between two scans of the folders. They coincide
with every second fast check, so that the events of many sessions share a transaction."""
MAX_FAST_FILES = 50
"""With more active files and sessions there are no fast checks, as they would cost too much."""
BEHIND_INTERVAL_S = 0.03
"""Seconds until the next poll while there is more to read."""
FAST_FOR_S = 5.0
"""Seconds since the last change during which a file is checked at the fast interval."""
ACTIVE_FOR_S = 660.0
"""Seconds without a change after which a file becomes dormant and is no longer checked. It exceeds
``session.GIVE_UP_AFTER_S``, so that the last completion has been reported by then."""
HINTED_FOR_S = 5.0
"""Seconds without a change after which a file becomes dormant if it is read only because a hook
reported it."""
LAST_LINE_S = 1.0
"""Seconds without a change after which the file of an ended session counts as complete."""
SLICE_BYTES = 256 << 10
SLICE_S = 0.02
MAX_DOWNTIME_S = 86_400.0
"""Longest time without a server whose sessions are read; older sessions are left to ``import``."""
MAX_FIRST_READ = 10_000
"""Events of a file that are collected until its end is reached. Those of a longer file are reported
earlier, so that memory is bounded."""
MAX_ACTIVE = 2_000
_MAX_REPLACED = 200
"""Files of those MAX_ACTIVE that make room for waiting ones in one poll."""
MAX_DORMANT = 1_000
MAX_RESTING = 10_000
"""Dormant files from which no others make room; about 7 KB each."""
MAX_HINTS = 10_000
_CHECK_TOLERANCE_S = 0.02
_NEVER = float("inf")
_LAST_FILE_EVENT = "SELECT ts FROM observations WHERE source = 'file' ORDER BY id DESC LIMIT 1"


@dataclass(slots=True)
class _ActiveFile:
    """A file that is followed; all times are monotonic seconds.

    Attributes:
        changed_at: when it last changed.
        completions_only: ignore all events but completions.
        facts: the owner and the machine of the file.
        first_read: the newest events while the file is read for the first time; None: afterwards.
        stamp: inode, size and timestamp of it and of its sidecars at the last read.
        n_passed: number of the reader's quiet thresholds that have passed.
        next_quiet_check: when the next quiet threshold passes, or the file becomes dormant.
        due: when to check it next.
        reported: ids of reported events of a file that is rewritten with each change; None: the
            file is only appended to.
        ended: whether a hook reported the end of its session.
        has_events: whether it had any event.
    """

    tail: SessionTail
    changed_at: float
    completions_only: bool
    facts: FileFacts
    ids: EventIds = field(default_factory=EventIds)
    first_read: EventBuffer | None = None
    stamp: tuple[int, ...] | None = None
    n_passed: int = 0
    next_quiet_check: float = 0.0
    due: float = 0.0
    reported: set[str | None] | None = None
    ended: bool = False
    has_events: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether no more silence completes an event."""
        return self.n_passed >= len(self.tail.quiet_thresholds_s)

    @property
    def can_rest(self) -> bool:
        """Whether it has been read, and is silent for long enough that its turn is over."""
        is_read = self.first_read is None and not self.tail.behind
        return is_read and (self.n_passed > 0 or self.is_settled)


class SessionWatcher:
    """Returns the events that agents add to their session files; see PolledSource.

    Args:
        roots: the agents' folders.
        since: seconds since 1970; files last changed before it are ignored until they change.
        watch: follow all files in the folders; False: read only the files that hooks report, and
            only their completions.
        titles: keep generated titles.
        monotonic: the clock; returns seconds.
    """

    def __init__(
        self,
        roots: Sequence[SessionRoot],
        since: float,
        *,
        watch: bool = True,
        titles: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roots = tuple(roots)
        self._monotonic = monotonic
        self._titles = titles
        self._skipped = SkippedFiles()
        self._scanner = SessionScanner(roots, since, self._skipped) if watch else None
        self._scan_due = 0.0
        self._active: OrderedDict[str, _ActiveFile] = OrderedDict()
        self._dormant: OrderedDict[str, _ActiveFile] = OrderedDict()
        # Path → agent of the files that are to be read as soon as there is room.
        self._waiting: OrderedDict[str, str] = OrderedDict()
        # When the next silence of a file passes that had to make room for another.
        self._resting: list[tuple[float, str]] = []
        # The compressed file that is being read: each takes the memory of a decompressor.
        self._decompressing: str | None = None
        self._hints: deque[HookHints] = deque(maxlen=MAX_HINTS)
        self._interval_s = SLOW_INTERVAL_S

    @property
    def interval_s(self) -> float:
        """Seconds until the next poll."""
        return self._interval_s

    @property
    def n_followed(self) -> int:
        """Number of files that are checked for changes."""
        return len(self._active)

    def on_hook(self, hints: HookHints) -> None:
        """Check the files that a hook reported with the next poll. Thread-safe."""
        if hints.files:
            self._hints.append(hints)

    def report(self) -> dict[str, Any]:
        """Return folders, numbers of files, and those not read: a part of ``/api/status``."""
        folders = [] if self._scanner is None else [root.path for root in self._roots]
        return {
            "folders": [path for path in folders if os.path.isdir(path)],
            "files": 0 if self._scanner is None else self._scanner.n_files,
            "followed": len(self._active),
            "waiting": len(self._waiting),
            **self._skipped.report(),
        }

    def poll(self, now: datetime) -> list[Event]:
        """Return the events that were added to the files since the last call."""
        monotonic_s = self._monotonic()
        while self._hints:
            hints = self._hints.popleft()
            for path in hints.files:
                self._follow_named_file(path, hints, monotonic_s)
        if self._scanner is not None and self._scan_due <= monotonic_s:
            changed = self._scanner.poll(monotonic_s)
            self._scan_due = (
                monotonic_s
                if self._scanner.behind
                else _next_check_time(monotonic_s, SLOW_INTERVAL_S)
            )
            for path, root in subagents_last(changed):
                if path in self._active:
                    self._activate(path, root.agent, monotonic_s, completions_only=False)
                else:
                    self._waiting[path] = root.agent
        while self._waiting and len(self._active) < MAX_ACTIVE:
            path, agent = self._waiting.popitem(last=False)
            self._activate(path, agent, monotonic_s, completions_only=False)
        events, behind = self._read_due(monotonic_s, now.timestamp())
        events += self._check_resting(monotonic_s)
        self._trim()
        if self._scanner is None or not self._scanner.behind:
            self._skipped.log()
        self._interval_s = BEHIND_INTERVAL_S if behind else self._seconds_until_due(monotonic_s)
        return events

    def _follow_named_file(self, path: str, hints: HookHints, monotonic_s: float) -> None:
        hints_only = self._scanner is None
        find_root = None if self._scanner is None else self._scanner.root_at
        try:
            named = named_file(path, hints.agent, self._roots, find_root)
        except ValueError as error:
            self._skipped.add(path, f"a hook named it, but {error}")
            return
        self._skipped.remove(path)
        if named.home is not None and not hints_only:
            self._skipped.add_home(named.agent, named.home)
        self._waiting.pop(named.path, None)
        file = self._activate(named.path, named.agent, monotonic_s, completions_only=hints_only)
        file.ended = hints.ended
        file.due = 0.0
        if hints_only:
            file.changed_at = max(file.changed_at, monotonic_s)

    def _activate(
        self, path: str, agent: str, monotonic_s: float, *, completions_only: bool
    ) -> _ActiveFile:
        file = self._active.get(path)
        if file is None and (file := self._dormant.pop(path, None)) is not None:
            file.due = 0.0
        if file is None:
            session = SessionFile(path, agent, 0, 0.0)
            tail = SessionTail(session, titles=self._titles)
            file = _ActiveFile(tail, monotonic_s, completions_only, FileFacts.of(session))
            file.first_read = EventBuffer(file.ids, MAX_FIRST_READ)
            if tail.is_rewritten:
                file.reported = set()
        self._active[path] = file
        return file

    def _read_due(self, monotonic_s: float, wall_s: float) -> tuple[list[Event], bool]:
        """Return the events of the files that are due, and whether there is more to read."""
        events: list[Event] = []
        end = self._monotonic() + SLICE_S
        until = monotonic_s + _CHECK_TOLERANCE_S
        due = [(path, file) for path, file in self._active.items() if file.due <= until]
        for n_read, (path, file) in enumerate(due):
            if self._monotonic() >= end:
                # The files that were not reached come first in the next poll.
                for read in (read for read, _ in due[:n_read] if read in self._active):
                    self._active.move_to_end(read)
                return events, True
            is_compressed = file.reported is not None and compression_of(path) is not None
            if is_compressed and self._decompressing not in (None, path):
                continue
            try:
                events += self._read_changes(file, monotonic_s, wall_s)
            except FileNotFoundError:
                # Deleted or moved; if moved, the scanner finds it again.
                events += self._new_events(file, file.tail.finish())
                del self._active[path]
                self._skipped.remove(path)
            except OSError as error:
                self._skipped.add(path, error.strerror or str(error))
                file.due = monotonic_s + 1.0
            if is_compressed:
                self._decompressing = path if file.tail.behind and path in self._active else None
        return events, any(file.tail.behind for file in self._active.values())

    def _read_changes(self, file: _ActiveFile, monotonic_s: float, wall_s: float) -> list[Event]:
        state = os.stat(file.tail.file.path)
        sidecars = file.tail.sidecar_stamps()
        stamp = (state.st_ino, state.st_size, state.st_mtime_ns, *sidecars)
        if stamp == file.stamp and not file.tail.behind:
            file.due = self._next_due(file, monotonic_s)
            return (
                self._check_quiet(file, monotonic_s)
                if monotonic_s >= file.next_quiet_check or file.ended
                else []
            )
        file.changed_at = (
            monotonic_s if file.stamp else monotonic_s - max(0.0, wall_s - state.st_mtime)
        )
        file.stamp = stamp
        file.n_passed = 0
        file.next_quiet_check = monotonic_s
        file.due = self._next_due(file, monotonic_s)
        events = list(file.tail.read(max_bytes=SLICE_BYTES))
        if file.tail.behind:
            file.due = 0.0
        elif file.tail.problem is not None:
            self._skipped.add(file.tail.file.path, file.tail.problem)
        elif file.tail.file.path in self._skipped:
            self._skipped.remove(file.tail.file.path)
        if file.first_read is None:
            return self._new_events(file, events)
        # Of the copies of a completion, only the final one counts.
        for event in events:
            file.first_read.add(event)
        if file.tail.behind:
            return self._new_events(file, file.first_read.ready())
        first, file.first_read = file.first_read.finish(), None
        return self._new_events(file, first)

    def _next_due(self, file: _ActiveFile, monotonic_s: float) -> float:
        is_fast = monotonic_s - file.changed_at < FAST_FOR_S and len(self._active) <= MAX_FAST_FILES
        return _next_check_time(monotonic_s, FAST_INTERVAL_S if is_fast else SLOW_INTERVAL_S)

    def _check_quiet(self, file: _ActiveFile, monotonic_s: float) -> list[Event]:
        """Return the events that count as complete because the file has not changed for a while."""
        quiet_s = monotonic_s - file.changed_at
        thresholds = file.tail.quiet_thresholds_s
        events: list[Event] = []
        if file.n_passed < len(thresholds) and quiet_s >= thresholds[file.n_passed]:
            file.n_passed = sum(1 for threshold in thresholds if quiet_s >= threshold)
            events = file.tail.on_quiet(quiet_s)
        if file.ended and quiet_s >= LAST_LINE_S:
            file.ended = False
            events = [*events, *file.tail.finish()]
        dormant_s = HINTED_FOR_S if file.completions_only else ACTIVE_FOR_S
        file.next_quiet_check = file.changed_at + min([dormant_s, *thresholds[file.n_passed :]])
        if quiet_s >= dormant_s:
            file.due = _NEVER
            if not file.has_events and (reason := why_no_session(file.tail)) is not None:
                self._skipped.add(file.tail.file.path, reason)
        return self._new_events(file, events)

    def _new_events(self, file: _ActiveFile, events: list[Event]) -> list[Event]:
        """Assign ids to events, and return those that are to be reported and are new."""
        file.has_events = file.has_events or bool(events)
        if file.completions_only:
            events = [event for event in events if event.event_type == "completion"]
        events = [file.facts.add_to(file.ids.with_id(event)) for event in events]
        if file.reported is not None:
            events = [event for event in events if event.event_id not in file.reported]
            file.reported.update(event.event_id for event in events)
        return events

    def _trim(self) -> None:
        """Move quiet files, and above MAX_ACTIVE the longest unchanged, to the dormant files."""
        for path in [path for path, file in self._active.items() if file.due == _NEVER]:
            self._dormant[path] = self._active.pop(path)
        n_excess = len(self._active) - MAX_ACTIVE + min(len(self._waiting), _MAX_REPLACED)
        if n_excess > 0 and len(self._dormant) < MAX_RESTING:
            read = [path for path, file in self._active.items() if file.can_rest]
            for path in nsmallest(n_excess, read, key=lambda path: self._active[path].changed_at):
                file = self._dormant[path] = self._active.pop(path)
                if not file.is_settled:
                    heappush(self._resting, (file.next_quiet_check, path))
        if len(self._dormant) > MAX_DORMANT:
            settled = (path for path, file in self._dormant.items() if file.is_settled)
            for path in list(islice(settled, len(self._dormant) - MAX_DORMANT)):
                del self._dormant[path]

    def _check_resting(self, monotonic_s: float) -> list[Event]:
        """Return the events that dormant files complete by their silence."""
        events: list[Event] = []
        while self._resting and self._resting[0][0] <= monotonic_s:
            _, path = heappop(self._resting)
            if (file := self._dormant.get(path)) is not None:
                events += self._check_quiet(file, monotonic_s)
                if not file.is_settled:
                    heappush(self._resting, (file.next_quiet_check, path))
        return events

    def _seconds_until_due(self, monotonic_s: float) -> float:
        due = [file.due for file in self._active.values()]
        if self._scanner is not None:
            due.append(self._scan_due)
        return min(max(min(due, default=monotonic_s + 1.0) - monotonic_s, _CHECK_TOLERANCE_S), 1.0)


def _next_check_time(monotonic_s: float, interval_s: float) -> float:
    """Return the next multiple of the interval, so that the checks of all files coincide."""
    return ((monotonic_s + _CHECK_TOLERANCE_S) // interval_s + 1) * interval_s


def resume_time(path: str, now: datetime) -> float:
    """Return the modification time, seconds since 1970, from which session files are read.

    This is shortly before the last event from a session file in the database at ``path``, and at
    most MAX_DOWNTIME_S ago, so that lines written while no server ran are read. For a new
    database it is shortly before ``now``.
    """
    last = now.timestamp()
    with closing(open_reader(path)) as db, sqlite_errors(path):
        row = db.execute(_LAST_FILE_EVENT).fetchone()
    if row is not None:
        last = min(last, max(row[0] / 1e6, last - MAX_DOWNTIME_S))
    return last - ACTIVE_FOR_S
