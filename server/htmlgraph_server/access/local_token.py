"""The token of a server on loopback, where other people could connect, and tokens in files.

Anyone who is logged in to a machine can connect to its loopback address. So where other people have
accounts, the server needs a token by default. It is in a file that only its user can read, and in
the server file, where the hook, notebooks, commands and status lines of that user find it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.paths import data_dir, open_regular, write_private_text

from ..config import Config, is_loopback
from ..setting_parsers import TOKEN_PATTERN

_MAX_TOKEN_BYTES = 4_096
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_VARIABLES = ("KUBERNETES_SERVICE_HOST", "container")
_NO_LOGIN = ("nologin", "false", "sync", "halt", "shutdown")


class Account(NamedTuple):
    """An account of this machine.

    Attributes:
        uid: its number.
        shell: the program that a login starts.
        has_home: whether its home folder exists.
    """

    uid: int
    shell: str
    has_home: bool


def local_token_file() -> str:
    """Return the file (mode 600) with the token of servers on loopback."""
    return os.path.join(data_dir(), "local-token")


def with_local_token(config: Config, environ: Mapping[str, str]) -> Config:
    """Return a Config with the local token, and ``local_token`` as True, if it is to have one.

    Args:
        environ: environment variables, which can say that this is a container.

    Raises:
        ConfigError: the token can be neither read nor stored.
    """
    wanted = has_other_people(environ) if config.local_token is None else config.local_token
    if config.token or not is_loopback(config.host) or not wanted:
        return replace(config, local_token=False)
    return replace(config, token=load_local_token(local_token_file()), local_token=True)


def is_local_token(token: str) -> bool:
    """Return whether this is the local token of this user."""
    try:
        return bool(token) and read_token(local_token_file()) == token
    except ConfigError:
        return False


def has_other_people(environ: Mapping[str, str]) -> bool:
    """Return whether other people have accounts on this machine; False in a container.

    Args:
        environ: environment variables.
    """
    if sys.platform == "win32" or any(map(os.path.exists, _CONTAINER_FILES)):
        return False
    if any(environ.get(name) for name in _CONTAINER_VARIABLES):
        return False
    return any_other_person(_accounts(), os.getuid(), 501 if sys.platform == "darwin" else 1_000)


def any_other_person(accounts: Iterable[Account], own_uid: int, first_uid: int) -> bool:
    """Return whether an account is that of another person: it can log in and has a home folder.

    Args:
        own_uid: number of the user who runs this program.
        first_uid: the first number that the system gives to people.
    """
    return any(
        first_uid <= account.uid < 60_000
        and account.uid != own_uid
        and account.has_home
        and os.path.basename(account.shell) not in _NO_LOGIN
        for account in accounts
    )


def _accounts() -> list[Account]:
    if sys.platform == "win32":
        return []
    import pwd

    accounts = [
        Account(entry.pw_uid, entry.pw_shell, os.path.isdir(entry.pw_dir))
        for entry in pwd.getpwall()
    ]
    # A directory service may not list its accounts, but those who logged in have a folder.
    for parent in ("/home", "/Users"):
        try:
            with os.scandir(parent) as folders:
                accounts += [
                    Account(folder.stat(follow_symlinks=False).st_uid, "sh", True)
                    for folder in folders
                    if folder.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue
    return accounts


def load_local_token(path: str) -> str:
    """Return the token in a file, which is created if there is none that only its user can read.

    Raises:
        ConfigError: it can be neither read nor created.
    """
    try:
        if sys.platform == "win32" or not stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            return read_token(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; delete it") from error
    try:
        write_private_text(path, f"{secrets.token_urlsafe(32)}\n")
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}; start with --local-token off to need no token"
        ) from error
    return read_token(path)


def read_token(path: str) -> str:
    """Return the token in the first line of a file.

    Raises:
        ConfigError: the file cannot be read, or its first line is no token.
    """
    try:
        with open_regular(path) as file:
            lines = file.read(_MAX_TOKEN_BYTES).decode(errors="replace").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a file with a token") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    token = lines[0].strip() if lines else ""
    if not re.fullmatch(TOKEN_PATTERN, token):
        # Never show a secret, not even an invalid one.
        raise ConfigError(f"{path}: expected 8 to 256 letters, digits or . _ ~ - in its first line")
    return token
