"""Import the session files of the last days: the child process that a server starts.

It prints BackfillReport objects, one JSON object a line. It writes to the database in short
transactions with pauses, so that the server and its agents are never kept waiting; it waits while
the database is locked, and ends with the process that started it.

Files are remembered once they are imported completely, so that a later start reads only new and
changed ones. If the process is killed, the next one repeats the file; the ids of events keep them
from being counted twice.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import TypeVar

from ..coding_agents.session import SessionRoot
from ..core.model import AgentPresence, PresenceStatus
from ..core.roster import Limits
from ..core.timestamps import utc_now
from ..errors import CapacityError, HtmlgraphError, StoreUnavailable
from ..presence import PresenceManager
from ..pricing.price_list import context_window_of, price_of
from ..pricing.price_list import load as load_prices
from ..storage.database import open_reader, sqlite_errors
from ..storage.file_table import read_session_files
from .backfill import SessionImporter
from .backfill_report import RECENT, BackfillReport, known_cost
from .databases.found_databases import find_databases, stored_sessions
from .files.session_roots import SessionFolder, default_roots, is_below, status_folders
from .import_order import DAY_S, changed_files, count_sessions, import_order
from .live_processes import (
    LiveSessions,
    LocalSession,
    find_live,
    read_processes,
    read_status_files,
)
from .processes.process_events import StatusFile, process_exit, process_start
from .session_files import SessionFile, is_gone, place_of, session_file, session_of
from .session_scanner import SessionScanner

logger = logging.getLogger(__name__)

PARENT_CHECK_S = 0.5
RETRY_S = 1.0
REPORT_S = 0.25
PAUSE_FACTOR = 0.5
"""Length of the pause after a transaction, in units of its duration."""
_MIN_PAUSE_S = 0.002
QUIET_S = 60.0
"""Seconds without a change after which a session without any process counts as ended."""


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """What to import, as JSON on the command line.

    Attributes:
        db: the database.
        days: age in days up to which session files are read; None: all of them.
        followed_since: seconds since 1970; files changed since are followed by the server, which
            reads them itself.
        titles: keep generated titles.
        synchronous: SQLite's setting.
        limits: timers and limits, as those of the server.
        parent: id of the process with which to end; 0: none.
        session_folder: further folders of session files.
    """

    db: str
    days: float | None = 30.0
    followed_since: float = float("inf")
    titles: bool = True
    synchronous: str = "NORMAL"
    limits: Limits = field(default_factory=Limits)
    parent: int = 0
    session_folder: tuple[SessionFolder, ...] = ()

    def to_json(self) -> str:
        """Return the argument of the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> BackfillOptions:
        """Return the options in the argument of the command line."""
        values = json.loads(text)
        folders = tuple((agent, path) for agent, path in values.pop("session_folder"))
        limits = Limits(**values.pop("limits"))
        return cls(**values, limits=limits, session_folder=folders)


_Result = TypeVar("_Result")


def _nothing() -> None:
    """Do nothing."""


OnReport = Callable[[BackfillReport], object]


def run_backfill(
    options: BackfillOptions, on_report: OnReport, before_older: Callable[[], object] = _nothing
) -> BackfillReport:
    """Import the session files that are new or have changed; return the final report.

    Args:
        on_report: called with the report when the files are found, about every REPORT_S seconds,
            and at the end.
        before_older: called once before the first file that is older than 24 hours: dashboards
            show no session of it, so there is no hurry.

    Raises:
        StoreDamaged, StoreTooNew, StoreClosed: the database cannot be used.
    """
    # The table of prices takes longer to load than the files take to find.
    threading.Thread(target=load_prices, name="htmlgraph-prices", daemon=True).start()
    now = utc_now().timestamp()
    roots = default_roots(options.session_folder)
    since = 0.0 if options.days is None else now - options.days * DAY_S
    found = find_files(since, roots) + find_stored(since, options.session_folder)
    manager = patiently(partial(_open, options))
    with manager:
        imported = patiently(lambda: _imported(options.db))
        waiting = changed_files(found, imported)
        unfollowed = [file for file in waiting if file.modified < options.followed_since]
        files = import_order(unfollowed, now)
        report = BackfillReport(
            days=whole(options.days),
            files=len(files),
            bytes=sum(file.size for file in files),
            sessions=count_sessions(found),
            sessions_read=sum(count_sessions(files).values()),
            first=not imported,
        )
        on_report(report)
        statuses = read_status_files(status_folders(options.session_folder))
        live = find_live_sessions(found, roots, statuses)
        n_recent = sum(now - file.modified < DAY_S for file in files)
        importer = _Importer(manager, live, options, report, on_report)
        importer.run(files[:n_recent])
        before_older()
        importer.run(files[n_recent:])
        _report_processes(manager, found, live)
        gone = dict.fromkeys(filter(is_gone, imported))
        if gone:
            patiently(lambda: manager.import_events([], files=gone))
    cost, unpriced = patiently(lambda: known_cost(options.db, utc_now() - RECENT, price_of))
    report = replace(report, state="done", cost_7d_usd=cost, unpriced_7d_tokens=unpriced)
    on_report(report)
    return report


