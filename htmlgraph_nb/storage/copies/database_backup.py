"""Write a backup of a database, also while servers write to it."""

from __future__ import annotations

import contextlib
import os

from ...errors import ConfigError, StoreUnavailable
from ..file_guard import check_guarded
from .database_copy import (
    DatabaseContent,
    OnPages,
    check_copy,
    copy_database,
    sync_file,
    temporary_file,
)


def backup_database(
    path: str, target: str, *, overwrite: bool = False, on_pages: OnPages = lambda *_: None
) -> DatabaseContent:
    """Write a complete copy of a database to one file of mode 600.

    The file gets its name once it is checked.

    Args:
        path: the database; servers may use it.
        target: the file to create.
        overwrite: replace an existing file.
        on_pages: called with the number of copied pages and of all pages.

    Returns:
        What the backup contains.

    Raises:
        ConfigError: the target exists, or is the database itself.
        StoreUnavailable: the database cannot be read, or the target cannot be written.
        StoreDamaged, StoreTooNew: the database cannot be used.
    """
    check_guarded(path)
    _check_target(path, target, overwrite)
    with temporary_file(target) as temporary:
        content = copy_database(path, temporary, on_pages)
        check_copy(temporary, content, path)
        try:
            sync_file(temporary)
            if overwrite:
                os.replace(temporary, target)
            else:
                _rename_new(temporary, target)
        except OSError as error:
            raise StoreUnavailable(f"cannot write {target}: {error.strerror}") from error
    return content


def _check_target(path: str, target: str, overwrite: bool) -> None:
    if os.path.realpath(target) == os.path.realpath(path):
        raise ConfigError(f"expected another file than the database, got {target}")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise _exists(target)
    if os.path.islink(target) or not os.path.isfile(target):
        raise ConfigError(f"{target} is no regular file; name another file")
    if any(os.path.exists(target + suffix) for suffix in ("-wal", "-owner")):
        raise ConfigError(f"{target} is a database in use, no backup; name another file")


def _exists(target: str) -> ConfigError:
    return ConfigError(f"{target} exists already; name another file, or replace it with --force")


def _rename_new(temporary: str, target: str) -> None:
    """Rename a file unless the new name exists, which may have been created meanwhile."""
    with contextlib.suppress(NotImplementedError, PermissionError):
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise _exists(target) from None
        return
    # A file system without hard links.
    if os.path.lexists(target):
        raise _exists(target)
    os.rename(temporary, target)
