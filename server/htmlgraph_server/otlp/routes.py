"""``POST /v1/logs``, ``/v1/traces`` and ``/v1/metrics``: OTLP over HTTP.

Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp. The answer comes after the commit.
What proves nothing is taken and dropped; what is refused one by one is counted in the answer's
partial success. A sender that is told 429 or 503 sends the same again later, which the events' ids
make harmless.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from htmlgraph_nb.checks import clip
from htmlgraph_nb.connectors.otlp import events_from_log, events_from_span
from htmlgraph_nb.connectors.otlp_metrics import TokenMeters
from htmlgraph_nb.connectors.telemetry import LogRecord, Point, Span
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.model import Event

from ..api import Api
from ..base import Problem, committed
from . import json_form

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
_STEP_EVENTS = 1_000
_AT_ONCE = 100
"""Records that are translated without letting others have the loop."""


class Export(Api):
    """One signal's route; a subclass says how its records become events."""

    signal: ClassVar[str]

    @property
    def meters(self) -> TokenMeters:
        """The token counters of this server."""
        return self.service.meters

    def translate(self, codec: Any, body: bytes, received_at: datetime) -> Iterator[list[Event]]:
        """Yield the events of each record."""
        raise AssertionError(f"{type(self).__name__} does not say how it is translated")

    async def post(self) -> None:
        received, received_at = time.monotonic(), datetime.now(UTC)
        mime = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        codec = self._codec(mime)
        found: list[Event] = []
        n_rejected, reason = 0, ""
        records = enumerate(self.translate(codec, self._plain_body(), received_at), 1)
        for n_records, events in records:
            if n_records % _AT_ONCE == 0:
                # Dashboards wait for the same loop.
                await asyncio.sleep(0)
            try:
                found.extend([event.checked() for event in events])
            except InvalidEvent as error:
                n_rejected, reason = n_rejected + 1, reason or str(error)
        for start in range(0, len(found), _STEP_EVENTS):
            step = found[start : start + _STEP_EVENTS]
            await committed(self.service.manager.submit(step, received))
        self.set_header("Content-Type", mime)
        self.finish(codec.encode_answer(self.signal, n_rejected, reason))

    def _codec(self, mime: str) -> Any:
        if mime == JSON:
            return json_form
        if mime == PROTOBUF:
            # Loaded by the first who sends it: most servers never see any.
            from . import protobuf

            return protobuf
        message = f"Content-Type is {clip(mime)}, expected {PROTOBUF} or {JSON}"
        raise Problem(415, "unsupported_media_type", message)

    def _plain_body(self) -> bytes:
        encoding = self.request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return self.body
        if encoding != "gzip":
            message = f"Content-Encoding is {clip(encoding)}, expected gzip or none"
            raise Problem(415, "unsupported_encoding", message)
        limit = self.service.config.max_body_bytes
        inflater = zlib.decompressobj(wbits=31)
        try:
            plain = inflater.decompress(self.body, limit + 1)
        except zlib.error as error:
            raise Problem(400, "invalid", f"the body is no gzip: {error}") from None
        if len(plain) > limit:
            raise self._too_large()
        if not inflater.eof:
            raise Problem(400, "invalid", "the gzip body ends too early")
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
