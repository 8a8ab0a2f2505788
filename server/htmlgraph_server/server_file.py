"""The file by which hooks and notebooks of the same user find a running server."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re

from htmlgraph_nb.paths import is_alive, make_private_folder, server_file

logger = logging.getLogger(__name__)


def write_server_file(url: str, token: str, db: str) -> None:
    """Write this server's address and token to a file that only this user can read.

    A failure is logged; the server runs without the file.
    """
    path = server_file(os.getpid())
    try:
        write_private_json(path, {"url": url, "token": token, "db": db, "pid": os.getpid()})
        _remove_stale(path)
    except OSError as error:
        logger.warning("cannot write %s: %s", path, error.strerror)


def write_private_json(path: str, value: object) -> None:
    """Replace a JSON file by one that only this user can read; as write_private_text."""
    write_private_text(path, json.dumps(value))


def write_private_text(path: str, text: str) -> None:
    """Replace a file by one that only this user can read, and create its folder.

    Raises:
        OSError: the file cannot be written.
    """
    make_private_folder(os.path.dirname(path))
    temporary = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    # O_EXCL: opening an existing file would keep its mode.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        # The disk is full: leave no part of the file.
        os.unlink(temporary)
        raise


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
