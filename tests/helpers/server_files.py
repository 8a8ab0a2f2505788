"""What running servers leave in the data folder of their user, written by hand."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def server_files_in(home: Path) -> list[Path]:
    """Return the announcements in a data folder."""
    return sorted((home / "servers").glob("*")) if (home / "servers").exists() else []


def server_file_path(home: Path, pid: int) -> Path:
    """Return the announcement of a server of this machine."""
    machine = "".join(sign if sign.isalnum() else "_" for sign in platform.node())[:100]
    return home / "servers" / f"{machine}-{pid}.json"


@contextmanager
def announced_server(
    home: Path, url: str, token: str = "", *, pid: int | None = None, age_s: float = 0
) -> Iterator[Path]:
    """Leave an announcement as of a server that runs, ``age_s`` seconds ago.

    Args:
        pid: its process id; None: one that is alive and has left none yet.
    """
    alive = (os.getpid(), os.getppid(), 1)
    if pid is None:
        pid = next(one for one in alive if not server_file_path(home, one).exists())
    path = server_file_path(home, pid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"url": url, "token": token, "db": None, "pid": pid}))
    at = path.stat().st_mtime_ns - int(age_s * 1e9)
    os.utime(path, ns=(at, at))
    try:
        yield path
    finally:
        path.unlink()
