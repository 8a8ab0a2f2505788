"""htmlgraph-hook as an agent starts it: a real process, a real HTTP server, a real file."""

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
from htmlgraph_nb.coding_agents.input_hash import input_hash
from htmlgraph_nb.coding_agents.input_key import load_key
from htmlgraph_nb.hook.hook_problem import read_note
from htmlgraph_nb.ingest.spool import events_from_spool
from htmlgraph_nb.paths import SERVER_HEADER, start_ticks
from tests.helpers.paths import ROOT
from tests.helpers.server_files import announced_server
from tests.helpers.session_lines import SESSION

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"
CONTENT = "never-keep-this"
"""Stands for prompts and tool results in the payload files."""
TIMEOUT_S = 60
NOW = datetime.now(UTC)


class Request(NamedTuple):
    """One request that the server received."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Responds to each POST with ``status`` and records the request."""

    daemon_threads = True

    def __init__(self, status: int, *, is_ours: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.is_ours = status, is_ours
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        """Address of this server."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(Request(self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.is_ours:
            self.send_header(SERVER_HEADER, "1")
        if 300 <= self.server.status < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def receiver(status: int = 204, *, is_ours: bool = True) -> Iterator[Receiver]:
    """Run a receiver on a free port; ``is_ours``: it is like a server of this project."""
    with Receiver(status, is_ours=is_ours) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the data folder of the hook."""
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
        timeout=TIMEOUT_S,
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
    """Assert that the agent sees success and no output."""
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def unused_url() -> str:
    """Return an address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize(
    ("name", "head", "renamed"),
    [
        ("session-2026-08-01T10-00-0b9d6f4e.jsonl", {"sessionId": SESSION}, True),
        ("session-2026-08-01T10-00-1c94066b.jsonl", {"sessionId": SESSION}, False),
        ("session-2026-08-01T10-00-aaaabbbb.jsonl", {"sessionId": SESSION}, False),
        ("session-2026-08-01T10-00-0b9d6f4e.jsonl", {"sessionId": 7}, False),
        ("session-2026-08-01T10-00-0b9d6f4e.jsonl", None, False),
        ("notes-0b9d6f4e.jsonl", {"sessionId": SESSION}, False),
    ],
)
def test_hook_of_gemini_reports_the_session_of_its_file(
    home: Path, tmp_path: Path, name: str, head: dict[str, Any] | None, renamed: bool
) -> None:
    """After a change of the model its input has a new session id."""
    path = tmp_path / name
    if head is not None:
        path.write_text(json.dumps(head) + "\n{}\n")
    sent = "1c94066b-eb13-47d9-b34e-c16170440ff4"
    hook = {"hook_event_name": "BeforeAgent", "session_id": sent, "transcript_path": str(path)}
    assert_silent(run(home, json.dumps(hook).encode(), "gemini", HTMLGRAPH_URL=unused_url()))
    [event] = spooled(home)
    assert event["session_id"] == (SESSION if renamed else sent)


def test_hook_posts_the_event(home: Path) -> None:
    """The event has the sender's fields and is sent to the base path with the token."""
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
    [request] = server.requests
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


@pytest.mark.parametrize("name", ["pre_tool_use", "post_tool_use", "post_tool_use_failure"])
def test_hook_sends_the_hash_of_a_call_and_not_its_input(home: Path, name: str) -> None:
    """The first call creates the key; every report of the same input has the same hash."""
    sent = json.loads(payload(name))
    other = json.dumps({**sent, "tool_input": {"command": "ls"}}).encode()
    with receiver() as server:
        for stdin in (payload(name), other, payload(name)):
            assert_silent(run(home, stdin, HTMLGRAPH_URL=server.url))
    assert not any(CONTENT.encode() in request.body for request in server.requests)
    first, second, again = (json.loads(r.body)["htmlgraph"]["input_hash"] for r in server.requests)
    assert first == again == input_hash(sent["tool_input"], load_key(str(home / "input-key")))
    assert second not in (first, None)
    assert (home / "input-key").read_bytes() not in b"".join(r.body for r in server.requests)


@pytest.mark.parametrize("name", ["stop", "session_start", "permission_request"])
def test_hook_sends_no_hash_of_anything_else(home: Path, name: str) -> None:
    """No key is created."""
    with receiver() as server:
        assert_silent(run(home, payload(name), HTMLGRAPH_URL=server.url))
    assert "input_hash" not in json.loads(server.requests[0].body)["htmlgraph"]
    assert not (home / "input-key").exists()


def test_hook_reports_a_call_without_a_key(home: Path) -> None:
    """A damaged key file loses the hash and not the event."""
    home.mkdir()
    (home / "input-key").write_bytes(b"short")
    with receiver() as server:
        assert_silent(run(home, payload(), HTMLGRAPH_URL=server.url))
        done = run(home, payload(), HTMLGRAPH_URL=server.url, HTMLGRAPH_DEBUG="1")
    assert b"delete this file" in done.stderr
    assert ["input_hash" in r.body.decode() for r in server.requests] == [False, False]


def test_hook_gives_each_call_its_own_event_id(home: Path) -> None:
    """Two calls with the same input are two events."""
    with receiver() as server:
        for _ in range(2):
            run(home, payload("stop"), HTMLGRAPH_URL=server.url)
    ids = {json.loads(request.body)["htmlgraph"]["event_id"] for request in server.requests}
    assert len(ids) == 2


@pytest.mark.parametrize("name", ["user_prompt_submit", "post_tool_use", "stop_failure"])
def test_hook_sends_and_spools_no_content(home: Path, name: str) -> None:
    """Content is neither sent nor spooled."""
    assert CONTENT.encode() in payload(name)
    with receiver(503) as server:
        run(home, payload(name), HTMLGRAPH_URL=server.url)
    assert CONTENT.encode() not in server.requests[0].body
    assert len(spooled(home)) == 1
    assert CONTENT not in (home / "spool.jsonl").read_text()


def test_hook_sends_content_on_request_but_never_spools_it(home: Path) -> None:
    """HTMLGRAPH_CONTENT=1 sends content, but the spool file contains none."""
    with receiver(503) as server:
        run(home, payload(), HTMLGRAPH_URL=server.url, HTMLGRAPH_CONTENT="1")
    assert json.loads(server.requests[0].body)["tool_response"]["content"] == CONTENT
    assert len(spooled(home)) == 1
    assert CONTENT not in (home / "spool.jsonl").read_text()


def test_hook_drops_content_that_is_too_long(home: Path) -> None:
    """An event with megabytes of content is sent without it."""
    big = json.dumps(json.loads(payload()) | {"tool_response": "x" * 3_000_000}).encode()
    with receiver() as server:
        done = run(home, big, HTMLGRAPH_URL=server.url, HTMLGRAPH_CONTENT="1")
    assert_silent(done)
    assert "tool_response" not in json.loads(server.requests[0].body)


def test_hook_finds_the_running_server(home: Path) -> None:
    """Without a configured address, the server file determines address and token."""
    with receiver() as server, announced_server(home, server.url, "of-file"):
        assert_silent(run(home, payload(), HTMLGRAPH_TOKEN="for-another"))
    assert server.requests[0].headers["Authorization"] == "Bearer of-file"


def test_hook_tries_the_servers_in_turn(home: Path) -> None:
    """Servers with a file are tried, most recently started first, until one accepts the event."""
    with (
        receiver() as accepting,
        receiver(403) as refusing,
        announced_server(home, accepting.url, "first", age_s=2),
        announced_server(home, refusing.url, "second", age_s=1),
        announced_server(home, unused_url(), "third"),
    ):
        assert_silent(run(home, payload()))
    assert len(refusing.requests) == 1
    assert accepting.requests[0].headers["Authorization"] == "Bearer first"
    assert not (home / "spool.jsonl").exists()


def test_hook_spools_without_a_server(home: Path) -> None:
    """If no server listens, each event becomes a line of the spool file."""
    url = unused_url()
    for name in ("session_start", "stop"):
        assert_silent(run(home, payload(name), HTMLGRAPH_URL=url))
    events, broken = events_from_spool((home / "spool.jsonl").read_bytes(), NOW)
    assert ([event.event_type for event in events], broken) == (["session_start", "stop"], [])
    assert all(event.event_id and event.timestamp != NOW for event in events)


@pytest.mark.parametrize(
    ("status", "kept"),
    [(200, 0), (400, 0), (413, 0), (302, 1), (401, 1), (403, 1), (404, 1), (429, 1), (500, 1)],
)
def test_hook_spools_by_the_status_of_the_response(home: Path, status: int, kept: int) -> None:
    """Accepted and invalid events are not spooled, others are; redirects are not followed."""
    with receiver(status) as server:
        assert_silent(run(home, payload(), HTMLGRAPH_URL=server.url, HTMLGRAPH_TOKEN="t"))
    assert [request.path for request in server.requests] == ["/api/hooks/claude"]
    assert len(spooled(home)) == kept


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 404, 413, 422, 500])
def test_hook_spools_if_another_program_responds(home: Path, status: int) -> None:
    """Whatever it responds, the event waits for a server of this project."""
    with (
        receiver(status, is_ours=False) as other,
        announced_server(home, other.url, "t"),
    ):
        assert_silent(run(home, payload()))
        assert_silent(run(home, payload(), HTMLGRAPH_URL=other.url))
    assert len(other.requests) == 2
    assert len(spooled(home)) == 2


