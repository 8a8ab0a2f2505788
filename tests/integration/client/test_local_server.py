"""start_server: the server is found automatically and ends with its parent process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from jupyter_client.manager import KernelManager

import htmlgraph_nb as hg
from htmlgraph_nb.client import local_server
from tests.helpers.environ import clean_environ
from tests.helpers.server_files import server_files_in
from tests.helpers.wait import wait_until
from tests.integration.widget.test_grid_kernel import Kernel


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a folder of the test, no named server, and stop the server at the end."""
    for name in [name for name in os.environ if name.startswith("HTMLGRAPH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTMLGRAPH_HOME", str(tmp_path))
    yield
    if local_server._started is not None:
        local_server._started.stop()


@pytest.fixture
def used_port() -> Iterator[int]:
    """Return a port that another socket listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def ended(pid: int) -> bool:
    """Return whether a process has exited; it may be a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_start_server_is_found_without_an_address(tmp_path: Path) -> None:
    """By the SDK, a client and load_history; received events outlive the server."""
    with hg.start_server() as server:
        assert server.running
        assert server.url.startswith("http://127.0.0.1:")
        assert f"running, process {server.pid}<" in server._repr_html_()
        assert server.db == str(tmp_path / "htmlgraph.db")
        sdk = hg.SDK("started-here")
        sdk.tool("Bash")
        sdk.close()
        with hg.PresenceClient() as client:
            wait_until(lambda: "started-here" in client.agents, "the agent")
        with urlopen(f"{server.url}/api/presence/started-here") as response:
            assert json.load(response)["last_tool_name"] == "Bash"
        assert list(hg.load_history()["agent_id"]) == ["started-here"]
    assert not server.running
    assert ended(server.pid)
    assert repr(server) == f"<htmlgraph-nb server at {server.url}, stopped>"
    assert ">stopped<" in server._repr_html_()
    assert list(hg.load_history(server.db)["tool_name"]) == ["Bash"]


def test_start_server_returns_the_running_server(tmp_path: Path) -> None:
    """Unless another port or file is requested."""
    server = hg.start_server(db=tmp_path / "own.db")
    port = int(server.url.rpartition(":")[2])
    assert hg.start_server() is server
    assert hg.start_server(port, db=tmp_path / "own.db") is server
    for other in ({"port": port % 65_535 + 1}, {"db": tmp_path / "other.db"}):
        with pytest.raises(
            hg.ConfigError, match=r"a server at .*own\.db.*start_server\(\)\.stop\(\)"
        ):
            hg.start_server(**other)
    server.stop()
    server.stop()
    with hg.start_server(port) as again:
        assert again is not server
        assert again.url == server.url


def test_start_server_replaces_a_crashed_server() -> None:
    """After it stops, HTMLGRAPH_URL is restored."""
    os.environ["HTMLGRAPH_URL"] = "http://127.0.0.1:9"
    try:
        server = hg.start_server()
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.running, "its end")
        with hg.start_server() as again:
            assert os.environ["HTMLGRAPH_URL"] == again.url
        assert os.environ["HTMLGRAPH_URL"] == "http://127.0.0.1:9"
    finally:
        del os.environ["HTMLGRAPH_URL"]


def test_start_server_listens_on_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that opens other servers to the network does not affect it."""
    monkeypatch.setenv("HTMLGRAPH_HOST", "0.0.0.0")
    monkeypatch.setenv("HTMLGRAPH_TOKEN", "a-token-for-tests")
    with hg.start_server() as server:
        connections = psutil.Process(server.pid).net_connections("tcp")
        listening = {
            connection.laddr.ip
            for connection in connections
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
        with hg.PresenceClient() as client:
            wait_until(lambda: client.status == "connected", "the connection")


def test_start_server_ignores_modules_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file next to the notebook that is named like a library has no effect."""
    (tmp_path / "tornado.py").write_text("raise SystemExit('the wrong tornado')")
    monkeypatch.chdir(tmp_path)
    with hg.start_server() as server, urlopen(f"{server.url}/api/status") as response:
        assert response.status == 200


def test_start_server_errors(
    tmp_path: Path, used_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid or used port, a file that is no database, a missing server package."""
    for port in (-1, 65_536, True, "8000"):
        with pytest.raises(hg.ConfigError, match=r"port: expected 0 to 65535 .*, got"):
            hg.start_server(port)  # type: ignore[arg-type]
    with pytest.raises(hg.ConnectError, match=rf"cannot listen on 127\.0\.0\.1:{used_port}"):
        hg.start_server(used_port)
    (tmp_path / "notes.db").write_text("no database " * 100)
    with pytest.raises(hg.ConnectError, match=r"did not start: .*notes\.db"):
        hg.start_server(db=tmp_path / "notes.db")
    with pytest.raises(hg.ConnectError, match="did not start within 1e-06 s"):
        hg.start_server(start_timeout_s=1e-6)
    monkeypatch.setattr(local_server, "_SERVER", "no_such_server")
    with pytest.raises(hg.ConfigError, match=r"no_such_server is not installed .*pip install"):
        hg.start_server()
    assert "HTMLGRAPH_URL" not in os.environ


CHILD = """
import json, os, signal, sys, time
from htmlgraph_nb import start_server
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = start_server()
print(json.dumps({"url": server.url, "pid": server.pid}), flush=True)
{end}
"""


@contextlib.contextmanager
def child_of(home: Path, end: str) -> Iterator[Any]:
    """Run a process that leads its group, as a kernel does, starts a server and runs ``end``."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD.replace("{end}", end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environ(home),
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("end", ["", "os._exit(3)", "os.kill(os.getpid(), 9)", "time.sleep(600)"])
def test_start_server_ends_with_its_parent(tmp_path: Path, end: str) -> None:
    """After any exit of the parent, also by SIGKILL, it stops and removes its server file."""
    with child_of(tmp_path, end) as child:
        started = json.loads(child.stdout.readline())
        if "sleep" in end:
            child.kill()
        _, errors = child.communicate(timeout=60)
    assert errors == ""
    wait_until(lambda: ended(started["pid"]), "the server's end")
    assert server_files_in(tmp_path) == []


def test_start_server_survives_an_interrupted_cell(tmp_path: Path) -> None:
    """Jupyter interrupts a kernel by a signal to its whole process group."""
    with child_of(tmp_path, "sys.stdin.readline()\nprint(server.running)") as child:
        started = json.loads(child.stdout.readline())
        os.killpg(child.pid, signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert child.communicate("\n", timeout=60) == ("True\n", "")
    wait_until(lambda: ended(started["pid"]), "the server's end")


def test_start_server_in_a_kernel(tmp_path: Path) -> None:
    """A notebook starts a server and shows its own agent; a restart ends the server."""
    manager = KernelManager(kernel_name="python3")
    environ = {**clean_environ(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    manager.start_kernel(env=environ, cwd=str(tmp_path))
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        kernel = Kernel(client)
        kernel.run("import htmlgraph_nb as hg\nserver = hg.start_server()\ngrid = hg.AgentGrid()")
        kernel.run("sdk = hg.SDK('in-the-kernel')\nsdk.tool('Bash')")
        kernel.run("grid._source.client.wait_for(lambda agents: 'in-the-kernel' in agents, 30)")
        (output,) = kernel.run("grid")
        assert "1 active; http://127.0.0.1:" in output["data"]["text/plain"]
        (output,) = kernel.run("print(server.pid)")
        manager.restart_kernel(now=True)
        wait_until(lambda: ended(int(output["text"])), "the server's end")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
