"""Ingests the events that hooks stored in the spool file while no server was running.

The spool is renamed, read once every hook that may still have it open has reached its own time
limit, and deleted after the commit. After a crash in between, the file is read again; the ids of
the events prevent duplicates.
"""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO

from htmlgraph_nb.coding_agents.titles import drop_generated_titles
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import CapacityError
from htmlgraph_nb.hook.spool_file import MAX_SPOOL_BYTES
from htmlgraph_nb.ingest.spool import OnHook, events_from_spool, spool_line
from htmlgraph_nb.paths import open_regular
from htmlgraph_nb.presence import PresenceManager

logger = logging.getLogger(__name__)

SPOOL_SETTLE_S = 2.0
"""Seconds between renaming and reading; a hook never runs longer than this."""
_BATCH_EVENTS = 1_000
_PART_BYTES = 1 << 20
"""Bytes of lines that are read at once."""
_MAX_FULL_SOURCES = 20
"""Number of sources without room after which no other is tried in a batch."""
_RETRY_S = 60.0
"""Seconds until events without room are read again."""
_MAX_NAMED_LINES = 10


class SpoolReader:
    """Reads one spool file.

    Args:
        manager: the open database.
        path: the file to which hooks append.
        monotonic: clock in seconds that never runs backwards.
        on_hook: called with the kind of agent and the input of each hook; None: no callback.
        titles: keep generated titles.
    """

    def __init__(
        self,
        manager: PresenceManager,
        path: str,
        monotonic: Callable[[], float] = time.monotonic,
        on_hook: OnHook | None = None,
        *,
        titles: bool = True,
    ) -> None:
        self._titles = titles
        self._on_hook = on_hook
        self._manager = manager
        self._path = path
        self._monotonic = monotonic
        # Renamed file → when this process first saw it. File system timestamps use another clock,
        # and a rename does not change all of them.
        self._first_seen: dict[str, float] = {}

    def read(self) -> int:
        """Rename a new spool, ingest settled files, and return the number of new events.

        A file that cannot be read stays for the next call, and does not keep the others waiting.

        Raises:
            StoreError: the events cannot be stored; the files are kept.
            OSError: a file cannot be read or deleted; the others were read.
        """
        self._rename_spool()
        now = self._monotonic()
        pattern = f"{glob.escape(self._path)}.*.taken"
        self._first_seen = {path: self._first_seen.get(path, now) for path in glob.glob(pattern)}
        settled = [path for path, seen in self._first_seen.items() if now - seen >= SPOOL_SETTLE_S]
        n_new, errors = 0, []
        for path in sorted(settled):
            try:
                n_new += self._ingest(path)
            except FileNotFoundError:
                # Another server on this folder was faster.
                continue
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return n_new

    def _rename_spool(self) -> None:
        if not os.path.exists(self._path):
            return
        # A unique name: another server on this folder may have renamed a spool just now.
        renamed = f"{self._path}.{os.getpid()}-{time.time_ns()}.taken"
        try:
            os.rename(self._path, renamed)
        except OSError as error:
            # Another server was faster, or Windows does not rename open files: retry later.
            logger.debug("cannot rename the spool yet: %s", error)

    def _ingest(self, path: str) -> int:
        n_new, n_broken, line = 0, 0, 1
        named: list[int] = []
        refused: list[Event] = []
        with open_regular(path) as file:
            for text in _parts(file):
                now = datetime.now(UTC)
                events, broken = events_from_spool(text, now, self._on_hook, line)
                line += text.count(b"\n") + 1
                n_broken += len(broken)
                named += broken[: _MAX_NAMED_LINES - len(named)]
                if not self._titles:
                    events = drop_generated_titles(events)
                for start in range(0, len(events), _BATCH_EVENTS):
                    batch = events[start : start + _BATCH_EVENTS]
                    n_new += self._store(batch, refused)
        if refused:
            self._keep(path, refused)
        os.unlink(path)
        if n_broken:
            logger.warning(
                "spool: skipped %d lines that are invalid or were cut off by a full disk "
                "(line %s%s)",
                n_broken,
                ", ".join(map(str, named)),
                ", …" if n_broken > len(named) else "",
            )
        logger.info("spool: ingested %d events", n_new)
        return n_new

    def _store(self, batch: Sequence[Event], refused: list[Event]) -> int:
        """Ingest events, and return how many were new; add those without room to ``refused``."""
        try:
            return self._manager.ingest(batch).accepted
        except CapacityError:
            pass
        # Events of known agents always have room. If a new agent has none, no other agent of its
        # source has.
        known = self._manager.snapshot()
        n_new = self._store_known([event for event in batch if event.agent_id in known], refused)
        new: dict[str, list[Event]] = {}
        for event in batch:
            if event.agent_id not in known:
                new.setdefault(event.agent_id, []).append(event)
        full: set[str | None] = set()
        for events in new.values():
            source = events[0].source
            if source in full or len(full) >= _MAX_FULL_SOURCES:
                refused += events
                continue
            try:
                n_new += self._manager.ingest(events).accepted
            except CapacityError:
                full.add(source)
                refused += events
        return n_new

    def _store_known(self, events: Sequence[Event], refused: list[Event]) -> int:
        try:
            return self._manager.ingest(events).accepted if events else 0
        except CapacityError:
            # An agent was removed meanwhile.
            refused += events
            return 0

    def _keep(self, path: str, events: Sequence[Event]) -> None:
        """Write events without room to a file that is read later."""
        kept = f"{self._path}.{os.getpid()}-{time.time_ns()}.taken"
        part = f"{kept}.part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(spool_line(event) + b"\n" for event in events)
        os.replace(part, kept)
        logger.warning(
            "spool: no room for the agents of %d events, which are read again later; raise "
            "--max-agents, or lower --forget-after",
            len(events),
        )
        self._first_seen[kept] = self._monotonic() + _RETRY_S - SPOOL_SETTLE_S


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, about _PART_BYTES at once; an empty object for a line that is too long."""
    rest, is_skipping = b"", False
    while chunk := file.read(_PART_BYTES):
        lines, end, tail = (rest + chunk).rpartition(b"\n")
        if not end and len(tail) > MAX_SPOOL_BYTES:
            rest, is_skipping = b"", True
            continue
        if is_skipping and end:
            # The first line is the end of the one that is too long.
            lines, is_skipping = b"{}\n" + lines.partition(b"\n")[2], False
        rest = tail
        if end:
            yield lines
    if rest or is_skipping:
        yield b"{}" if is_skipping else rest