def whole(number: float | None) -> float | None:
    """Return a whole number as an int, so that it is 30 and not 30.0 in JSON."""
    return int(number) if number is not None and number == int(number) else number


def patiently(run: Callable[[], _Result]) -> _Result:
    """Return the result of ``run``, which is repeated while the database is locked."""
    while True:
        try:
            return run()
        except StoreUnavailable as error:
            logger.debug("waiting for the database: %s", error)
            time.sleep(RETRY_S)


def _open(options: BackfillOptions) -> PresenceManager:
    return PresenceManager(
        options.db,
        limits=options.limits,
        synchronous=options.synchronous,
        price=price_of,
        context_window=context_window_of,
    )


def _imported(path: str) -> dict[str, tuple[int, int]]:
    with closing(open_reader(path)) as db, sqlite_errors(path):
        return read_session_files(db)


def find_files(since: float, roots: Sequence[SessionRoot]) -> list[SessionFile]:
    """Return the session files of all agents that changed since a time.

    Args:
        since: seconds since 1970.
        roots: the folders of session files.
    """
    scanner = SessionScanner(roots, since)
    changed = scanner.poll(0.0)
    while scanner.behind:
        changed += scanner.poll(0.0)
    files = []
    for path, root in changed:
        try:
            files.append(session_file(path, root.agent, os.stat(path, follow_symlinks=False)))
        except OSError:
            # Deleted or moved meanwhile.
            continue
    return files


def find_stored(since: float, further: Sequence[SessionFolder]) -> list[SessionFile]:
    """Return the sessions in the agents' databases that changed since a time.

    Args:
        since: seconds since 1970.
        further: folders beside the agents' own.
    """
    found, skipped = stored_sessions(find_databases(further), int(since * 1_000))
    for path, reason in skipped.items():
        logger.warning("session database %r is not read: %s", path, reason)
    return [session_of(each) for each in found]


def find_live_sessions(
    files: Sequence[SessionFile],
    roots: Sequence[SessionRoot],
    statuses: Mapping[str, Sequence[StatusFile]],
) -> LiveSessions:
    """Return which of the sessions, found in these roots, have a process."""
    pids = [status.pid for agent in statuses.values() for status in agent]
    # What a symbolic link leads to is outside the roots.
    folders = {os.path.dirname(file.path): file.agent for file in files}
    linked = [
        SessionRoot(agent, folder)
        for folder, agent in folders.items()
        if not any(is_below(folder, root.path) for root in roots)
    ]
    processes = read_processes([*roots, *linked], pids)
    sessions = [
        LocalSession(file.path, file.agent, file.modified, cache(partial(_folder, file)))
        for file in files
        if not file.is_of_subagent
    ]
    return find_live(sessions, processes, statuses)


def _folder(file: SessionFile) -> str | None:
    folder = place_of(file)[1]
    return None if folder is None else os.path.realpath(folder)


