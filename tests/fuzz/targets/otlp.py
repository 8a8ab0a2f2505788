"""OTLP exports: logs, traces and metrics, in JSON and protobuf, and compressed bodies."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.metrics import TokenCounters
from htmlgraph_nb.coding_agents.otel.span_events import Released, SpanTranslator
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import ApiError, InvalidEvent, WireError
from htmlgraph_server.handlers.otlp_handlers import OtlpLogsHandler
from htmlgraph_server.otlp.codec import OtlpCodec
from htmlgraph_server.otlp.json_codec import JsonCodec
from htmlgraph_server.otlp.protobuf_codec import ProtobufCodec
from tests.fuzz.oracle import NOW, check_error, check_events, check_roster, require
from tests.fuzz.targets import split_variant

_MAX_BODY_BYTES = 65_536
_CODECS: dict[str, OtlpCodec] = {"json": JsonCodec(), "protobuf": ProtobufCodec()}
_VARIANTS = (*(f"{s}-{c}" for s in ("logs", "traces", "metrics") for c in _CODECS), "gzip")


def run(data: bytes) -> None:
    """Decode an export twice, and check its events."""
    variant, body = split_variant(data, _VARIANTS)
    try:
        if variant == "gzip":
            _check_body(body)
            return
        signal, _, codec = variant.partition("-")
        events = list(_events(signal, _CODECS[codec], body))
        again = list(_events(signal, _CODECS[codec], body))
    except (InvalidEvent, WireError, ApiError) as error:
        check_error(error)
        return
    require(events == again, "an export that is sent again has other events")
    check_events(events, len(body))
    check_roster(events)


def _events(signal: str, codec: OtlpCodec, body: bytes) -> Iterator[Event]:
    """Yield the valid events of an export."""
    batches: Any
    if signal == "logs":
        batches = (events_from_log(each, received_at=NOW) for each in codec.decode_logs(body))
    elif signal == "traces":
        batches = _of_spans(codec, body)
    else:
        counters = TokenCounters()
        batches = iter([counters.stage(codec.decode_points(body), received_at=NOW)])
    for batch in batches:
        for event in batch:
            try:
                yield event.checked()
            except InvalidEvent as error:
                # The handler counts the record as rejected, with this message.
                check_error(error)
                codec.encode_response(signal, 1, str(error))
    if signal == "metrics":
        counters.commit()


def _of_spans(codec: OtlpCodec, body: bytes) -> Iterator[list[Event]]:
    translator, released = SpanTranslator(), Released()
    now = 0.0
    for span in codec.decode_spans(body):
        now += 1
        yield translator.translate(span, released, received_at=NOW, now=now)
    translator.restore(released)
    yield translator.overdue(now + 10)
    yield translator.overdue(now + 1e6)


def _check_body(body: bytes) -> None:
    """Check that a compressed body is read as zlib reads it, within the limit."""
    handler: Any = _Request(body)
    decompressed = OtlpLogsHandler._decompressed_body(handler)
    require(len(decompressed) <= _MAX_BODY_BYTES, "the body is longer than allowed")
    require(decompressed == zlib.decompress(body, wbits=31), "another content")


class _Request:
    """What a handler has of a compressed request."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.request = SimpleNamespace(headers={"Content-Encoding": "gzip"})
        self.service = SimpleNamespace(config=SimpleNamespace(max_body_bytes=_MAX_BODY_BYTES))

    def _body_too_large(self) -> ApiError:
        return ApiError(413, "body_too_large", "too large")
