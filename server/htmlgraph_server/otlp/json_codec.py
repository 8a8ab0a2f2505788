"""OTLP in JSON.

The protobuf messages as JSON, with camelCase names, 64-bit integers as strings or numbers, and ids
in hexadecimal (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Unknown fields
and values of the wrong type are ignored.

Decoded by hand: ``google.protobuf.json_format`` takes five times as long per record, and converts
the whole request at once, which would block the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from htmlgraph_nb.coding_agents.otel.signals import Attributes, LogRecord, Point, Span
from htmlgraph_nb.core.protocol import decode_json, encode_json
from htmlgraph_nb.core.validation import format_value
from htmlgraph_nb.errors import InvalidEvent

from .codec import (
    MAX_ATTRIBUTE_DEPTH,
    MAX_ATTRIBUTES,
    MAX_SPAN_EVENTS,
    NO_RECORDED_VALUE,
    check_groups,
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

    def decode_logs(self, body: bytes) -> Iterator[LogRecord]:
        """See codec.OtlpCodec."""
        for resource, scope, scoped in _scopes(_parse(body, "resourceLogs"), "scopeLogs"):
            for record in _objects(scoped.get("logRecords")):
                name = record.get("eventName") or _value(record.get("body"))
                at_ns = _timestamp_ns(record.get("timeUnixNano"))
                yield LogRecord(
                    resource,
                    scope,
                    name if isinstance(name, str) else "",
                    _attributes(record.get("attributes")),
                    at_ns or _timestamp_ns(record.get("observedTimeUnixNano")),
                )

    def decode_spans(self, body: bytes) -> Iterator[Span]:
        """See codec.OtlpCodec."""
        for resource, scope, scoped in _scopes(_parse(body, "resourceSpans"), "scopeSpans"):
            for span in _objects(scoped.get("spans")):
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

    def decode_points(self, body: bytes) -> Iterator[Point]:
        """See codec.OtlpCodec."""
        for resource, scope, scoped in _scopes(_parse(body, "resourceMetrics"), "scopeMetrics"):
            for metric in _objects(scoped.get("metrics")):
                for data_type in ("sum", "histogram"):
                    data = _object(metric.get(data_type))
                    for point in _objects(data.get("dataPoints")):
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


def _parse(body: bytes, field: str) -> list[_Object]:
    request = decode_json(body, "body")
    if not isinstance(request, dict):
        raise InvalidEvent(f"body: expected an object with {field}, got {format_value(request)}")
    groups = request.get(field, [])
    if not isinstance(groups, list):
        raise InvalidEvent(f"{field}: expected an array, got {format_value(groups)}", field)
    return _objects(groups)


def _scopes(groups: list[_Object], field: str) -> Iterator[tuple[Attributes, str, _Object]]:
    check_groups(len(groups) + sum(len(_objects(group.get(field))) for group in groups))
    for group in groups:
        resource = _attributes(_object(group.get("resource")).get("attributes"))
        for scoped in _objects(group.get(field)):
            yield resource, str(_object(scoped.get("scope")).get("name") or ""), scoped


def _object(value: Any) -> _Object:
    return value if isinstance(value, dict) else _EMPTY


def _objects(value: Any) -> list[_Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _attributes(pairs: Any) -> Attributes:
    first = _objects(pairs)[:MAX_ATTRIBUTES]
    return {str(pair.get("key") or ""): _value(pair.get("value")) for pair in first}


def _value(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict) or depth > MAX_ATTRIBUTE_DEPTH:
        return None
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    if "intValue" in value:
        return _integer(value["intValue"])
    if "arrayValue" in value:
        items = _object(value["arrayValue"]).get("values")
        return [_value(item, depth + 1) for item in _objects(items)]
    pairs = _objects(_object(value.get("kvlistValue")).get("values"))
    return {str(pair.get("key") or ""): _value(pair.get("value"), depth + 1) for pair in pairs}


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
