"""Kill the server repeatedly under load: no acknowledged event is lost."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from htmlgraph_nb.client.presence_client import PresenceClient
from htmlgraph_nb.core.protocol import Cursor
from tests.helpers.database_files import history_rows
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until
from tests.integration.conftest import Serve

ROUNDS = 20
SENDERS = 2
BATCH_EVENTS = 50
EVENTS_PER_S = 5_000
LEAST_LOAD_S, MOST_LOAD_S = 0.3, 0.9

Event = dict[str, Any]


class Sender(threading.Thread):
    """Post batches at a steady rate until the server stops.

    Attributes:
        acknowledged: event ids that a server acknowledged, and the position after the last one.
        pending: batches without a response.
    """

    def __init__(self, port: int, batches: itertools.count[int], pending: list[list[Event]]):
        super().__init__()
        self.acknowledged: list[str] = []
        self.last_seq = 0
        self.epochs: set[str] = set()
        self.pending = pending
        self.failure: BaseException | None = None
        self._port = port
        self._batches = batches

    def run(self) -> None:
        """Send pending batches, then new batches."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        pause = SENDERS * BATCH_EVENTS / EVENTS_PER_S
        due = time.monotonic()
        try:
            while True:
                if not self.pending:
                    self.pending.append(batch_of(next(self._batches)))
                self._post(connection, self.pending[0])
                self.pending.pop(0)
                due += pause
                time.sleep(max(0.0, due - time.monotonic()))
        except (OSError, http.client.HTTPException):
            # The server is dead, so the first pending batch gets no response.
            return
        except BaseException as error:
            self.failure = error
        finally:
            connection.close()

    def _post(self, connection: http.client.HTTPConnection, batch: list[Event]) -> None:
        body = json.dumps(batch)
        connection.request("POST", "/api/events", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response_body = json.loads(response.read())
        assert response.status == 200, response_body
        assert response_body["accepted"] + response_body["duplicates"] == len(batch)
        assert response_body["duplicates"] in (0, len(batch)), "half of a batch was committed"
        cursor = Cursor.parse(response_body["cursor"])
        self.epochs.add(cursor.epoch)
        self.last_seq = cursor.seq
        self.acknowledged += [event["event_id"] for event in batch]


def batch_of(number: int) -> list[Event]:
    """Return one batch; every event id is unique."""
    return [
        {
            "agent_id": f"agent-{(number * 7 + position) % 40}",
            "event_id": f"{number}-{position}",
            "event_type": "tool_execute",
            "tool_name": ("Bash", "Edit", "Read")[position % 3],
            "output_tokens": 3,
        }
        for position in range(BATCH_EVENTS)
    ]


@pytest.mark.timeout(240)
def test_kill_loses_no_acknowledged_event(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill the server twenty times under load; senders retry batches, and a client resumes.

    At the end each event exists once, seqs have no gap, the epoch is unchanged, and the
    client, which reconnected each time, has the state of the server.
    """
    home = tmp_path / "home"
    monkeypatch.setenv("HTMLGRAPH_HOME", str(home))
    dice = random.Random(11)
    server = serve(home=home)
    port = server.port
    batches = itertools.count()
    unanswered: list[list[list[Event]]] = [[] for _ in range(SENDERS)]
    acknowledged: list[str] = []
    epochs: set[str] = set()
    last_seq = 0
    with PresenceClient(server.url) as client:
        for _ in range(ROUNDS):
            senders = [Sender(port, batches, pending) for pending in unanswered]
            for sender in senders:
                sender.start()
            client.wait_connected(30)
            time.sleep(dice.uniform(LEAST_LOAD_S, MOST_LOAD_S))
            server.kill()
            for sender in senders:
                sender.join(30)
                assert sender.failure is None, sender.failure
                acknowledged += sender.acknowledged
                epochs |= sender.epochs
                last_seq = max(last_seq, sender.last_seq)
            server = serve("--port", str(port), home=home)
            cursor = Cursor.parse(server.get("/api/status").json()["cursor"])
            assert cursor.seq >= last_seq, "an acknowledged commit is missing"
            epochs.add(cursor.epoch)
            _check_round(server, acknowledged[-200:])
        for pending in unanswered:
            for batch in pending:
                assert server.post("/api/events", batch).status == 200
        final = Cursor.parse(server.get("/api/status").json()["cursor"])
        wait_until(lambda: client.cursor == final, "the client's catching up", 30)
        mirrored = {name: presence.to_dict() for name, presence in client.agents.items()}
        assert mirrored == server.presence()
    assert len(epochs) == 1
    stored = [str(row[0]) for row in history_rows(str(server.db), "event_id")]
    assert len(stored) == len(set(stored)), "an event was stored twice"
    assert set(acknowledged) <= set(stored), "an acknowledged event is missing"
    in_flight = {event["event_id"] for pending in unanswered for b in pending for event in b}
    assert set(stored) == set(acknowledged) | in_flight
    assert history_rows(str(server.db)) == [(seq,) for seq in range(1, len(stored) + 1)]
    assert sum(agent["total_tools_executed"] for agent in mirrored.values()) == len(stored)
    assert len(acknowledged) > ROUNDS * 300, "there was hardly any load"


def test_repeating_committed_batch_is_harmless(serve: Serve, tmp_path: Path) -> None:
    """The server is killed between commit and response; the repetition has no effect."""
    home = tmp_path / "home"
    for number in range(3):
        server = serve(home=home)
        body = json.dumps(batch_of(number))
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                f"POST /api/events HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            n_rows = (number + 1) * BATCH_EVENTS
            path = str(server.db)
            wait_until(lambda n=n_rows, path=path: len(history_rows(path)) == n, "the commit")
            server.kill()
        server = serve(home=home)
        response_body = server.post("/api/events", batch_of(number)).json()
        assert (response_body["accepted"], response_body["duplicates"]) == (0, BATCH_EVENTS)
        agents = server.presence().values()
        assert sum(agent["total_tools_executed"] for agent in agents) == n_rows
        server.stop()


def _check_round(server: Server, ids: list[str]) -> None:
    """Fail unless the server reports repeated acknowledged events as duplicates."""
    numbers = {int(name.split("-")[0]) for name in ids}
    for number in numbers:
        response_body = server.post("/api/events", batch_of(number)).json()
        assert (response_body["accepted"], response_body["duplicates"]) == (0, BATCH_EVENTS)
