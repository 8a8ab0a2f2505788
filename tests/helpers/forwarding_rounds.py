"""Faults of two servers under load, of which one forwards to the other, and the count of events."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import htmlgraph_nb as hg
from tests.helpers.forwarding import TOKEN, centre_of, compare_history, edge_of, wait_forwarded
from tests.helpers.server_process import Server
from tests.helpers.tcp_relay import TcpRelay, relay_to
from tests.helpers.wait import wait_until

FAULTS = ("edge", "connection", "centre")
AGENTS = 20
_PROBE = "probe"


class Load:
    """A thread that posts events to a server, and repeats those with an unknown outcome by id.

    Attributes:
        acknowledged: ids of the events that the server has acknowledged.
        n_unnamed: number of acknowledged events without an id.
        sent: title of the probe's event → when it was sent, in monotonic seconds.
    """

    def __init__(self, server: Server, interval_s: float) -> None:
        self.acknowledged: list[str] = []
        self.n_unnamed = 0
        self.sent: dict[str, float] = {}
        self._server = server
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        n = 0
        while not self._stop.wait(self._interval_s):
            n += 1
            ids = [f"{id(self)}-{n}-{k}" for k in range(8)]
            events = [self._event(event_id, k) for k, event_id in enumerate(ids)]
            while not self._post(events):
                if self._stop.wait(0.05):
                    return
            self.acknowledged += ids
            title = f"n{n}"
            self.sent[title] = time.monotonic()
            if self._post([{"agent_id": _PROBE, "event_type": "prompt", "title": title}]):
                self.n_unnamed += 1

    def _event(self, event_id: str, k: int) -> dict[str, object]:
        kinds = ("tool_start", "tool_result", "completion", "prompt")
        name = f"agent-{hash(event_id) % AGENTS}"
        event = {"agent_id": name, "event_type": kinds[k % 4], "event_id": event_id, "title": "T"}
        if k % 4 < 2:
            return {**event, "tool_name": "Bash", "tool_use_id": event_id[:-1]}
        return {**event, "input_tokens": k, "cost_usd": 0.5} if k % 4 == 2 else event

    def _post(self, events: list[dict[str, object]]) -> bool:
        try:
            return self._server.post("/api/events", events).status == 200
        except (OSError, http.client.HTTPException):
            return False


class ForwardingRounds:
    """An edge, a centre, and a relay between them.

    Args:
        folder: for both databases.
    """

    def __init__(self, folder: Path, relay: TcpRelay, centre: Server) -> None:
        self.relay, self.centre = relay, centre
        self.edge = edge_of(folder, relay.url).start()
        self.load: Load | None = None
        self.latencies: list[float] = []
        self.n_events = 0
        self._client = self._dashboard()

    def _dashboard(self) -> hg.PresenceClient:
        client = hg.PresenceClient(self.centre.url, token=TOKEN)
        client.on_change(self._measure)
        return client.start()

    def _measure(self, changed: set[str], agents: dict[str, hg.AgentPresence]) -> None:
        load, probe = self.load, agents.get(_PROBE)
        if _PROBE in changed and load is not None and probe is not None:
            sent = load.sent.get(probe.title or "")
            if sent is not None:
                self.latencies.append(time.monotonic() - sent)

    def run(self, fault: str, interval_s: float = 0.03, n_posts: int = 30) -> None:
        """Make one fault under load, and check that nothing is missing or counted twice."""
        with Load(self.edge, interval_s) as load:
            self.load = load
            self._reach(load, n_posts)
            self._strike(fault)
            self._reach(load, 2 * n_posts)
        wait_forwarded(self.edge)
        self.check(load.acknowledged)

    def _reach(self, load: Load, n_posts: int) -> None:
        wait_until(lambda: load.n_unnamed >= n_posts, "the load goes on", 120)

    def _strike(self, fault: str) -> None:
        if fault == "edge":
            self.edge.kill()
            self.edge.start()
        elif fault == "connection":
            self.relay.is_open = False
            self.relay.cut()
            wait_until(lambda: self._state() == "reconnecting", "the edge notices")
            self.relay.is_open = True
        elif fault == "centre":
            self.centre.kill()
            self.centre.start()
            self.relay.target = self.centre.port
            self._client.close()
            self._client = self._dashboard()

    def _state(self) -> str:
        return str(self.edge.get("/api/status").json()["forwarding"]["state"])

    def check(self, acknowledged: list[str]) -> None:
        """Compare both databases, and a dashboard of the centre with its server."""
        self.n_events = compare_history(self.edge, self.centre)
        stored = set(hg.load_history(str(self.centre.db), columns=["event_id"])["event_id"])
        assert set(acknowledged) - stored == set()

        def is_equal() -> bool:
            shown = {name: each.to_dict() for name, each in self._client.agents.items()}
            return shown == self.centre.presence()

        wait_until(is_equal, "the dashboard shows what the centre has")

    def close(self) -> None:
        """Stop everything."""
        self._client.close()
        self.edge.stop()
        self.centre.stop()


@contextmanager
def forwarding_rounds(folder: Path) -> Iterator[ForwardingRounds]:
    """Run an edge and a centre."""
    centre = centre_of(folder).start()
    with relay_to(centre.port) as relay:
        rounds = ForwardingRounds(folder, relay, centre)
        try:
            yield rounds
        finally:
            rounds.close()
