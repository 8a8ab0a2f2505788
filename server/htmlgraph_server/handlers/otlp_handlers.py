"""``POST /v1/logs``, ``/v1/traces`` and ``/v1/metrics``: OTLP over HTTP.

Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp. The response follows the commit.
Records without meaning for this server are accepted and dropped; rejected records are counted in
the partial success of the response. A sender that gets 429 or 503 sends the same again later, which
is harmless because the events have ids.

Exports are decoded one at a time, and in turns: only one decoded export
is in memory, however many wait, and the dashboards are not delayed.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.metrics import Reading, readings_of
from htmlgraph_nb.coding_agents.otel.span_events import Released
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ApiError, InvalidEvent

from ..decoding.gzip_steps import gzip_steps
from ..otlp.codec import OtlpCodec
from ..otlp.json_codec import JsonCodec
from .json_api import JsonHandler

Record = TypeVar("Record")

_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"
_YIELD_RECORDS = 25
"""Number of records to translate in a turn; about 2 ms."""


class OtlpHandler(JsonHandler, ABC, Generic[Record]):
    """The route of one signal; subclasses translate its records into what is stored."""

    signal: ClassVar[str]
    batch_size = 1_000

    @abstractmethod
    def translate(
        self, codec: OtlpCodec, request: Any, received_at: datetime
    ) -> Iterator[list[Record]]:
        """Yield what is to be stored of each record."""

    @abstractmethod
    def submit(self, batch: list[Record]) -> Future[Any]:
        """Queue a batch for its transaction."""

    async def post(self) -> None:
        self._received = time.monotonic()
        mime = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        codec = _codec_for(mime)
        self._n_rejected, self._reason = 0, ""
        async with self.service.otlp_lock:
            rest = await self._ingest(codec)
        # Outside of the lock: the next export is decoded while this one is committed.
        await self._store(rest)
        self.set_header("Content-Type", mime)
        self.finish(codec.encode_response(self.signal, self._n_rejected, self._reason))

    async def _ingest(self, codec: OtlpCodec) -> list[Record]:
        """Store the records of the body in batches, except the last batch, which is returned."""
        batch: list[Record] = []
        turns = self.service.turns
        body = await self._decompressed_body()
        request = await turns.run(codec.request_steps(body))
        del body
        records = enumerate(self.translate(codec, request, datetime.now(UTC)), 1)
        for n_records, translated in records:
            batch += translated
            if len(batch) >= self.batch_size:
                await self._store(batch)
                batch = []
            elif n_records % _YIELD_RECORDS == 0:
                await turns.next()
        return batch

    async def _store(self, batch: list[Record]) -> None:
        if batch:
            await self.committed(self.submit(batch))

    def _checked(self, events: list[Event]) -> list[Event]:
        """Return the events of a record; none if it is rejected."""
        try:
            self.identity.check_events(events)
            return [event.checked() for event in events]
        except InvalidEvent as error:
            self.reject(error)
            return []

    def reject(self, error: InvalidEvent) -> None:
        """Count a rejected record."""
        self._n_rejected += 1
        self._reason = self._reason or str(error)

    async def _decompressed_body(self) -> bytes:
        encoding = self.request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return self.body
        if encoding != "gzip":
            message = f"Content-Encoding: expected gzip or none, got {shorten(encoding)}"
            raise ApiError(415, "unsupported_encoding", message)
        limit = self.service.config.max_body_bytes
        return await self.service.turns.run(gzip_steps(self.body, limit))


def _codec_for(mime: str) -> OtlpCodec:
    if mime == _JSON:
        return JsonCodec()
    if mime == _PROTOBUF:
        # Loaded on the first request: most servers never get one.
        from ..otlp.protobuf_codec import ProtobufCodec

        return ProtobufCodec()
    message = f"Content-Type: expected {_PROTOBUF} or {_JSON}, got {shorten(mime)}"
    raise ApiError(415, "unsupported_media_type", message)


class _EventHandler(OtlpHandler[Event]):
    def submit(self, batch: list[Event]) -> Future[Any]:
        return self.service.manager.submit(batch, self._received)


class OtlpLogsHandler(_EventHandler):
    """``POST /v1/logs``."""

    signal = "logs"

    def translate(
        self, codec: OtlpCodec, request: Any, received_at: datetime
    ) -> Iterator[list[Event]]:
        for record in codec.decode_logs(request):
            yield self._checked(events_from_log(record, received_at=received_at))


class OtlpTracesHandler(_EventHandler):
    """``POST /v1/traces``."""

    signal = "traces"

    async def post(self) -> None:
        self._released: Released = []
        try:
            await super().post()
        except BaseException:
            self.service.spans.restore(self._released)
            raise

    def translate(
        self, codec: OtlpCodec, request: Any, received_at: datetime
    ) -> Iterator[list[Event]]:
        translate, released = self.service.spans.translate, self._released
        for span in codec.decode_spans(request):
            events = translate(span, released, received_at=received_at, now=self._received)
            yield self._checked(events)


class OtlpMetricsHandler(OtlpHandler[Reading]):
    """``POST /v1/metrics``. How much each point adds is computed in its transaction."""

    signal = "metrics"
    # Kinds of tokens that include each other should not be in two transactions.
    batch_size = 10_000

    def translate(
        self, codec: OtlpCodec, request: Any, received_at: datetime
    ) -> Iterator[list[Reading]]:
        for point in codec.decode_points(request):
            # Each point by itself, so that those without a meaning are counted for a turn, too.
            yield [kept for reading in readings_of((point,)) for kept in self._allowed(reading)]

    def _allowed(self, reading: Reading) -> list[Reading]:
        if self.identity.agent_prefix:
            try:
                self.identity.check_agents([reading.agent_id])
            except InvalidEvent as error:
                self.reject(error)
                return []
        return [reading]

    def submit(self, batch: list[Reading]) -> Future[Any]:
        return self.service.manager.submit_readings(batch, self._received)
