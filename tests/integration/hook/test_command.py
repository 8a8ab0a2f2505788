"""The command hook as an agent starts it: a real process, a real HTTP server, a real file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.ingest.spool import events_from_spool
from tests.helpers.paths import ROOT
from tests.helpers.server_files import announced_server

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"
CONTENT = "never-keep-this"
FAR_BEYOND_ITS_LIMIT_S = 60
NOW = datetime.now(UTC)


class Request(NamedTuple):
    """One request that the server got."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers each POST with ``status`` and keeps what it got."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.got: list[Request] = []

    @property
    def url(self) -> str:
        """Address of this server."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(Request(self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        if 300 <= self.server.status < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiver(status: int = 204) -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    with Receiver(status) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data folder of the hook."""
    return tmp_path / "home"


def run(home: Path, stdin: bytes, *args: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run the hook and return the finished process."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HTMLGRAPH_")}
    clean.pop("CLAUDE_PROJECT_DIR", None)
    return subprocess.run(
        [sys.executable, "-m", "htmlgraph_nb.hook", *args],
        input=stdin,
        capture_output=True,
        env={**clean, "HTMLGRAPH_HOME": str(home), **environ},
        timeout=FAR_BEYOND_ITS_LIMIT_S,
        check=False,
    )


def payload(name: str = "post_tool_use") -> bytes:
    """Return the bytes of a payload file."""
    return (PAYLOADS / f"{name}.json").read_bytes()


def spooled(home: Path) -> list[dict[str, Any]]:
    """Return the lines of the spool file."""
    path = home / "spool.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def assert_silent(done: subprocess.CompletedProcess[bytes]) -> None:
    """The agent must see success and no output."""
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def unused_url() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_event_reaches_the_server(home: Path) -> None:
    """The hook posts the event with its stamp, to the path under the base path, with the token."""
    with receiver() as server:
        done = run(
            home,
            payload(),
            HTMLGRAPH_URL=f"{server.url}/user/ada/htmlgraph",
            HTMLGRAPH_TOKEN="secret",
            HTMLGRAPH_AGENT="ada",
            HTMLGRAPH_FEATURE="feat-1",
            CLAUDE_PROJECT_DIR="/home/dev/warehouse",
        )
    assert_silent(done)
    [request] = server.got
    assert request.path == "/user/ada/htmlgraph/api/hooks/claude"
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Content-Type"] == "application/json"
    [event] = events_from_hook(json.loads(request.body), received_at=NOW - timedelta(days=9))
    assert (event.agent_id, event.tool_name, event.duration_ms) == ("ada", "Write", 12)
    assert (event.feature_id, event.project) == ("feat-1", "warehouse")
    assert event.host == socket.gethostname()
    assert event.timestamp is not None
    assert abs(event.timestamp - datetime.now(UTC)) < timedelta(minutes=5)
    assert event.event_id == "toolu_01Xk9QmVb3nT7sRfLw2cYp4D:PostToolUse"
    assert not (home / "spool.jsonl").exists()


def test_each_call_has_its_own_event_id(home: Path) -> None:
    """Two calls with one input are two events."""
    with receiver() as server:
        for _ in range(2):
            run(home, payload("stop"), HTMLGRAPH_URL=server.url)
    ids = {json.loads(request.body)["htmlgraph"]["event_id"] for request in server.got}
    assert len(ids) == 2


@pytest.mark.parametrize("name", ["user_prompt_submit", "post_tool_use", "stop_failure"])
def test_content_stays_at_home(home: Path, name: str) -> None:
    """Content is neither sent nor spooled."""
    assert CONTENT.encode() in payload(name)
    with receiver(503) as server:
        run(home, payload(name), HTMLGRAPH_URL=server.url)
    assert CONTENT.encode() not in server.got[0].body
    assert len(spooled(home)) == 1
    assert CONTENT not in (home / "spool.jsonl").read_text()


def test_content_is_sent_on_request_and_never_spooled(home: Path) -> None:
    """HTMLGRAPH_CONTENT=1 sends content, but the spool file stays free of it."""
    with receiver(503) as server:
        run(home, payload(), HTMLGRAPH_URL=server.url, HTMLGRAPH_CONTENT="1")
    assert json.loads(server.got[0].body)["tool_response"]["content"] == CONTENT
    assert len(spooled(home)) == 1
    assert CONTENT not in (home / "spool.jsonl").read_text()


def test_too_much_content_leaves_the_event(home: Path) -> None:
    """An input of megabytes is sent without its content."""
    big = json.dumps(json.loads(payload()) | {"tool_response": "x" * 3_000_000}).encode()
    with receiver() as server:
        done = run(home, big, HTMLGRAPH_URL=server.url, HTMLGRAPH_CONTENT="1")
    assert_silent(done)
    assert "tool_response" not in json.loads(server.got[0].body)


def test_running_server_is_found(home: Path) -> None:
    """Without a configured address the server that left its file gets the event and its token."""
    with receiver() as server, announced_server(home, server.url, "of-file"):
        assert_silent(run(home, payload(), HTMLGRAPH_TOKEN="for-another"))
    assert server.got[0].headers["Authorization"] == "Bearer of-file"


def test_a_server_that_is_gone_or_refuses_does_not_hide_another(home: Path) -> None:
    """Each that left a file is asked, the last to start first, until one takes the event."""
    with (
        receiver() as taking,
        receiver(403) as refusing,
        announced_server(home, taking.url, "first", age_s=2),
        announced_server(home, refusing.url, "second", age_s=1),
        announced_server(home, unused_url(), "third"),
    ):
        assert_silent(run(home, payload()))
    assert len(refusing.got) == 1
    assert taking.got[0].headers["Authorization"] == "Bearer first"
    assert not (home / "spool.jsonl").exists()


