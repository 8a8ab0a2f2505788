"""The server inside Jupyter Server, and kernels that stream output through the same process."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.benchmarks.machine import pin
from tests.benchmarks.servers import MAX_CLIENTS, Running
from tests.helpers.jupyter_server import TOKEN, JupyterServer

LINES_PER_S = 100
_PRINTS = f"""
import time
while True:
    print("x" * 80, flush=True)
    time.sleep({1 / LINES_PER_S})
"""


@contextlib.contextmanager
def mounted(cores: Sequence[int], others: Sequence[int], kernels: int = 0) -> Iterator[Running]:
    """Start Jupyter Server with the extension and a new database on disk.

    Args:
        cores: cores of the server.
        others: cores of its kernels.
        kernels: number of kernels that stream LINES_PER_S lines each to a client.
    """
    with tempfile.TemporaryDirectory(prefix="htmlgraph-bench-") as home:
        server = JupyterServer(Path(home), "--max-clients", str(MAX_CLIENTS))
        try:
            server.start()
            process = psutil.Process(server.pid)
            for thread in process.threads():
                psutil.Process(thread.id).cpu_affinity(list(cores))
            # Agents use the extension's secret, not Jupyter's own token.
            running = Running(("127.0.0.1", server.port), process, server.base, server.secret)
            with contextlib.ExitStack() as stack:
                for _ in range(kernels):
                    stack.enter_context(_streaming(server))
                for child in process.children(recursive=True):
                    child.cpu_affinity(list(others))
                pin(*others)
                yield running
        finally:
            server.stop()


@contextlib.contextmanager
def _streaming(server: JupyterServer) -> Iterator[None]:
    """Run a kernel that prints until it is deleted, and read its output."""
    root = server.url.removesuffix("htmlgraph")
    headers = {"Authorization": f"token {TOKEN}"}
    request = urllib.request.Request(f"{root}api/kernels", b"{}", headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as response:
        kernel = json.load(response)["id"]
    url = f"ws{root.removeprefix('http')}api/kernels/{kernel}/channels"
    with connect(url, additional_headers=headers, max_size=None) as channels:
        channels.send(json.dumps(_execute(_PRINTS)))
        reader = threading.Thread(target=_read, args=(channels,), daemon=True)
        reader.start()
        try:
            yield
        finally:
            deletion = urllib.request.Request(
                f"{root}api/kernels/{kernel}", headers=headers, method="DELETE"
            )
            urllib.request.urlopen(deletion, timeout=60).close()
    reader.join()


def _execute(code: str) -> dict[str, Any]:
    return {
        "header": {
            "msg_id": "1",
            "msg_type": "execute_request",
            "session": "bench",
            "username": "bench",
            "version": "5.3",
            "date": "2025-01-14T14:50:30Z",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "allow_stdin": False},
        "channel": "shell",
    }


def _read(channels: ClientConnection) -> None:
    try:
        while True:
            channels.recv()
    except ConnectionClosed:
        return
