"""One settings file on disk: plan a change, show it, write it.

The first connection backs up the file beside it. If the file has not changed since, disconnecting
restores those bytes; otherwise it removes only the hook groups of htmlgraph-nb.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from htmlgraph_nb.errors import ConfigError, InvalidJson

from .hook_entries import HookGroup, add_groups, htmlgraph_groups, remove_htmlgraph_handlers

BACKUP_SUFFIX = ".before-htmlgraph"
MAX_SETTINGS_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class SettingsPlan:
    """A planned change of a settings file.

    Attributes:
        path: the file.
        before, after: its text; None: the file does not exist.
        backup: text of the backup to write; None: keep the existing backup.
        deletes_backup: delete the backup afterwards.
    """

    path: str
    before: str | None
    after: str | None
    backup: str | None = None
    deletes_backup: bool = False

    @property
    def is_change(self) -> bool:
        """Whether the text changes."""
        return self.before != self.after


def read_settings(path: str) -> str | None:
    """Return the file's text with byte order mark and line endings; None if it does not exist.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or is too large.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_SETTINGS_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_SETTINGS_BYTES} bytes; nothing was changed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not UTF-8 on line {line}; nothing was changed") from error


def plan_connect(path: str, groups: Mapping[str, HookGroup]) -> SettingsPlan:
    """Return the plan after which the file has exactly these hook groups of htmlgraph-nb.

    Raises:
        ConfigError: the file cannot be read or is not JSON; the message names the line.
    """
    before = read_settings(path)
    with _syntax_errors(path):
        existing = htmlgraph_groups(before) if before and before.strip() else {}
        if existing == groups:
            return SettingsPlan(path, before, before)
        if not existing:
            return SettingsPlan(path, before, add_groups(before or "", groups), backup=before)
        original = _original(path, before or "")
        base = original if original is not None else remove_htmlgraph_handlers(before or "")
        return SettingsPlan(path, before, add_groups(base, groups), backup=base or None)


def plan_disconnect(path: str) -> SettingsPlan:
    """Return the plan that removes the hook groups of htmlgraph-nb; errors as ``plan_connect``."""
    before = read_settings(path)
    if before is None or not before.strip():
        return SettingsPlan(path, before, before)
    with _syntax_errors(path):
        if not htmlgraph_groups(before):
            return SettingsPlan(path, before, before)
        original = _original(path, before)
        if original is None:
            return SettingsPlan(
                path, before, remove_htmlgraph_handlers(before), deletes_backup=True
            )
        # Without a backup, connecting created the file, so it is deleted.
        backup = read_settings(path + BACKUP_SUFFIX)
        after = original if backup is not None else None
        return SettingsPlan(path, before, after, deletes_backup=True)


def _original(path: str, text: str) -> str | None:
    """Return the text from before connecting, or None if the file has been edited since."""
    backup = read_settings(path + BACKUP_SUFFIX) or ""
    try:
        return backup if add_groups(backup, htmlgraph_groups(text)) == text else None
    except InvalidJson:
        return None


@contextlib.contextmanager
def _syntax_errors(path: str) -> Iterator[None]:
    """Turn an InvalidJson into a ConfigError that names the file."""
    try:
        yield
    except InvalidJson as error:
        raise ConfigError(f"cannot edit {path}: {error}; nothing was changed") from error


def apply_plan(plan: SettingsPlan) -> None:
    """Write the change. Each file is replaced atomically.

    Raises:
        ConfigError: a file cannot be written, or is read-only.
    """
    backup = plan.path + BACKUP_SUFFIX
    try:
        _check_writable(plan.path)
        if plan.backup is not None:
            _write(backup, plan.backup, plan.path)
        if plan.after is None:
            os.unlink(plan.path)
        elif plan.is_change:
            _write(plan.path, plan.after, plan.path)
        if plan.deletes_backup and os.path.exists(backup):
            os.unlink(backup)
    except OSError as error:
        raise ConfigError(f"cannot write {plan.path}: {error.strerror}") from error


def _check_writable(path: str) -> None:
    # Replacing a read-only file would succeed, but its owner does not want it changed.
    if os.path.exists(path) and not os.stat(path).st_mode & 0o222:
        raise ConfigError(f"{path} is read-only; allow writing to it first: chmod u+w {path}")


def _write(path: str, text: str, mode_source: str) -> None:
    # Follow symbolic links, such as those into a folder of dotfiles.
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".htmlgraph-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
        if os.path.exists(mode_source):
            os.chmod(temporary, os.stat(mode_source).st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
