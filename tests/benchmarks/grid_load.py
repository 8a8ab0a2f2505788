"""Agents whose events come in at a steady rate, some of them waiting, stopping and beginning."""

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
    """Posts ten requests a second, each with events of as many different agents.

    Of a hundred events one asks for permission and two end a turn, so that cards change places;
    the others are tool calls, which also answer what was asked.

    Args:
        url: the server's.
        agents: how many there are.
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

    def introduce(self) -> None:
        """Let all agents be known."""
        for first in range(0, self._agents, _CHUNK):
            self._post(range(first, min(first + _CHUNK, self._agents)), ["tool_execute"])

    def run(self) -> None:
        """Send until :meth:`stop`."""
        kinds = ["permission_request", "stop", "stop"] + 97 * ["tool_execute"]
        begun, n = time.monotonic(), 0
        while not self._done.wait(max(0.0, begun + n / BATCHES_PER_S - time.monotonic())):
            n += 1
            self._post(self._random.sample(range(self._agents), self._batch), kinds)
            self.sent += 1

    def stop(self) -> None:
        """Stop and wait for the last answer."""
        self._done.set()
        self.join()
        self._connection.close()

    def _post(self, agents: Any, kinds: list[str]) -> None:
        self._n += 1
        events = [
            {**event_of(agent, self._n, time.time()), "event_type": self._random.choice(kinds)}
            for agent in agents
        ]
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/api/events", json.dumps(events), headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}: {body[:300]!r}")
