"""``htmlgraph-nb forget`` and ``htmlgraph-nb reset``: delete stored data."""

from __future__ import annotations

import argparse
import glob
import os
import re
import shutil
import sys
from collections.abc import Iterable
from contextlib import closing

from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import (
    data_dir,
    default_db,
    open_regular,
    spool_path,
    statusline_dir,
)
from htmlgraph_nb.presence import PresenceManager
from htmlgraph_nb.storage.columnar.segment_index import segment_folder
from htmlgraph_nb.storage.database import open_reader, sqlite_errors
from htmlgraph_nb.storage.migrations import APPLICATION_ID

from ...background.leader_lock import LeaderLock
from ..agent_match import add_agent_argument, matching_agent
from ..browser import sign_in_path
from ..options import Print, add_db_option, db_path
from ..text_table import plural
from .backup_commands import check_unused, in_use

_HEADER_BYTES = 100
_LOG_BYTES = 1 << 20
_SUFFIXES = ("", "-wal", "-shm", "-journal", "-owner")


def configure_forget(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``forget``."""
    parser.description = (
        "Removes an agent and its subagents from all dashboards. It returns with its next event."
    )
    add_agent_argument(parser)
    parser.add_argument("--history", action="store_true", help="also delete their stored events")
    add_db_option(parser)
    parser.set_defaults(run=lambda arguments: _forget(arguments, out))


def _forget(arguments: argparse.Namespace, out: Print) -> int:
    path = db_path(arguments)
    _check_exists(path)
    with PresenceManager(path) as manager:
        known = {agent.agent_id: agent for agent in manager.get_all_presence()}
        stored = _stored_agents(path) if arguments.history else {}
        unlisted = [AgentPresence(name) for name in stored if name not in known]
        agent_id = matching_agent(arguments.agent, [*known.values(), *unlisted])
        children = _descendants(agent_id, known.values())
        children |= {name for name, root in stored.items() if root == agent_id} - {agent_id}
        for name in (*sorted(children), agent_id):
            manager.forget(name, history=arguments.history)
    family = f" and {plural(len(children), 'subagent')}" if children else ""
    verb, its = ("are", "their") if children else ("is", "its")
    what = f"with {its} stored events" if arguments.history else f"{its} history stays"
    out(f"{agent_id}{family} {verb} removed{',' if arguments.history else ';'} {what}: {path}")
    return 0


def _stored_agents(path: str) -> dict[str, str]:
    """Return the agents with stored events and their topmost agents.

    Raises:
        StoreError: the file cannot be read.
    """
    text = "SELECT agent_id, MAX(root_agent_id) FROM history GROUP BY agent_id"
    with closing(open_reader(path)) as db, sqlite_errors(path):
        return {name: root or name for name, root in db.execute(text)}


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


def configure_reset(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``reset``."""
    parser.description = (
        "Deletes the database with its columnar copies, and the reports that no server has read "
        "yet. Settings of agents stay; see htmlgraph-nb uninstall."
    )
    add_db_option(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=lambda arguments: _reset(arguments, out))


def _reset(arguments: argparse.Namespace, out: Print) -> int:
    # Not that of a running server: deleting it would be refused anyway.
    path = os.path.realpath(arguments.db or default_db())
    _check_ours(path)
    files = _stored_files(path, is_default=path == os.path.realpath(default_db()))
    if not files:
        out(f"nothing is stored: {path}")
        return 0
    check_unused(path)
    if not arguments.yes:
        for name in files:
            out(name)
        if not _confirmed():
            out("nothing was deleted")
            return 1
    lock = LeaderLock(path)
    if not lock.acquire():
        raise in_use(path, lock.leader_pid())
    try:
        # The lock may have just created its file.
        for name in [*files, f"{path}-owner"]:
            _delete(name)
    finally:
        lock.release()
    out(f"deleted {len(files)} files and folders: {path}")
    return 0


def _stored_files(path: str, is_default: bool) -> list[str]:
    files = [f"{path}{suffix}" for suffix in _SUFFIXES] + [segment_folder(path)]
    if is_default:
        # The spool belongs to the default database.
        spool = spool_path()
        files += [spool, *sorted(glob.glob(f"{glob.escape(spool)}.*")), statusline_dir()]
        files.append(sign_in_path())
    return [name for name in files if os.path.lexists(name)]


def _delete(name: str) -> None:
    try:
        if os.path.isdir(name) and not os.path.islink(name):
            shutil.rmtree(name)
        else:
            os.unlink(name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot delete {name}: {error.strerror}") from error


def _check_exists(path: str) -> None:
    if not os.path.exists(path):
        raise ConfigError(f"--db: expected a database file, got {shorten(path)}: no such file")


def _check_ours(path: str) -> None:
    """Raise an error if a path is anything but a database of this program.

    A typo after --db must not delete a folder, a device or the file of another program.
    """
    if not os.path.lexists(path):
        return
    expected = f"--db: expected a database of htmlgraph-nb, got {shorten(path)}"
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "no regular file"
        raise ConfigError(f"{expected}, which is {kind}; nothing was deleted")
    if path == os.path.realpath(os.path.join(data_dir(), "htmlgraph.db")):
        # It is ours by its name, even if it is damaged.
        return
    # SQLite would change files beside it while it opens them. After a crash the id can be in the
    # write-ahead log only.
    if not (_names_us(path, _HEADER_BYTES) or _names_us(f"{path}-wal", _LOG_BYTES)):
        raise ConfigError(f"{expected}, which is another file; nothing was deleted")


def _names_us(name: str, n_bytes: int) -> bool:
    """Return whether a database or its log begins with a header that contains our id."""
    try:
        with open_regular(name) as file:
            data = file.read(n_bytes)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}") from error
    mark = APPLICATION_ID.to_bytes(4, "big")
    headers = (match.start() for match in re.finditer(b"SQLite format 3\0", data))
    return any(data[start + 68 : start + 72] == mark for start in headers)


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("expected a terminal to ask for confirmation; type --yes to delete")
    try:
        return input("Delete all of it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
