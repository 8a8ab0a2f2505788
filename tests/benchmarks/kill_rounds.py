"""Rounds of killing the server under load: is an acknowledged event lost, or a dashboard wrong?

    python -m tests.benchmarks.kill_rounds [--rounds 20] [--only http,ws,hooks,sdk,sigterm,servers]
        [--seed 1] [--json] [--quick]

Each round loads the server for 0.3 to 0.9 s, ends it, and starts it again on the same file and
port. ``http`` and ``ws`` send batches of 50 events on two connections and repeat those without a
response, ``hooks`` starts ``htmlgraph-hook`` processes and ``sdk`` a program with the SDK; all four
end the server with SIGKILL. ``sigterm`` is ``http`` with SIGTERM, after which the exit status must
be 0. ``servers`` are two on one file, of which the leader is killed while both get events.

An event counts as acknowledged if the server responded to it, the hook's exit status was 0, or the
SDK's program ended. ``missing`` of these are not in the file at the end, ``twice`` are events that
are there twice, ``gaps`` are missing seqs, and ``wrong`` counts the rounds in which a client, which
resumes after each end, did not become equal to the server within 60 s. All must be 0, else the exit
status is 1. ``back s`` is the longest time from an end until the server, for ``servers`` the other
one as leader, responds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from htmlgraph_nb.client.presence_client import PresenceClient
from tests.benchmarks.table import print_figures
from tests.helpers.database_files import query_rows
from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

BATCH_EVENTS = 50
EVENTS_PER_S = 4_000
LEAST_LOAD_S, MOST_LOAD_S = 0.3, 0.9
MIRRORED_S = 60.0
"""A client waits up to 30 s before it connects again."""
SDK_EVENTS = 300
_PROGRAM = """
import sys, time
from htmlgraph_nb import SDK
first, count = map(int, sys.argv[1:])
sdk = SDK("program")
for n in range(first, first + count):
    sdk.report("activity", event_id=f"sdk-{n}")
    time.sleep(0.004)
"""


@dataclass
class KillFigures:
    """The result of all rounds of one kind; see the module."""

    kind: str
    rounds: int = 0
    acknowledged: int = 0
    stored: int = 0
    missing: int = 0
    twice: int = 0
    gaps: int = 0
    wrong: int = 0
    back_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything is not as it must be."""
        return bool(self.missing or self.twice or self.gaps or self.wrong or self.problems)


class Batches(threading.Thread):
    """Sends batches on one connection until it ends.

    Args:
        port: of the server.
        send: sends a batch on a new connection, as a generator of acknowledged batches.
        numbers: of the batches.
        pending: batches that got no response, which are sent first.
    """

    def __init__(
        self,
        port: int,
        send: Callable[[int, Iterator[list[dict[str, Any]]]], Iterator[None]],
        numbers: itertools.count[int],
        pending: list[list[dict[str, Any]]],
    ) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.failure: BaseException | None = None
        self._port, self._send = port, send
        self._numbers, self._pending = numbers, pending
        self.start()

    def run(self) -> None:
        """Send until the server ends the connection."""
        due = time.monotonic()
        try:
            for _ in self._send(self._port, self._batches()):
                self.acknowledged += [each["event_id"] for each in self._pending.pop(0)]
                due += 2 * BATCH_EVENTS / EVENTS_PER_S
                time.sleep(max(0.0, due - time.monotonic()))
        except (OSError, EOFError, http.client.HTTPException, WebSocketException):
            return
        except BaseException as error:
            self.failure = error

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        while True:
            if not self._pending:
                self._pending.append(_batch(next(self._numbers)))
            yield self._pending[0]


def _batch(number: int) -> list[dict[str, Any]]:
    return [
        {
            "agent_id": f"agent-{(number * 7 + n) % 40}",
            "event_id": f"{number}-{n}",
            "event_type": ("tool_execute", "completion", "prompt", "stop")[(number + n) % 4],
            "tool_name": ("Bash", "Edit", "Read")[n % 3],
            "output_tokens": 3,
        }
        for n in range(BATCH_EVENTS)
    ]


