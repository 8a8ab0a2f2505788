"""OTLP exports: logs, traces and metrics, in JSON and protobuf, and compressed bodies."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

from htmlgraph_nb.coding_agents.otel.events import events_from_log
from htmlgraph_nb.coding_agents.otel.metrics import readings_of, token_events
from htmlgraph_nb.coding_agents.otel.span_events import Released, SpanTranslator
from htmlgraph_nb.coding_agents.otel.streams import CounterStreams
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import ApiError, InvalidEvent, WireError
from htmlgraph_server.decoding.gzip_steps import gzip_steps
from htmlgraph_server.handlers.parsing import finish
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
    request = finish(codec.request_steps(body))
    batches: Any
    if signal == "logs":
        batches = (events_from_log(each, received_at=NOW) for each in codec.decode_logs(request))
    elif signal == "traces":
        batches = _of_spans(codec, request)
    else:
        readings = readings_of(codec.decode_points(request))
        batches = [token_events(readings, CounterStreams({}, {}), received_at=NOW)]
    for batch in batches:
        for event in batch:
            try:
                yield event.checked()
            except InvalidEvent as error:
                # The handler counts the record as rejected, with this message.
                check_error(error)
                codec.encode_response(signal, 1, str(error))


def _of_spans(codec: OtlpCodec, request: Any) -> Iterator[list[Event]]:
    translator, released = SpanTranslator(), Released()
    now = 0.0
    for span in codec.decode_spans(request):
        now += 1
        yield translator.translate(span, released, received_at=NOW, now=now)
    translator.restore(released)
    yield translator.overdue(now + 10)
    yield translator.overdue(now + 1e6)


def _check_body(body: bytes) -> None:
    """Check that a compressed body is read as the standard library reads it, within the limit."""
    decompressed = finish(gzip_steps(body, _MAX_BODY_BYTES))
    require(len(decompressed) <= _MAX_BODY_BYTES, "the body is longer than allowed")
    require(decompressed == gzip.decompress(body), "another content")
