"""``htmlgraph-nb forget``: remove agents from dashboards, or all that is stored of them."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.timestamps import from_micros, to_rfc3339, utc_now
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import default_db, spool_path, statusline_dir, waiting_file
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.erasing.erasure import ErasureReport, erase, open_erasure
from htmlgraph_nb.storage.erasing.erasure_selection import (
    ErasurePlan,
    ErasureSelection,
    counts_by_owner,
    plan_erasure,
)

from ...background.leader_lock import LeaderLock
from ...background.spool_reader import SPOOL_SETTLE_S, SpoolReader
from ..agent_match import matching_agent
from ..options import Print, add_db_option, db_path, progress_bar
from ..text_table import plural
from .backup_commands import file_path

_SERVER_S = 2.0
"""Time in which servers store what follows from the removal of agents, such as ends of alerts."""


def configure_forget(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``forget``."""
    parser.description = (
        "Removes an agent and its subagents from all dashboards; it returns with its next event. "
        "With --history or one of --agent, --session, --project and --before it deletes all that "
        "is stored of them: events, names, alerts, plan limits and features, and columnar copies. "
        "Session files of the agents stay, but are not imported again. Exports and backups are not "
        "changed. A running server notices it; while a large database is compacted, hooks keep "
        "their events."
    )
    parser.add_argument(
        "agent", metavar="AGENT", nargs="?", help="agent id, or a part of its id or title"
    )
    parser.add_argument("--history", action="store_true", help="delete all that is stored of AGENT")
    for name, text in (
        ("agent", "agent id, with its subagents"),
        ("session", "session id"),
        ("project", "name of a project"),
    ):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            dest=f"{name}s",
            metavar="NAME",
            help=f"{text}; can be repeated, and narrows the others",
        )
    parser.add_argument("--before", help="only what is older, such as 2025-01-14, 90d or yesterday")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_db_option(parser)
    parser.set_defaults(run=lambda arguments: _forget(arguments, out))


def _forget(arguments: argparse.Namespace, out: Print) -> int:
    path = file_path(db_path(arguments), "forget")
    if not os.path.exists(path):
        raise ConfigError(f"--db: expected a database file, got {shorten(path)}: no such file")
    selects = bool(arguments.agents or arguments.sessions or arguments.projects or arguments.before)
    if arguments.agent is None and not selects:
        raise ConfigError("expected AGENT, --agent, --session, --project or --before; see --help")
    if arguments.agent is not None and selects:
        raise ConfigError("expected AGENT or options that select, got both; use --agent")
    if selects or arguments.history or arguments.dry_run:
        return _erase(arguments, path, out)
    with PresenceManager(path) as manager:
        known = {agent.agent_id: agent for agent in manager.get_all_presence()}
        agent_id = matching_agent(arguments.agent, known.values())
        children = _descendants(agent_id, known.values())
        for name in (*sorted(children), agent_id):
            manager.forget(name)
    family = f" and {plural(len(children), 'subagent')}" if children else ""
    verb, its = ("are", "their") if children else ("is", "its")
    out(f"{visible_text(agent_id)}{family} {verb} removed; {its} history stays: {path}")
    return 0


def _descendants(agent_id: str, agents: Iterable[AgentPresence]) -> set[str]:
    """Return the subagents of an agent, and theirs."""
    parents = {agent.agent_id: agent.parent_agent_id for agent in agents}
    found: set[str] = set()
    while (
        more := {name for name, parent in parents.items() if parent in {agent_id, *found}}
        - found
        - {agent_id}
    ):
        found |= more
    return found


def _erase(arguments: argparse.Namespace, path: str, out: Print) -> int:
    from htmlgraph_nb.history.arguments import resolve_time

    agents = arguments.agents
    if arguments.agent is not None:
        agents = [_stored_agent(path, arguments.agent)]
    selection = ErasureSelection(
        agents,
        arguments.sessions,
        arguments.projects,
        resolve_time(arguments.before, "--before"),
    )
    with _leading(path) as alone:
        if alone and not arguments.dry_run:
            _read_spool(path)
        with open_erasure(path) as db:
            plan = plan_erasure(db, selection)
            if arguments.dry_run:
                out(f"would delete {_described(plan)}: {path}")
                return 0
            if arguments.agent is None and not arguments.yes and not _confirmed(plan, path, out):
                out("nothing was deleted")
                return 1
            report = _run(db, path, selection, plan, alone)
        _delete_reports(path, plan, alone)
    out(f"deleted {_described(plan)}: {path}")
    _say_what_stays(path, report, out)
    return 0