def _by_http(port: int, batches: Iterator[list[dict[str, Any]]]) -> Iterator[None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        for batch in batches:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/api/events", json.dumps(batch), headers)
            response = connection.getresponse()
            body = json.loads(response.read())
            if response.status == 503:
                # It is ending: the same is sent again to the next one.
                raise EOFError
            assert response.status == 200, body
            assert body["accepted"] in (0, len(batch)), "half of a batch was stored"
            yield


def _by_socket(port: int, batches: Iterator[list[dict[str, Any]]]) -> Iterator[None]:
    with connect(f"ws://127.0.0.1:{port}/ws/events", compression=None) as connection:
        for batch in batches:
            connection.send(json.dumps(batch))
            message = json.loads(connection.recv(30))
            if message["type"] == "error" and message["error"]["code"] == "store_unavailable":
                raise EOFError
            assert message["type"] == "ack", message
            yield


class Rounds:
    """Servers on one file, their clients, and what was acknowledged.

    Args:
        kind: see the module.
        folder: for the file and all else.
        dice: for the durations.
    """

    def __init__(self, kind: str, folder: Path, dice: random.Random) -> None:
        self.figures = KillFigures(kind)
        self._folder = folder
        self._dice = dice
        self._db = folder / "home" / "kill.db"
        self._servers: list[Server] = []
        self._clients: list[PresenceClient] = []
        self._numbers = itertools.count()
        self._pending: list[list[list[dict[str, Any]]]] = [[] for _ in range(4)]
        self._acknowledged: list[str] = []

    def run(self, rounds: int) -> KillFigures:
        """Run all rounds and check the file."""
        kind = self.figures.kind
        n_servers = 2 if kind == "servers" else 1
        load = {"hooks": self._hooks, "sdk": self._sdk}.get(kind, self._batches)
        try:
            for n in range(n_servers):
                self._servers.append(self._server(n).start())
            self._clients = [PresenceClient(each.url) for each in self._servers]
            for client in self._clients:
                client.wait_connected(30)
            for _ in range(rounds):
                load()
                self.figures.rounds += 1
                self.figures.wrong += not self._is_mirrored()
            self._repeat_pending()
            self._check_file()
        finally:
            for client in self._clients:
                client.close()
            for server in self._servers:
                server.stop()
        return self.figures

    def _server(self, number: int, port: int = 0) -> Server:
        # The same file; each has its own announcement and log.
        home = self._folder / ("home" if not number else f"home-{number}")
        flags = ("--no-watch", "--db", str(self._db), "--port", str(port))
        return Server(home, *flags)

    # Loads: each ends a server, and starts it again.

    def _batches(self) -> None:
        send = _by_socket if self.figures.kind == "ws" else _by_http
        ports = [server.port for server in self._servers]
        senders = [
            Batches(ports[n % len(ports)], send, self._numbers, pending)
            for n, pending in enumerate(self._pending[: 2 * len(ports)])
        ]
        self._load()
        victim = self._end()
        if len(ports) > 1:
            self._load()
            # The other one goes on; its senders end with it.
            (other,) = (n for n in range(2) if n != victim)
            self._restart(victim)
            self._end(other)
            victim = other
        for sender in senders:
            sender.join(60)
            if sender.failure is not None or sender.is_alive():
                self.figures.problems.append(f"a sender failed: {sender.failure!r}")
            self._acknowledged += sender.acknowledged
        self._restart(victim)

    def _hooks(self) -> None:
        results: list[str] = []

        def work() -> None:
            while not over.is_set():
                name = f"hook-{next(self._numbers)}"
                payload = {"hook_event_name": "UserPromptSubmit", "session_id": name, "cwd": "/p"}
                command = [sys.executable, "-m", "htmlgraph_nb.hook", "claude"]
                done = subprocess.run(
                    command,
                    input=json.dumps(payload).encode(),
                    env=self._environ(),
                    cwd=ROOT,
                    timeout=60,
                )
                if done.returncode == 0:
                    results.append(name)

        over = threading.Event()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        self._load()
        self._end()
        self._load()
        self._restart(0)
        self._load()
        over.set()
        for thread in threads:
            thread.join(60)
        self._acknowledged += results

    def _sdk(self) -> None:
        first = next(self._numbers) * SDK_EVENTS
        command = [sys.executable, "-c", _PROGRAM, str(first), str(SDK_EVENTS)]
        program = subprocess.Popen(command, env=self._environ(), cwd=ROOT)
        self._load()
        self._end()
        self._load()
        self._restart(0)
        if program.wait(120):
            self.figures.problems.append("the program failed")
        self._acknowledged += [f"sdk-{n}" for n in range(first, first + SDK_EVENTS)]

    def _environ(self) -> dict[str, str]:
        home = self._folder / "home"
        return {**clean_environ(home), "HTMLGRAPH_DB": str(self._db)}

    def _load(self) -> None:
        time.sleep(self._dice.uniform(LEAST_LOAD_S, MOST_LOAD_S))

    def _end(self, number: int | None = None) -> int:
        """End a server, by default the leader, and return its number."""
        if number is None:
            pids = [server.pid for server in self._servers]
            leader = wait_until(self._leader, "a leader")
            number = pids.index(leader) if leader in pids else 0
        server = self._servers[number]
        is_term = self.figures.kind == "sigterm"
        status = server.stop(signal.SIGTERM if is_term else signal.SIGKILL)
        self._ended_at = time.monotonic()
        if is_term and (status or server.faults.search(server.log())):
            self.figures.problems.append(f"ended with {status}: {server.log()[-500:]}")
        if len(self._servers) > 1:
            survivor = self._servers[1 - number]
            wait_until(lambda: self._leader(survivor) == survivor.pid, "the next leader")
            self._note_back()
        return number

    def _leader(self, server: Server | None = None) -> int | None:
        status = (server or self._servers[0]).get("/api/status").json()
        pid: int | None = status["database"]["owner_pid"]
        return pid

    def _restart(self, number: int) -> None:
        port = self._servers[number].port
        self._servers[number] = self._server(number, port).start()
        if len(self._servers) == 1:
            self._note_back()

    def _note_back(self) -> None:
        self.figures.back_s = max(self.figures.back_s, time.monotonic() - self._ended_at)

    # Checks

    def _is_mirrored(self) -> bool:
        """Return whether all clients become equal to their servers."""

        def equal() -> bool:
            return all(
                {name: agent.to_dict() for name, agent in client.agents.items()}
                == server.presence()
                for client, server in zip(self._clients, self._servers, strict=True)
            )

        try:
            return wait_until(equal, "equal clients", MIRRORED_S, 0.1)
        except AssertionError:
            for client, server in zip(self._clients, self._servers, strict=True):
                cursor = server.get("/api/status").json()["cursor"]
                state = f"{client.connection.state}, at {client.cursor}, the server at {cursor}"
                self.figures.problems.append(f"a client differs: {state}")
            return False

    def _repeat_pending(self) -> None:
        """Send what has no response once more: it must be stored once all the same."""
        for pending in self._pending:
            for batch in pending:
                response = self._servers[0].post("/api/events", batch)
                assert response.status == 200, response.text
                self._acknowledged += [each["event_id"] for each in batch]
            pending.clear()

    def _check_file(self) -> None:
        text = "SELECT event_id FROM history ORDER BY seq"
        if self.figures.kind == "hooks":
            # Each hook is the prompt of a session of its own.
            text = "SELECT session_id FROM history WHERE event_type = 'prompt' ORDER BY seq"
        expected = {*self._acknowledged}

        def stored() -> Counter[str]:
            return Counter(name for (name,) in query_rows(str(self._db), text) if name)

        with contextlib.suppress(AssertionError):
            # Spooled events are read once no hook can be writing them.
            wait_until(lambda: not expected - {*stored()}, "all events", 20, 0.2)
        found, figures = stored(), self.figures
        figures.acknowledged, figures.stored = len(self._acknowledged), found.total()
        figures.missing = len(expected - {*found})
        figures.twice = sum(count > 1 for name, count in found.items() if name in expected)
        first, last, n_rows = query_rows(
            str(self._db), "SELECT min(id), max(id), count(*) FROM events"
        )[0]
        figures.gaps = last - first + 1 - n_rows
        ((state,),) = query_rows(str(self._db), "PRAGMA quick_check(1)")
        if state != "ok":
            figures.problems.append(f"the file is damaged: {state}")


KINDS = ("http", "ws", "hooks", "sdk", "sigterm", "servers")
HEADS = (
    *("kind", "rounds", "acknowledged", "stored", "missing", "twice", "gaps", "wrong", "back s"),
    "problems",
)


def row(figures: KillFigures) -> Sequence[object]:
    """Return the row of the table."""
    return [
        *(figures.kind, figures.rounds, figures.acknowledged, figures.stored, figures.missing),
        *(figures.twice, figures.gaps, figures.wrong, figures.back_s),
        "; ".join(figures.problems) or "none",
    ]


def main() -> int:
    """Run the rounds, print, and return whether something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each kind")
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, separated by commas")
    parser.add_argument("--seed", type=int, default=1, help="of the durations")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.add_argument("--quick", action="store_true", help="1 round of each kind")
    options = parser.parse_args()
    results = []
    for kind in options.only.split(","):
        if kind not in KINDS:
            parser.error(f"--only: expected some of {', '.join(KINDS)}, got {kind!r}")
        with tempfile.TemporaryDirectory(prefix="htmlgraph-kill-") as folder:
            # The client looks there for a server that starts again.
            os.environ["HTMLGRAPH_HOME"] = f"{folder}/home"
            rounds = Rounds(kind, Path(folder), random.Random(options.seed))
            results.append(rounds.run(1 if options.quick else options.rounds))
        print(f"{kind} done", file=sys.stderr)
    print_figures(results, HEADS, row, as_json=options.json)
    return int(any(figures.failed for figures in results))


if __name__ == "__main__":
    sys.exit(main())
