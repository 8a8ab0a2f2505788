"""``htmlgraph-nb import``: past sessions of an agent, or the older HtmlGraph project's database."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Mapping, Sequence

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.timestamps import utc_now
from htmlgraph_nb.errors import ConfigError, StoreUnavailable
from htmlgraph_nb.ingest.backfill import ImportReport, import_sessions
from htmlgraph_nb.ingest.files.session_roots import folder_names, own_folders
from htmlgraph_nb.ingest.session_files import SessionFile, find_sessions, total_bytes
from htmlgraph_nb.legacy_import.importer import LegacyImporter, LegacyImportReport
from htmlgraph_nb.legacy_import.tail import DEFAULT_PATH, DatabaseTail
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.pricing.price_list import context_window_of, price_of
from htmlgraph_nb.storage.erasing.erasure import open_erasure
from htmlgraph_nb.storage.forgetting.forgotten_table import clear_forgotten

from ..config import setting_value
from .options import Print, add_db_option, db_path, progress_bar
from .text_table import plural

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
        "--forgotten",
        action="store_true",
        help="also import what htmlgraph-nb forget deleted, and no longer refuse it",
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
    files, skipped = _find_files(arguments.agent, arguments.path, out)
    if not files:
        for line in _skipped_lines(skipped):
            out(line)
        return 0
    if arguments.forgotten and os.path.exists(db):
        with open_erasure(db) as connection:
            clear_forgotten(connection)
    with PresenceManager(db, price=price_of, context_window=context_window_of) as manager:
        with progress_bar("B", total_bytes(files)) as bar:
            report = import_sessions(manager, files, utc_now(), bar.update, titles=titles)
        for line in _session_lines(report, skipped, manager.db_path):
            out(line)
    return 0


def _find_files(
    agent: str | None, path: str | None, out: Print
) -> tuple[list[SessionFile], dict[str, str]]:
    """Return the files to import, and path → reason of those that look like sessions only.

    Prints which agents have none.

    Args:
        agent: None: all agents.
        path: a folder or file; None: the folders of each agent.
    """
    files: dict[str, SessionFile] = {}
    skipped: dict[str, str] = {}
    for name in AGENTS if agent is None else [agent]:
        folders = [path] if path else list(own_folders(name))
        names = path or folder_names(name)
        n_before = len(files)
        for folder in folders:
            found, others = find_sessions(folder, name)
            files |= {file.path: file for file in found}
            skipped |= others
        if len(files) == n_before and agent is not None:
            out(f"no sessions of {name} in {names}")
    if not files and agent is None:
        out(f"no sessions in {path or folder_names()}")
    return list(files.values()), skipped


def _session_lines(report: ImportReport, skipped: Mapping[str, str], db: str) -> list[str]:
    lines = [
        f"imported {report.accepted:,} events of {report.files:,} session files into {db}; "
        f"{report.already_stored:,} existed already"
    ]
    if report.covered:
        lines.append(f"skipped {report.covered:,} events that hooks or telemetry had reported")
    if report.n_broken:
        lines.append(f"skipped {report.n_broken:,} broken lines: {_examples(report.broken, ', ')}")
    return [*lines, *_skipped_lines({**skipped, **report.unreadable})]


def _skipped_lines(reasons: Mapping[str, str]) -> list[str]:
    """Return the line that names the files that are not imported, or only in part."""
    if not reasons:
        return []
    examples = [f"{path} ({reason})" for path, reason in reasons.items()]
    return [f"could not read {plural(len(reasons), 'file')}: {_examples(examples, '; ')}"]


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