def _run(
    db: sqlite3.Connection, path: str, selection: ErasureSelection, plan: ErasurePlan, alone: bool
) -> ErasureReport:
    with progress_bar(" events", plan.n_events, "deleted", leave=False) as bar:
        return erase(
            db,
            path,
            selection,
            now=utc_now(),
            plan=plan,
            settle=(lambda: None) if alone else lambda: time.sleep(_SERVER_S),
            on_events=bar.update,
        )


def _stored_agent(path: str, text: str) -> str:
    """Return the agent that a text means, of those in the roster and in the history."""
    with closing(open_reader(path)) as db, sqlite_errors(path):
        rows = db.execute(
            "SELECT agent_id, title, project, branch FROM agent_presence UNION ALL "
            "SELECT name, NULL, NULL, NULL FROM names WHERE id IN (SELECT agent FROM events) "
            "AND name NOT IN (SELECT agent_id FROM agent_presence)"
        ).fetchall()
    agents = [
        AgentPresence(name, title=title, project=project, branch=branch)
        for name, title, project, branch in rows
    ]
    return matching_agent(text, agents)


@contextlib.contextmanager
def _leading(path: str) -> Iterator[bool]:
    """Hold the lock of a database; False: a server has it."""
    lock = LeaderLock(path)
    try:
        yield lock.acquire()
    finally:
        lock.release()


def _read_spool(path: str) -> None:
    """Store what hooks have left for the next server, so that it can be deleted."""
    spool = spool_path()
    names = [spool, *glob.glob(f"{glob.escape(spool)}.*.taken")]
    is_default = os.path.realpath(path) == os.path.realpath(default_db())
    if not is_default or not any(map(os.path.exists, names)):
        return
    with PresenceManager(path) as manager:
        reader = SpoolReader(manager, spool)
        reader.read()
        time.sleep(SPOOL_SETTLE_S)
        reader.read()


def _delete_reports(path: str, plan: ErasurePlan, alone: bool) -> None:
    """Delete the reports of status lines, and the list of waiting agents of a server that ended."""
    if os.path.realpath(path) != os.path.realpath(default_db()):
        return
    owners = [name for _, name in plan.owners]
    folder = statusline_dir()
    files = [os.path.join(folder, name) for name in _names_in(folder)]
    if alone:
        files.append(waiting_file())
    for name in files:
        with contextlib.suppress(OSError):
            with open(name, encoding="utf-8", errors="replace") as file:
                text = file.read(1 << 20)
            if any(owner in text or owner in name for owner in owners):
                os.unlink(name)


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _confirmed(plan: ErasurePlan, path: str, out: Print) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("expected a terminal to ask for confirmation; type --yes to delete")
    out(f"{_described(plan)}: {path}")
    try:
        return input("Delete all of it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _described(plan: ErasurePlan) -> str:
    counts = counts_by_owner(plan)
    text = (
        f"{plural(plan.n_events, 'event')} of {plural(counts['agent'], 'agent')} in "
        f"{plural(counts['session'], 'session')}"
    )
    if plan.first_ts is None or plan.last_ts is None:
        return text
    first, last = (to_rfc3339(from_micros(ts))[:19] for ts in (plan.first_ts, plan.last_ts))
    return f"{text} ({first} to {last})"


def _say_what_stays(path: str, report: ErasureReport, out: Print) -> None:
    copies = sorted(glob.glob(f"{glob.escape(os.path.realpath(path))}.replaced-*Z"))
    if copies:
        out(f"replaced databases beside it are not changed: {', '.join(copies)}")
    if not report.is_clean:
        out("a program is reading the database; its log is emptied when that has ended")
    out("exports and backups are not changed; delete those that contain it")
