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
from collections.abc import Callable
from datetime import UTC, datetime

from htmlgraph_nb.coding_agents.titles import drop_generated_titles
from htmlgraph_nb.ingest.spool import OnHook, events_from_spool
from htmlgraph_nb.presence import PresenceManager

logger = logging.getLogger(__name__)

SPOOL_SETTLE_S = 2.0
"""Seconds between renaming and reading; a hook never runs longer than this."""
_BATCH_EVENTS = 1_000
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

        Raises:
            CapacityError, StoreError: the events cannot be stored; the file is kept.
            OSError: a file cannot be read or deleted.
        """
        self._rename_spool()
        now = self._monotonic()
        pattern = f"{glob.escape(self._path)}.*.taken"
        self._first_seen = {path: self._first_seen.get(path, now) for path in glob.glob(pattern)}
        settled = [path for path, seen in self._first_seen.items() if now - seen >= SPOOL_SETTLE_S]
        return sum(self._ingest(path) for path in sorted(settled))

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
        try:
            with open(path, "rb") as file:
                events, broken = events_from_spool(file.read(), datetime.now(UTC), self._on_hook)
            if not self._titles:
                events = drop_generated_titles(events)
            n_new = 0
            for start in range(0, len(events), _BATCH_EVENTS):
                n_new += self._manager.ingest(events[start : start + _BATCH_EVENTS]).accepted
            os.unlink(path)
        except FileNotFoundError:
            # Another server on this folder was faster.
            return 0
        if broken:
            numbers = ", ".join(map(str, broken[:_MAX_NAMED_LINES]))
            logger.warning(
                "spool: skipped %d lines that are invalid or were cut off by a full disk (%s%s)",
                len(broken),
                f"line {numbers}",
                ", …" if len(broken) > _MAX_NAMED_LINES else "",
            )
        logger.info("spool: ingested %d events", n_new)
        return n_new
