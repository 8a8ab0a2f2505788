"""Dashboards that change between two servers with one database."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.client import ClientConnection, connect

from htmlgraph_nb.core.mirror import Mirror
from htmlgraph_nb.core.protocol import decode
from htmlgraph_nb.presence import PresenceManager
from tests.helpers.server_process import Server
from tests.integration.conftest import Serve

N_HOPS = 25


@pytest.fixture
def servers(serve: Serve) -> tuple[Server, Server]:
    """Return two servers with one file."""
    first = serve("--watch", "off")
    return first, serve("--watch", "off", "--db", str(first.db), home=first.home)


class Dashboard:
    """A dashboard that keeps its mirror when it connects to another server."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.seqs: defaultdict[str, int] = defaultdict(int)
        self.backwards: list[tuple[str, int, int]] = []
        self.full_states = 0

    def connect(self, server: Server) -> ClientConnection:
        """Connect, from the cursor on if there is one."""
        since = f"?since={self.mirror.cursor}" if self.mirror.cursor else ""
        # It does not read what is sent while it leaves.
        return connect(server.ws(f"/ws/broadcasts{since}"), close_timeout=0.1)

    def receive(self, socket: ClientConnection) -> None:
        """Apply one message."""
        message = decode(socket.recv(15))
        self.full_states += message["type"] == "presence_state" and message["full"]
        before = self.mirror.seq
        for name in self.mirror.apply(message):
            agent = self.mirror.agents.get(name)
            if agent is not None:
                if agent.seq < self.seqs[name]:
                    self.backwards.append((name, self.seqs[name], agent.seq))
                self.seqs[name] = agent.seq
        if self.mirror.seq < before:
            self.backwards.append(("", before, self.mirror.seq))


def test_resume_at_server_that_has_read_less(servers: tuple[Server, Server]) -> None:
    """It first reads what the dashboard has seen, then sends what came after that."""
    dashboard = Dashboard()
    for n in range(N_HOPS):
        here, there = servers[n % 2], servers[(n + 1) % 2]
        with dashboard.connect(here) as socket:
            dashboard.receive(socket)
            response = here.post("/api/events", {"agent_id": "a", "event_type": "prompt"})
            seq = int(response.json()["cursor"].partition(":")[2])
            while dashboard.mirror.seq < seq:
                dashboard.receive(socket)
        with dashboard.connect(there) as socket:
            dashboard.receive(socket)
    assert dashboard.backwards == []
    assert dashboard.full_states == 1, "the first one"


@contextmanager
def sent_to(servers: tuple[Server, Server]) -> Iterator[None]:
    """Send events to both servers."""
    done = threading.Event()

    def send(server: Server) -> None:
        n = 0
        while not done.wait(0.01):
            n += 1
            events = [{"agent_id": f"a{(n + k) % 20}", "event_type": "prompt"} for k in range(10)]
            assert server.post("/api/events", events).status == 200

    threads = [threading.Thread(target=send, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join(30)


def test_resume_under_load_never_goes_backwards(servers: tuple[Server, Server]) -> None:
    """Dashboards that hop while both servers get events end with the state of the file."""
    dashboards = [Dashboard() for _ in range(3)]
    with sent_to(servers):
        for n in range(N_HOPS // 2):
            for k, dashboard in enumerate(dashboards):
                with dashboard.connect(servers[(n + k) % 2]) as socket:
                    for _ in range(3 + n % 4):
                        dashboard.receive(socket)
    assert [dashboard.backwards for dashboard in dashboards] == [[], [], []]
    assert [dashboard.full_states for dashboard in dashboards] == [1, 1, 1]
    with PresenceManager(str(servers[0].db)) as manager:
        stored = {name: agent.seq for name, agent in manager.agents.items()}
    for k, dashboard in enumerate(dashboards):
        with dashboard.connect(servers[k % 2]) as socket:
            while {a.agent_id: a.seq for a in dashboard.mirror.agents.values()} != stored:
                dashboard.receive(socket)
        assert dashboard.backwards == []
