"""htmlgraph-statusline: the status line of Claude Code, which also reports to the server.

It reads Claude Code's JSON from stdin, writes what changed to the spool file, and prints a status
line: unchanged that of your own command, else its own. It waits for no network and always exits
with status 0.

Environment:
    HTMLGRAPH_AGENT: name of the agent.
    HTMLGRAPH_DEBUG: 1 prints errors to stderr.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

TIME_BUDGET_S = 1.0
"""Seconds after which it goes on without the input, or without having reported."""
COMMAND_TIMEOUT_S = 4.0
"""Seconds after which your own command is ended; Claude Code waits for 5."""
MAX_STATUS_BYTES = 1 << 20
MAX_OUTPUT_BYTES = 1 << 20
RUN = "--run"
RUN_INHERITED = "--run-inherited"
"""As RUN, in the settings of a project, for the command of the user's settings."""
_POLL_S = 0.02
_DRAIN_S = 0.05

STATUSLINE_HELP = f"""\
htmlgraph-statusline [{RUN} COMMAND]: reads Claude Code's status line JSON from stdin, reports it to
the server of this machine and prints the output of COMMAND, or a status line of its own.
Settings: HTMLGRAPH_AGENT; HTMLGRAPH_DEBUG=1 prints errors."""


def own_command(arguments: Sequence[str]) -> str:
    """Return the command that the arguments name; "" for none."""
    for index, argument in enumerate(arguments[:-1]):
        if argument in (RUN, RUN_INHERITED):
            return arguments[index + 1]
    return ""


def _debug(message: str) -> None:
    if os.environ.get("HTMLGRAPH_DEBUG") == "1":
        os.write(2, f"htmlgraph-statusline: {message}\n".encode("utf-8", "replace"))


class _Background:
    """A function that runs in a thread: it may be blocked for ever by a file or a pipe."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._finished = _thread.allocate_lock()
        self._finished.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  errors of the monitor must not reach the agent
            _debug(f"{type(error).__name__}: {error}")
        finally:
            self._finished.release()

    def wait(self, timeout_s: float) -> bool:
        """Return whether it ends within this time."""
        if not self._finished.acquire(timeout=max(0.0, timeout_s)):
            return False
        self._finished.release()
        return True


class _OwnCommand:
    """The user's own command, started with the input; its output is read while it runs."""

    def __init__(self, command: str, data: bytes) -> None:
        import subprocess

        self.output = b""
        is_posix = os.name == "posix"
        self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603
            _shell(command),
            shell=is_posix,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # A group of its own, so that it can be ended with the processes that it started.
            process_group=0 if is_posix else None,
        )
        self._data = data
        self._writer = _Background(self._write)
        self._reader = _Background(self._read)

    def _write(self) -> None:
        assert self._process.stdin is not None
        try:
            rest = memoryview(self._data)
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]
        finally:
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while len(self.output) < MAX_OUTPUT_BYTES:
            part = os.read(self._process.stdout.fileno(), 1 << 16)
            if not part:
                return
            self.output += part
        # It would wait for a reader until its time is up.
        self.end()

    def wait(self, until: float) -> bool:
        """Wait for the end; return whether it succeeded. A command that takes too long is ended.

        Args:
            until: ``time.monotonic()`` of the end of the wait.
        """
        while (status := self._process.poll()) is None:
            if time.monotonic() >= until:
                self.end()
                return False
            # The end of the output usually comes just before the end of the process.
            if self._reader.wait(_POLL_S):
                time.sleep(0.001)
        # Programs that it left in the background may keep the pipe open.
        self._reader.wait(_DRAIN_S)
        return status == 0

    def end(self) -> None:
        """End the command and the processes that it started."""
        if os.name != "posix":
            self._process.kill()
            return
        try:
            os.killpg(self._process.pid, 9)
        except (ProcessLookupError, PermissionError):
            return


def _shell(command: str) -> str | list[str]:
    if os.name == "posix":
        return command
    # Claude Code for Windows runs commands in Git Bash, if it is installed.
    from shutil import which

    bash = os.environ.get("CLAUDE_CODE_GIT_BASH_PATH") or which("bash")
    return [bash, "-c", command] if bash else ["powershell", "-NoProfile", "-Command", command]


class _StatusLine:
    """One call."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._until = time.monotonic() + TIME_BUDGET_S
        self._data = b""
        self._line = ""
        self._own: _OwnCommand | None = None
        self._is_cancelled = False

    def run(self) -> None:
        reading = _Background(self._read_input)
        if not reading.wait(self._until - time.monotonic()):
            _debug(f"no input within {TIME_BUDGET_S} s")
        own = self._start()
        # The user's command runs meanwhile.
        reporting = _Background(self._report)
        is_success = own is not None and own.wait(time.monotonic() + COMMAND_TIMEOUT_S)
        # At least a moment, for the case that the input or the command took all of the time.
        reporting.wait(max(self._until - time.monotonic(), _DRAIN_S))
        output = b"" if own is None else own.output
        if not output and not is_success:
            output = f"{self._line or 'htmlgraph-nb'}\n".encode("utf-8", "replace")
        _print(output)

    def _read_input(self) -> None:
        while len(self._data) <= MAX_STATUS_BYTES:
            part = os.read(0, 1 << 16)
            if not part:
                return
            self._data += part

    def _start(self) -> _OwnCommand | None:
        if not self._command:
            return None
        self._handle_signals()
        try:
            self._own = _OwnCommand(self._command, self._data)
        except (OSError, ValueError) as error:
            _debug(f"{self._command}: {error}")
            return None
        if self._is_cancelled:
            self._cancel()
        return self._own

    def _handle_signals(self) -> None:
        """End the user's command with this process, which Claude Code ends before a new call."""
        import signal

        for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, self._cancel)

    def _cancel(self, *_: object) -> None:
        self._is_cancelled = True
        # If the command is just being started, ``_start`` ends it.
        if self._own is not None:
            self._own.end()
            os._exit(0)

    def _report(self) -> None:
        from .status_input import status_text
        from .status_report import agents_waiting, report_status

        status: Mapping[str, Any] = {}
        try:
            parsed = json.loads(self._data)
            status = parsed if isinstance(parsed, dict) else {}
        except (ValueError, RecursionError) as error:
            _debug(f"input: expected a JSON object: {error}")
        session = status.get("session_id")
        waiting = agents_waiting(session if isinstance(session, str) else "")
        self._line = status_text(status, waiting, time.time())
        report_status(status, os.environ)


def _print(output: bytes) -> None:
    rest = memoryview(output)
    try:
        while rest:
            rest = rest[os.write(1, rest) :]
    except OSError as error:
        _debug(f"output: {error}")


def main() -> int:
    """Print the status line for the JSON on stdin; always 0."""
    run_statusline(sys.argv[1:])
    return 0


def run_statusline(arguments: Sequence[str]) -> None:
    """Print the status line and end this process with status 0.

    Args:
        arguments: those of ``htmlgraph-statusline``.
    """
    if "--help" in arguments[:1] or "-h" in arguments[:1]:
        _print(f"{STATUSLINE_HELP}\n".encode())
    else:
        try:
            _StatusLine(own_command(arguments)).run()
        except KeyboardInterrupt:
            _debug("interrupted")
    # Do not wait for a thread that is blocked.
    os._exit(0)
