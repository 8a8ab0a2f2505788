"""The file by which hooks and notebooks of the same user find a running server."""

from __future__ import annotations

import contextlib
import logging
import os
import re

from htmlgraph_nb.paths import is_alive, server_file, start_ticks, write_private_json

logger = logging.getLogger(__name__)


def write_server_file(url: str, token: str, db: str) -> None:
    """Write this server's address and token to a file that only this user can read.

    A failure is logged; the server runs without the file.
    """
    path = server_file(os.getpid())
    try:
        pid = os.getpid()
        server = {"url": url, "token": token, "db": db, "pid": pid, "started": start_ticks(pid)}
        write_private_json(path, server)
        _remove_stale(path)
    except OSError as error:
        logger.warning("cannot write %s: %s", path, error.strerror)


def remove_server_file() -> None:
    """Remove the file of this server."""
    with contextlib.suppress(OSError):
        os.unlink(server_file(os.getpid()))


def _remove_stale(own_path: str) -> None:
    """Remove the files of servers on this machine that were killed."""
    folder, name = os.path.split(own_path)
    pattern = re.compile(re.escape(name).replace(str(os.getpid()), r"(\d{1,9})"))
    for entry in os.listdir(folder):
        match = pattern.fullmatch(entry)
        if match and not is_alive(int(match[1])):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, entry))
