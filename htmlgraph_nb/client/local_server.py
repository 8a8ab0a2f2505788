"""A standalone server as the child of a kernel or script: it starts with one call, ends with them.

It is a process of its own, so that a busy cell does not hold it up, and nothing of it is loaded
here.
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

from ..core.validation import shorten
from ..errors import ConfigError, ConnectError

_SERVER = "htmlgraph_server"
_URL_VARIABLE = "HTMLGRAPH_URL"
_READY = re.compile(r"htmlgraph-nb \S+ at (\S+)  \(database: (.*)\)")
_LOG_LINES = 200
_LINE_CHARS = 4_096
_STOP_S = 10.0
_KILL_S = 5.0


class LocalServer:
    """A server that :func:`start_server` has started; a context manager that stops it.

    Attributes:
        url: where it answers, as ``http://127.0.0.1:40123``.
        db: its database file.
        pid: its process id.
    """

    def __init__(self, command: list[str], start_timeout_s: float) -> None:
        self.url = ""
        self.db = ""
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._owner = os.getpid()
        self._heard = threading.Event()
        self._named_before = os.environ.get(_URL_VARIABLE)
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
            raise ConnectError(f"{command[0]} cannot be run: {error.strerror}") from None
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="htmlgraph-server", daemon=True)
        self._reader.start()
        try:
            self._await_start(start_timeout_s)
        except BaseException:
            self._end(0)
            raise
        os.environ[_URL_VARIABLE] = self.url
        atexit.register(self.stop)

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server wrote, its last 200 lines."""
        return "\n".join(self._log)

    def stop(self) -> None:
        """Stop the server and wait for its end; what it was told is stored. Twice is once."""
        if self._owner != os.getpid():
            # A fork of the process that started it.
            return
        atexit.unregister(self.stop)
        self._end(_STOP_S)
        if os.environ.get(_URL_VARIABLE) == self.url:
            del os.environ[_URL_VARIABLE]
            if self._named_before is not None:
                os.environ[_URL_VARIABLE] = self._named_before

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

    def _read(self) -> None:
        """Take in all that the process writes, so that it never waits for a reader."""
        output = self._process.stdout
        if output is None:
            return
        while line := output.readline(_LINE_CHARS):
            self._log.append(line.rstrip("\n"))
            ready = _READY.fullmatch(self._log[-1])
            if ready is not None and not self.url:
                self.db = ready[2]
                self.url = ready[1]
                self._heard.set()
        self._heard.set()

    def _await_start(self, timeout_s: float) -> None:
        if not self._heard.wait(timeout_s):
            raise ConnectError(
                f"the server did not start within {timeout_s:g} s; give it longer with "
                f"start_timeout_s={2 * timeout_s:g}. It wrote: {self.log or 'nothing'}"
            )
        if not self.url:
            words = self.log.removeprefix("htmlgraph-nb: ") or "it gave no reason"
            raise ConnectError(f"the server did not start: {words}")

    def _end(self, patience_s: float) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        for end in (self._process.terminate, self._process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
                break
            end()
            patience_s = _KILL_S
        self._process.wait()
        self._reader.join(_KILL_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


_lock = threading.Lock()
_started: LocalServer | None = None


def start_server(
    port: int = 0, *, db: str | os.PathLike[str] | None = None, start_timeout_s: float = 30.0
) -> LocalServer:
    """Start a server on this machine, for as long as this kernel or script lives.

    It listens at 127.0.0.1 only and stores into one SQLite file. Afterwards ``AgentGrid()``,
    ``load_history()`` and the SDK find it, also in processes that are started from here:
    ``HTMLGRAPH_URL`` names it until it stops. Further settings are those of ``htmlgraph-nb serve``,
    from their environment variables.

    Where a server of this process runs already, that one is returned.

    Args:
        port: TCP port; 0: a free one.
        db: the database file; None: ``HTMLGRAPH_DB``, else the one in the user's data folder.
        start_timeout_s: seconds to wait for its start.

    Returns:
        The server, with ``url`` and ``stop()``; as a context manager it stops at the end.

    Raises:
        ConfigError: the port is none, the server is not installed, or the one that runs has
            another port or file.
        ConnectError: it did not start: the port is in use, or the file cannot be opened.

    Example:
        >>> server = start_server()  # doctest: +SKIP
        >>> AgentGrid()              # doctest: +SKIP
    """
    global _started
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65_535:
        raise ConfigError(f"the port is {shorten(repr(port))}, expected 0 to 65535; 0: a free one")
    file = None if db is None else os.path.abspath(os.fspath(db))
    with _lock:
        if _started is not None and _started._owner == os.getpid():
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
            f"a server of this process runs at {server.url} (database: {server.db}); stop it "
            "before another is started: start_server().stop()"
        )


def _command(port: int, file: str | None) -> list[str]:
    if not sys.executable or importlib.util.find_spec(_SERVER) is None:
        raise ConfigError(
            f"{_SERVER} is not installed in the Python of this process "
            f"({sys.executable or 'its path is not known'}); expected it beside htmlgraph_nb: "
            "pip install htmlgraph-nb"
        )
    # Without -P a file of the current folder could stand in for a module of the server's.
    command = [sys.executable, "-P", "-m", f"{_SERVER}.cli", "serve", "--stop-on-eof"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return command if file is None else [*command, "--db", file]
