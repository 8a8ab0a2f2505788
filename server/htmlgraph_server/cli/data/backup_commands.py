"""``htmlgraph-nb backup`` and ``htmlgraph-nb restore``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from htmlgraph_nb.core.timestamps import from_micros, to_rfc3339, utc_now
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import default_db, make_private_folder, running_servers
from htmlgraph_nb.storage.copies.database_backup import backup_database
from htmlgraph_nb.storage.copies.database_copy import DatabaseContent, OnPages
from htmlgraph_nb.storage.copies.database_restore import restore_database
from htmlgraph_nb.storage.postgres.location import is_postgres, without_password

from ...background.leader_lock import LeaderLock
from ..options import Print, add_db_option, db_path, progress_bar
from ..text_table import plural


def configure_backup(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``backup``."""
    parser.description = (
        "Writes a complete copy of the database to one file that only you can read, also while "
        "servers run. It has the history, the agents, alerts and all else that the database holds, "
        "but not the columnar copies beside it, which are written again, nor alerts.toml and the "
        "key of the hashes of tool inputs (input-key). The copy is checked before it gets its name."
    )
    parser.add_argument("file", help="file to write")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    add_db_option(parser)
    parser.set_defaults(run=lambda arguments: _backup(arguments, out))


def _backup(arguments: argparse.Namespace, out: Print) -> int:
    path, target = file_path(db_path(arguments), "backup"), _file_name(arguments.file)
    with progress_bar("pages", description="copied", leave=False) as bar:
        content = backup_database(path, target, overwrite=arguments.force, on_pages=_progress(bar))
    out(f"{target}: {_described(content)} of {path}, {os.path.getsize(target) / 1e6:,.1f} MB")
    return 0


def configure_restore(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``restore``."""
    parser.description = (
        "Replaces the database by a backup, after checking it. The replaced database is kept "
        "beside it under another name. Stop the server first."
    )
    parser.add_argument("file", help="backup to restore")
    parser.add_argument("--db", help="database file to replace (default: this user's)")
    parser.set_defaults(run=lambda arguments: _restore(arguments, out))


def _restore(arguments: argparse.Namespace, out: Print) -> int:
    # Not that of a running server: replacing it would be refused anyway.
    path = os.path.realpath(file_path(arguments.db or default_db(), "restore"))
    source = _file_name(arguments.file)
    check_unused(path)
    make_private_folder(os.path.dirname(path))
    lock = LeaderLock(path)
    if not lock.acquire():
        raise in_use(path, lock.leader_pid())
    try:
        with progress_bar("pages", description="copied", leave=False) as bar:
            report = restore_database(source, path, now=utc_now(), on_pages=_progress(bar))
    finally:
        lock.release()
    out(f"{path}: {_described(report.content)} of {source}")
    if report.replaced:
        out(f"the database that was there is now {report.replaced}")
    return 0


def check_unused(path: str) -> None:
    """Raise an error if a server of this user has a database open.

    Args:
        path: its real path.

    Raises:
        ConfigError: a server does; it names the process.
    """
    for server in running_servers():
        if server.get("db") and os.path.realpath(server["db"]) == path:
            raise in_use(path, int(server["pid"]) if server["pid"].isdecimal() else None)


def in_use(path: str, pid: int | None) -> ConfigError:
    """Return the error that a server has a database open.

    Args:
        pid: process id of the server; None: unknown.
    """
    if pid is None:
        return ConfigError(f"a server uses {path}; stop it first (Ctrl-C in its terminal)")
    return ConfigError(
        f"the server with process id {pid} uses {path}; stop it first (Ctrl-C in its terminal, or: "
        f"kill {pid})"
    )


def file_path(location: str, command: str) -> str:
    """Return the file of a database.

    Args:
        location: a file, or the address of a database in PostgreSQL.
        command: name of the command, for the error.

    Raises:
        ConfigError: it is no file.
    """
    if is_postgres(location):
        raise ConfigError(
            f"{command} works on files, got {without_password(location)}; use PostgreSQL's own "
            "tools, such as pg_dump, pg_restore and DELETE"
        )
    return location


def _file_name(text: str) -> str:
    if not text.strip():
        raise ConfigError("file: expected the name of a file, got an empty string")
    return text


def _described(content: DatabaseContent) -> str:
    text = f"{plural(content.n_events, 'event')} and {plural(content.n_agents, 'agent')}"
    if content.first_ts is None or content.last_ts is None:
        return text
    first, last = (to_rfc3339(from_micros(ts))[:19] for ts in (content.first_ts, content.last_ts))
    return f"{text} ({first} to {last})"


def _progress(bar: Any) -> OnPages:
    def update(n_copied: int, n_pages: int) -> None:
        bar.total = n_pages
        bar.update(n_copied - bar.n)

    return update
