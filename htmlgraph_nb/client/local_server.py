"""Starts a server as a child process of a kernel or script. The server ends with its parent.

A separate process is not blocked by a busy cell, and none of its modules are loaded here.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections import deque
from types import TracebackType

from ..core.validation import format_value
from ..errors import ConfigError, ConnectError
from ..html_card import html_card

_SERVER = "htmlgraph_server"
_URL_VARIABLE = "HTMLGRAPH_URL"
_READY = re.compile(r"htmlgraph-nb \S+ at (\S+)  \(database: (.*)\)")
_LOG_LINES = 200
_LINE_CHARS = 4_096
_STOP_TIMEOUT_S = 10.0
_KILL_TIMEOUT_S = 5.0


class LocalServer:
    """A server started by :func:`start_server`; as a context manager it stops at the end.

    Attributes:
        url: its address, such as ``http://127.0.0.1:40123``.
        db: its database file.
        pid: its process id.
    """

    def __init__(self, command: list[str], start_timeout_s: float) -> None:
        self.url = ""
        self.db = ""
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._owner_pid = os.getpid()
        self._startup_done = threading.Event()
        self._previous_url = os.environ.get(_URL_VARIABLE)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this project's own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                # An interrupted cell sends its signal to the kernel's whole group.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise ConnectError(f"cannot run {command[0]}: {error.strerror}") from None
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="htmlgraph-server", daemon=True)
        self._reader.start()
        try:
            self._wait_started(start_timeout_s)
        except BaseException:
            self._terminate(0)
            raise
        os.environ[_URL_VARIABLE] = self.url
        atexit.register(self.stop)

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """The last 200 lines of the server's output."""
        return "\n".join(self._log)

    def stop(self) -> None:
        """Stop the server and wait for its exit. Received events stay stored. Idempotent."""
        if self._owner_pid != os.getpid():
            # This process is a fork of the process that started the server.
            return
        atexit.unregister(self.stop)
        self._terminate(_STOP_TIMEOUT_S)
        if os.environ.get(_URL_VARIABLE) == self.url:
            del os.environ[_URL_VARIABLE]
            if self._previous_url is not None:
                os.environ[_URL_VARIABLE] = self._previous_url

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<htmlgraph-nb server at {self.url}, {'running' if self.running else 'stopped'}>"

    def _repr_html_(self) -> str:
        facts = [
            ("State", f"running, process {self.pid}" if self.running else "stopped"),
            ("Database", self.db),
        ]
        return html_card(f"htmlgraph-nb server at {self.url}", facts)

    def _read(self) -> None:
        """Read the process's output, so that it never blocks on a full pipe."""
        output = self._process.stdout
        if output is None:
            return
        while line := output.readline(_LINE_CHARS):
            self._log.append(line.rstrip("\n"))
            ready = _READY.fullmatch(self._log[-1])
            if ready is not None and not self.url:
                self.db = ready[2]
                self.url = ready[1]
                self._startup_done.set()
        self._startup_done.set()

    def _wait_started(self, timeout_s: float) -> None:
        if not self._startup_done.wait(timeout_s):
            raise ConnectError(
                f"the server did not start within {timeout_s:g} s; retry with "
                f"start_timeout_s={2 * timeout_s:g}. Its output: {self.log or 'none'}"
            )
        if not self.url:
            reason = self.log.removeprefix("htmlgraph-nb: ") or "no output"
            raise ConnectError(f"the server did not start: {reason}")

    def _terminate(self, timeout_s: float) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        for stop in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
                break
            stop()
            timeout_s = _KILL_TIMEOUT_S
        self._process.wait()
        self._reader.join(_KILL_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


_lock = threading.Lock()
_started: LocalServer | None = None


def start_server(
    port: int = 0, *, db: str | os.PathLike[str] | None = None, start_timeout_s: float = 30.0
) -> LocalServer:
    """Start a server on this machine that runs until this kernel or script ends.

    It listens on 127.0.0.1 only and uses one SQLite file. ``AgentGrid()``, ``load_history()`` and
    the SDK find it, also in child processes: until it stops, ``HTMLGRAPH_URL`` is set to its
    address. Other settings are read from the environment variables of ``htmlgraph-nb serve``.

    If this process already runs a server, that server is returned.

    Args:
        port: TCP port; 0: any free port.
        db: the database file; None: ``HTMLGRAPH_DB``, else the file in the user's data folder.
        start_timeout_s: seconds to wait for the start.

    Returns:
        The server, with ``url`` and ``stop()``; as a context manager it stops at the end.

    Raises:
        ConfigError: the port is invalid, the server is not installed, or the running server has
            another port or file.
        ConnectError: the server did not start: the port is in use, or the file cannot be opened.

    Example:
        >>> server = start_server()  # doctest: +SKIP
        >>> AgentGrid()              # doctest: +SKIP
    """
    global _started
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65_535:
        raise ConfigError(f"port: expected 0 to 65535 (0: a free one), got {format_value(port)}")
    file = None if db is None else os.path.abspath(os.fspath(db))
    with _lock:
        if _started is not None and _started._owner_pid == os.getpid():
            if _started.running:
                _check_same(_started, port, file)
                return _started
            _started.stop()
        _started = LocalServer(_command(port, file), start_timeout_s)
        return _started


def _check_same(server: LocalServer, port: int, file: str | None) -> None:
    other_port = port not in (0, int(server.url.rpartition(":")[2]))
    if other_port or file not in (None, os.path.abspath(server.db)):
        raise ConfigError(
            f"this process already runs a server at {server.url} (database: {server.db}); stop it "
            "first: start_server().stop()"
        )


def _command(port: int, file: str | None) -> list[str]:
    if not sys.executable or importlib.util.find_spec(_SERVER) is None:
        raise ConfigError(
            f"{_SERVER} is not installed in the Python of this process "
            f"({sys.executable or 'unknown path'}); run: pip install htmlgraph-nb"
        )
    # Without -P a file in the current folder could shadow one of the server's modules.
    command = [sys.executable, "-P", "-m", f"{_SERVER}.cli", "serve", "--stop-on-eof"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return command if file is None else [*command, "--db", file]
