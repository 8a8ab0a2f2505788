"""OTLP in JSON.

The protobuf messages as JSON, with camelCase names, 64-bit integers as strings or numbers, and ids
in hexadecimal (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Unknown fields
and values of the wrong type are ignored.

Decoded by hand: ``google.protobuf.json_format`` takes five times as long per record, and converts
the whole request at once, which would block the event loop.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from htmlgraph_nb.coding_agents.otel.signals import Attributes, LogRecord, Point, Span
from htmlgraph_nb.core.protocol import encode_json
from htmlgraph_nb.core.validation import format_value
from htmlgraph_nb.errors import InvalidEvent

from ..decoding.json_steps import json_steps
from .codec import (
    MAX_ATTRIBUTE_DEPTH,
    MAX_ATTRIBUTES,
    MAX_SPAN_EVENTS,
    NO_RECORDED_VALUE,
    check_groups,
    check_records,
)

_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
_ERROR = (2, "STATUS_CODE_ERROR")
_MAX_NS = 1 << 63
_REJECTED = {
    "logs": "rejectedLogRecords",
    "traces": "rejectedSpans",
    "metrics": "rejectedDataPoints",
}

_Object = dict[str, Any]
_EMPTY: _Object = {}


class JsonCodec:
    """See codec.OtlpCodec."""

    def request_steps(self, body: bytes) -> Generator[None, None, Any]:
        """See codec.OtlpCodec."""
        return (yield from json_steps(body, "body"))

    def decode_logs(self, request: Any) -> Iterator[LogRecord]:
        """See codec.OtlpCodec."""
        for resource, scope, record in _records(request, "Logs", "logRecords"):
            name = record.get("eventName") or _value(record.get("body"), [MAX_ATTRIBUTES])
            at_ns = _timestamp_ns(record.get("timeUnixNano"))
            yield LogRecord(
                resource,
                scope,
                name if isinstance(name, str) else "",
                _attributes(record.get("attributes")),
                at_ns or _timestamp_ns(record.get("observedTimeUnixNano")),
            )

    def decode_spans(self, request: Any) -> Iterator[Span]:
        """See codec.OtlpCodec."""
        for resource, scope, span in _records(request, "Spans", "spans"):
            failed = _object(span.get("status")).get("code") in _ERROR
            yield Span(
                resource,
                scope,
                str(span.get("name") or ""),
                _attributes(span.get("attributes")),
                _timestamp_ns(span.get("startTimeUnixNano")),
                _timestamp_ns(span.get("endTimeUnixNano")),
                str(span.get("traceId") or "")[:64].lower(),
                str(span.get("spanId") or "")[:64].lower(),
                failed,
                str(span.get("parentSpanId") or "")[:64].lower(),
                _exception(span.get("events")) if failed else None,
            )

    def decode_points(self, request: Any) -> Iterator[Point]:
        """See codec.OtlpCodec."""
        n_points = 0
        for resource, scope, metric in _records(request, "Metrics", "metrics"):
            for data_type in ("sum", "histogram"):
                data = _object(metric.get(data_type))
                for point in _objects(data.get("dataPoints")):
                    n_points += 1
                    check_records(n_points)
                    yield Point(
                        resource,
                        scope,
                        str(metric.get("name") or ""),
                        _attributes(point.get("attributes")),
                        _point_value(point),
                        _timestamp_ns(point.get("startTimeUnixNano")),
                        _timestamp_ns(point.get("timeUnixNano")),
                        data.get("aggregationTemporality") in _DELTA,
                    )

    def encode_response(self, signal: str, n_rejected: int, message: str) -> bytes:
        """See codec.OtlpCodec."""
        if not n_rejected:
            return b"{}"
        partial = {_REJECTED[signal]: str(n_rejected), "errorMessage": message}
        return encode_json({"partialSuccess": partial}).encode()


def _records(
    request: Any, signal: str, records_field: str
) -> Iterator[tuple[Attributes, str, _Object]]:
    """Yield each record of an export with the attributes of its resource and its scope.

    Args:
        signal: "Logs", "Spans" or "Metrics".
        records_field: name of the field with the records of a scope.
    """
    field, scoped_field = f"resource{signal}", f"scope{signal}"
    if not isinstance(request, dict):
        raise InvalidEvent(f"body: expected an object with {field}, got {format_value(request)}")
    value = request.get(field, [])
    if not isinstance(value, list):
        raise InvalidEvent(f"{field}: expected an array, got {format_value(value)}", field)
    groups = _objects(value)
    check_groups(len(groups) + sum(len(_objects(group.get(scoped_field))) for group in groups))
    n_records = 0
    for group in groups:
        resource = _attributes(_object(group.get("resource")).get("attributes"))
        for scoped in _objects(group.get(scoped_field)):
            scope = str(_object(scoped.get("scope")).get("name") or "")
            records = _objects(scoped.get(records_field))
            n_records += len(records)
            check_records(n_records)
            for record in records:
                yield resource, scope, record


def _object(value: Any) -> _Object:
    return value if isinstance(value, dict) else _EMPTY


def _objects(value: Any) -> list[_Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _attributes(pairs: Any) -> Attributes:
    room = [MAX_ATTRIBUTES]
    first = _objects(pairs)[:MAX_ATTRIBUTES]
    return {str(pair.get("key") or ""): _value(pair.get("value"), room) for pair in first}


def _value(value: Any, room: list[int], depth: int = 0) -> Any:
    """Return the value of an attribute; ``room`` has the number of nested values that may follow.

    Nested values beyond that number are ignored.
    """
    if not isinstance(value, dict) or depth > MAX_ATTRIBUTE_DEPTH:
        return None
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    if "intValue" in value:
        return _integer(value["intValue"])
    is_list = "arrayValue" in value
    inner = _objects(_object(value.get("arrayValue" if is_list else "kvlistValue")).get("values"))
    inner = inner[: room[0]]
    room[0] -= len(inner)
    if is_list:
        return [_value(item, room, depth + 1) for item in inner]
    return {str(one.get("key") or ""): _value(one.get("value"), room, depth + 1) for one in inner}


def _exception(events: Any) -> str | None:
    for event in _objects(events)[:MAX_SPAN_EVENTS]:
        if event.get("name") == "exception":
            kind = _attributes(event.get("attributes")).get("exception.type")
            return kind if isinstance(kind, str) else None
    return None


def _integer(value: Any) -> int | None:
    try:
        return int(value) if isinstance(value, str | int) else None
    except ValueError:
        return None


def _timestamp_ns(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str | int | float) else 0
    except (ValueError, OverflowError):
        return 0
    return number if 0 <= number < _MAX_NS else 0


def _point_value(point: _Object) -> float:
    """Return the value of a point; -1, which is ignored later, if there is none."""
    if (_integer(point.get("flags")) or 0) & NO_RECORDED_VALUE:
        return -1.0
    for name in ("asInt", "asDouble", "sum"):
        value = point.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except (ValueError, OverflowError):
                return -1.0
    return -1.0
