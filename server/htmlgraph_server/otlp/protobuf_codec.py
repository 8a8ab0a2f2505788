"""OTLP in protobuf.

Schema: the package opentelemetry-proto, generated from
https://github.com/open-telemetry/opentelemetry-proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2

from htmlgraph_nb.coding_agents.otel.signals import Attributes, LogRecord, Point, Span
from htmlgraph_nb.errors import InvalidEvent

from .codec import (
    MAX_ATTRIBUTE_DEPTH,
    MAX_ATTRIBUTES,
    MAX_SPAN_EVENTS,
    NO_RECORDED_VALUE,
    check_groups,
)

_DELTA = 1
_ERROR = 2
_RESPONSES: dict[str, tuple[type[Message], str]] = {
    "logs": (logs_pb2.ExportLogsServiceResponse, "rejected_log_records"),
    "traces": (trace_pb2.ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (metrics_pb2.ExportMetricsServiceResponse, "rejected_data_points"),
}


class ProtobufCodec:
    """See codec.OtlpCodec."""

    def decode_logs(self, body: bytes) -> Iterator[LogRecord]:
        """See codec.OtlpCodec."""
        for group in _groups(
            _parse(logs_pb2.ExportLogsServiceRequest(), body).resource_logs, "scope_logs"
        ):
            resource = _attributes(group.resource.attributes)
            for scoped in group.scope_logs:
                for record in scoped.log_records:
                    text = _value(record.body)
                    name = record.event_name or (text if isinstance(text, str) else "")
                    at_ns = record.time_unix_nano or record.observed_time_unix_nano
                    yield LogRecord(
                        resource, scoped.scope.name, name, _attributes(record.attributes), at_ns
                    )

    def decode_spans(self, body: bytes) -> Iterator[Span]:
        """See codec.OtlpCodec."""
        for group in _groups(
            _parse(trace_pb2.ExportTraceServiceRequest(), body).resource_spans, "scope_spans"
        ):
            resource = _attributes(group.resource.attributes)
            for scoped in group.scope_spans:
                for span in scoped.spans:
                    failed = span.status.code == _ERROR
                    yield Span(
                        resource,
                        scoped.scope.name,
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

    def decode_points(self, body: bytes) -> Iterator[Point]:
        """See codec.OtlpCodec."""
        for group in _groups(
            _parse(metrics_pb2.ExportMetricsServiceRequest(), body).resource_metrics,
            "scope_metrics",
        ):
            resource = _attributes(group.resource.attributes)
            for scoped in group.scope_metrics:
                for metric in scoped.metrics:
                    data_type = metric.WhichOneof("data")
                    if data_type not in ("sum", "histogram"):
                        continue
                    data = getattr(metric, data_type)
                    for point in data.data_points:
                        yield Point(
                            resource,
                            scoped.scope.name,
                            metric.name,
                            _attributes(point.attributes),
                            _point_value(point, data_type),
                            point.start_time_unix_nano,
                            point.time_unix_nano,
                            data.aggregation_temporality == _DELTA,
                        )

    def encode_response(self, signal: str, n_rejected: int, message: str) -> bytes:
        """See codec.OtlpCodec."""
        message_class, field = _RESPONSES[signal]
        response: Any = message_class()
        if n_rejected:
            setattr(response.partial_success, field, n_rejected)
            response.partial_success.error_message = message
        return bytes(response.SerializeToString())


def _parse(request: Any, body: bytes) -> Any:
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        name = type(request).__name__
        raise InvalidEvent(f"body: expected a protobuf {name}: {error}") from None
    return request


def _groups(groups: Any, field: str) -> Any:
    """Return the groups of an export, after a check of their number."""
    check_groups(len(groups))
    check_groups(len(groups) + sum(len(getattr(group, field)) for group in groups))
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
