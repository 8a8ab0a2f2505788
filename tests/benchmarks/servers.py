"""Starts the server, a peer or the poster as a process of its own, on its own cores."""

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
    """A process that serves.

    Attributes:
        address: where it listens.
        process: its standard input takes commands, where it is a peer.
        base: path before its routes.
        token: what it wants to be shown; "" where it wants nothing.
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
        """Return the JSON that it answers."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def tell(self, command: str) -> None:
        """Write one line to it."""
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
    """Start a server, wait until it names its address, and stop it at the end."""
    process = start(arguments, cores, **environ)
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if found is None:
            raise RuntimeError(f"{' '.join(arguments)} began with {line!r}")
        yield Running((found[1], int(found[2])), process)
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

    It follows no session files unless told to by ``flags``.
    """
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as home:
        arguments = ["htmlgraph_server.cli", "serve", "--port", "0", "--db", f"{home}/bench.db"]
        arguments += ["--max-clients", str(MAX_CLIENTS), "--no-watch", *flags]
        with running(arguments, cores, HTMLGRAPH_HOME=home, **environ) as server:
            yield server


class Poster:
    """The poster, in a process of its own.

    Args:
        flags: of ``python -m tests.benchmarks.poster``.
        module: another one of tests.benchmarks that prints such figures.
    """

    def __init__(
        self, server: Running, cores: Sequence[int], *flags: str, module: str = "poster"
    ) -> None:
        arguments = [f"tests.benchmarks.{module}", "--url", server.url, *flags]
        self._process = start(arguments, cores, HTMLGRAPH_TOKEN=server.token)
        self._figures: dict[str, Any] | None = None

    def figures(self) -> dict[str, Any] | None:
        """Return what it printed; None while it is at work.

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
        """Wait until it is done."""
        self._process.wait(60)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def preload(server: Running, cores: Sequence[int], agents: int) -> None:
    """Let agents be known, and the server come to rest, before dashboards connect."""
    flags = ["--seconds", "0.5", "--rate", "2000", "--agents", str(agents)]
    with contextlib.closing(Poster(server, cores, *flags)) as poster:
        poster.wait()
    seen = -1
    while (now := server.get("/api/status")["updates"]["total"]) != seen:
        seen = now
        time.sleep(0.1)


def peer(name: str, cores: Sequence[int]) -> contextlib.AbstractContextManager[Running]:
    """Start one of ``peers.PEERS``."""
    return running(["tests.benchmarks.peers", name], cores)
