"""Servers that share one PostgreSQL: real processes, dashboards that change the server, faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import decode
from htmlgraph_nb.errors import StoreError
from htmlgraph_server.access.space_files import space_db
from tests.helpers.database_files import history_rows, query_rows
from tests.helpers.postgres import PASSWORD, PostgresServer, make_server
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

FLAGS = (
    "--no-watch",
    "--backfill",
    "0",
    "--idle-timeout",
    "0",
    "--offline-timeout",
    "0",
    "--forget-after",
    "0",
)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of PostgreSQL that the test may kill."""
    server = make_server()
    yield server
    server.stop()


def start_servers(serve: Serve, url: str, number: int) -> list[Server]:
    """Start servers on one database, each with a folder of its own."""
    return [serve("--db", url, *FLAGS) for _ in range(number)]


@dataclass
class Dashboard:
    """A dashboard that resumes with its cursor at any server."""

    mirror: Mirror = field(default_factory=Mirror)
    seqs: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    fulls: int = 0

    def follow(self, server: Server, until: threading.Event) -> None:
        """Receive messages until the event is set or the connection ends."""
        cursor = self.mirror.cursor
        query = "" if cursor is None else f"?since={cursor}"
        try:
            with connect(server.ws(f"/ws/broadcasts{query}"), max_size=None) as socket:
                while not until.is_set():
                    try:
                        text = socket.recv(timeout=0.05)
                    except TimeoutError:
                        continue
                    self._take(str(text))
        except (ConnectionClosed, OSError):
            return

    def _take(self, text: str) -> None:
        message = decode(text)
        if message["type"] == "server_info":
            if (database := message.get("database")) is not None:
                self.problems.append(database["error"])
            return
        if message["type"] == "presence_state" and message.get("full"):
            self.fulls += 1
        self.mirror.apply(message)
        if self.mirror.cursor is not None:
            self.seqs.append(self.mirror.cursor.seq)


@dataclass
class Sender:
    """Sends events with ids, and repeats each until a server has acknowledged it."""

    servers: list[Server]
    name: str
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    slowest_s: float = 0.0

    def run(self, until: threading.Event) -> None:
        """Send until the event is set; the last event is acknowledged."""
        number = 0
        while not until.is_set():
            event_id = f"{self.name}-{number}"
            event = {
                "agent_id": f"agent-{number % 7}",
                "event_type": "tool_execute",
                "event_id": event_id,
            }
            started, turn = time.monotonic(), number
            while True:
                server = self.servers[turn % len(self.servers)]
                turn += 1
                try:
                    response = server.post("/api/events", [event])
                except (OSError, ValueError, Exception):
                    self.refused += 1
                    continue
                if response.status == 200:
                    break
                assert response.status == 503, response.text
                self.refused += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.acknowledged.append(event_id)
            number += 1


