"""Which host this is, for a server that gets the events of several ones."""

from __future__ import annotations

import getpass
import hashlib
import platform
from contextlib import suppress

from htmlgraph_nb.paths import data_dir, host_name

_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def user_name() -> str | None:
    """Return the name of the account; None if it is unknown, as of some containers."""
    # OSError: from Python 3.13 on, if the account has no name. KeyError, ImportError: before.
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None


def machine_id() -> str:
    """Return the id of this machine, of the operating system; "" if it has none.

    It is a secret of the machine (machine-id(5)), so only a hash of it may leave it.
    """
    for path in _MACHINE_ID_FILES:
        with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
            if text := file.read(100).strip():
                return text
    return ""


def host_id(machine: str, name: str, user: str | None, folder: str) -> str:
    """Return the id of a host: equal after each start, and another one for each account.

    Args:
        machine: id of the machine.
        name: name of the machine; copies of one image can have the same id.
        user: name of the account.
        folder: the data folder of the account.
    """
    text = "\0".join(["htmlgraph-nb", machine, name, user or "", folder])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def this_host() -> tuple[str, str, str | None]:
    """Return id, label and account of this host."""
    name = host_name() or platform.node() or "unknown"
    user = user_name()
    return host_id(machine_id(), name, user, data_dir()), name[:256], user
