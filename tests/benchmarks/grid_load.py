"""Posts events of many agents at a steady rate; some start to wait, stop or resume."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.poster import event_of

BATCHES_PER_S = 10
_CHUNK = 1_000


class Changes(threading.Thread):
    """Posts ten requests a second, each with one event of many different agents.

    One event in a hundred requests permission and two end a turn, so that cards move. The others
    are tool calls, which also end the wait for a permission.

    Args:
        url: address of the server.
        agents: number of agents.
        rate: events a second.
    """

    def __init__(self, url: str, agents: int, rate: float) -> None:
        super().__init__(name="changes", daemon=True)
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        self._agents = agents
        self._batch = min(agents, round(rate / BATCHES_PER_S))
        self._random = random.Random(1)
        self._n = 0
        self._done = threading.Event()
        self.sent = 0

    def create_agents(self) -> None:
        """Send one event of each agent, so that the server lists all of them."""
        for first in range(0, self._agents, _CHUNK):
            self._post(range(first, min(first + _CHUNK, self._agents)), ["tool_execute"])

    def run(self) -> None:
        """Send until :meth:`stop`."""
        types = ["permission_request", "stop", "stop"] + 97 * ["tool_execute"]
        started, n = time.monotonic(), 0
        while not self._done.wait(max(0.0, started + n / BATCHES_PER_S - time.monotonic())):
            n += 1
            self._post(self._random.sample(range(self._agents), self._batch), types)
            self.sent += 1

    def stop(self) -> None:
        """Stop and wait for the last response."""
        self._done.set()
        self.join()
        self._connection.close()

    def _post(self, agents: Any, types: list[str]) -> None:
        self._n += 1
        events = [
            {**event_of(agent, self._n, time.time()), "event_type": self._random.choice(types)}
            for agent in agents
        ]
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/api/events", json.dumps(events), headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(
                f"POST /api/events: expected 200, got {response.status}: {body[:300]!r}"
            )
