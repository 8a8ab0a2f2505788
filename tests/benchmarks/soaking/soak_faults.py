"""Faults of clients at random: half-open requests, hostile JSON, frames too large, guesses."""

from __future__ import annotations

import asyncio
import json
import os
import random
import struct
from collections import Counter
from contextlib import suppress

from tests.benchmarks.soaking.soak_load import BROKEN
from tests.benchmarks.soaking.wire_client import Http, dashboard, open_stream, reset

_HOSTILE = (
    *(b"[" * 50_000, b'{"a":' * 2_000, b"\xff\xfe", b"NaN", b'{"agent_id":1e999}', b"[]" * 9),
    *(b'[{"agent_id":"a"},{}]', b'{"agent_id":"\\ud800"}', b"[" + b"0," * 300_000 + b"0]"),
    json.dumps({"agent_id": "a", "extra": {"x": "y" * 20_000}}).encode(),
    json.dumps({"agent_id": "a" * 300}).encode(),
    json.dumps([{"agent_id": "a"}] * 10_001).encode(),
)
_ROUTES = ("/api/events", "/api/hooks/claude", "/v1/logs", "/api/broadcast/features/x")


class SoakFaults:
    """Does one fault after the other until it is cancelled.

    Attributes:
        counts: how often each fault was done, with the status that it got.
    """

    def __init__(self, port: int, token: str, seed: int) -> None:
        self._port = port
        self._token = token
        self._dice = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Do faults at random."""
        faults = (
            *(self._hostile_json, self._half_request, self._aborted_upload, self._large_frame),
            *(self._hostile_frames, self._guess, self._unread_response, self._slow_head),
        )
        while True:
            fault = self._dice.choice(faults)
            name = fault.__name__.strip("_").replace("_", " ")
            result = "ended"
            with suppress(*BROKEN):
                async with asyncio.timeout(10):
                    result = await fault()
            self.counts[f"{name}: {result}"] += 1
            await asyncio.sleep(self._dice.uniform(0, 0.3))

    def _head(self, path: str, n_bytes: int) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {n_bytes}\r\n\r\n"
        ).encode()

    async def _hostile_json(self) -> str:
        http = Http(self._port, self._token)
        try:
            status, _ = await http.request(
                "POST", self._dice.choice(_ROUTES), self._dice.choice(_HOSTILE)
            )
            return str(status)
        finally:
            http.close()

    async def _half_request(self) -> str:
        """Send a part of a head or a body, and leave it open for a while."""
        data = self._head("/api/events", 5_000) + b'[{"agent_id":"a"},'
        _, writer = await open_stream(self._port)
        writer.write(data[: self._dice.randrange(1, len(data))])
        asyncio.get_running_loop().call_later(self._dice.uniform(1, 20), reset, writer)
        return "left open"

    async def _aborted_upload(self) -> str:
        _, writer = await open_stream(self._port)
        try:
            writer.write(self._head("/api/events", 5_000_000) + b"[" * 1_000)
            for _ in range(self._dice.randrange(1, 20)):
                writer.write(b" " * 100_000)
                await writer.drain()
            return "reset"
        finally:
            reset(writer)

    async def _large_frame(self) -> str:
        """Announce a frame that is too large, or send an unfinished message."""
        path = self._dice.choice(("/ws/events", "/ws/broadcasts"))
        connection = await dashboard(self._port, self._token, path=path)
        try:
            transport = connection.transport
            if self._dice.random() < 0.5:
                transport.write(b"\x81\xff" + struct.pack(">Q", 2**40) + b"mask")
            else:
                transport.write(b"\x01\xff" + struct.pack(">Q", 700_000) + b"mask" + b"x" * 9_000)
                return "unfinished"
            async for _ in connection:
                pass
            return f"code {connection.close_code}"
        finally:
            reset(connection)

    async def _hostile_frames(self) -> str:
        path = self._dice.choice(("/ws/events", "/ws/broadcasts"))
        connection = await dashboard(self._port, self._token, path=path)
        try:
            if self._dice.random() < 0.5:
                connection.transport.write(os.urandom(self._dice.randrange(2, 300)))
            else:
                await connection.send(self._dice.choice(_HOSTILE)[:60_000])
            async with asyncio.timeout(1):
                async for _ in connection:
                    pass
            return f"code {connection.close_code}"
        finally:
            reset(connection)

    async def _guess(self) -> str:
        http = Http(self._port, f"guess-{self._dice.randrange(10**9)}")
        try:
            status, _ = await http.request("GET", "/api/presence")
            return str(status)
        finally:
            http.close()

    async def _unread_response(self) -> str:
        """Ask for much and read nothing."""
        _, writer = await open_stream(self._port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        path = "/api/history?format=ndjson&limit=100000"
        head = self._head(path, 0).replace(b"POST", b"GET")
        writer.write(head * 3)
        asyncio.get_running_loop().call_later(self._dice.uniform(0.5, 8), reset, writer)
        return "left unread"

    async def _slow_head(self) -> str:
        _, writer = await open_stream(self._port)
        try:
            for byte in self._head("/api/events", 3)[:30]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
            return "reset"
        finally:
            reset(writer)
