"""One settings file on disk: what connecting and disconnecting would make of it, and doing it.

The first connection keeps the file as it was beside it. A file that nobody has changed since gets
those very bytes back; from any other only our own entries are taken.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from htmlgraph_nb.errors import ConfigError, InvalidJson

from . import hook_entries
from .hook_entries import Group

BACKUP_SUFFIX = ".before-htmlgraph"
MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen to a file.

    Attributes:
        before, after: its text; None: there is no file.
        backup: text to keep beside it; None: leave the kept one as it is.
        drops_backup: the kept text has done its service.
    """

    path: str
    before: str | None
    after: str | None
    backup: str | None = None
    drops_backup: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be written."""
        return self.before != self.after


def read(path: str) -> str | None:
    """Return the file's text, byte order mark and line ends included; None: there is none.

    Raises:
        ConfigError: it cannot be read, is no UTF-8, or is no file of settings.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes, expected a file of settings")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not UTF-8 at line {line}; it is left as it is") from error


def to_connect(path: str, groups: Mapping[str, Group]) -> Plan:
    """Return the plan that puts exactly these groups of ours into the file.

    Raises:
        ConfigError: the file cannot be read or is no JSON; the line is named.
    """
    before = read(path)
    with_line = _Named(path)
    with with_line:
        known = hook_entries.connected(before) if before and before.strip() else {}
        if known == groups:
            return Plan(path, before, before)
        if not known:
            return Plan(path, before, hook_entries.add(before or "", groups), backup=before)
        original = _original(path, before or "")
        base = original if original is not None else hook_entries.drop(before or "")
        return Plan(path, before, hook_entries.add(base, groups), backup=base or None)


def to_disconnect(path: str) -> Plan:
    """Return the plan that takes our entries out again; errors as ``to_connect``."""
    before = read(path)
    if before is None or not before.strip():
        return Plan(path, before, before)
    with _Named(path):
        if not hook_entries.connected(before):
            return Plan(path, before, before)
        original = _original(path, before)
        if original is None:
            return Plan(path, before, hook_entries.drop(before), drops_backup=True)
        # Made by us from nothing: nothing remains.
        kept = read(path + BACKUP_SUFFIX)
        return Plan(path, before, original if kept is not None else None, drops_backup=True)


def _original(path: str, text: str) -> str | None:
    """Return the text to which our entries were added, if nothing else happened since."""
    kept = read(path + BACKUP_SUFFIX)
    base = "" if kept is None else kept
    try:
        return base if hook_entries.add(base, hook_entries.connected(text)) == text else None
    except InvalidJson:
        return None


def carry_out(plan: Plan) -> None:
    """Write what the plan says; each file is whole at any moment.

    Raises:
        ConfigError: a file cannot be written, or shall not be.
    """
    kept = plan.path + BACKUP_SUFFIX
    try:
        _check_writable(plan.path)
        if plan.backup is not None:
            _write(kept, plan.backup, plan.path)
        if plan.after is None:
            os.unlink(plan.path)
        elif plan.changes:
            _write(plan.path, plan.after, plan.path)
        if plan.drops_backup and os.path.exists(kept):
            os.unlink(kept)
    except OSError as error:
        raise ConfigError(f"cannot write {plan.path}: {error.strerror}") from error


def _check_writable(path: str) -> None:
    # A new file could take its place all the same, but somebody wants it to stay as it is.
    if os.path.exists(path) and not os.stat(path).st_mode & 0o222:
        raise ConfigError(f"{path} is read-only; allow writing to it first: chmod u+w {path}")


def _write(path: str, text: str, like: str) -> None:
    # Through a link, as of a folder of dotfiles, to the file it names.
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".htmlgraph-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
        if os.path.exists(like):
            os.chmod(fresh, os.stat(like).st_mode & 0o777)
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


class _Named:
    """Turns InvalidJson inside a ``with`` block into the error that names the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InvalidJson):
            raise ConfigError(
                f"{self._path} is no settings file that can be edited: {error}; it is left as it is"
            ) from error
