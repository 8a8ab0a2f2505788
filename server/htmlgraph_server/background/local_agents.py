"""The live sources of one server: session files and processes, and what hooks say of both."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from typing import Any

from htmlgraph_nb.coding_agents.hook_hints import hook_hints_of
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.ingest.poller import PolledSource
from htmlgraph_nb.ingest.process_monitor import ProcessMonitor
from htmlgraph_nb.ingest.session_files import home_of
from htmlgraph_nb.ingest.session_scanner import default_roots
from htmlgraph_nb.ingest.session_watcher import Named, SessionWatcher, resume_time
from htmlgraph_nb.presence import PresenceManager

from ..config import Config, is_loopback


class LocalAgents:
    """What tells of the agents of this machine, and is told where to look by their hooks.

    Args:
        config: ``watch`` says whether session files are followed; those that hooks name are read in
            any case, for their answers.
        manager: the open database.

    Attributes:
        heard: whether a hook has told of a session on this machine.
        wake: called after each that does.
    """

    def __init__(self, config: Config, manager: PresenceManager) -> None:
        since = resume_time(manager.db_path, utc_now())
        self.files = SessionWatcher(default_roots(), since, watch=config.watch)
        status = os.path.join(os.path.dirname(home_of("claude")), "sessions")
        self.processes = ProcessMonitor(manager.snapshot, status if config.watch else None)
        self.heard = False
        self.wake: Callable[[], object] = lambda: None

    @property
    def sources(self) -> list[PolledSource]:
        """All of them."""
        return [self.files, self.processes]

    def hear(self, agent: str, payload: Mapping[str, Any], sender: str | None = None) -> None:
        """Take in what the input of a hook says of files and processes on this machine.

        Args:
            agent: whose hook it is.
            sender: the address that sent it; None: it was read from this machine's disk.
        """
        told = hook_hints_of(agent, payload)
        if told is None:
            return
        own_address = sender is None or is_loopback(sender)
        if not (told.host == platform.node() if told.host else own_address):
            return
        self.files.name([Named(path, told.ended) for path in told.files])
        self.processes.hear(told)
        self.heard = True
        self.wake()

    def report(self) -> dict[str, Any]:
        """Return what is watched, for ``/api/status``."""
        return {**self.files.report(), "processes": self.processes.n_watched}
