"""One settings file on disk: plan a change, show it, write it.

The first connection backs up the file beside it. If the file has not changed since, disconnecting
restores those bytes; otherwise it removes only the entries of htmlgraph-nb: hook groups and the
status line.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from htmlgraph_nb.errors import ConfigError, InvalidJson

from .hook_entries import HookGroup, add_groups, htmlgraph_groups, remove_htmlgraph_handlers
from .statusline_entry import (
    add_statusline,
    program_of,
    remove_statusline,
    run_by,
    statusline_command,
)

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


@dataclass(frozen=True, slots=True)
class OwnEntries:
    """What htmlgraph-nb adds to a settings file.

    Attributes:
        groups: its hook groups, by event.
        statusline: the shell command of htmlgraph-statusline; "": no status line.
        inherited: the command of the user's settings that the status line of a project runs.
    """

    groups: Mapping[str, HookGroup] = field(default_factory=dict)
    statusline: str = ""
    inherited: str = ""

    @classmethod
    def of(cls, text: str) -> OwnEntries:
        """Return those in the settings.

        Raises:
            InvalidJson: the text is not JSON, or its hooks have another form.
        """
        if not text.strip():
            return cls()
        groups = htmlgraph_groups(text)
        try:
            command = statusline_command(text) or ""
        except InvalidJson:
            # A status line of a form that we do not know is not ours.
            command = ""
        own, is_inherited = run_by(command)
        return cls(groups, program_of(command), own if is_inherited else "")

    def add_to(self, text: str) -> str:
        """Return settings that have none of them with all of them."""
        if self.groups:
            text = add_groups(text, self.groups)
        if self.statusline:
            text = add_statusline(text, self.statusline, self.inherited)
        return text


def plan_connect(path: str, groups: Mapping[str, HookGroup]) -> SettingsPlan:
    """Return the plan after which the file has exactly these hook groups of htmlgraph-nb.

    Raises:
        ConfigError: the file cannot be read or is not JSON; the message names the line.
    """
    return _plan(path, lambda entries: replace(entries, groups=groups))


def plan_statusline(path: str, program: str, inherited: str = "") -> SettingsPlan:
    """Return the plan after which the status line in the file runs htmlgraph-statusline.

    Args:
        program: its shell command.
        inherited: the command that it runs if the file has no status line; "": none.

    Raises:
        ConfigError: as ``plan_connect``, or its status line is no command.
    """
    with _syntax_errors(path):
        own, is_inherited = run_by(statusline_command(read_settings(path) or "") or program)
    used = "" if own and not is_inherited else inherited
    return _plan(path, lambda entries: replace(entries, statusline=program, inherited=used))


def plan_disconnect(path: str, *, hooks: bool = True, statusline: bool = True) -> SettingsPlan:
    """Return the plan that removes the entries of htmlgraph-nb; errors as ``plan_connect``.

    Args:
        hooks, statusline: which entries to remove.
    """

    def without(entries: OwnEntries) -> OwnEntries:
        if hooks:
            entries = replace(entries, groups={})
        return replace(entries, statusline="", inherited="") if statusline else entries

    return _plan(path, without)


def own_command_of(path: str) -> str:
    """Return the user's own command of the status line in a file; "" if there is none.

    Raises:
        ConfigError: as ``plan_statusline``.
    """
    with _syntax_errors(path):
        return run_by(statusline_command(read_settings(path) or "") or "")[0]


def _plan(path: str, change: Callable[[OwnEntries], OwnEntries]) -> SettingsPlan:
    before = read_settings(path)
    text = before or ""
    with _syntax_errors(path):
        existing = OwnEntries.of(text)
        entries = change(existing)
        if entries == existing:
            return SettingsPlan(path, before, before)
        if existing == OwnEntries():
            return SettingsPlan(path, before, entries.add_to(text), backup=before)
        original = _original(path, text, existing)
        if entries == OwnEntries():
            if original is None:
                return SettingsPlan(path, before, _without_entries(text), deletes_backup=True)
            # Without a backup, connecting created the file, so it is deleted.
            backup = read_settings(path + BACKUP_SUFFIX)
            after = original if backup is not None else None
            return SettingsPlan(path, before, after, deletes_backup=True)
        base = _without_entries(text) if original is None else original
        return SettingsPlan(path, before, entries.add_to(base), backup=base or None)


def _without_entries(text: str) -> str:
    text = remove_htmlgraph_handlers(text)
    return remove_statusline(text) if OwnEntries.of(text).statusline else text


def _original(path: str, text: str, entries: OwnEntries) -> str | None:
    """Return the text from before connecting, or None if the file has been edited since."""
    backup = read_settings(path + BACKUP_SUFFIX) or ""
    try:
        return backup if entries.add_to(backup) == text else None
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