def test_event_is_spooled_without_a_server(home: Path) -> None:
    """With nobody listening each event becomes one line from which it can be read again."""
    url = unused_url()
    for name in ("session_start", "stop"):
        assert_silent(run(home, payload(name), HTMLGRAPH_URL=url))
    events, broken = events_from_spool((home / "spool.jsonl").read_bytes(), NOW)
    assert ([event.event_type for event in events], broken) == (["session_start", "stop"], 0)
    assert all(event.event_id and event.timestamp != NOW for event in events)


@pytest.mark.parametrize(
    ("status", "kept"),
    [(200, 0), (400, 0), (413, 0), (302, 1), (401, 1), (403, 1), (404, 1), (429, 1), (500, 1)],
)
def test_answer_decides_about_the_spool(home: Path, status: int, kept: int) -> None:
    """Taken and malformed events are done with; whatever may pass is kept; nothing is followed."""
    with receiver(status) as server:
        assert_silent(run(home, payload(), HTMLGRAPH_URL=server.url, HTMLGRAPH_TOKEN="t"))
    assert [request.path for request in server.got] == ["/api/hooks/claude"]
    assert len(spooled(home)) == kept


def test_server_that_never_answers(home: Path) -> None:
    """A server that takes the connection and stays silent costs the event nothing but time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert_silent(run(home, payload(), HTMLGRAPH_URL=url))
    assert len(spooled(home)) == 1


def test_server_that_answers_drop_by_drop(home: Path) -> None:
    """A server that feeds one byte at a time cannot hold the hook: its whole time is bounded."""
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(1 << 16)
            while not stop.wait(0.05):
                try:
                    client.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            assert_silent(run(home, payload(), HTMLGRAPH_URL=url))
        finally:
            stop.set()
            thread.join()
    assert len(spooled(home)) == 1


def test_server_that_does_not_speak_http(home: Path) -> None:
    """Another service at the port is a reason to spool, not to fail."""

    def greet(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(1 << 16)
            client.sendall(b"220 mail ready\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=greet, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert_silent(run(home, payload(), HTMLGRAPH_URL=url))
        thread.join()
    assert len(spooled(home)) == 1


@pytest.mark.parametrize("url", ["ftp://host", "http://host:99999", "http://127.0.0.1:8000/a b"])
def test_unusable_address_is_spooled(home: Path, url: str) -> None:
    """A wrong HTMLGRAPH_URL loses nothing: it may be put right."""
    assert_silent(run(home, payload(), HTMLGRAPH_URL=url, HTMLGRAPH_TOKEN="t"))
    assert len(spooled(home)) == 1


@pytest.mark.parametrize(
    "stdin",
    [b"", b"garbage", b"[1]", b"{}", b'{"session_id": 7}', b"\xff\xfe{", b"[" * 100_000],
    ids=["empty", "garbage", "array", "no-session", "number", "bytes", "deep"],
)
def test_garbage_is_dropped(home: Path, stdin: bytes) -> None:
    """What is no hook's input is neither sent nor spooled, and nobody is told."""
    with receiver() as server:
        assert_silent(run(home, stdin, HTMLGRAPH_URL=server.url))
    assert server.got == []
    assert spooled(home) == []


def test_input_without_end_is_dropped(home: Path) -> None:
    """More than 8 MiB are not read."""
    with receiver() as server:
        assert_silent(run(home, b" " * (9 << 20), HTMLGRAPH_URL=server.url))
    assert server.got == []


def test_spool_that_cannot_be_written(home: Path) -> None:
    """A data folder that cannot be made is no fault that the agent sees."""
    home.write_text("a file where the folder should be")
    assert_silent(run(home, payload(), HTMLGRAPH_URL=unused_url()))


def test_debug_tells_why(home: Path) -> None:
    """HTMLGRAPH_DEBUG=1 names the reason on stderr, still with status 0 and without the token."""
    done = run(
        home,
        payload(),
        HTMLGRAPH_URL=unused_url(),
        HTMLGRAPH_TOKEN="secret",
        HTMLGRAPH_DEBUG="1",
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Connection refused" in done.stderr
    assert b"htmlgraph-hook: spooled, because no server took it" in done.stderr
    assert b"secret" not in done.stderr


def test_help_has_two_lines(home: Path) -> None:
    """``--help`` reads no input and prints two lines."""
    done = run(home, b"", "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 2


LOADED = """
import os, sys
import htmlgraph_nb.hook as hook
def report(status):
    print("\\n".join(sys.modules), flush=True)
    end(status)
end, os._exit = os._exit, report
hook.main()
"""


def test_hook_loads_the_standard_library_alone(home: Path) -> None:
    """A whole run loads neither asyncio nor importlib.metadata nor anything from site-packages."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=payload(),
        capture_output=True,
        env={**os.environ, "HTMLGRAPH_HOME": str(home), "HTMLGRAPH_URL": unused_url()},
        timeout=FAR_BEYOND_ITS_LIMIT_S,
        check=True,
    )
    loaded = set(done.stdout.decode().split())
    assert "http.client" in loaded
    assert not loaded & {"asyncio", "importlib.metadata", "uuid", "urllib.request", "logging"}
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        timeout=FAR_BEYOND_ITS_LIMIT_S,
        check=True,
    )
    added = {name.partition(".")[0] for name in loaded - set(bare.stdout.decode().split())}
    assert added - sys.stdlib_module_names == {"htmlgraph_nb"}
    own = {name for name in loaded if name.startswith("htmlgraph_nb")}
    names = (
        "",
        ".errors",
        ".hook",
        ".hook.command",
        ".hook.delivery",
        ".paths",
        ".hook.process_tree",
    )
    assert own == {f"htmlgraph_nb{name}" for name in names}
