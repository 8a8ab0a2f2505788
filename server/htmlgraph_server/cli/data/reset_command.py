"""``htmlgraph-nb reset``: delete all stored data."""

from __future__ import annotations

import argparse
import glob
import os
import re
import shutil
import sys

from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import (
    data_dir,
    default_db,
    open_regular,
    spool_path,
    statusline_dir,
)
from htmlgraph_nb.storage.columnar.segment_index import segment_folder
from htmlgraph_nb.storage.migrations import APPLICATION_ID

from ...access.space_files import spaces_folder
from ...background.leader_lock import LeaderLock
from ..browser import sign_in_path
from ..options import Print, add_db_option
from .backup_commands import check_unused, file_path, in_use

_HEADER_BYTES = 100
_LOG_BYTES = 1 << 20
_SUFFIXES = ("", "-wal", "-shm", "-journal", "-owner")


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
    path = os.path.realpath(file_path(arguments.db or default_db(), "reset"))
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
    files.append(spaces_folder(path))
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
