"""``POST /v1/logs``, ``/v1/traces`` and ``/v1/metrics``: OTLP over HTTP.

Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp. The answer comes after the commit.
What proves nothing is taken and dropped; what is refused one by one is counted in the answer's
partial success. A sender that is told 429 or 503 sends the same again later, which the events' ids
make harmless.

Exports are decoded one after the other, each in short turns on the loop: one decoded export is in
memory, however many wait with their bytes, and the dashboards wait for none of them.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from htmlgraph_nb.coding_agents.otel.events import events_from_log, events_from_span
from htmlgraph_nb.coding_agents.otel.metrics import TokenCounters
from htmlgraph_nb.coding_agents.otel.signals import LogRecord, Point, Span
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import InvalidEvent

from ..otlp import json_codec
from .base import ApiError, committed
from .json_api import Api

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
_STEP_EVENTS = 1_000
_TURN_RECORDS = 25
"""Records that are translated without letting others have the loop; about 2 ms."""


class Export(Api):
    """One signal's route; a subclass says how its records become events."""

    signal: ClassVar[str]

    @property
    def meters(self) -> TokenCounters:
        """The token counters of this server."""
        return self.service.token_counters

    def translate(self, codec: Any, body: bytes, received_at: datetime) -> Iterator[list[Event]]:
        """Yield the events of each record."""
        raise AssertionError(f"{type(self).__name__} does not say how it is translated")

    async def post(self) -> None:
        self._received = time.monotonic()
        mime = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        codec = self._codec(mime)
        self._n_rejected, self._reason = 0, ""
        async with self.service.otlp_lock:
            rest = await self._take_in(codec)
        # Outside: the next one is decoded while this one is committed.
        await self._store(rest)
        self.set_header("Content-Type", mime)
        self.finish(codec.encode_answer(self.signal, self._n_rejected, self._reason))

    async def _take_in(self, codec: Any) -> list[Event]:
        """Store the events of the body step by step, and return the last ones, not stored yet."""
        found: list[Event] = []
        records = enumerate(self.translate(codec, self._plain_body(), datetime.now(UTC)), 1)
        for n_records, events in records:
            try:
                found.extend([event.checked() for event in events])
            except InvalidEvent as error:
                self._n_rejected += 1
                self._reason = self._reason or str(error)
            if len(found) >= _STEP_EVENTS:
                await self._store(found)
                found = []
            elif n_records % _TURN_RECORDS == 0:
                # Dashboards wait for the same loop.
                await asyncio.sleep(0)
        return found

    async def _store(self, events: list[Event]) -> None:
        if events:
            await committed(self.service.manager.submit(events, self._received))

    def _codec(self, mime: str) -> Any:
        if mime == JSON:
            return json_codec
        if mime == PROTOBUF:
            # Loaded by the first who sends it: most servers never see any.
            from ..otlp import protobuf_codec

            return protobuf_codec
        message = f"Content-Type is {shorten(mime)}, expected {PROTOBUF} or {JSON}"
        raise ApiError(415, "unsupported_media_type", message)

    def _plain_body(self) -> bytes:
        encoding = self.request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return self.body
        if encoding != "gzip":
            message = f"Content-Encoding is {shorten(encoding)}, expected gzip or none"
            raise ApiError(415, "unsupported_encoding", message)
        limit = self.service.config.max_body_bytes
        inflater = zlib.decompressobj(wbits=31)
        try:
            plain = inflater.decompress(self.body, limit + 1)
        except zlib.error as error:
            raise ApiError(400, "invalid", f"the body is no gzip: {error}") from None
        if len(plain) > limit:
            raise self._too_large()
        if not inflater.eof:
            raise ApiError(400, "invalid", "the gzip body ends too early")
        return plain


class Logs(Export):
    """``POST /v1/logs``."""

    signal = "logs"

    def translate(self, codec: Any, body: bytes, received_at: datetime) -> Iterator[list[Event]]:
        decode: Callable[[bytes], Iterator[LogRecord]] = codec.decode_logs
        for record in decode(body):
            events = events_from_log(record, received_at=received_at)
            for event in events:
                if event.event_type == "completion" and event.session_id is not None:
                    self.meters.answered(event.session_id)
            yield events


class Traces(Export):
    """``POST /v1/traces``."""

    signal = "traces"

    def translate(self, codec: Any, body: bytes, received_at: datetime) -> Iterator[list[Event]]:
        decode: Callable[[bytes], Iterator[Span]] = codec.decode_spans
        for span in decode(body):
            yield events_from_span(span, received_at=received_at)


class Metrics(Export):
    """``POST /v1/metrics``."""

    signal = "metrics"

    def translate(self, codec: Any, body: bytes, received_at: datetime) -> Iterator[list[Event]]:
        decode: Callable[[bytes], Iterator[Point]] = codec.decode_points
        yield self.meters.take(decode(body), received_at=received_at)

    async def _take_in(self, codec: Any) -> list[Event]:
        # The next points of a counter are read against these, so they wait for the commit.
        try:
            await self._store(await super()._take_in(codec))
        except BaseException:
            self.meters.rollback()
            raise
        self.meters.commit()
        return []
