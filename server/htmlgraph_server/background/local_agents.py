"""Finds agents on this machine: by their session files and processes, with hints from hooks."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from htmlgraph_nb.coding_agents.hook_hints import hook_hints_of
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.forwarding.host_links import own_presences
from htmlgraph_nb.ingest.files.session_roots import default_roots, status_folders
from htmlgraph_nb.ingest.files.skipped_files import MAX_REPORTED
from htmlgraph_nb.ingest.following.database_watcher import DatabaseWatcher
from htmlgraph_nb.ingest.following.joined_sources import JoinedSources
from htmlgraph_nb.ingest.poller import PolledSource
from htmlgraph_nb.ingest.process_monitor import ProcessMonitor, read_process_starts
from htmlgraph_nb.ingest.session_watcher import ACTIVE_FOR_S, SessionWatcher, resume_time
from htmlgraph_nb.presence import PresenceManager

from ..config import Config, is_loopback


class LocalAgents:
    """The sources of events about agents on this machine.

    Args:
        config: with ``watch``, all session files are followed. Without it, only files that a hook
            names are read, for the token counts of completions.
        manager: the open database.

    Attributes:
        files: reads session files.
        databases: reads session databases.
        followed_since: seconds since 1970; ``files`` reads the files that changed since.
        processes: notices the start and end of agent processes.
        has_reports: whether a hook reported a session on this machine.
        on_report: called after each such report.
    """

    def __init__(self, config: Config, manager: PresenceManager) -> None:
        now = utc_now()
        # With a backfill, the files at rest are read by its process.
        self.followed_since = (
            now.timestamp() - ACTIVE_FOR_S
            if config.backfill_s
            else resume_time(manager.db_path, now)
        )
        self.files = SessionWatcher(
            default_roots(config.session_folder),
            self.followed_since,
            watch=config.watch,
            titles=config.titles,
        )
        self.databases = DatabaseWatcher(
            self.followed_since,
            config.session_folder,
            watch=config.watch,
            titles=config.titles,
            n_files=lambda: self.files.n_followed,
        )
        status_dirs = status_folders(config.session_folder) if config.watch else {}
        self.processes = ProcessMonitor(
            lambda: own_presences(manager.states()),
            status_dirs,
            partial(read_process_starts, manager.db_path),
            manager.limits.idle_timeout_s,
        )
        self.has_reports = False
        self.on_report: Callable[[], object] = lambda: None

    @property
    def sources(self) -> dict[str, PolledSource]:
        """All sources by name."""
        return {
            "sessions": JoinedSources({"session files": self.files, "databases": self.databases}),
            "processes": self.processes,
        }

    def on_hook(self, agent: str, payload: Mapping[str, Any], sender: str | None = None) -> None:
        """Pass what a hook says about files and processes of this machine to the sources.

        Args:
            agent: kind of the agent that ran the hook, such as ``claude``.
            payload: the input of the hook.
            sender: address of the HTTP client; None if the hook was read from the local spool.
        """
        hints = hook_hints_of(AGENTS[agent], payload)
        if hints is None:
            return
        from_loopback = sender is None or is_loopback(sender)
        is_local = hints.host == platform.node() if hints.host else from_loopback
        if not is_local:
            return
        self.files.on_hook(hints)
        self.databases.on_hook(hints)
        self.processes.on_hook(hints)
        self.has_reports = True
        self.on_report()

    def status(self) -> dict[str, Any]:
        """Return the ``watching`` section of ``/api/status``."""
        files, databases = self.files.report(), self.databases.report()
        skipped = [report["skipped"] for report in (files, databases)]
        named = [item for each in skipped for item in each["files"]][:MAX_REPORTED]
        return {
            **{name: files[name] for name in ("folders", "files")},
            "databases": databases["databases"],
            **{name: files[name] for name in ("followed", "waiting")},
            "skipped": {"count": sum(each["count"] for each in skipped), "files": named},
            "unfollowed": files["unfollowed"],
            "processes": self.processes.n_watched,
        }
