"""Paths of the user's files, and how private files are written and regular ones opened.

The paths are those of the database, the spool, and the files of the running servers.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

APP = "htmlgraph-nb"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
SERVER_HEADER = "X-Htmlgraph"
"""Header of all responses of a server; other programs do not send it."""
EXTENSION_PATH = "/htmlgraph"
"""Path of the server inside Jupyter Server, below its base_url."""


def data_dir() -> str:
    """Return the folder of this user's htmlgraph-nb files; it may not exist yet.

    It is ``HTMLGRAPH_HOME`` if set, else in the platform's user data folder: ``$XDG_DATA_HOME`` or
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
    """Return the default database: ``HTMLGRAPH_DB`` if set, else a file in data_dir()."""
    return os.environ.get("HTMLGRAPH_DB") or os.path.join(data_dir(), "htmlgraph.db")


def alerts_file() -> str:
    """Return the file with the rules of alerts: ``HTMLGRAPH_ALERTS``, else one in data_dir()."""
    return os.environ.get("HTMLGRAPH_ALERTS") or os.path.join(data_dir(), "alerts.toml")


def spool_path() -> str:
    """Return the file to which the hook appends events when no server is reachable."""
    return os.path.join(data_dir(), "spool.jsonl")


def input_key_file() -> str:
    """Return the file (mode 600) with the key of the hashes of tool inputs."""
    return os.path.join(data_dir(), "input-key")


def hook_problem_file() -> str:
    """Return the file (mode 600) in which the hook notes the last input that it could not read."""
    return os.path.join(data_dir(), "hook-problem.json")


def waiting_file() -> str:
    """Return the file in which the server of this machine lists the agents that wait for a person.

    ``htmlgraph-statusline`` reads it.
    """
    return os.path.join(data_dir(), f"waiting-{_machine()}.json")


def statusline_dir() -> str:
    """Return the folder of what ``htmlgraph-statusline`` reported last, a file per session."""
    return os.path.join(data_dir(), "statusline")


def servers_dir() -> str:
    """Return the folder of the server files, one for each running server."""
    return os.path.join(data_dir(), "servers")


def server_file(pid: int) -> str:
    """Return the file (mode 600) with the address and token of a server on this machine.

    Args:
        pid: process id of the server.
    """
    return os.path.join(servers_dir(), f"{_machine()}-{pid}.json")


def running_servers(parent: int = 0) -> list[dict[str, str]]:
    """Return ``{"url", "token", "db", "pid"}`` of this user's servers on this machine.

    The parent comes first, then the servers in reverse order of their start. A killed server leaves
    its file behind, which does not count. Where the start of a process is unknown, as on macOS,
    another process may have its id by now.

    Args:
        parent: process id of the server to put first; 0: none.
    """
    prefix = f"{_machine()}-"
    candidates = []
    try:
        with os.scandir(servers_dir()) as entries:
            for entry in entries:
                pid = entry.name.removeprefix(prefix).removesuffix(".json")
                is_local = entry.name == f"{prefix}{pid}.json" and pid.isascii() and pid.isdecimal()
                if is_local and is_alive(int(pid)):
                    started = entry.stat().st_mtime_ns
                    candidates.append((int(pid) == parent, started, entry.path, int(pid)))
    except OSError:
        return []
    servers = ((_read(path), pid) for *_, path, pid in sorted(candidates, reverse=True))
    return [server for server, pid in servers if server and _wrote(pid, server.pop("started", ""))]


def _wrote(pid: int, started: str) -> bool:
    """Return whether a process is the one that wrote a server file when it started."""
    return not (started.isascii() and started.isdecimal()) or start_ticks(pid) in (
        int(started),
        None,
    )


def start_ticks(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot; None: unknown, as on macOS."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # proc_pid_stat(5): the name in parentheses can contain any character.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def running_server() -> dict[str, str]:
    """Return the Jupyter Server of this kernel, else the server started last, else ``{}``."""
    return next(iter(running_servers(parent_pid(os.environ))), {})


def current_db() -> str:
    """Return the database of this user's running server, else the default one."""
    return running_server().get("db") or default_db()


def parent_pid(env: Mapping[str, str]) -> int:
    """Return the process id of the server that started this process, if it is a kernel.

    Jupyter passes it in the environment, because a launcher can be the parent process.
    """
    pid = env.get("JPY_PARENT_PID", "")
    # On Windows it is a handle.
    if sys.platform != "win32" and pid.isascii() and pid.isdecimal():
        return int(pid)
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


def make_private_folder(path: str) -> None:
    """Create a folder and the missing ones above it with mode 700; ``umask`` cannot widen it.

    Raises:
        OSError: a folder cannot be created, or a file has its name.
    """
    if not path or os.path.isdir(path):
        return
    make_private_folder(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        # Another process was faster.
        if not os.path.isdir(path):
            raise


def open_private(path: str, flags: int) -> int:
    """Open a file, which is created with mode 600; an ``opener`` of ``open()``."""
    return os.open(path, flags, 0o600)


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


def open_regular(path: str, buffering: int = -1, *, follow: bool = True) -> BinaryIO:
    """Open a regular file for reading; never blocks on a FIFO or a device.

    Args:
        follow: follow ``path`` if it is a symbolic link.

    Raises:
        OSError: it cannot be opened, or is not a regular file (EINVAL).
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return open(descriptor, "rb", buffering=buffering)
    except BaseException:
        os.close(descriptor)
        raise


def is_alive(pid: int) -> bool:
    """Return whether a process has this id; always True on Windows, where os.kill() ends it."""
    if sys.platform == "win32":
        return True
    if pid <= 0:
        # For os.kill() these are groups of processes.
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def host_name() -> str:
    """Return the name of this machine; "" if it is unknown."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _machine() -> str:
    """Return the name of this machine, because home directories can be shared between machines."""
    return "".join(char if char.isalnum() else "_" for char in host_name())[:100]


def _read(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            server = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(server, dict) or not isinstance(server.get("url"), str):
        return {}
    return {str(key): "" if value is None else str(value) for key, value in server.items()}
