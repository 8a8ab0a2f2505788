"""Starts the server, a peer or the poster as a separate process on its own cores."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import psutil

from tests.benchmarks.machine import pin
from tests.helpers.paths import ROOT

MAX_CLIENTS = 20_000


@dataclass
class Running:
    """A running server.

    Attributes:
        address: host and port.
        process: its process; a peer reads commands from its standard input.
        base: path before its routes.
        token: bearer token; "" if it needs none.
    """

    address: tuple[str, int]
    process: subprocess.Popen[str] | psutil.Process
    base: str = ""
    token: str = ""

    @property
    def url(self) -> str:
        """Its HTTP address."""
        return f"http://{self.address[0]}:{self.address[1]}{self.base}"

    def get(self, path: str) -> Any:
        """Return the JSON value at a path."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def post(self, path: str, body: Any) -> Any:
        """Send JSON to a path and return the JSON value of the response."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def send_command(self, command: str) -> None:
        """Write one line to its standard input."""
        pipe: IO[str] | None = getattr(self.process, "stdin", None)
        if pipe is not None:
            pipe.write(command + "\n")
            pipe.flush()


def start(arguments: Sequence[str], cores: Sequence[int], **environ: str) -> subprocess.Popen[str]:
    """Start ``python -m arguments…`` with pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(*cores),
    )


@contextlib.contextmanager
def running(arguments: Sequence[str], cores: Sequence[int], **environ: str) -> Iterator[Running]:
    """Start a server, wait until it prints its address, and stop it at the end."""
    process = start(arguments, cores, **environ)
    try:
        line = process.stdout.readline() if process.stdout else ""
        match = re.search(r"http://([\d.]+):(\d+)", line)
        if match is None:
            raise RuntimeError(f"{' '.join(arguments)}: expected its address, got {line!r}")
        yield Running((match[1], int(match[2])), process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def htmlgraph(cores: Sequence[int], *flags: str, **environ: str) -> Iterator[Running]:
    """Start ``htmlgraph-nb serve`` with a new database on disk and default settings.

    It reads no session files unless ``flags`` enable that.
    """
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as home:
        arguments = ["htmlgraph_server.cli", "serve", "--port", "0", "--db", f"{home}/bench.db"]
        arguments += ["--max-clients", str(MAX_CLIENTS), "--no-watch", *flags]
        own = {"HTMLGRAPH_HOME": home, "HOME": home, "USERPROFILE": home}
        with running(arguments, cores, **{**own, **environ}) as server:
            yield server


class Poster:
    """A poster process.

    Args:
        server: the server to post to.
        cores: cores of the process.
        flags: command-line flags of the poster.
        module: module of tests.benchmarks that posts.
    """

    def __init__(
        self, server: Running, cores: Sequence[int], *flags: str, module: str = "poster"
    ) -> None:
        arguments = [f"tests.benchmarks.{module}", "--url", server.url, *flags]
        self._process = start(arguments, cores, HTMLGRAPH_TOKEN=server.token)
        self._figures: dict[str, Any] | None = None

    def figures(self) -> dict[str, Any] | None:
        """Return the figures that it printed; None while it is running.

        Raises:
            RuntimeError: it failed.
        """
        pipe = self._process.stdout
        if self._figures is None and self._process.poll() is not None and pipe:
            if self._process.returncode:
                raise RuntimeError("the poster failed")
            self._figures = json.loads(pipe.read())
        return self._figures

    def wait(self) -> None:
        """Wait until it has finished."""
        self._process.wait(60)

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def preload(server: Running, cores: Sequence[int], agents: int) -> None:
    """Send events of ``agents`` agents and wait until the server is idle."""
    flags = ["--seconds", "0.5", "--rate", "2000", "--agents", str(agents)]
    with contextlib.closing(Poster(server, cores, *flags)) as poster:
        poster.wait()
    previous = -1
    while (total := server.get("/api/status")["updates"]["total"]) != previous:
        previous = total
        time.sleep(0.1)


def peer(name: str, cores: Sequence[int]) -> contextlib.AbstractContextManager[Running]:
    """Start a peer, a key of ``peers.PEERS``."""
    return running(["tests.benchmarks.peers", name], cores)