class _Importer:
    """Imports files and keeps the report up to date."""

    def __init__(
        self,
        manager: PresenceManager,
        live: LiveSessions,
        options: BackfillOptions,
        report: BackfillReport,
        on_report: OnReport,
    ) -> None:
        self._importer = SessionImporter(
            manager, utc_now(), live=live, titles=options.titles, pause=_pause
        )
        self._report = report
        self._on_report = on_report
        self._reported_at = time.monotonic()

    def run(self, files: Sequence[SessionFile]) -> None:
        """Import the files in this order."""
        report, importer = self._report, self._importer
        for file in files:
            bytes_before = report.bytes_done
            try:
                importer.import_file(file, self._on_bytes)
            except CapacityError as error:
                # One file must not keep out the others.
                logger.warning("%s: %s", file.path, error)
            report.bytes_done = bytes_before + file.size
            report.files_done += 1
            report.events = importer.report.accepted
        importer.finish()
        for path, reason in importer.report.unreadable.items():
            logger.warning("session file %r is not read: %s", path, reason)
        importer.report.unreadable.clear()

    def _on_bytes(self, n_bytes: int) -> None:
        self._report.bytes_done += n_bytes
        if time.monotonic() - self._reported_at >= REPORT_S:
            self._reported_at = time.monotonic()
            self._report.events = self._importer.report.accepted
            self._on_report(self._report)


def _pause(transaction_s: float) -> None:
    time.sleep(max(_MIN_PAUSE_S, PAUSE_FACTOR * transaction_s))


def _report_processes(
    manager: PresenceManager,
    files: Sequence[SessionFile],
    live: LiveSessions,
) -> None:
    """Store the processes of sessions whose files this process does not read, and their ends.

    These are sessions that the server follows, and those that were imported at an earlier start.
    """
    by_session: dict[str | None, AgentPresence] = {}
    for presence in patiently(lambda: manager.agents).values():
        if presence.parent_agent_id is None:
            by_session[presence.session_id] = presence
    now = utc_now()
    events = []
    kinds = live.agents
    for file in files:
        is_decided = file.path in live.running or file.path in live.gone
        if file.is_of_subagent or (not is_decided and now.timestamp() - file.modified >= DAY_S):
            continue
        session = place_of(file)[0]
        known = None if session is None else by_session.get(session)
        if known is None or known.host not in (None, platform.node()):
            continue
        process = live.running.get(file.path)
        is_over = file.path in live.gone or (
            file.agent not in kinds
            and file.path not in live.elsewhere
            and now.timestamp() - file.modified >= QUIET_S
        )
        if process is not None:
            if not known.alive:
                events.append(process_start(known, process.identity, now))
        elif is_over and known.status is PresenceStatus.ACTIVE and not known.alive:
            events.append(process_exit(known))
    if events:
        patiently(lambda: manager.ingest(events))


def _end_with(parent: int) -> None:
    """End this process soon after its parent has ended, however that happened."""
    import psutil

    try:
        process = psutil.Process(parent)
    except psutil.NoSuchProcess:
        os._exit(0)

    def watch() -> None:
        # On POSIX the parent changes, even while the old one is a zombie.
        while process.is_running() and (os.name == "nt" or os.getppid() == parent):
            time.sleep(PARENT_CHECK_S)
        os._exit(0)

    threading.Thread(target=watch, name="htmlgraph-parent", daemon=True).start()


def _print(report: BackfillReport) -> None:
    sys.stdout.write(json.dumps(report.to_dict()) + "\n")
    sys.stdout.flush()


def _lower_priority(increment: int) -> None:
    if increment and hasattr(os, "nice"):
        os.nice(increment)


def main(argv: Sequence[str] | None = None) -> int:
    """Import as a background process; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(description="Import session files into a database.")
    parser.add_argument("options", help="BackfillOptions as JSON")
    parser.add_argument("--nice", type=int, default=0, help="added to the niceness for old files")
    arguments = parser.parse_args(argv)
    options = BackfillOptions.from_json(arguments.options)
    # Ctrl-C in a terminal reaches the children of the server as well; the server stops them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.parent:
        _end_with(options.parent)
    logging.basicConfig(format="%(levelname)s backfill: %(message)s")
    try:
        run_backfill(options, _print, lambda: _lower_priority(arguments.nice))
    except HtmlgraphError as error:
        logger.error("%s", error)
        return 1
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
