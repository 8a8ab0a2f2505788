"""The server's own thread beside the loop: other processes' writes, timers, spool, retention.

Several servers may have one file: all take in what others wrote, and its owner does the rest.

All of it waits for the disk or for the writer's lock now and then, so none of it runs on the loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from htmlgraph_nb.errors import HtmlgraphError
from htmlgraph_nb.presence import PresenceManager

from .ownership import Ownership
from .sealer import Sealer
from .spool import Spool

logger = logging.getLogger("htmlgraph.watch")

ABSORB_S = 0.02
TICK_S = 1.0
SPOOL_S = 1.0
SEAL_S = 60.0
RETENTION_S = 60.0
RETENTION_PAUSE_S = 0.05


@dataclass
class _Chore:
    """What is to be done again and again; sooner (``again_s``) while it says there is more."""

    every_s: float
    run: Callable[[], object]
    again_s: float | None = None
    due: float = 0.0
    failing: bool = False


class Watcher:
    """Runs the chores of one server until it is stopped.

    Args:
        manager: whose file is watched.
        spool: the hooks' spool; None: it is not taken in.
        retain_s: age in seconds at which history is deleted; 0: never.
        sealer: seals history; None: it is not sealed.
        ownership: of the file; only its owner does more than to take in what others wrote.
    """

    def __init__(
        self,
        manager: PresenceManager,
        spool: Spool | None = None,
        retain_s: float = 0.0,
        sealer: Sealer | None = None,
        *,
        ownership: Ownership,
    ) -> None:
        self._manager = manager
        self._retain = timedelta(seconds=retain_s)
        self._stopping = threading.Event()
        self._ownership = ownership
        self._chores = [
            _Chore(ABSORB_S, manager.absorb),
            _Chore(TICK_S, self._if_owner(manager.tick)),
        ]
        if spool is not None:
            self._chores.append(_Chore(SPOOL_S, self._if_owner(spool.take_in)))
        if retain_s:
            # One step at a time: the other chores go on between two of them.
            self._chores.append(
                _Chore(RETENTION_S, self._if_owner(self._delete_old), RETENTION_PAUSE_S)
            )
        self._sealer = sealer
        if sealer is not None:
            self._chores.append(_Chore(SEAL_S, self._if_owner(sealer.check)))
        self._thread = threading.Thread(target=self._run, name="htmlgraph-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the chore that is running, and wait for that."""
        self._stopping.set()
        self._thread.join()
        if self._sealer is not None:
            self._sealer.close()
        self._ownership.release()

    def _if_owner(self, chore: Callable[[], object]) -> Callable[[], object]:
        return lambda: chore() if self._ownership.held() else None

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            for chore in self._chores:
                if chore.due <= now:
                    more = self._do(chore)
                    pause = chore.every_s if chore.again_s is None or not more else chore.again_s
                    chore.due = now + pause
            nearest = min(chore.due for chore in self._chores)
            self._stopping.wait(max(0.0, nearest - time.monotonic()))

    def _do(self, chore: _Chore) -> bool:
        """Run a chore; return whether there is more of it to do."""
        try:
            more = bool(chore.run())
        except (HtmlgraphError, OSError) as error:
            # Said once: the file may be away for hours.
            if not chore.failing:
                logger.warning("%s", error)
            chore.failing = True
        except Exception:
            # The thread must live: without it no time passes and nothing of others is seen.
            if not chore.failing:
                logger.exception("a chore of the server failed")
            chore.failing = True
        else:
            chore.failing = False
            return more
        return False

    def _delete_old(self) -> int:
        return self._manager.delete_history(self._retain)
