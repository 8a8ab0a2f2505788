"""How commands end when their output has no reader, is closed, or has a small character set."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server
from tests.integration.server.cli.test_cli import COMMAND, run

WITHOUT_SERVER = ("", "--help", "serve --help", "connect otel", "connect --check", "uninstall")
WITH_SERVER = ("", "ls", "status", "status --json", "explain claude-1", "tail --no-follow")
PIPE_STATUS = 141


@contextmanager
def closed_pipe() -> Iterator[int]:
    """Yield a pipe to write to that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def run_into(
    home: Path, arguments: str, *, out: int = subprocess.PIPE, err: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Run a command with these streams."""
    return subprocess.run(
        [COMMAND, *arguments.split()],
        env=clean_environ(home, {"PYTHONUNBUFFERED": ""}),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", WITHOUT_SERVER)
def test_stdout_without_a_reader(tmp_path: Path, arguments: str) -> None:
    """As with ``| head``: no traceback, no message, and the status of SIGPIPE."""
    with closed_pipe() as writer:
        done = run_into(tmp_path, arguments, out=writer)
    assert (done.returncode, done.stderr) == (PIPE_STATUS, b"")


@pytest.mark.parametrize("arguments", WITH_SERVER)
def test_stdout_without_a_reader_with_a_server(server: Server, arguments: str) -> None:
    """The same for commands that ask a server."""
    server.send("claude-1", tool_name="Read")
    with closed_pipe() as writer:
        done = run_into(server.home, arguments, out=writer)
    assert (done.returncode, done.stderr) == (PIPE_STATUS, b"")


def test_tail_ends_when_its_reader_does(server: Server) -> None:
    """``tail | head -1`` does not wait for the next event."""
    for _ in range(20):
        server.send("claude-1", tool_name="Read")
    done = subprocess.run(
        ["sh", "-c", f"'{COMMAND}' tail -n 20 | head -1"],
        env=clean_environ(server.home),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("arguments", ["dance", "serve --port x", "status"])
def test_stderr_without_a_reader(tmp_path: Path, arguments: str) -> None:
    """An error that nobody can read changes nothing else."""
    with closed_pipe() as writer:
        done = run_into(tmp_path, arguments, err=writer)
    assert done.stdout == b""
    assert done.returncode in (2, PIPE_STATUS)


def test_serve_without_a_reader(tmp_path: Path) -> None:
    """The server ends as other programs do, without a traceback, and leaves no server file."""
    with closed_pipe() as writer:
        done = run_into(tmp_path, "serve --port 0 --no-watch", out=writer)
    assert (done.returncode, done.stderr) == (PIPE_STATUS, b"")
    assert list(tmp_path.glob("servers/*.json")) == []


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams(tmp_path: Path, redirect: str) -> None:
    """A job without terminal may have none."""
    done = subprocess.run(
        ["sh", "-c", f"'{COMMAND}' --help {redirect}; '{COMMAND}' dance {redirect}"],
        env=clean_environ(tmp_path),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_small_character_set(server: Server) -> None:
    """A title that the terminal cannot show is replaced, not an error."""
    server.send("claude-1", tool_name="Read", title="日本 ↳")
    done = run(server.home, "ls", environ={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "claude-1" in done.stdout
