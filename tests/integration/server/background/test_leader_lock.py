"""Several servers on one database: all show the same state, one is the leader."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
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
    """Follows a server in a thread and mirrors its state."""

    def __init__(self, connection: ClientConnection) -> None:
        self.mirror = Mirror()
        self.connection = connection
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while True:
                self.mirror.apply(decode(self.connection.recv()))
        except ConnectionClosed:
            return

    def join(self) -> None:
        """Wait for the thread, which ends when the connection closes."""
        self._thread.join()

    @property
    def shown(self) -> tuple[str, dict[str, Any]]:
        """The cursor, and every agent's presence by id."""
        agents = dict(self.mirror.agents)
        return str(self.mirror.cursor), {name: agent.to_dict() for name, agent in agents.items()}


@contextmanager
def dashboards(*servers: Server) -> Iterator[list[Dashboard]]:
    """Follow each of these servers with a dashboard."""
    with ExitStack() as stack:
        opened = []
        for server in servers:
            connection = connect(server.ws("/ws/broadcasts"), max_queue=None)
            dashboard = Dashboard(stack.enter_context(connection))
            stack.callback(dashboard.join)
            stack.callback(dashboard.connection.close)
            opened.append(dashboard)
        yield opened


def leader_of(server: Server) -> int | None:
    """Return the leader's process id as a server reports it; None between two leaders."""
    pid: int | None = server.get("/api/status").json()["database"]["owner_pid"]
    return pid


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The shared database."""
    return tmp_path / "shared.db"


def test_leader_runs_the_timers_and_is_replaced_when_killed(tmp_path: Path, db: Path) -> None:
    """A Jupyter and a standalone server show the same state; only the leader's timeouts apply."""
    short = {"HTMLGRAPH_IDLE_TIMEOUT": "0.5", "HTMLGRAPH_DB": str(db)}
    never = {"HTMLGRAPH_IDLE_TIMEOUT": "0", "HTMLGRAPH_DB": str(db)}
    with running_jupyter_server(tmp_path / "a", environ=never, db=db) as jupyter:
        jupyter.send("first")
        wait_until(lambda: leader_of(jupyter) == jupyter.pid, "the first leader")
        with (
            running(tmp_path / "b", "--db", str(db), environ=short) as other,
            dashboards(jupyter, other) as followers,
        ):
            for n in range(20):
                (jupyter, other)[n % 2].send(f"agent-{n % 5}", cost_tokens=n)
            wait_until(
                lambda: (
                    followers[0].shown == followers[1].shown
                    and len(followers[0].mirror.agents) == 6
                ),
                "one state",
            )
            assert leader_of(jupyter) == leader_of(other) == jupyter.pid
            # The leader has no idle timeout, so no agent becomes idle.
            other.send("late")
            assert {agent["status"] for agent in jupyter.presence().values()} == {"active"}

            jupyter.kill()
            wait_until(lambda: leader_of(other) == other.pid, "the next leader")
            wait_until(
                lambda: {agent["status"] for agent in other.presence().values()} == {"idle"},
                "the timers of the new leader",
            )
            assert len(followers[1].mirror.agents) == 7
    with closing(sqlite3.connect(db)) as history:
        idle = history.execute(
            "SELECT count(*) FROM events JOIN names ON names.id = events.type WHERE name = 'idle'"
        )
        assert idle.fetchone() == (7,)


def test_restarted_server_does_not_take_leadership_back(tmp_path: Path, db: Path) -> None:
    """The current leader stays leader; a dashboard of the restarted server shows its state."""
    with running(tmp_path / "a", "--db", str(db)) as first:
        first.send("ada")
        wait_until(lambda: leader_of(first) == first.pid, "the leader")
        with running_jupyter_server(tmp_path / "b", db=db) as second:
            assert list(second.presence()) == ["ada"]
            assert leader_of(second) == first.pid
            first.stop()
            wait_until(lambda: leader_of(second) == second.pid, "the next leader")
            with (
                running(tmp_path / "a", "--db", str(db)) as back,
                dashboards(second, back) as followers,
            ):
                back.send("bob")
                wait_until(lambda: "bob" in followers[0].shown[1], "the event of the other server")
                wait_until(lambda: followers[0].shown == followers[1].shown, "one state")
                assert leader_of(back) == second.pid


_HOLD_LOCK = """
import sys
from htmlgraph_server.background.leader_lock import LeaderLock
lock = LeaderLock(sys.argv[1])
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(db: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"True\n"
    with process:
        yield process
        process.kill()


def test_leader_lock_is_free_after_its_process_is_killed(
    db: Path, holder: subprocess.Popen[bytes]
) -> None:
    """Until then nobody else gets it, by whatever name the file is called."""
    link = db.with_name("link.db")
    db.touch()
    link.symlink_to(db)
    locks = [LeaderLock(str(db)), LeaderLock(str(link))]
    assert [lock.acquire() for lock in locks] == [False, False]
    assert {lock.leader_pid() for lock in locks} == {holder.pid}
    holder.kill()
    holder.wait()
    assert [lock.acquire() for lock in locks] == [True, False]
    assert [lock.leader_pid() for lock in locks] == [os.getpid()] * 2
    locks[0].release()
    assert locks[1].acquire()
    locks[1].release()


def test_leader_lock_survives_removal_of_its_file(db: Path) -> None:
    """The holder of the removed file competes for the new file, so there is one leader."""
    first, second = LeaderLock(str(db)), LeaderLock(str(db))
    assert first.acquire()
    os.unlink(f"{db}-owner")
    assert second.acquire()
    assert not first.acquire()
    second.release()
    assert first.acquire()
    first.release()


def test_leader_lock_is_not_kept_by_a_forked_child(db: Path) -> None:
    """A child that outlives the leader does not block the next one."""
    lock = LeaderLock(str(db))
    assert lock.acquire()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    lock.release()
    other = LeaderLock(str(db))
    # The child closes its copy as soon as it runs.
    wait_until(other.acquire, "the lock")
    os.write(writing, b"x")
    os.waitpid(child, 0)
    other.release()
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_leader_lock_opens_one_descriptor_from_two_threads(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a leaked descriptor would keep the lock after its release."""
    lock, together = LeaderLock(str(db)), threading.Barrier(2)
    opened: list[int] = []
    really_open = os.open

    def slow_open(path: str, flags: int, mode: int) -> int:
        time.sleep(0.05)
        opened.append(really_open(path, flags, mode))
        return opened[-1]

    monkeypatch.setattr(os, "open", slow_open)

    def acquire() -> None:
        together.wait(15)
        lock.acquire()

    threads = [threading.Thread(target=acquire) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lock.release()
    other = LeaderLock(str(db))
    assert other.acquire()
    assert len(opened) == 2
    other.release()
