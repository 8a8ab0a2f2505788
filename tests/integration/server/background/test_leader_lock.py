"""Several servers on one file: all show the same, one does what only one may do."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import decode
from htmlgraph_server.background.leader_lock import LeaderLock
from tests.helpers.jupyter_server import running_jupyter_server
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until


class Dashboard:
    """Follows a server in a thread and keeps what it shows."""

    def __init__(self, connection: ClientConnection) -> None:
        self.mirror = Mirror()
        self.connection = connection
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while True:
                self.mirror.fold(decode(self.connection.recv()))
        except ConnectionClosed:
            return

    def join(self) -> None:
        """Wait for the end of its thread, which ends with the connection."""
        self._thread.join()

    @property
    def shown(self) -> tuple[str, dict[str, Any]]:
        """Its position, and every agent as it is shown."""
        agents = dict(self.mirror.agents)
        return str(self.mirror.cursor), {name: one.to_dict() for name, one in agents.items()}


@contextmanager
def dashboards(*servers: Server) -> Iterator[list[Dashboard]]:
    """Follow each of these servers."""
    with ExitStack() as stack:
        shows = []
        for server in servers:
            connection = connect(server.ws("/ws/broadcasts"), max_queue=None)
            show = Dashboard(stack.enter_context(connection))
            stack.callback(show.join)
            stack.callback(show.connection.close)
            shows.append(show)
        yield shows


def owner_of(server: Server) -> int | None:
    """Return whom a server knows as the owner; None: nobody, as between two of them."""
    found: int | None = server.get("/api/status").json()["database"]["owner_pid"]
    return found


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The file that they share."""
    return tmp_path / "shared.db"


def test_two_servers_show_the_same_and_one_owns_the_timers(tmp_path: Path, db: Path) -> None:
    """Jupyter's and a standalone one; the other takes over when the owner is killed."""
    short = {"HTMLGRAPH_IDLE_TIMEOUT": "0.5", "HTMLGRAPH_DB": str(db)}
    never = {"HTMLGRAPH_IDLE_TIMEOUT": "0", "HTMLGRAPH_DB": str(db)}
    with running_jupyter_server(tmp_path / "a", environ=never, db=db) as jupyter:
        jupyter.send("first")
        wait_until(lambda: owner_of(jupyter) == jupyter.pid, "the first owner")
        with (
            running(tmp_path / "b", "--db", str(db), environ=short) as other,
            dashboards(jupyter, other) as shows,
        ):
            for n in range(20):
                (jupyter, other)[n % 2].send(f"agent-{n % 5}", cost_tokens=n)
            wait_until(
                lambda: shows[0].shown == shows[1].shown and len(shows[0].mirror.agents) == 6,
                "one state",
            )
            assert owner_of(jupyter) == owner_of(other) == jupyter.pid
            # The owner's timers count: nobody is idle, however long it was silent.
            other.send("late")
            assert {one["status"] for one in jupyter.presence().values()} == {"active"}

            jupyter.kill()
            wait_until(lambda: owner_of(other) == other.pid, "the next owner")
            wait_until(
                lambda: {one["status"] for one in other.presence().values()} == {"idle"},
                "its timers",
            )
            assert len(shows[1].mirror.agents) == 7
    with closing(sqlite3.connect(db)) as history:
        idle = history.execute(
            "SELECT count(*) FROM events JOIN names ON names.id = events.type WHERE name = 'idle'"
        )
        assert idle.fetchone() == (7,)


def test_a_server_that_comes_back_follows_the_one_that_took_over(tmp_path: Path, db: Path) -> None:
    """Who owns the file keeps it; a dashboard of the newcomer is equal at once."""
    with running(tmp_path / "a", "--db", str(db)) as first:
        first.send("ada")
        wait_until(lambda: owner_of(first) == first.pid, "the owner")
        with running_jupyter_server(tmp_path / "b", db=db) as second:
            assert list(second.presence()) == ["ada"]
            assert owner_of(second) == first.pid
            first.stop()
            wait_until(lambda: owner_of(second) == second.pid, "the next owner")
            with (
                running(tmp_path / "a", "--db", str(db)) as back,
                dashboards(second, back) as shows,
            ):
                back.send("bob")
                wait_until(lambda: "bob" in shows[0].shown[1], "what the other took")
                wait_until(lambda: shows[0].shown == shows[1].shown, "one state")
                assert owner_of(back) == second.pid


HOLD = """
import sys
from htmlgraph_server.background.leader_lock import Ownership
claim = Ownership(sys.argv[1])
print(claim.held(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(db: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"True\n"
    with process:
        yield process
        process.kill()


def test_a_lock_ends_with_its_process(db: Path, holder: subprocess.Popen[bytes]) -> None:
    """While it lives nobody else is the owner, by whatever name the file is called."""
    link = db.with_name("link.db")
    db.touch()
    link.symlink_to(db)
    claims = [LeaderLock(str(db)), LeaderLock(str(link))]
    assert [claim.held() for claim in claims] == [False, False]
    assert {claim.pid() for claim in claims} == {holder.pid}
    holder.kill()
    holder.wait()
    assert [claim.held() for claim in claims] == [True, False]
    assert [claim.pid() for claim in claims] == [os.getpid()] * 2
    claims[0].release()
    assert claims[1].held()
    claims[1].release()


def test_a_removed_lock_file_makes_no_second_owner(db: Path) -> None:
    """Who held the old file competes for the new one."""
    first, second = LeaderLock(str(db)), LeaderLock(str(db))
    assert first.held()
    os.unlink(f"{db}-owner")
    assert second.held()
    assert not first.held()
    second.release()
    assert first.held()
    first.release()


def test_a_fork_does_not_keep_the_lock(db: Path) -> None:
    """A child that lives longer than the owner is not the owner."""
    claim = LeaderLock(str(db))
    assert claim.held()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    claim.release()
    other = LeaderLock(str(db))
    # The child closes its copy as soon as it runs.
    wait_until(other.held, "the lock")
    os.write(writing, b"x")
    os.waitpid(child, 0)
    other.release()
    for descriptor in (reading, writing):
        os.close(descriptor)
