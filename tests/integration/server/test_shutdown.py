"""How a server ends: in good order on a signal, and with one clear line where it cannot begin."""

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
from pathlib import Path

import pytest
from websockets.sync.client import connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import CloseCode, decode
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.database_files import history_rows
from tests.helpers.server_files import server_file_path, server_files_in
from tests.helpers.server_process import Server, clean_environ
from tests.integration.conftest import Serve


class Poster(threading.Thread):
    """Reports one event after the other until nobody answers any more."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.refusals: list[int] = []
        self.begun = threading.Event()
        self._port = server.port
        self._name = name

    def run(self) -> None:
        """Post; only what was answered with 200 counts."""
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
                    self.begun.set()
                else:
                    self.refusals.append(response.status)
        except (OSError, http.client.HTTPException):
            # The server is gone.
            return
        finally:
            connection.close()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(serve: Serve, sign: signal.Signals) -> None:
    """What was taken is committed and told, dashboards get 1001, and nothing is left behind.

    A second signal on its heels does not cut that short.
    """
    server = serve()
    (announced,) = server_files_in(server.home)
    assert json.loads(announced.read_text())["url"] == server.url
    posters = [Poster(server, f"poster-{n}") for n in range(4)]
    mirror = Mirror()
    with connect(server.ws("/ws/broadcasts"), max_queue=None) as dashboard:
        for poster in posters:
            poster.start()
        for poster in posters:
            assert poster.begun.wait(15)
        assert server.process is not None
        server.process.send_signal(sign)
        server.process.send_signal(sign)
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
    assert mirror.seq == stored[-1][0], "a commit was not told"
    assert not announced.exists()
    assert not Path(f"{server.db}-wal").exists()


def test_a_dashboard_that_does_not_read_does_not_hold_it_up(serve: Serve) -> None:
    """It is given a moment, then the connection is cut."""
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


def test_each_server_has_an_announcement_of_its_own(serve: Serve) -> None:
    """Of two servers of one user both are announced, and the one after the end of the other.

    What a server left that was killed goes with the start of the next one.
    """
    home = serve().home
    for server in (serve(home=home), serve(home=home)):
        announced = server_file_path(home, server.pid)
        assert oct(announced.stat().st_mode & 0o777) == "0o600"
        assert json.loads(announced.read_text()) == {
            "url": server.url,
            "token": "",
            "db": str(server.db),
            "pid": server.pid,
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
    ("spoil", "says"),
    [
        (_newer, "has schema version 999, this program knows up to"),
        (_foreign, "is a database of another program"),
        (_garbage, "is not a valid database"),
        (_folder, "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_and_status_2(
    tmp_path: Path, spoil: object, says: str
) -> None:
    """On stderr, with the file's name, and the port is free again."""
    spoil(tmp_path)  # type: ignore[operator]
    done = run_serve(tmp_path, "--port", "0", "--db", str(tmp_path / "h.db"))
    assert_one_line(done, says)
    assert str(tmp_path / "h.db") in done.stderr
    assert server_files_in(tmp_path) == []


def test_a_port_in_use_is_one_line_and_status_2(tmp_path: Path, server: Server) -> None:
    """It names the port and what to type; the database is not even made."""
    done = run_serve(tmp_path, "--port", str(server.port))
    assert_one_line(done, f"cannot listen on 127.0.0.1:{server.port}")
    assert "--port" in done.stderr
    assert not (tmp_path / "htmlgraph.db").exists()


def run_serve(home: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "htmlgraph_server.cli", "serve", *flags],
        env=clean_environ(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    """Fail unless the process said just this and returned 2."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("htmlgraph-nb: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")


def test_an_unwritable_folder_is_one_line_and_status_2(tmp_path: Path) -> None:
    """Where a file lies in the place of the folder."""
    (tmp_path / "file").touch()
    done = run_serve(tmp_path, "--port", "0", "--db", os.path.join(tmp_path, "file", "h.db"))
    assert_one_line(done, "cannot create the folder")
