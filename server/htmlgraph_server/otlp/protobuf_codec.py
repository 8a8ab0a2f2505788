"""OTLP in protobuf.

Schema: the package opentelemetry-proto, generated from
https://github.com/open-telemetry/opentelemetry-proto.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as traces

from htmlgraph_nb.coding_agents.otel.signals import Attributes, LogRecord, Point, Span
from htmlgraph_nb.errors import InvalidEvent

from .codec import (
    MAX_ATTRIBUTE_DEPTH,
    MAX_ATTRIBUTES,
    MAX_SPAN_EVENTS,
    NO_RECORDED_VALUE,
    check_groups,
    check_records,
)
from .wire_format import MAX_WHOLE_BYTES, fields, reduced

# The numbers of the fields in ExportLogsServiceRequest, ResourceLogs and ScopeLogs, which are the
# same for traces and metrics, and those in Metric, Sum and Histogram.
_GROUPS = 1
_RESOURCE, _SCOPED = 1, 2
_SCOPE, _RECORDS = 1, 2
_SUM, _HISTOGRAM = 7, 9
_POINTS = 1
_DELTA = 1
_ERROR = 2
_RESPONSES: dict[str, tuple[type[Message], str]] = {
    "logs": (logs_pb2.ExportLogsServiceResponse, "rejected_log_records"),
    "traces": (trace_pb2.ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (metrics_pb2.ExportMetricsServiceResponse, "rejected_data_points"),
}


class ProtobufCodec:
    """See codec.OtlpCodec."""

    def request_steps(self, body: bytes) -> Generator[None, None, bytes]:
        """See codec.OtlpCodec."""
        yield
        return body

    def decode_logs(self, request: bytes) -> Iterator[LogRecord]:
        """See codec.OtlpCodec."""
        for resource, scope, start, end in _records(request):
            record = _parse(logs.LogRecord, reduced(request, start, end))
            text = _value(record.body)
            name = record.event_name or (text if isinstance(text, str) else "")
            at_ns = record.time_unix_nano or record.observed_time_unix_nano
            yield LogRecord(resource, scope, name, _attributes(record.attributes), at_ns)

    def decode_spans(self, request: bytes) -> Iterator[Span]:
        """See codec.OtlpCodec."""
        for resource, scope, start, end in _records(request):
            span = _parse(traces.Span, reduced(request, start, end))
            failed = span.status.code == _ERROR
            yield Span(
                resource,
                scope,
                span.name,
                _attributes(span.attributes),
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                span.trace_id.hex(),
                span.span_id.hex(),
                failed,
                span.parent_span_id.hex(),
                _exception(span.events) if failed else None,
            )

    def decode_points(self, request: bytes) -> Iterator[Point]:
        """See codec.OtlpCodec."""
        n_points = 0
        for resource, scope, start, end in _records(request):
            for name, data_type, is_delta, point in _points(request, start, end):
                n_points += 1
                check_records(n_points)
                yield Point(
                    resource,
                    scope,
                    name,
                    _attributes(point.attributes),
                    _point_value(point, data_type),
                    point.start_time_unix_nano,
                    point.time_unix_nano,
                    is_delta,
                )

    def encode_response(self, signal: str, n_rejected: int, message: str) -> bytes:
        """See codec.OtlpCodec."""
        message_class, field = _RESPONSES[signal]
        response: Any = message_class()
        if n_rejected:
            setattr(response.partial_success, field, n_rejected)
            response.partial_success.error_message = message
        return bytes(response.SerializeToString())


def _parse(message_class: Any, data: bytes) -> Any:
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        name = message_class.__name__
        raise InvalidEvent(f"body: expected a protobuf {name}: {error}") from None


def _records(request: bytes) -> Iterator[tuple[Attributes, str, int, int]]:
    """Yield each log record, span or metric: attributes of its resource, its scope and its place.

    The three requests have the same outer levels and field numbers.
    """
    n_records = 0
    for group, scoped in _groups(request):
        resource = _attributes(_parse(Resource, group).attributes)
        for start, end in scoped:
            scope = ""
            # The scope is usually the first field, but may be any.
            for field in fields(request, start, end):
                if field.number == _SCOPE and field.is_message:
                    data = reduced(request, field.start, field.end)
                    scope = _parse(InstrumentationScope, data).name
                    break
                n_records += 1
                check_records(n_records)
            for field in fields(request, start, end):
                if field.number == _RECORDS and field.is_message:
                    n_records += 1
                    check_records(n_records)
                    yield resource, scope, field.start, field.end


def _points(request: bytes, start: int, end: int) -> Iterator[tuple[str, str, bool, Any]]:
    """Yield each point of a metric: the name of the metric, "sum" or "histogram", and if delta."""
    if end - start <= MAX_WHOLE_BYTES:
        metric = _parse(metrics.Metric, request[start:end])
        data_type = metric.WhichOneof("data")
        if data_type in ("sum", "histogram"):
            data = getattr(metric, data_type)
            is_delta = data.aggregation_temporality == _DELTA
            for point in data.data_points:
                yield metric.name, data_type, is_delta, point
        return
    metric = _parse(metrics.Metric, reduced(request, start, end))
    for n_fields, field in enumerate(fields(request, start, end)):
        check_records(n_fields)
        if field.number not in (_SUM, _HISTOGRAM) or not field.is_message:
            continue
        is_sum = field.number == _SUM
        others = []
        for n_inner, inner in enumerate(fields(request, field.start, field.end)):
            check_records(n_inner)
            if inner.number != _POINTS:
                others.append(request[inner.raw_start : inner.end])
        data_class: Any = metrics.Sum if is_sum else metrics.Histogram
        is_delta = _parse(data_class, b"".join(others)).aggregation_temporality == _DELTA
        point_class: Any = metrics.NumberDataPoint if is_sum else metrics.HistogramDataPoint
        for inner in fields(request, field.start, field.end):
            if inner.number == _POINTS and inner.is_message:
                point = _parse(point_class, reduced(request, inner.start, inner.end))
                yield metric.name, "sum" if is_sum else "histogram", is_delta, point


def _groups(request: bytes) -> list[tuple[bytes, list[tuple[int, int]]]]:
    """Return the resource of each group, and the places of its scopes, after counting both."""
    groups: list[tuple[bytes, list[tuple[int, int]]]] = []
    n_groups = 0
    for group in fields(request, 0, len(request)):
        n_groups += 1
        check_groups(n_groups)
        if group.number != _GROUPS or not group.is_message:
            continue
        resource: list[bytes] = []
        scoped: list[tuple[int, int]] = []
        for field in fields(request, group.start, group.end):
            n_groups += 1
            check_groups(n_groups)
            if field.number == _RESOURCE and field.is_message:
                resource.append(reduced(request, field.start, field.end))
            elif field.number == _SCOPED and field.is_message:
                scoped.append((field.start, field.end))
        # Two messages one after the other are their merged message.
        groups.append((b"".join(resource), scoped))
    return groups


def _attributes(pairs: Iterable[Any]) -> Attributes:
    # Nearly all values are strings or numbers, and testing them is faster than WhichOneof.
    return {
        pair.key: (value := pair.value).string_value
        or value.int_value
        or value.double_value
        or _value(value)
        for pair in islice(pairs, MAX_ATTRIBUTES)
    }


def _value(value: Any, depth: int = 0) -> Any:
    field = value.WhichOneof("value")
    if field is None or depth > MAX_ATTRIBUTE_DEPTH:
        return None
    inner = getattr(value, field)
    if field == "array_value":
        return [_value(item, depth + 1) for item in islice(inner.values, MAX_ATTRIBUTES)]
    if field == "kvlist_value":
        return {
            pair.key: _value(pair.value, depth + 1) for pair in islice(inner.values, MAX_ATTRIBUTES)
        }
    return inner.hex() if field == "bytes_value" else inner


def _exception(events: Iterable[Any]) -> str | None:
    for event in islice(events, MAX_SPAN_EVENTS):
        if event.name == "exception":
            kind = _attributes(event.attributes).get("exception.type")
            return kind if isinstance(kind, str) else None
    return None


def _point_value(point: Any, data_type: str) -> float:
    """Return the value of a point; -1, which is ignored later, if there is none."""
    if point.flags & NO_RECORDED_VALUE:
        return -1.0
    if data_type == "histogram":
        return float(point.sum) if point.HasField("sum") else -1.0
    field = point.WhichOneof("value")
    return -1.0 if field is None else float(getattr(point, field))
