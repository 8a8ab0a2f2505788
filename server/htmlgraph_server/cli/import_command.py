"""``htmlgraph-nb import``: past sessions of an agent, or the older HtmlGraph project's database."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Sequence

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import ConfigError, StoreUnavailable
from htmlgraph_nb.ingest.backfill import ImportReport, import_sessions
from htmlgraph_nb.ingest.session_files import SessionFile, find_sessions, total_bytes
from htmlgraph_nb.legacy_import.importer import LegacyImporter, LegacyImportReport
from htmlgraph_nb.legacy_import.tail import DEFAULT_PATH, DatabaseTail
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import context_window_of, price_of

from ..config import setting_value
from .options import Print, add_db_option, db_path, progress_bar

_LEGACY = "htmlgraph"
"""The agent name that means the older project's database."""
_POLL_S = 0.25
_MAX_EXAMPLES = 5


def configure_import(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``import``."""
    parser.description = (
        "Reads an agent's own session files, or the database of the older HtmlGraph project "
        "(htmlgraph), into the database. Without a name it reads those of all agents. Events that "
        "exist already are not imported again, so the command can be repeated."
    )
    parser.add_argument(
        "agent",
        nargs="?",
        choices=(*AGENTS, _LEGACY),
        help=f"agent to import from (default: {', '.join(AGENTS)})",
    )
    parser.add_argument(
        "path",
        nargs="?",
        help="folder or file to import (default: the agent's own folder; for htmlgraph "
        ".htmlgraph/htmlgraph.db in the current folder)",
    )
    add_db_option(parser)
    parser.add_argument(
        "--watch", action="store_true", help="keep importing new rows of htmlgraph until Ctrl-C"
    )
    parser.add_argument(
        "--titles",
        metavar="on|off",
        help="keep titles that agents generate for sessions (default: on); also HTMLGRAPH_TITLES",
    )
    parser.set_defaults(run=lambda arguments: _import(arguments, out))


def _import(arguments: argparse.Namespace, out: Print) -> int:
    db = db_path(arguments)
    if arguments.agent == _LEGACY:
        with PresenceManager(db, price=price_of, context_window=context_window_of) as manager:
            _import_legacy(manager, arguments.path or DEFAULT_PATH, out, watch=arguments.watch)
        return 0
    if arguments.watch:
        raise ConfigError(
            "--watch is only for htmlgraph; to follow sessions of "
            f"{arguments.agent or 'all agents'}, run: htmlgraph-nb serve"
        )
    titles = setting_value("titles", arguments.titles, os.environ)
    files = _find_files(arguments.agent, arguments.path, out)
    if not files:
        return 0
    with PresenceManager(db, price=price_of, context_window=context_window_of) as manager:
        with progress_bar("B", total_bytes(files)) as bar:
            report = import_sessions(manager, files, utc_now(), bar.update, titles=titles)
        for line in _session_lines(report, manager.db_path):
            out(line)
    return 0


def _find_files(agent: str | None, path: str | None, out: Print) -> list[SessionFile]:
    """Return the session files to import; prints which agents have none.

    Args:
        agent: None: all agents.
        path: a folder or file; None: the folder of each agent.
    """
    files: list[SessionFile] = []
    for name in AGENTS if agent is None else [agent]:
        folder = path or AGENTS[name].sessions_dir()
        if agent is None and not os.path.exists(folder):
            continue
        found, _ = find_sessions(folder, name)
        if not found and agent is not None:
            out(f"no sessions of {name} in {folder}")
        files += found
    if not files and agent is None:
        folders = ", ".join(AGENTS[name].sessions_dir() for name in AGENTS)
        out(f"no sessions in {folders}")
    return files


def _session_lines(report: ImportReport, db: str) -> list[str]:
    lines = [
        f"imported {report.accepted:,} events of {report.files:,} session files into {db}; "
        f"{report.already_stored:,} existed already"
    ]
    if report.covered:
        lines.append(f"skipped {report.covered:,} events that hooks or telemetry had reported")
    for noun, n, paths in (
        ("broken lines", report.n_broken, report.broken),
        ("unreadable files", len(report.unreadable), report.unreadable),
    ):
        if n:
            lines.append(f"skipped {n:,} {noun}: {_examples(paths, ', ')}")
    return lines


def _examples(items: Sequence[str], separator: str) -> str:
    more = f"{separator}…" if len(items) > _MAX_EXAMPLES else ""
    return separator.join(items[:_MAX_EXAMPLES]) + more


def _import_legacy(manager: PresenceManager, path: str, out: Print, *, watch: bool) -> None:
    tail = DatabaseTail(path)
    importer = LegacyImporter(manager, tail)
    with progress_bar("rows", tail.n_rows()) as bar:
        importer.import_new(utc_now(), bar.update)
    for line in _legacy_lines(importer.report, tail, manager.db_path):
        out(line)
    if watch:
        out(f"following {tail.path}; press Ctrl-C to stop")
        with contextlib.suppress(KeyboardInterrupt):
            _follow_legacy(importer, tail, out)


def _follow_legacy(importer: LegacyImporter, tail: DatabaseTail, out: Print) -> None:
    unavailable = False
    while True:
        time.sleep(_POLL_S)
        if not tail.changed():
            continue
        try:
            importer.import_new(utc_now())
            unavailable = False
        except StoreUnavailable as error:
            # Printed once: the file may be locked, or is being replaced.
            if not unavailable:
                out(str(error))
            unavailable = True


def _legacy_lines(report: LegacyImportReport, tail: DatabaseTail, db: str) -> list[str]:
    lines = [
        f"imported {report.accepted:,} events and {report.resources:,} features and tracks of "
        f"{tail.path} into {db}; {report.already_stored:,} existed already"
    ]
    if report.covered:
        lines.append(
            f"skipped {report.covered:,} events that hooks, session files or telemetry had reported"
        )
    if tail.n_broken:
        lines.append(f"skipped {tail.n_broken:,} broken rows: {_examples(tail.broken, '; ')}")
    return lines
