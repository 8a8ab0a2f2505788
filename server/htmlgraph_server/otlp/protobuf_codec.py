"""OTLP requests in protobuf as plain values, and the answers to them.

Schema: the package opentelemetry-proto, made from
https://github.com/open-telemetry/opentelemetry-proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2

from htmlgraph_nb.coding_agents.otel.signals import Attributes, LogRecord, Point, Span
from htmlgraph_nb.errors import InvalidEvent

MAX_DEPTH = 16
_DELTA = 1
_ERROR = 2


def _parse(request: Any, body: bytes) -> Any:
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise InvalidEvent(f"the body is not the protobuf message expected: {error}") from None
    return request


def _value(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > MAX_DEPTH:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_value(item, depth + 1) for item in found.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in found.values}
    return found.hex() if kind == "bytes_value" else found


def _attributes(pairs: Iterable[Any]) -> Attributes:
    # Nearly all are texts or numbers; to ask for the kind takes longer than to look.
    return {
        pair.key: (value := pair.value).string_value
        or value.int_value
        or value.double_value
        or _value(value)
        for pair in pairs
    }


def decode_logs(body: bytes) -> Iterator[LogRecord]:
    """Yield the log records of an ExportLogsServiceRequest.

    Raises:
        InvalidEvent: the body is no such message.
    """
    for group in _parse(logs_pb2.ExportLogsServiceRequest(), body).resource_logs:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                said = _value(record.body)
                name = record.event_name or (said if isinstance(said, str) else "")
                at_ns = record.time_unix_nano or record.observed_time_unix_nano
                yield LogRecord(
                    resource, scoped.scope.name, name, _attributes(record.attributes), at_ns
                )


def decode_spans(body: bytes) -> Iterator[Span]:
    """Yield the spans of an ExportTraceServiceRequest; errors as ``decode_logs``."""
    for group in _parse(trace_pb2.ExportTraceServiceRequest(), body).resource_spans:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_spans:
            for span in scoped.spans:
                yield Span(
                    resource,
                    scoped.scope.name,
                    span.name,
                    _attributes(span.attributes),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.status.code == _ERROR,
                )


def decode_points(body: bytes) -> Iterator[Point]:
    """Yield the points of sums and histograms of an ExportMetricsServiceRequest."""
    for group in _parse(metrics_pb2.ExportMetricsServiceRequest(), body).resource_metrics:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                kind = metric.WhichOneof("data")
                if kind not in ("sum", "histogram"):
                    continue
                data = getattr(metric, kind)
                for point in data.data_points:
                    value = point.sum if kind == "histogram" else _number(point)
                    yield Point(
                        resource,
                        scoped.scope.name,
                        metric.name,
                        _attributes(point.attributes),
                        value,
                        point.start_time_unix_nano,
                        point.time_unix_nano,
                        data.aggregation_temporality == _DELTA,
                    )


def _number(point: Any) -> float:
    return float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


_ANSWERS: dict[str, tuple[type[Message], str]] = {
    "logs": (logs_pb2.ExportLogsServiceResponse, "rejected_log_records"),
    "traces": (trace_pb2.ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (metrics_pb2.ExportMetricsServiceResponse, "rejected_data_points"),
}


def encode_answer(signal: str, n_rejected: int, message: str) -> bytes:
    """Return the answer to an export; empty where all was taken.

    Args:
        signal: "logs", "traces" or "metrics".
    """
    kind, field = _ANSWERS[signal]
    answer: Any = kind()
    if n_rejected:
        setattr(answer.partial_success, field, n_rejected)
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())
