"""Takes in what the hook left in its spool file while no server answered, each event once.

The file is set aside by a rename, read only when every hook that may still hold it open has
reached its own time limit, and deleted after the commit. A crash in between repeats the reading,
and the events' ids make the repetition harmless.
"""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

from htmlgraph_nb.ingest.spool import OnHook, events_from_spool
from htmlgraph_nb.presence import PresenceManager

logger = logging.getLogger("htmlgraph.spool")

SETTLE_S = 2.0
"""Longer than the hook may live."""
_STEP_EVENTS = 1_000


class Spool:
    """One spool file.

    Args:
        manager: where the events go.
        path: the file to which hooks append.
        monotonic: returns seconds that never go back.
        hear: called with the kind of agent and the input of each hook; None: nobody is.
    """

    def __init__(
        self,
        manager: PresenceManager,
        path: str,
        monotonic: Callable[[], float] = time.monotonic,
        hear: OnHook | None = None,
    ) -> None:
        self._hear = hear
        self._manager = manager
        self._path = path
        self._monotonic = monotonic
        # File set aside → when this process first saw it. The times in the file system are of
        # another clock, and not every one of them changes with a rename.
        self._aside: dict[str, float] = {}

    def take_in(self) -> int:
        """Do the next step, if there is one, and return how many events it brought."""
        self._set_aside()
        now = self._monotonic()
        pattern = f"{glob.escape(self._path)}.*.taken"
        self._aside = {path: self._aside.get(path, now) for path in glob.glob(pattern)}
        settled = [path for path, seen in self._aside.items() if now - seen >= SETTLE_S]
        return sum(self._ingest(path) for path in sorted(settled))

    def _set_aside(self) -> None:
        if not os.path.exists(self._path):
            return
        # A name of its own: another server on this folder may have set one aside just now.
        aside = f"{self._path}.{os.getpid()}-{time.time_ns()}.taken"
        try:
            os.rename(self._path, aside)
        except OSError as error:
            # Taken by another server, or held open where that forbids it: it is tried again.
            logger.debug("the spool cannot be set aside yet: %s", error)

    def _ingest(self, path: str) -> int:
        try:
            with open(path, "rb") as file:
                events, n_broken = events_from_spool(file.read(), datetime.now(UTC), self._hear)
            n_new = 0
            for start in range(0, len(events), _STEP_EVENTS):
                n_new += self._manager.ingest(events[start : start + _STEP_EVENTS]).accepted
            os.unlink(path)
        except FileNotFoundError:
            # Another server on this folder was faster.
            return 0
        if n_broken:
            logger.warning("%d lines of the spool could not be read", n_broken)
        logger.info("%d events of the spool taken in", n_new)
        return n_new