def run_all(works: list[Any], during: Any) -> None:
    """Run works in threads while ``during`` runs, then end them."""
    until = threading.Event()
    threads = [threading.Thread(target=work, args=(until,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        during()
    finally:
        until.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def check_stored(url: str, senders: list[Sender], servers: list[Server]) -> None:
    """Check that each acknowledged event is stored once and that all servers show the same."""
    stored = [row[0] for row in history_rows(url, "event_id") if row[0] is not None]
    acknowledged = [name for sender in senders for name in sender.acknowledged]
    assert len(stored) == len(set(stored)), "an event is stored twice"
    assert set(acknowledged) <= set(stored)
    seqs = [row[0] for row in history_rows(url)]
    assert seqs == list(range(1, len(seqs) + 1))
    n_events = sum(name is not None for name in stored)

    def agree() -> bool:
        states = [server.get("/api/presence").json() for server in servers]
        totals = [
            {agent["agent_id"]: agent["total_tools_executed"] for agent in state["agents"]}
            for state in states
        ]
        return all(t == totals[0] for t in totals) and sum(totals[0].values()) == n_events

    wait_until(agree, "equal servers")


def test_servers_share_their_state(serve: Serve, postgres: PostgresServer) -> None:
    """An event at one server is at the dashboards of the other; one of them is the leader."""
    url = postgres.new_url()
    first, second = servers = start_servers(serve, url, 2)
    dashboard = Dashboard()

    def hop() -> None:
        for number, server in enumerate((first, second, first)):
            first.send("a", event_id=f"e{number}")
            n_seqs = 3 if number else 1
            until = threading.Event()
            thread = threading.Thread(target=dashboard.follow, args=(server, until))
            thread.start()
            second.send("b", event_id=f"f{number}")
            wait_until(
                lambda n=number: (
                    dashboard.mirror.cursor is not None
                    and dashboard.mirror.cursor.seq >= 2 * (n + 1)
                ),
                f"the events, {n_seqs}",
            )
            until.set()
            thread.join()

    hop()
    assert dashboard.seqs == sorted(dashboard.seqs)
    assert dashboard.fulls == 1, "a cursor of one server resumes at another"
    statuses = [server.get("/api/status").json() for server in servers]
    wait_until(
        lambda: (
            sum(
                server.get("/api/status").json()["database"]["owner_pid"] == server.pid
                for server in servers
            )
            == 1
        ),
        "one leader",
    )
    for status in statuses:
        assert status["database"]["error"] is None
        assert status["database"]["path"].startswith("postgresql://postgres@127.0.0.1")
    texts = [first.log(), second.log(), *map(str, statuses)]
    texts += [path.read_text(errors="replace") for path in first.home.rglob("*.json")]
    assert not any(PASSWORD in text for text in texts)


def test_servers_answer_history(serve: Serve, postgres: PostgresServer, tmp_path: Path) -> None:
    """Each format of each route is as from SQLite."""
    shared, plain = serve("--db", postgres.new_url(), *FLAGS), serve(*FLAGS)
    events = [
        {
            "agent_id": f"claude-{n % 3}",
            "event_type": ("prompt", "tool_execute", "completion", "tool_error")[n % 4],
            "tool_name": None if n % 4 == 0 else '=Bash "x", y',
            "timestamp": f"2025-01-14T10:{n // 60:02}:{n % 60:02}.{n:06}Z",
            "cost_usd": n / 7 if n % 4 == 2 else None,
            "input_tokens": n,
            "extra": {"n": n, "text": "ä\u2028"},
            "event_id": f"e{n}",
            "session_id": "s",
            "user": "ann",
        }
        for n in range(1_500)
    ]
    for server in (shared, plain):
        assert server.post("/api/events", events).status == 200
    for query in ("", "?order=desc&limit=7", "?agent=claude-1&columns=seq,extra,cost_usd,user"):
        one, two = (s.get(f"/api/history{query}").json() for s in (shared, plain))
        assert one["events"] == two["events"]
        assert one["more"] == two["more"]
    for query in ("format=ndjson", "format=ndjson&tool=nothing"):
        one, two = (s.get(f"/api/history?{query}").text.split("\n")[:-1] for s in (shared, plain))
        assert list(map(json.loads, one)) == list(map(json.loads, two))
    csvs = [
        s.get("/api/history?format=csv&columns=seq,timestamp,tool_name,extra")
        for s in (shared, plain)
    ]
    assert csvs[0].text == csvs[1].text
    arrows = [s.get("/api/history?format=arrow").body for s in (shared, plain)]
    assert len(arrows[0]) == len(arrows[1])
    for path in ("/api/activity", "/api/quotas", "/api/alerts", "/api/presence", "/metrics"):
        assert shared.get(path).status == 200, path
    costs = [
        s.get("/api/costs?by=agent_id&since=2025-01-01T00:00:00Z").json() for s in (shared, plain)
    ]
    for cost in costs:
        assert cost["groups"]
        cost.pop("cursor")
        cost.pop("at")
    assert costs[0] == costs[1]
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    children = [line for line in listing.stdout.splitlines() if "htmlgraph_server.history" in line]
    assert not any(PASSWORD in line for line in children)


@pytest.mark.parametrize("fault", ["kill", "stop", "restart"])
def test_servers_survive_a_fault_of_one(
    serve: Serve, own_postgres: PostgresServer, fault: str
) -> None:
    """Nothing acknowledged is lost or stored twice, and the others go on."""
    url = own_postgres.new_url()
    servers = start_servers(serve, url, 3)
    senders = [Sender(servers[1:], f"sender{n}") for n in range(2)]
    dashboard = Dashboard()

    def hop(until: threading.Event) -> None:
        turn = 1
        while not until.is_set():
            end = threading.Event()
            timer = threading.Timer(0.3, end.set)
            timer.start()
            dashboard.follow(servers[1 + turn % 2], end)
            timer.cancel()
            turn += 1

    def during() -> None:
        wait_until(lambda: min(len(s.acknowledged) for s in senders) > 5, "a start", 60)
        if fault == "kill":
            servers[0].kill()
        elif fault == "stop":
            os.kill(servers[0].pid, signal.SIGSTOP)
        else:
            servers[0].stop()
            servers[0].start()
        counts = [len(s.acknowledged) for s in senders]
        wait_until(
            lambda: all(len(s.acknowledged) > n + 10 for s, n in zip(senders, counts, strict=True)),
            "the others",
            60,
        )
        if fault == "stop":
            os.kill(servers[0].pid, signal.SIGCONT)

    run_all([*(sender.run for sender in senders), hop], during)
    check_stored(url, senders, servers[1:] if fault == "kill" else servers)
    assert dashboard.seqs == sorted(dashboard.seqs), "a dashboard went backwards"


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_servers_survive_a_fault_of_the_database(
    serve: Serve, own_postgres: PostgresServer, fault: str
) -> None:
    """Requests get 503 meanwhile, dashboards stay connected and learn that the state is stale."""
    url = own_postgres.new_url()
    servers = start_servers(serve, url, 2)
    senders = [Sender(servers, f"sender{n}") for n in range(2)]
    dashboards = [Dashboard() for _ in servers]
    follows = [
        lambda until, d=d, s=s: d.follow(s, until) for d, s in zip(dashboards, servers, strict=True)
    ]

    def during() -> None:
        wait_until(lambda: min(len(s.acknowledged) for s in senders) > 5, "a start", 60)
        if fault == "kill":
            own_postgres.kill()
            wait_until(lambda: all(d.problems for d in dashboards), "the message")
            status = servers[0].get("/api/status").json()
            assert status["database"]["error"]
            response = servers[0].post("/api/events", {"agent_id": "x", "event_type": "prompt"})
            assert (response.status, "retry-after" in response.headers) == (503, True)
            own_postgres.start()
        else:
            own_postgres.pause()
            time.sleep(1)
            own_postgres.resume()
        counts = [len(s.acknowledged) for s in senders]
        wait_until(
            lambda: all(len(s.acknowledged) > n + 5 for s, n in zip(senders, counts, strict=True)),
            "further events",
            60,
        )

    run_all([*(sender.run for sender in senders), *follows], during)
    check_stored(url, senders, servers)
    for dashboard in dashboards:
        assert dashboard.fulls == 1
        assert dashboard.seqs == sorted(dashboard.seqs)
    wait_until(
        lambda: all(s.get("/api/status").json()["database"]["error"] is None for s in servers),
        "no problem",
    )


def test_servers_show_the_history_of_a_promoted_standby(
    serve: Serve, own_postgres: PostgresServer
) -> None:
    """It lacks the last commits: dashboards get the full state under another epoch."""
    standby = PostgresServer(Path(tempfile.mkdtemp(prefix="htmlgraph-standby-")), own_postgres)
    try:
        own = own_postgres.new_url()
        both = own.replace(
            f":{own_postgres.port}/", f":{own_postgres.port},127.0.0.1:{standby.port}/"
        )
        (server,) = start_servers(serve, both, 1)
        dashboard, until = Dashboard(), threading.Event()
        thread = threading.Thread(target=dashboard.follow, args=(server, until))
        thread.start()
        server.send("kept")
        standby.start()
        wait_until(lambda: _is_replayed(standby, own), "the replication")
        standby.stop_process()
        server.send("lost")
        wait_until(lambda: "lost" in dashboard.mirror.agents, "the agent")
        own_postgres.kill()
        standby.start()
        standby.promote()
        wait_until(lambda: "lost" not in dashboard.mirror.agents, "the history of the standby")
        assert dashboard.mirror.agents.keys() == {"kept"}
        assert dashboard.fulls == 2
        assert server.get("/api/presence").json()["agents"][0]["agent_id"] == "kept"
        wait_until(lambda: _accepts(server), "the new primary")
        wait_until(lambda: "next" in dashboard.mirror.agents, "further events")
        until.set()
        thread.join()
    finally:
        standby.stop()


def _is_replayed(standby: PostgresServer, url: str) -> bool:
    own = standby.admin_url + "?" + url.partition("?")[2]
    try:
        return query_rows(own, "SELECT agent_id FROM agent_presence") == [("kept",)]
    except StoreError:
        return False


def _accepts(server: Server) -> bool:
    event = {"agent_id": "next", "event_type": "prompt"}
    return server.post("/api/events", event).status == 200


def test_space_names_of_teams_are_schemas_of_their_own() -> None:
    """Also those that are no name of a schema, or too long for one."""
    url = "postgresql://host/db?schema=own"
    names = ["a-b", "a.b", "a_b", "x" * 64, "x" * 63 + "y"]
    locations = [space_db(url, name) for name in names]
    assert locations[0] == "postgresql://host/db?schema=own_a-b"
    assert len(set(locations)) == len(names)
    assert space_db(url, "default") == url
