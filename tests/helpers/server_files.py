"""Server files, by which running servers are discovered, written without a server."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def server_files_in(home: Path) -> list[Path]:
    """Return the server files in a data folder."""
    return sorted((home / "servers").glob("*")) if (home / "servers").exists() else []


def server_file_path(home: Path, pid: int) -> Path:
    """Return the path of the server file of a process on this machine."""
    machine = "".join(sign if sign.isalnum() else "_" for sign in platform.node())[:100]
    return home / "servers" / f"{machine}-{pid}.json"


@contextmanager
def announced_server(
    home: Path, url: str, token: str = "", *, pid: int | None = None, age_s: float = 0
) -> Iterator[Path]:
    """Write the server file of a running server, and remove it at the end.

    Args:
        url, token: the contents of the file.
        pid: its process id; None: the id of a running process without a server file.
        age_s: age of the file in seconds.
    """
    running = (os.getpid(), os.getppid(), 1)
    if pid is None:
        pid = next(each for each in running if not server_file_path(home, each).exists())
    path = server_file_path(home, pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"url": url, "token": token, "db": None, "pid": pid}))
    at = path.stat().st_mtime_ns - int(age_s * 1e9)
    os.utime(path, ns=(at, at))
    try:
        yield path
    finally:
        path.unlink()