def test_hook_sends_nothing_to_a_process_with_the_id_of_a_killed_server(home: Path) -> None:
    """The file of the killed server holds when that one started; its token stays here."""
    with receiver() as other, announced_server(home, other.url, "secret"):
        (file,) = (home / "servers").iterdir()
        server = json.loads(file.read_bytes())
        file.write_text(json.dumps({**server, "started": start_ticks(os.getpid())}))
        assert_silent(run(home, payload()))
        assert len(other.requests) == 1
        file.write_text(json.dumps({**server, "started": 7}))
        assert_silent(run(home, payload()))
    assert len(other.requests) == 1
    assert len(spooled(home)) == 1


def test_hook_spools_if_the_server_never_responds(home: Path) -> None:
    """A server that accepts the connection and sends nothing only costs time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert_silent(run(home, payload(), HTMLGRAPH_URL=url))
    assert len(spooled(home)) == 1


def test_hook_limits_its_total_time(home: Path) -> None:
    """A server that sends one byte at a time cannot delay the hook beyond its budget."""
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


def test_hook_spools_if_the_response_is_not_http(home: Path) -> None:
    """Another service at the port does not make the hook fail."""

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
def test_hook_spools_if_the_address_is_invalid(home: Path, url: str) -> None:
    """An invalid HTMLGRAPH_URL loses no events: the user may correct it."""
    assert_silent(run(home, payload(), HTMLGRAPH_URL=url, HTMLGRAPH_TOKEN="t"))
    assert len(spooled(home)) == 1


@pytest.mark.parametrize(
    "stdin",
    [b"", b"garbage", b"[1]", b"{}", b'{"session_id": 7}', b"\xff\xfe{", b"[" * 100_000],
    ids=["empty", "garbage", "array", "no-session", "number", "bytes", "deep"],
)
def test_hook_ignores_invalid_input(home: Path, stdin: bytes) -> None:
    """Invalid input is neither sent nor spooled, and nothing is printed."""
    with receiver() as server:
        assert_silent(run(home, stdin, HTMLGRAPH_URL=server.url))
    assert server.requests == []
    assert spooled(home) == []
    note = read_note(str(home / "hook-problem.json"))
    assert note is not None
    assert note["message"].startswith("an event is lost: ")


def test_hook_ignores_white_space_that_is_too_long(home: Path) -> None:
    """It reads the rest, so that the agent is not interrupted in writing it."""
    with receiver() as server:
        assert_silent(run(home, b" " * (9 << 20), HTMLGRAPH_URL=server.url))
    assert server.requests == []


LONG = json.dumps({"content": "x" * (9 << 20), "quote": '"tool_use_id":"toolu_other"'})


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (f'"tool_input":{{"command":"ls"}},"tool_response":{LONG},"tool_use_id":"toolu_1"', 3),
        (f'"tool_use_id":"toolu_1","tool_input":{LONG},"tool_response":{{}}', 3),
        (f'"tool_input":{LONG}', 2),
    ],
)
def test_hook_keeps_the_fields_of_an_input_that_is_too_long(
    home: Path, fields: str, kept: int
) -> None:
    """Those before the long one, and the id of the call; a note says so."""
    start = '{"hook_event_name":"PostToolUse","session_id":"s-1","cwd":"/w/api","tool_name":"Write"'
    with receiver() as server:
        assert_silent(run(home, f"{start},{fields}}}".encode(), HTMLGRAPH_URL=server.url))
    [request] = server.requests
    body = json.loads(request.body)
    sent = {"tool_name": "Write", "cwd": "/w/api", "tool_use_id": "toolu_1"}
    assert {name: body[name] for name in sent if name in body} == dict(list(sent.items())[:kept])
    note = read_note(str(home / "hook-problem.json"))
    assert note is not None
    assert note["hook"] == "PostToolUse"
    assert note["message"] == "an input was longer than 8 MiB, so only its start was read"
    assert (home / "hook-problem.json").stat().st_mode & 0o777 == 0o600


def test_hook_replaces_characters_of_other_encodings(home: Path) -> None:
    """The event is sent, and a note says so without a part of the input."""
    hook = (
        '{"hook_event_name":"UserPromptSubmit","session_id":"s-1","cwd":"C:\\\\Zoë","prompt":"é"}'
    )
    with receiver() as server:
        assert_silent(run(home, hook.encode("cp1252"), HTMLGRAPH_URL=server.url))
    [request] = server.requests
    assert json.loads(request.body)["cwd"] == "C:\\Zo\ufffd"
    note = read_note(str(home / "hook-problem.json"))
    assert note is not None
    assert note["message"] == "an input was not UTF-8, so some characters were replaced"


def test_hook_writes_no_note_without_a_problem(home: Path) -> None:
    """Most events have none."""
    with receiver() as server:
        run(home, payload(), HTMLGRAPH_URL=server.url)
    assert read_note(str(home / "hook-problem.json")) is None


def test_hook_survives_a_spool_that_cannot_be_written(home: Path) -> None:
    """A data folder that cannot be created does not affect the agent."""
    home.write_text("a file where the folder should be")
    assert_silent(run(home, payload(), HTMLGRAPH_URL=unused_url()))


def test_hook_debug_prints_the_reason(home: Path) -> None:
    """HTMLGRAPH_DEBUG=1 prints the reason to stderr, with status 0 and without the token."""
    done = run(
        home,
        payload(),
        HTMLGRAPH_URL=unused_url(),
        HTMLGRAPH_TOKEN="secret",
        HTMLGRAPH_DEBUG="1",
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Connection refused" in done.stderr
    assert b"htmlgraph-hook: spooled: no server accepted the event" in done.stderr
    assert b"secret" not in done.stderr


def test_hook_help_has_two_lines(home: Path) -> None:
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


def test_hook_loads_the_standard_library_only(home: Path) -> None:
    """A complete run loads neither asyncio nor importlib.metadata nor a third-party package."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=payload(),
        capture_output=True,
        env={**os.environ, "HTMLGRAPH_HOME": str(home), "HTMLGRAPH_URL": unused_url()},
        timeout=TIMEOUT_S,
        check=True,
    )
    loaded = set(done.stdout.decode().split())
    assert "http.client" in loaded
    assert not loaded & {"asyncio", "importlib.metadata", "uuid", "urllib.request", "logging"}
    assert not loaded & {"traceback", "linecache"}
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    added = {name.partition(".")[0] for name in loaded - set(bare.stdout.decode().split())}
    assert added - sys.stdlib_module_names == {"htmlgraph_nb"}
    own = {name for name in loaded if name.startswith("htmlgraph_nb")}
    names = (
        "",
        ".coding_agents",
        ".coding_agents.agent",
        ".coding_agents.claude",
        ".coding_agents.claude.constants",
        ".coding_agents.content_rules",
        ".coding_agents.git_worktree",
        ".coding_agents.input_hash",
        ".coding_agents.input_key",
        ".coding_agents.registry",
        ".errors",
        ".hook",
        ".hook.command",
        ".hook.delivery",
        ".paths",
        ".hook.process_tree",
        ".hook.spool_file",
    )
    assert own == {f"htmlgraph_nb{name}" for name in names}


@pytest.mark.parametrize("variable", [True, False])
def test_hook_reports_the_repository_of_a_worktree(
    home: Path, tmp_path: Path, variable: bool
) -> None:
    """As the project, whether or not the agent names its folder."""
    folder = tmp_path / "api-fix"
    folder.mkdir()
    (folder / ".git").write_text("gitdir: /src/api/.git/worktrees/api-fix\n")
    hook = {"hook_event_name": "Stop", "session_id": "s-1", "cwd": str(folder)}
    environ = {"CLAUDE_PROJECT_DIR": str(folder)} if variable else {}
    with receiver() as server:
        assert_silent(run(home, json.dumps(hook).encode(), HTMLGRAPH_URL=server.url, **environ))
    [request] = server.requests
    assert json.loads(request.body)["htmlgraph"]["project"] == "api"
