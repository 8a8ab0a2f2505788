"""OTLP requests in JSON as plain values, and the answers to them.

Form: the protobuf messages in JSON with camelCase names, integers of 64 bits as text or number, and
ids in hexadecimal (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). Fields that
are not known are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from htmlgraph_nb.coding_agents.otel.signals import Attributes, LogRecord, Point, Span
from htmlgraph_nb.core.protocol import decode_json, encode_json
from htmlgraph_nb.core.validation import type_name
from htmlgraph_nb.errors import InvalidEvent

MAX_DEPTH = 16
_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
_ERROR = (2, "STATUS_CODE_ERROR")
_MAX_NS = 1 << 63


Object = dict[str, Any]
_NONE: Object = {}


def _object(value: Any) -> Object:
    return value if isinstance(value, dict) else _NONE


def _objects(value: Any) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _parse(body: bytes, field: str) -> list[Object]:
    request = decode_json(body, "the body")
    if not isinstance(request, dict):
        raise InvalidEvent(f"the body is {type_name(request)}, expected an object with {field}")
    groups = request.get(field, [])
    if not isinstance(groups, list):
        raise InvalidEvent(f"{field} is {type_name(groups)}, expected a list", field)
    return _objects(groups)


def _integer(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str | int | float) else 0
    except (ValueError, OverflowError):
        return 0
    return number if 0 <= number < _MAX_NS else 0


def _value(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict) or depth > MAX_DEPTH:
        return None
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    if "intValue" in value:
        return _signed(value["intValue"])
    if "arrayValue" in value:
        items = _object(value["arrayValue"]).get("values")
        return [_value(item, depth + 1) for item in _objects(items)]
    pairs = _objects(_object(value.get("kvlistValue")).get("values"))
    return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}


def _signed(value: Any) -> int | None:
    try:
        return int(value) if isinstance(value, str | int) else None
    except ValueError:
        return None


def _attributes(pairs: Any) -> Attributes:
    return {str(pair.get("key")): _value(pair.get("value")) for pair in _objects(pairs)}


def _scoped(groups: list[Object], scopes: str) -> Iterator[tuple[Attributes, str, Object]]:
    for group in groups:
        resource = _attributes(_object(group.get("resource")).get("attributes"))
        for scoped in _objects(group.get(scopes)):
            yield resource, str(_object(scoped.get("scope")).get("name") or ""), scoped


def decode_logs(body: bytes) -> Iterator[LogRecord]:
    """Yield the log records of a request.

    Raises:
        WireError: the body is no JSON; InvalidEvent: it is no such request.
    """
    for resource, scope, scoped in _scoped(_parse(body, "resourceLogs"), "scopeLogs"):
        for record in _objects(scoped.get("logRecords")):
            said = _value(record.get("body"))
            name = record.get("eventName") or said
            at_ns = _integer(record.get("timeUnixNano"))
            yield LogRecord(
                resource,
                scope,
                name if isinstance(name, str) else "",
                _attributes(record.get("attributes")),
                at_ns or _integer(record.get("observedTimeUnixNano")),
            )


def decode_spans(body: bytes) -> Iterator[Span]:
    """Yield the spans of a request; errors as ``decode_logs``."""
    for resource, scope, scoped in _scoped(_parse(body, "resourceSpans"), "scopeSpans"):
        for span in _objects(scoped.get("spans")):
            yield Span(
                resource,
                scope,
                str(span.get("name") or ""),
                _attributes(span.get("attributes")),
                _integer(span.get("startTimeUnixNano")),
                _integer(span.get("endTimeUnixNano")),
                str(span.get("traceId") or "")[:64].lower(),
                str(span.get("spanId") or "")[:64].lower(),
                _object(span.get("status")).get("code") in _ERROR,
            )


def decode_points(body: bytes) -> Iterator[Point]:
    """Yield the points of sums and histograms of a request; errors as ``decode_logs``."""
    for resource, scope, scoped in _scoped(_parse(body, "resourceMetrics"), "scopeMetrics"):
        for metric in _objects(scoped.get("metrics")):
            for kind in ("sum", "histogram"):
                data = _object(metric.get(kind))
                for point in _objects(data.get("dataPoints")):
                    yield Point(
                        resource,
                        scope,
                        str(metric.get("name") or ""),
                        _attributes(point.get("attributes")),
                        _sum(point),
                        _integer(point.get("startTimeUnixNano")),
                        _integer(point.get("timeUnixNano")),
                        data.get("aggregationTemporality") in _DELTA,
                    )


def _sum(point: Object) -> float:
    for name in ("asInt", "asDouble", "sum"):
        value = point.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                return float(value)
            except (ValueError, OverflowError):
                return -1.0
    return -1.0


_REJECTED = {
    "logs": "rejectedLogRecords",
    "traces": "rejectedSpans",
    "metrics": "rejectedDataPoints",
}


def encode_answer(signal: str, n_rejected: int, message: str) -> bytes:
    """Return the answer to an export; an empty object where all was taken."""
    if not n_rejected:
        return b"{}"
    told = {_REJECTED[signal]: str(n_rejected), "errorMessage": message}
    return encode_json({"partialSuccess": told}).encode()
