"""Several managers of one file: in one process, in two, and beside a running server."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import decode
from htmlgraph_nb.presence import PresenceManager, Publication
from htmlgraph_nb.storage.roster_sync import RosterSync
from htmlgraph_nb.storage.store import Store
from tests.helpers.database_files import history_rows
from tests.helpers.environ import clean_environ
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

KINDS = ["prompt", "tool_start", "tool_execute", "stop", "forget", "feature_updated"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return the path of a file that does not exist yet."""
    return str(tmp_path / "shared.db")


def test_managers_in_one_process_share_state(database: str) -> None:
    """A write of one manager is durable, visible to the other and has a unique seq."""
    dice = random.Random(3)
    with PresenceManager(database) as first, PresenceManager(database) as second:
        seqs_of: dict[PresenceManager, list[int]] = {first: [], second: []}
        for manager in seqs_of:
            manager.subscribe(
                lambda batch, seqs=seqs_of[manager]: seqs.extend(c.seq for c in batch.changes)
            )
        for n in range(300):
            writer, reader = (first, second) if dice.random() < 0.5 else (second, first)
            name, kind = f"a{dice.randrange(6)}", dice.choice(KINDS)
            written = writer.update_presence(name, {"event_type": kind, "cost_tokens": n})
            if kind == "forget":
                assert reader.get_agent_presence(name) is None
            else:
                assert reader.get_agent_presence(name) == written
                assert written.seq == n + 1
        assert first.agents == second.agents
        assert first.cursor == second.cursor
        for seqs in seqs_of.values():
            assert seqs == sorted(set(seqs)), "changes were published out of order or twice"
            assert seqs[-1] == 300
    assert history_rows(database) == [(seq,) for seq in range(1, 301)]


def test_sync_external_loads_all_changes(path: str) -> None:
    """The last change of each agent and every change of a resource, in order of seq."""
    resource = {"resource_type": "feature", "resource_id": "f1", "payload": {}}
    with PresenceManager(path) as first, PresenceManager(path) as second:
        batches: list[Publication] = []
        second.subscribe(batches.append)
        first.update_presence("a", "prompt")
        first.update_presence("a", {"event_type": "feature_updated", "extra": resource})
        first.update_presence("b", "prompt")
        first.update_presence("gone", "prompt")
        first.update_presence("a", "stop")
        first.update_presence("gone", "forget")
        assert second.sync_external() is True
        assert second.sync_external() is False
        (publication,) = batches
        changes = publication.changes
        assert [(c.seq, c.agent_id) for c in changes] == [(2, "a"), (3, "b"), (5, "a"), (6, "gone")]
        assert [c.event.event_type for c in changes] == [
            "feature_updated",
            "prompt",
            "stop",
            "forget",
        ]
        assert changes[0].event.extra == resource
        assert changes[-1].state is None
        assert second.forgotten_seq == 6
        assert second.snapshot() == first.snapshot()


def test_write_starts_from_external_changes(path: str) -> None:
    """Totals and evidence of an agent that two processes report continue each other."""
    with PresenceManager(path) as first, PresenceManager(path) as second:
        changes: list[tuple[int, str]] = []
        second.subscribe(lambda p: changes.extend((c.seq, c.agent_id) for c in p.changes))
        first.update_presence("a", {"tool_name": "Bash", "cost_tokens": 10})
        first.update_presence("b", "prompt")
        presence = second.update_presence("a", {"tool_name": "Edit", "cost_tokens": 5})
        assert (presence.total_tools_executed, presence.total_cost_tokens) == (2, 15)
        assert changes == [(1, "a"), (2, "b"), (3, "a")]
        assert first.get_agent_presence("a") == presence


_WORK = """
import json, random, sys
from htmlgraph_nb.presence import PresenceManager
path, worker, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dice, seqs = random.Random(worker), []
with PresenceManager(path) as manager:
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(n):
        event = {"event_type": dice.choice(["prompt", "tool_execute", "stop", "forget"]),
                 "event_id": f"{worker}-{k}", "cost_tokens": 1}
        manager.update_presence(f"a{dice.randrange(5)}", event)
        seqs.append(manager.cursor.seq)
    print("done", flush=True)
    sys.stdin.readline()
    agents = {name: one.to_dict() for name, one in manager.agents.items()}
    print(json.dumps([seqs, agents, manager.cursor.seq]))
"""


