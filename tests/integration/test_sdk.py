"""SDK in separate programs: with a server, without one, and at the program's exit."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from htmlgraph_nb import SDK, Event, InvalidEvent, PresenceManager, load_history
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

PROGRAM = "from htmlgraph_nb import SDK; SDK('short').tool('Bash', tokens=7); print('done')"


def run_program(program: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python code with its own data folder and return its output."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HTMLGRAPH_HOME": str(home), **env},
        check=False,
    )


def test_sdk_without_server_writes_to_the_file(tmp_path: Path) -> None:
    """Events of a short program are in the default file, and it prints nothing."""
    done = run_program(PROGRAM, tmp_path, HTMLGRAPH_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    frame = load_history(tmp_path / "htmlgraph.db")
    assert frame[["agent_id", "tool_name", "cost_tokens"]].values.tolist() == [["short", "Bash", 7]]


def test_sdk_unusable_file_does_not_fail_the_program(tmp_path: Path) -> None:
    """If neither server nor file accepts the events, the program still exits with 0."""
    (tmp_path / "htmlgraph.db").mkdir()
    done = run_program(PROGRAM, tmp_path, HTMLGRAPH_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "Traceback" not in done.stderr
    assert "events are lost" in done.stderr


def test_sdk_unresponsive_server_falls_back_to_the_file(tmp_path: Path) -> None:
    """With a server that accepts a connection and never responds, events go to the file."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sdk = SDK("patient", url=url, db_path=str(tmp_path / "h.db"))
        sdk.tool("Bash")
        assert sdk.flush(20)
        sdk.close(20)
    assert len(load_history(tmp_path / "h.db")) == 1


def test_sdk_exit_with_unresponsive_server_loses_no_event(tmp_path: Path, serve: Serve) -> None:
    """Events pending at exit are in the spool or the file, and count once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = """
from htmlgraph_nb import SDK
sdk = SDK("hasty")
for number in range(1_000):
    sdk.tool("Bash")
print("done")
"""
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        home = tmp_path / "home"
        db = str(home / "test.db")
        done = run_program(program, home, HTMLGRAPH_URL=url, HTMLGRAPH_DB=db)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    server = serve(home=home)
    wait_until(
        lambda: server.presence().get("hasty", {}).get("total_tools_executed") == 1_000,
        "all events of the program that ended",
        60,
    )


def test_sdk_multiprocessing_worker_delivers_its_last_events(tmp_path: Path) -> None:
    """Workers exit without atexit, and their last events still arrive."""
    program = """
import multiprocessing
from htmlgraph_nb import SDK

def work(number):
    SDK(f"worker-{number}").tool("Bash")

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        worker = context.Process(target=work, args=(method,))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
"""
    script = tmp_path / "workers.py"
    script.write_text(program)
    environ = {**os.environ, "HTMLGRAPH_HOME": str(tmp_path), "HTMLGRAPH_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environ, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    agents = set()
    if (tmp_path / "htmlgraph.db").exists():
        agents = set(load_history(tmp_path / "htmlgraph.db")["agent_id"])
    spooled = tmp_path / "spool.jsonl"
    if spooled.exists():
        agents |= set(re.findall(r"worker-\w+", spooled.read_text()))
    assert agents == {"worker-fork", "worker-spawn"}


@pytest.mark.parametrize("disk", ["full", "no-folder"])
def test_sdk_unwritable_disk_logs_one_line(disk: str, tmp_path: Path) -> None:
    """Thousands of undeliverable calls do not disturb the program and log one line."""
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))" if disk == "full" else "pass"
    program = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{limit}
from htmlgraph_nb import SDK
sdk = SDK("a")
for _ in range(5_000):
    sdk.tool("Bash")
print(sdk.flush(60))
"""
    home = tmp_path if disk == "full" else Path("/dev/null/home")
    done = run_program(program, home, HTMLGRAPH_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert "events are lost" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_sdk_works_in_parent_and_child_after_fork(tmp_path: Path) -> None:
    """Each has its own thread and connection."""
    program = f"""
import os
from htmlgraph_nb import SDK
sdk = SDK("forked", url="http://127.0.0.1:9", db_path={str(tmp_path / "h.db")!r})
sdk.tool("Before")
assert sdk.flush(20)
child = os.fork()
sdk.tool("Child" if child == 0 else "Parent")
assert sdk.flush(20)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    done = run_program(program, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(load_history(tmp_path / "h.db")["tool_name"]) == ["Before", "Child", "Parent"]


class _OtherProgram(BaseHTTPRequestHandler):
    """Responds to everything as another program might."""

    response = (200, b"{}")

    def do_POST(self) -> None:
        """Read the request and respond."""
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.response
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize("response", [(200, b"{}"), (204, b""), (200, b"[]"), (200, b"<p>hi</p>")])
def test_sdk_keeps_events_that_another_program_accepts(
    tmp_path: Path, response: tuple[int, bytes]
) -> None:
    """Only a server of this project says how many events it has stored; the file keeps the rest."""
    handler = type("_Handler", (_OtherProgram,), {"response": response})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{other.server_address[1]}"
        done = run_program(PROGRAM, tmp_path, HTMLGRAPH_URL=url)
        other.shutdown()
        thread.join()
    assert (done.returncode, done.stdout) == (0, "done\n")
    frame = load_history(tmp_path / "htmlgraph.db")
    assert frame["agent_id"].tolist() == ["short"]


def test_sdk_sends_to_a_running_server(server: Server) -> None:
    """Events arrive at the server."""
    with SDK("mine", url=server.url) as sdk, sdk.session("s"), sdk.tool("Bash", tokens=3):
        pass
    frame = load_history(server.url)
    kinds = ["session_start", "tool_start", "tool_execute", "session_end"]
    assert frame["event_type"].tolist() == kinds


def test_sdk_is_thread_safe(tmp_path: Path) -> None:
    """Calls from many threads at once are all delivered, each once."""
    sdk = SDK("busy", url="http://127.0.0.1:9", db_path=str(tmp_path / "h.db"))

    def work() -> None:
        for _ in range(50):
            sdk.tool("Bash", tokens=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sdk.flush(30)
    sdk.close(30)
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        presence = manager.agents["busy"]
    assert (presence.total_tools_executed, presence.total_cost_tokens) == (400, 400)


def test_sdk_collected_delivers_and_ends_its_thread(tmp_path: Path) -> None:
    """Without a reference to the SDK its events are delivered and its thread ends."""
    SDK("dropped", url="http://127.0.0.1:9", db_path=str(tmp_path / "h.db")).tool("Bash")
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name == "htmlgraph-sdk"],
        "the end of its thread",
    )
    assert len(load_history(tmp_path / "h.db")) == 1


def test_ingest_validates_event_objects(tmp_path: Path) -> None:
    """ingest converts a naive time and rejects invalid events, all or nothing."""
    naive = datetime.now() - timedelta(hours=1)
    with PresenceManager(str(tmp_path / "h.db")) as manager:
        with pytest.raises(InvalidEvent, match="lone surrogates"):
            manager.ingest([Event(agent_id="a"), Event(agent_id="\ud800")])
        assert manager.agents == {}
        manager.ingest([Event(agent_id="a", timestamp=naive)])
        assert manager.agents["a"].last_activity == naive.astimezone(UTC)
