"""AgentGrid in a real Jupyter kernel: rerunning its cell leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.helpers.environ import clean_environ
from tests.helpers.server_process import Server

RERUNS = 50
COUNT = """
import json, threading, time
import comm, psutil
from ipywidgets.widgets.widget import _instances

def settled():
    return "htmlgraph-requests" not in [thread.name for thread in threading.enumerate()]

while not settled():
    time.sleep(0.01)
print(json.dumps({
    "threads": sorted(thread.name for thread in threading.enumerate()),
    "sockets": sum(
        connection.status == "ESTABLISHED" and connection.raddr.port == PORT
        for connection in psutil.Process().net_connections("tcp")
    ),
    "comms": len(comm.get_comm_manager().comms),
    "widgets": len(_instances),
}))
"""


class Kernel:
    """A running kernel, used as by a front end that names its cells."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str, cell: str | None = None) -> list[dict[str, Any]]:
        """Run a cell and return its outputs; fail if it raises."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        metadata = {} if cell is None else {"cellId": cell}
        request = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(request)
        outputs = []
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=60)
            except Empty:
                raise AssertionError(f"no end of {code!r}") from None
            if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                continue
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(message["content"]["traceback"]))
            if message["msg_type"] in ("stream", "display_data", "execute_result"):
                outputs.append(message["content"])
            if message["msg_type"] == "status" and (
                message["content"]["execution_state"] == "idle"
            ):
                self._client.get_shell_msg(timeout=60)
                return outputs

    def count(self, server: Server) -> dict[str, Any]:
        """Return the threads, sockets, comms and widgets of the kernel."""
        (output,) = self.run(COUNT.replace("PORT", str(server.port)))
        counts: dict[str, Any] = json.loads(output["text"])
        return counts


@pytest.fixture
def kernel(tmp_path: Path, server: Server) -> Iterator[Kernel]:
    """Start a kernel with its own environment."""
    manager = KernelManager(kernel_name="python3")
    environ = {**clean_environ(server.home), "IPYTHONDIR": str(tmp_path / "ipython")}
    manager.start_kernel(env=environ, cwd=str(tmp_path))
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_rerunning_cell_does_not_leak(kernel: Kernel, server: Server) -> None:
    """Threads, sockets, comms and widgets are as many after fifty runs as after the first."""
    server.send("a")
    show = f"from htmlgraph_nb import AgentGrid\ngrid = AgentGrid({server.url!r})\ngrid"
    kernel.run(show, "cell-1")
    before = kernel.count(server)
    assert before["sockets"] == 1
    assert [name for name in before["threads"] if name.startswith("htmlgraph-")] == [
        "htmlgraph-client",
        "htmlgraph-sync",
    ]
    for _ in range(RERUNS):
        (output,) = kernel.run(show, "cell-1")
    assert kernel.count(server) == before
    assert "1 active" in output["data"]["text/plain"]
    assert server.get("/api/status").json()["clients"]["total"] == 1
    kernel.run("grid.close()")
    after = kernel.count(server)
    assert after["sockets"] == 0
    assert not [name for name in after["threads"] if name.startswith("htmlgraph-")]


def test_rerunning_cell_keeps_other_grids(kernel: Kernel, server: Server) -> None:
    """Only grids of the previous run of the same cell are closed."""
    server.send("a")
    kernel.run("from htmlgraph_nb import AgentGrid")
    make = f"AgentGrid({server.url!r})"
    kernel.run(f"other = {make}", "cell-1")
    for _ in range(2):
        kernel.run(f"first, second = {make}, {make}", "cell-2")
    (output,) = kernel.run("print(other.status, first.status, second.status)")
    assert output["text"] == "connected connected connected\n"


def test_rerunning_cell_closes_playing_replay(kernel: Kernel, server: Server) -> None:
    """Also while it plays."""
    for kind in ("prompt", "tool_execute", "stop"):
        server.send("a", kind)
    kernel.run("from htmlgraph_nb import AgentGrid, load_history")
    # The progress bar of a slow load is a separate widget, and stays.
    kernel.run(f"events = load_history({server.url!r})")
    show = "grid = AgentGrid.replay(events, speed=0.01)\ngrid.play()\ngrid"
    kernel.run(show, "cell-1")
    before = kernel.count(server)
    for _ in range(10):
        kernel.run(show, "cell-1")
    assert kernel.count(server) == before
    assert before["threads"].count("htmlgraph-replay") == 1