class Worker:
    """A process with its own manager that waits for a line before each step."""

    def __init__(self, path: str, number: int, n_events: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORK, path, str(number), str(n_events)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read_line(self) -> str:
        """Return the next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def continue_(self) -> None:
        """Let it take the next step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def test_concurrent_processes_end_with_equal_rosters(path: str) -> None:
    """Seqs are unique and without gaps, and all processes have the same state at the end."""
    with ExitStack() as stack, PresenceManager(path) as here:
        workers = [stack.enter_context(Worker(path, number, 250)) for number in range(3)]
        assert [worker.read_line() for worker in workers] == ["ready"] * 3
        published: list[int] = []
        here.subscribe(lambda batch: published.extend(change.seq for change in batch.changes))
        for worker in workers:
            worker.continue_()
        for n in range(250):
            here.update_presence(f"a{n % 5}", {"event_type": "prompt", "event_id": f"here-{n}"})
        assert [worker.read_line() for worker in workers] == ["done"] * 3
        for worker in workers:
            worker.continue_()
        ends = [json.loads(worker.read_line()) for worker in workers]
        agents = {name: agent.to_dict() for name, agent in here.agents.items()}
        assert [end[1] for end in ends] == [agents] * 3
        assert [end[2] for end in ends] == [here.cursor.seq] * 3 == [1_000] * 3
    given = [seq for end in ends for seq in end[0]]
    assert len(given) == len(set(given)) == 750
    assert published == sorted(set(published))
    assert history_rows(path) == [(seq,) for seq in range(1, 1_001)]


class Listener:
    """A dashboard of a server that applies its messages."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.mirror = Mirror()
        self.messages: list[dict[str, Any]] = []

    def receive(self) -> dict[str, Any]:
        """Wait for the next message."""
        message = decode(self.socket.recv(15))
        self.messages.append(message)
        self.mirror.apply(message)
        return message


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data folder of one user."""
    return tmp_path / "home"


@pytest.fixture
def listener(serve: Serve, home: Path) -> Iterator[Listener]:
    """A dashboard of a server that uses the default file of this user."""
    server = serve("--db", str(home / "htmlgraph.db"), home=home)
    with connect(server.ws("/ws/broadcasts")) as socket:
        listener = Listener(socket)
        assert listener.receive()["agents"] == []
        yield listener


COMMAND = (
    "from htmlgraph_nb import SDK; sdk = SDK('demo'); "
    "from htmlgraph_nb.presence import PresenceManager, AgentPresence; pm = PresenceManager(); "
    "pm.update_presence('claude-1', 'tool_execute', None); print('✅ Presence updated')"
)


def test_update_presence_in_script_reaches_dashboard(listener: Listener, home: Path) -> None:
    """A plain script that only sets the data folder, without any network code."""
    environ = {**clean_environ(home), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "{COMMAND}"', sys.executable],
        env=environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.decode(), done.stderr.decode()) == ("✅ Presence updated\n", "")
    assert done.returncode == 0
    message = listener.receive()
    assert (message["type"], message["agent_id"], message["seq"]) == (
        "presence_update",
        "claude-1",
        1,
    )
    presence = listener.mirror.agents["claude-1"]
    assert (presence.status.value, presence.total_tools_executed) == ("active", 1)


def test_script_and_server_share_file(serve: Serve, home: Path) -> None:
    """A dashboard sees both in order of seq and ends with the state of the file."""
    server = serve(home=home)
    with connect(server.ws("/ws/broadcasts")) as socket, PresenceManager(str(server.db)) as script:
        listener = Listener(socket)
        listener.receive()
        for n in range(60):
            script.update_presence(f"s{n % 4}", {"tool_name": "Bash", "cost_tokens": 1})
            server.send(f"h{n % 4}", tool_name="Edit", cost_tokens=1)
            script.ingest([Event(agent_id="both", event_type="tool_execute", cost_tokens=1)])
            server.send("both", cost_tokens=1)
        script.update_presence("h0", "forget")
        while listener.mirror.seq < 241:
            listener.receive()
        seqs = [message["seq"] for message in listener.messages]
        assert seqs == sorted(seqs)
        assert listener.mirror.agents.keys() == script.agents.keys()
        mirrored = {name: agent.to_dict() for name, agent in listener.mirror.agents.items()}
        assert mirrored == {name: agent.to_dict() for name, agent in script.agents.items()}
        assert mirrored["both"]["total_tools_executed"] == 120
        assert server.presence() == mirrored


def test_server_loads_file_of_running_script(serve: Serve, home: Path) -> None:
    """The script continues while the server runs."""
    home.mkdir()
    with PresenceManager(str(home / "test.db")) as script:
        script.update_presence("early", "prompt")
        server = serve(home=home)
        assert server.presence().keys() == {"early"}
        script.update_presence("late", "prompt")
        wait_until(lambda: server.presence().keys() == {"early", "late"}, "the script's change")


def count_versions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows whenever a store asks SQLite for the version of its data."""
    asked: list[int] = []
    original = Store._data_version

    def data_version(store: Store) -> int:
        asked.append(original(store))
        return asked[-1]

    monkeypatch.setattr(Store, "_data_version", data_version)
    return asked


@pytest.mark.skipif(sys.platform == "win32", reason="the index cannot be read beside SQLite")
def test_sync_external_asks_the_database_only_after_a_commit(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs fifty times a second, mostly for nothing."""
    with PresenceManager(path) as first, PresenceManager(path) as second:
        asked = count_versions(monkeypatch)
        for n in range(3):
            first.update_presence("a", "prompt")
            assert second.sync_external()
            assert second.cursor.seq == n + 1
            asked.clear()
            assert [second.sync_external() for _ in range(4)] == [False] * 4
            assert asked == []


def test_sync_external_notices_a_commit_that_leaves_size_and_time_of_the_log(path: str) -> None:
    """A log is reused with the same size, and a commit becomes visible after it was written."""
    with (
        PresenceManager(path) as first,
        PresenceManager(path) as second,
        closing(sqlite3.connect(path)) as db,
    ):
        first.update_presence("a", "prompt")
        assert second.sync_external()
        log = Path(path + "-wal")
        for n in range(2, 6):
            before = log.stat()
            # The next commit writes at the start of the log.
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            first.update_presence("a", "prompt")
            assert log.stat().st_size >= before.st_size
            os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert second.sync_external()
            assert second.cursor.seq == n
            assert not second.sync_external()


def test_sync_external_loads_again_what_a_failed_transaction_had_loaded(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it was kept, though the log is still the same."""
    with PresenceManager(path) as first, PresenceManager(path) as second:
        first.update_presence("a", "prompt")
        with monkeypatch.context() as patch:
            patch.setattr(RosterSync, "flush", fail)
            with pytest.raises(RuntimeError):
                second.update_presence("b", "prompt")
        assert second.sync_external()
        assert set(second.agents) == {"a"}


def fail(*_: object) -> None:
    """Raise."""
    raise RuntimeError("failed")
