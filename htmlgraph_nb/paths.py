"""Where the files of one user live: database, spool, addresses of the running servers.

It reads the environment and names paths; it opens nothing but the servers' small files.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "htmlgraph-nb"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
EXTENSION_PATH = "/htmlgraph"
"""Path of the server inside Jupyter Server, below its base_url."""


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


def servers_dir() -> str:
    """Return the folder in which each running server leaves its address and token."""
    return os.path.join(data_dir(), "servers")


def server_file(pid: int) -> str:
    """Return the file (mode 600) of the server with this process id on this machine."""
    return os.path.join(servers_dir(), f"{_machine()}-{pid}.json")


def running_servers(parent: int = 0) -> list[dict[str, str]]:
    """Return ``{"url", "token", "db", "pid"}`` of this user's servers on this machine.

    The last one to start comes first, but for the parent. A server that was killed leaves its file
    behind, and its process id may be another's by now: an address is a candidate, not a promise.

    Args:
        parent: process id of the server that is to come first, where it is among them.
    """
    prefix = f"{_machine()}-"
    found = []
    try:
        with os.scandir(servers_dir()) as entries:
            for entry in entries:
                pid = entry.name.removeprefix(prefix).removesuffix(".json")
                ours = entry.name == f"{prefix}{pid}.json" and pid.isascii() and pid.isdecimal()
                if ours and is_alive(int(pid)):
                    found.append((int(pid) == parent, entry.stat().st_mtime_ns, entry.path))
    except OSError:
        return []
    return [server for *_, path in sorted(found, reverse=True) if (server := _read(path))]


def running_server() -> dict[str, str]:
    """Return the Jupyter Server of this kernel, else the last server to start, or ``{}``."""
    return next(iter(running_servers(parent_pid(os.environ))), {})


def parent_pid(env: Mapping[str, str]) -> int:
    """Return the process id of the server that started this process, if it is a kernel.

    Jupyter tells it to a kernel, whose parent may be another program that it was started with.
    """
    told = env.get("JPY_PARENT_PID", "")
    # On Windows it tells a handle.
    if sys.platform != "win32" and told.isascii() and told.isdecimal():
        return int(told)
    return os.getppid()


def jupyterhub_server(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``{"url", "token"}`` of the JupyterHub single-user server of this process, or ``{}``.

    Its processes inherit the token that the Hub issued to the server.
    """
    url = environ.get("JUPYTERHUB_SERVICE_URL", "")
    token = environ.get("JUPYTERHUB_API_TOKEN", "")
    if not (url and token and environ.get("JUPYTERHUB_SERVICE_PREFIX")):
        return {}
    # The URL is the listen address: in a container, all interfaces.
    scheme, _, rest = url.partition("//")
    for any_host in ("0.0.0.0:", "[::]:", "*:", ":"):
        if rest.startswith(any_host):
            rest = f"127.0.0.1:{rest.removeprefix(any_host)}"
    return {"url": f"{scheme}//{rest}", "token": token}


def is_alive(pid: int) -> bool:
    """Return whether a process has this id; always on Windows, where asking would end it."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """Return this machine's name: homes are shared between machines, process ids are not."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return "".join(sign if sign.isalnum() else "_" for sign in name)[:100]


def _read(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("url"), str):
        return {}
    return {str(key): "" if value is None else str(value) for key, value in found.items()}
