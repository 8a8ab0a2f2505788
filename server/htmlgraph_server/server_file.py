"""The file by which hooks and notebooks of the same user find a running server."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re

from htmlgraph_nb.paths import is_alive, server_file, servers_dir

logger = logging.getLogger("htmlgraph.server")


def write_server_file(url: str, token: str, db: str) -> None:
    """Leave this server's address and token where this user's programs look, and only they can.

    Where that cannot be written the log says so.
    """
    path = server_file(os.getpid())
    fresh = f"{path}.new"
    try:
        os.makedirs(servers_dir(), mode=0o700, exist_ok=True)
        _sweep(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        # A new file: the mode of an old one would stay as it was.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"url": url, "token": token, "db": db, "pid": os.getpid()}, file)
        os.replace(fresh, path)
    except OSError as error:
        logger.warning("the server is not announced in %s: %s", path, error.strerror)


def remove_server_file() -> None:
    """Take the announcement back."""
    with contextlib.suppress(OSError):
        os.unlink(server_file(os.getpid()))


def _sweep(own: str) -> None:
    """Remove what servers of this machine left behind when they were killed."""
    folder, name = os.path.split(own)
    pattern = re.compile(re.escape(name).replace(str(os.getpid()), r"(\d{1,9})"))
    for entry in os.listdir(folder):
        found = pattern.fullmatch(entry)
        if found and not is_alive(int(found[1])):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, entry))
