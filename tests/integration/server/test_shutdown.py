"""How a server ends: gracefully on a signal, and with a one-line error if it cannot start."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import CloseCode, decode
from htmlgraph_nb.paths import start_ticks
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.database_files import history_rows
from tests.helpers.environ import clean_environ
from tests.helpers.server_files import server_file_path, server_files_in
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve


class Poster(threading.Thread):
    """Posts one event after another until the server is closed."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.refusals: list[int] = []
        self.started_posting = threading.Event()
        self._port = server.port
        self._name = name

    def run(self) -> None:
        """Post, and record the event ids that were acknowledged with 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        number = 0
        try:
            while True:
                number += 1
                event = {"agent_id": self._name, "event_id": f"{self._name}-{number}"}
                connection.request("POST", "/api/events", json.dumps(event))
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.acknowledged.append(event["event_id"])
                    self.started_posting.set()
                else:
                    self.refusals.append(response.status)
        except (OSError, http.client.HTTPException):
            # The server has closed the connection.
            return
        finally:
            connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_commits_and_publishes_all_events(serve: Serve, number: signal.Signals) -> None:
    """Acknowledged events are stored and sent, dashboards get 1001, temporary files are removed.

    A second signal right after the first does not interrupt this.
    """
    server = serve()
    (server_file,) = server_files_in(server.home)
    assert json.loads(server_file.read_text())["url"] == server.url
    posters = [Poster(server, f"poster-{n}") for n in range(4)]
    mirror = Mirror()
    with connect(server.ws("/ws/broadcasts"), max_queue=None) as dashboard:
        for poster in posters:
            poster.start()
        for poster in posters:
            assert poster.started_posting.wait(15)
        assert server.process is not None
        server.process.send_signal(number)
        server.process.send_signal(number)
        for message in dashboard:
            mirror.apply(decode(message))
        assert (dashboard.close_code, dashboard.close_reason) == (
            CloseCode.GOING_AWAY,
            "server shutting down",
        )
    assert server.process.wait(20) == 0
    for poster in posters:
        poster.join(30)
        assert set(poster.refusals) <= {503}
    acknowledged = {name for poster in posters for name in poster.acknowledged}
    stored = history_rows(str(server.db), "seq, event_id")
    assert acknowledged <= {name for _, name in stored}
    assert mirror.seq == stored[-1][0], "a commit was not published"
    assert not server_file.exists()
    assert not Path(f"{server.db}-wal").exists()


def test_shutdown_closes_event_senders_after_their_acknowledgements(serve: Serve) -> None:
    """A sender gets each acknowledgement of what was stored, then close code 1001; so do idle ones.

    The log has no traceback, which the end of the fixture checks, too.
    """
    server = serve()
    acknowledged: list[str] = []
    with (
        connect(server.ws("/ws/events")) as idle,
        connect(server.ws("/ws/events"), max_queue=None) as sender,
    ):
        assert server.process is not None
        with suppress(ConnectionClosed):
            for n in range(300):
                events = [{"agent_id": "a", "event_id": f"e-{n}-{i}"} for i in range(50)]
                sender.send(json.dumps(events))
                if n == 100:
                    server.process.send_signal(signal.SIGTERM)
        with suppress(ConnectionClosed):
            while True:
                message = json.loads(sender.recv(20))
                if message["type"] == "ack":
                    acknowledged += message["event_ids"]
        with pytest.raises(ConnectionClosed):
            idle.recv(20)
        for closed in (sender, idle):
            assert (closed.close_code, closed.close_reason) == (1001, "server shutting down")
    assert server.process.wait(20) == 0
    stored = {name for (name,) in history_rows(str(server.db), "event_id")}
    assert set(acknowledged) == stored
    assert "Traceback" not in server.log()


def test_shutdown_is_not_blocked_by_a_stalled_dashboard(serve: Serve) -> None:
    """After a grace period its connection is closed."""
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stalled.sendall(
            f"GET /ws/broadcasts HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        stalled.recv(1_000)
        for _ in range(10):
            server.post("/api/events", [{"agent_id": f"a{n}"} for n in range(1_000)])
        assert server.get("/api/status").json()["queue"]["bytes"] > 0
        assert server.stop() == 0


def test_server_file_exists_for_each_server(serve: Serve) -> None:
    """Each server of a user has its own file, which it removes when it stops.

    The next server to start removes the file of a killed one.
    """
    home = serve().home
    for server in (serve(home=home), serve(home=home)):
        server_file = server_file_path(home, server.pid)
        assert oct(server_file.stat().st_mode & 0o777) == "0o600"
        assert json.loads(server_file.read_text()) == {
            "url": server.url,
            "token": "",
            "db": str(server.db),
            "pid": server.pid,
            "started": start_ticks(server.pid),
        }
    assert len(server_files_in(home)) == 3
    server.kill()
    assert server_file_path(home, server.pid) in server_files_in(home)
    fourth = serve(home=home)
    assert server_file_path(home, server.pid) not in server_files_in(home)
    assert fourth.stop() == 0
    assert len(server_files_in(home)) == 2


def _newer(home: Path) -> None:
    PresenceManager(str(home / "h.db")).close()
    with sqlite3.connect(home / "h.db") as db:
        db.execute("PRAGMA user_version = 999")
    db.close()


def _foreign(home: Path) -> None:
    with sqlite3.connect(home / "h.db") as db:
        db.execute("CREATE TABLE agent_presence (agent_id TEXT)")
    db.close()


def _garbage(home: Path) -> None:
    (home / "h.db").write_bytes(b"garbage" * 1_000)


def _folder(home: Path) -> None:
    (home / "h.db").mkdir()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_newer, "has schema version 999, this program knows up to"),
        (_foreign, "is a database of another program"),
        (_garbage, "is not a valid database"),
        (_folder, "unable to open database file"),
    ],
)
def test_serve_reports_an_unusable_database_in_one_line(
    tmp_path: Path, spoil: object, expected: str
) -> None:
    """The error on stderr names the file; no server file is left."""
    spoil(tmp_path)  # type: ignore[operator]
    done = run_serve(tmp_path, "--port", "0", "--db", str(tmp_path / "h.db"))
    assert_one_line(done, expected)
    assert str(tmp_path / "h.db") in done.stderr
    assert server_files_in(tmp_path) == []


def test_serve_reports_a_port_in_use_in_one_line(tmp_path: Path, server: Server) -> None:
    """The error names the port and the flag; no database is created."""
    done = run_serve(tmp_path, "--port", str(server.port))
    assert_one_line(done, f"cannot listen on 127.0.0.1:{server.port}")
    assert "--port" in done.stderr
    assert not (tmp_path / "htmlgraph.db").exists()


def run_serve(home: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to fail."""
    return subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "serve", *flags],
        env=clean_environ(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], expected: str) -> None:
    """Fail unless the process printed one line with this text and returned 2."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("htmlgraph-nb: ")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")


def test_serve_reports_a_missing_folder_in_one_line(tmp_path: Path) -> None:
    """The folder cannot be created because a file has its name."""
    (tmp_path / "file").touch()
    done = run_serve(tmp_path, "--port", "0", "--db", os.path.join(tmp_path, "file", "h.db"))
    assert_one_line(done, "cannot create the folder")
