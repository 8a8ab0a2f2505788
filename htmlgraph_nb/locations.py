"""Where the files of one user live: database, spool, address of the running server.

It reads the environment and names paths; it opens nothing but the small server file.
"""

from __future__ import annotations

import json
import os
import sys

APP = "htmlgraph-nb"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"


def data_dir() -> str:
    """Return the folder of this user's htmlgraph-nb files; it may not exist yet.

    ``HTMLGRAPH_HOME`` names it; else it is the platform's user data folder: ``$XDG_DATA_HOME`` or
    ``~/.local/share`` (XDG Base Directory), ``~/Library/Application Support`` on macOS and
    ``%LOCALAPPDATA%`` on Windows.
    """
    home = os.environ.get("HTMLGRAPH_HOME")
    if home:
        return home
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(base, APP)


def default_db() -> str:
    """Return the database used where none is named: ``HTMLGRAPH_DB``, else in data_dir()."""
    return os.environ.get("HTMLGRAPH_DB") or os.path.join(data_dir(), "htmlgraph.db")


def spool_path() -> str:
    """Return the file to which the hook appends events while no server answers."""
    return os.path.join(data_dir(), "spool.jsonl")


def server_file() -> str:
    """Return the file (mode 600) in which a running server leaves its address and token."""
    return os.path.join(data_dir(), "server.json")


def running_server() -> dict[str, str]:
    """Return ``{"url", "token", "db", "pid"}`` as the last server here left it, or ``{}``.

    A server that was killed leaves its file behind: the address is a candidate, not a promise.
    """
    try:
        with open(server_file(), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("url"), str):
        return {}
    return {str(key): "" if value is None else str(value) for key, value in found.items()}
