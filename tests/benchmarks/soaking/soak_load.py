"""Agents that report in every way, and dashboards that come, stay, read slowly and leave."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from websockets.exceptions import WebSocketException

from htmlgraph_nb.core.mirror import Mirror
from tests.benchmarks.otlp_poster import attributes_of, json_of, protobuf_of
from tests.benchmarks.soaking.wire_client import Http, dashboard, reset

BROKEN = (OSError, EOFError, ValueError, TimeoutError, WebSocketException)
"""What a connection raises that has ended."""
_N_AGENTS = 120
_N_SESSIONS = 40
_N_FEATURES = 30
_TOOLS = ("Bash", "Edit", "Read", "Grep", "WebSearch")
_STEPS = (
    *("prompt", "completion", "tool_start", "tool_execute", "tool_start", "tool_error"),
    *("permission_request", "answered", "tool_start", "tool_execute", "stop", "session_end"),
)
"""The events of a turn; a call begins at an even place."""
_PULLS = (
    *("/api/history?limit=500", "/api/history?limit=200&order=desc&tool=Bash"),
    *("/api/history?format=arrow&limit=2000", "/api/history?format=csv&limit=300"),
    *("/api/history?format=ndjson&limit=300&event_type=prompt", "/api/activity?minutes=15"),
    *("/api/presence", "/api/status", "/metrics", "/api/alerts", "/api/quotas", "/"),
    *(
        "/api/costs",
        "/api/sessions",
        "/static/page.js",
        "/api/presence/agent-1?explain=1",
        "/api/coverage",
    ),
)


class SoakLoad:
    """All clients of one server, as a function of a seed.

    Args:
        port: of the server.
        token: of the server.
        seed: of all random choices.
        rate: events a second.
        prefix: of the ids of events.

    Attributes:
        acknowledged: ids of events that were acknowledged.
        counts: how often each thing was done, and each status received.
        mirrors: name of a dashboard that must equal the server → its copy.
    """

    def __init__(self, port: int, token: str, seed: int, rate: float, prefix: str) -> None:
        self._prefix = prefix
        self.port = port
        self.token = token
        self.rate = rate
        self.dice = random.Random(seed)
        self.acknowledged: list[str] = []
        self.counts: Counter[str] = Counter()
        self.mirrors: dict[str, Mirror] = {}
        self._is_over = asyncio.Event()
        self._n_events = 0
        # Of each agent: number of its events.
        self._steps = [0] * _N_AGENTS
        self._tasks: list[asyncio.Task[None]] = []
        self._dashboards: list[asyncio.Task[None]] = []

    def start(self, scale: float = 1.0) -> None:
        """Start all clients.

        Args:
            scale: factor of their numbers.
        """
        many = round(10 * scale) or 1
        for n in range(3):
            self._run(self._send_http, n)
        for n in range(2):
            self._run(self._send_socket, n)
        for once in (self._send_hook, self._send_telemetry, self._change_feature, self._pull):
            self._run(self._repeat, once)
        for n in range(max(2, many // 2)):
            self._watch(self._stay, f"steady {n}")
            self._watch(self._resume, f"resuming {n}")
        for n in range(3 * many):
            self._run(self._come_and_go, n)
        for n in range(many):
            self._run(self._read_slowly, n)
            self._run(self._filter, n)

    async def pull_everything(self) -> None:
        """Ask for each thing several times at once, so that all threads of the server start."""
        https = [Http(self.port, self.token) for _ in range(8)]
        for path in (*_PULLS, *_PULLS):
            answers = await asyncio.gather(*(http.request("GET", path) for http in https))
            for status, _ in answers:
                self.counts[f"GET {path.partition('?')[0]} {status}"] += 1
        for http in https:
            http.close()

    async def stop_sending(self) -> None:
        """End all clients but the dashboards of ``mirrors``."""
        self._is_over.set()
        await _end(self._tasks, 20)

    async def stop_watching(self) -> None:
        """End the dashboards of ``mirrors``."""
        await _end(self._dashboards, 0)

    def _run(self, act: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        self._tasks.append(asyncio.ensure_future(self._guarded(act, *arguments)))

    def _watch(self, act: Callable[..., Awaitable[None]], name: str) -> None:
        self.mirrors[name] = Mirror()
        self._dashboards.append(asyncio.ensure_future(self._guarded(act, name)))

    async def _guarded(self, act: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await act(*arguments)
        except Exception as error:
            # An error of this program, not of a connection: the run must fail.
            self.counts[f"error of {act.__name__}: {error!r:.200}"] += 1
            raise

    async def _repeat(self, act: Callable[[Http, int], Awaitable[None]]) -> None:
        """Do something again and again on one connection."""
        http, number = Http(self.port, self.token), 0
        while not self._is_over.is_set():
            number += 1
            with suppress(*BROKEN):
                await act(http, number)
            await self._pause(0.05, 0.4)
        http.close()

    async def _pause(self, least: float, most: float) -> None:
        """Wait for some seconds, but only until the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_over.wait(), self.dice.uniform(least, most))

    # Agents

    def _batch(self, size: int) -> list[dict[str, Any]]:
        """Return the next events of some agents, each of which goes through its turns."""
        events = []
        for _ in range(size):
            self._n_events += 1
            agent = self.dice.randrange(_N_AGENTS)
            turn, step = divmod(self._steps[agent], len(_STEPS))
            self._steps[agent] += 1
            kind = _STEPS[step]
            event: dict[str, Any] = {
                "agent_id": f"agent-{agent}",
                "event_type": kind,
                "event_id": f"{self._prefix}-{self._n_events}",
                "session_id": f"s-{agent}-{turn // 20 % 4}",
                "project": f"project-{agent % 7}",
            }
            if kind.startswith("tool"):
                call = f"{self._prefix}-{agent}-{turn}-{step // 2}"
                event |= {"tool_name": _TOOLS[(agent + step // 2) % 5], "tool_use_id": call}
            elif kind == "completion":
                event |= {"model": "claude-opus-4-6", "input_tokens": 9, "output_tokens": turn}
            elif kind == "session_end" and turn % 20:
                event["event_type"] = "activity"
            events.append(event)
        return events

    async def _send_http(self, n: int) -> None:
        http, due = Http(self.port, self.token), time.monotonic()
        while not self._is_over.is_set():
            batch = self._batch(self.dice.choice((1, 5, 20, 60, 200)))
            due = max(due + 5 * len(batch) / self.rate, time.monotonic() - 1)
            with suppress(*BROKEN):
                status, _ = await http.post("/api/events", batch)
                self._count_batch(status == 200, batch, f"POST /api/events {status}")
            await self._pause(0, 2 * max(0.0, due - time.monotonic()))
        http.close()

    def _count_batch(self, is_stored: bool, batch: list[dict[str, Any]], name: str) -> None:
        self.counts[name] += 1
        if is_stored:
            self.acknowledged += [event["event_id"] for event in batch]

    async def _send_socket(self, n: int) -> None:
        while not self._is_over.is_set():
            with suppress(*BROKEN):
                connection = await dashboard(self.port, self.token, path="/ws/events")
                try:
                    for _ in range(self.dice.randrange(5, 60)):
                        batch = self._batch(self.dice.choice((1, 3, 30)))
                        await connection.send(json.dumps(batch))
                        response = json.loads(await connection.recv())
                        kind = response["type"]
                        self._count_batch(kind == "ack", batch, f"/ws/events {kind}")
                        await self._pause(0, 2 * 5 * len(batch) / self.rate)
                finally:
                    # Sometimes with a batch that is never acknowledged.
                    if self.dice.random() < 0.3:
                        await connection.send(json.dumps(self._batch(20)))
                    await self._leave(connection)

    async def _send_hook(self, http: Http, number: int) -> None:
        turn, step = divmod(number, 6)
        hooks = ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PreToolUse")
        hook = (*hooks, "PostToolUseFailure", "Stop")[step]
        name, is_tool = f"{self._prefix}-hook-{number}", "Tool" in hook
        call = f"toolu_{self._prefix}_{turn}_{(step + 1) // 2}"
        payload = {
            "hook_event_name": hook,
            "session_id": f"hook-session-{turn % _N_SESSIONS}",
            "cwd": f"/home/ada/project-{turn % 7}",
            "tool_name": _TOOLS[turn % 5],
            "tool_use_id": call if is_tool else None,
            "htmlgraph": {"hook": "claude", "event_id": name, "host": "h"},
        }
        status, _ = await http.post("/api/hooks/claude", payload)
        self.counts[f"hook {status}"] += 1
        if status == 204 and not is_tool:
            # Those of tool calls have ids of their own.
            self.acknowledged.append(name)

    async def _send_telemetry(self, http: Http, number: int) -> None:
        session = f"{number % 20:08}-telemetry"
        at_ns = time.time_ns()
        records = [(attributes_of(session, 10 * number + n), at_ns) for n in range(10)]
        kind = number % 3
        if kind == 0:
            body, headers = json_of(records), {"Content_Type": "application/json"}
        else:
            body, headers = protobuf_of(records), {"Content_Type": "application/x-protobuf"}
        if kind == 2:
            body, headers = gzip.compress(body), {**headers, "Content_Encoding": "gzip"}
        status, _ = await http.request("POST", "/v1/logs", body, **headers)
        self.counts[f"POST /v1/logs {status}"] += 1

    async def _change_feature(self, http: Http, number: int) -> None:
        feature = f"feature-{number % _N_FEATURES}"
        status = ("todo", "in_progress", "done")[number // _N_FEATURES % 3]
        path = f"/api/broadcast/features/{feature}"
        code, _ = await http.post(
            path,
            {"status": status, "title": f"T {number}"},
            X_Agent_ID=f"agent-{number % _N_AGENTS}",
            X_Session_ID=f"s-{number % _N_SESSIONS}",
        )
        self.counts[f"feature {code}"] += 1

    async def _pull(self, http: Http, number: int) -> None:
        path = self.dice.choice(_PULLS)
        status, body = await http.request("GET", path)
        self.counts[f"GET {path.partition('?')[0]} {status}"] += 1
        if status == 200 and path.startswith("/api/history?limit=500"):
            cursor = json.loads(body)["cursor"]
            await http.request("GET", f"/api/history?limit=500&cursor={cursor}")
        await self._pause(0.1, 1)

    # Dashboards

    async def _leave(self, connection: Any) -> None:
        if self.dice.random() < 0.5:
            reset(connection)
        else:
            await connection.close()

    async def _stay(self, name: str) -> None:
        """Follow the server without a break, and connect again if it ends the connection."""
        while True:
            with suppress(*BROKEN):
                await self._follow(name, None)
            self.counts["steady dashboards that lost their connection"] += 1
            await asyncio.sleep(0.2)

    async def _resume(self, name: str) -> None:
        """Follow the server with breaks, resuming at the last position."""
        while True:
            with suppress(*BROKEN):
                seconds = self.dice.uniform(1, 12)
                await self._follow(name, None if self._is_over.is_set() else seconds)
            await asyncio.sleep(0 if self._is_over.is_set() else self.dice.uniform(0, 2))

    async def _follow(self, name: str, seconds: float | None) -> None:
        mirror = self.mirrors[name]
        query = f"since={mirror.cursor}" if mirror.cursor else ""
        connection = await dashboard(self.port, self.token, query)
        self.counts["connections"] += 1
        try:
            async with asyncio.timeout(seconds):
                async for text in connection:
                    mirror.apply(json.loads(text))
                    self.counts["messages"] += 1
        finally:
            await self._leave(connection)

    async def _come_and_go(self, n: int) -> None:
        while not self._is_over.is_set():
            with suppress(*BROKEN):
                connection = await dashboard(self.port, self.token)
                self.counts["connections"] += 1
                try:
                    async with asyncio.timeout(self.dice.choice((0.0, 0.02, 0.3, 2.0))):
                        async for _ in connection:
                            self.counts["messages"] += 1
                finally:
                    await self._leave(connection)
            await self._pause(0, 1.5)

    async def _filter(self, n: int) -> None:
        while not self._is_over.is_set():
            with suppress(*BROKEN):
                connection = await dashboard(self.port, self.token, f"session=soak-{n}")
                self.counts["connections"] += 1
                try:
                    for _ in range(self.dice.randrange(1, 5)):
                        agents = [f"agent-{self.dice.randrange(_N_AGENTS)}" for _ in range(5)]
                        message = {"type": "subscribe", "agents": agents}
                        await connection.send(json.dumps(message))
                        async with asyncio.timeout(self.dice.uniform(0.5, 3)):
                            async for _ in connection:
                                self.counts["messages"] += 1
                finally:
                    await self._leave(connection)

    async def _read_slowly(self, n: int) -> None:
        """Read less than arrives, until the server ends it or for half a minute."""
        while not self._is_over.is_set():
            with suppress(*BROKEN):
                plain = socket.create_connection(("127.0.0.1", self.port))
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                reader, writer = await asyncio.open_connection(sock=plain, limit=4_096)
                self.counts["slow dashboards"] += 1
                try:
                    writer.write(_handshake(self.port, self.token))
                    for _ in range(self.dice.randrange(5, 60)):
                        await asyncio.wait_for(reader.read(2_000), 5)
                        await self._pause(0.2, 1)
                        if self._is_over.is_set():
                            break
                finally:
                    reset(writer)


def _handshake(port: int, token: str) -> bytes:
    return (
        f"GET /ws/broadcasts HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Authorization: Bearer {token}\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def _end(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    """Wait for tasks, then cancel those that run."""
    if tasks and seconds:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
