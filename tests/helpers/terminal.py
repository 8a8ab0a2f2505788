"""A program in a pseudo-terminal, whose output a test reads while it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.helpers.wait import wait_until

_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07]*\x07|[PX^_].*?\x1b\\|[@-_])")


class TerminalProgram:
    """A running program and everything that it has written to its terminal.

    Args:
        process: the program.
        descriptor: the other end of its terminal.
    """

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._output = b""

    def type(self, keys: str) -> None:
        """Send keys to the program."""
        os.write(self._descriptor, keys.encode())

    def text(self) -> str:
        """Return its output so far, without escape sequences."""
        while select.select([self._descriptor], [], [], 0)[0]:
            try:
                data = os.read(self._descriptor, 65_536)
            except OSError:
                # Linux reports the end of the program this way.
                break
            if not data:
                break
            self._output += data
        return _SEQUENCE.sub("", self._output.decode(errors="replace"))

    def forget(self) -> None:
        """Drop the output so far."""
        self.text()
        self._output = b""

    def wait_for(self, text: str, deadline_s: float = 60.0) -> None:
        """Wait until the output contains a text."""
        wait_until(lambda: text in self.text(), f"{text!r} in the terminal", deadline_s)


@contextmanager
def terminal_program(
    command: Sequence[str], environ: Mapping[str, str], columns: int = 80, lines: int = 24
) -> Iterator[TerminalProgram]:
    """Run a program in a terminal of this size; kill it at the end."""
    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        command,
        env={**environ, "TERM": "xterm-256color"},
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    try:
        yield TerminalProgram(process, own)
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            os.close(own)
