"""Both OTLP codecs decode the same request to the same values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_server.otlp.codec import MAX_ATTRIBUTES, MAX_RECORDS, MAX_RESOURCE_GROUPS
from htmlgraph_server.otlp.json_codec import JsonCodec
from htmlgraph_server.otlp.protobuf_codec import ProtobufCodec

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
attribute_values = st.dictionaries(texts, texts, max_size=8)


def add_attributes(message: Any, values: dict[str, str]) -> None:
    """Add string attributes to a protobuf message."""
    for key, value in values.items():
        message.attributes.add(key=key).value.string_value = value


def test_encode_response_names_rejected_records() -> None:
    """A partial success has the number and a reason; a full success is empty."""
    assert ProtobufCodec().encode_response("logs", 0, "") == b""
    assert JsonCodec().encode_response("logs", 0, "") == b"{}"
    response = ExportLogsServiceResponse()
    response.ParseFromString(ProtobufCodec().encode_response("logs", 2, "no time"))
    assert response.partial_success.rejected_log_records == 2
    assert response.partial_success.error_message == "no time"
    body = json.loads(JsonCodec().encode_response("metrics", 3, "x"))
    assert body == {"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "x"}}


@given(attribute_values, st.booleans())
def test_decode_logs_is_equal_in_both_encodings(values: dict[str, str], has_resource: bool) -> None:
    """A log record is the same in protobuf and in JSON, and keeps every attribute."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    if has_resource:
        group.resource.attributes.add(key="host.name").value.string_value = "lab"
    record = group.scope_logs.add().log_records.add(time_unix_nano=5)
    record.body.string_value = "claude_code.tool_result"
    add_attributes(record, values)
    (from_protobuf,) = ProtobufCodec().decode_logs(request.SerializeToString())
    (from_json,) = JsonCodec().decode_logs(json.loads(MessageToJson(request)))
    assert from_protobuf == from_json
    assert dict(from_json.attributes) == values
    assert dict(from_json.resource) == ({"host.name": "lab"} if has_resource else {})


@given(attribute_values, st.binary(min_size=16, max_size=16), st.sampled_from([0, 1, 2]))
def test_decode_spans_is_equal_in_both_encodings(
    values: dict[str, str], trace_id: bytes, status: int
) -> None:
    """A span is the same in protobuf and in JSON, where its ids are hexadecimal."""
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    scoped.scope.name = "scope"
    span = scoped.spans.add(name="chat", trace_id=trace_id, span_id=trace_id[:8])
    span.parent_span_id = trace_id[8:]
    span.events.add(name="log")
    span.events.add(name="exception").attributes.add(
        key="exception.type"
    ).value.string_value = "ValueError"
    span.start_time_unix_nano, span.end_time_unix_nano = 5, 7
    span.status.code = status  # type: ignore[assignment]
    add_attributes(span, values)
    body = json.loads(MessageToJson(request))
    in_json = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    in_json["traceId"], in_json["spanId"] = trace_id.hex().upper(), trace_id[:8].hex()
    in_json["parentSpanId"] = trace_id[8:].hex()
    (from_protobuf,) = ProtobufCodec().decode_spans(request.SerializeToString())
    (from_json,) = JsonCodec().decode_spans(body)
    assert from_protobuf == from_json
    assert (from_json.trace_id, from_json.failed) == (trace_id.hex(), status == 2)
    assert from_json.parent_id == trace_id[8:].hex()
    assert from_json.exception == ("ValueError" if status == 2 else None)


@given(attribute_values, st.integers(0, 2**53), st.sampled_from([0, 1, 2]))
def test_decode_points_is_equal_in_both_encodings(
    values: dict[str, str], value: int, temporality: int
) -> None:
    """Points of sums and histograms are the same in protobuf and in JSON."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    total, histogram, other = metrics.add(name="a"), metrics.add(name="b"), metrics.add(name="c")
    point = total.sum.data_points.add(as_int=value, time_unix_nano=9, start_time_unix_nano=2)
    add_attributes(point, values)
    total.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    total.sum.data_points.add(as_double=value / 2)
    total.sum.data_points.add(as_int=value, flags=1)
    total.sum.data_points.add()
    histogram.histogram.data_points.add(sum=value)
    histogram.histogram.data_points.add(sum=value, flags=1)
    histogram.histogram.data_points.add()
    other.gauge.data_points.add(as_int=1)
    from_protobuf = list(ProtobufCodec().decode_points(request.SerializeToString()))
    from_json = list(JsonCodec().decode_points(json.loads(MessageToJson(request))))
    assert from_protobuf == from_json
    assert [(point.metric, point.value) for point in from_json] == [
        ("a", value),
        ("a", value / 2),
        ("a", -1),
        ("a", -1),
        ("b", value),
        ("b", -1),
        ("b", -1),
    ], "a point without a value, or marked as a gap, has none"
    assert from_json[0].delta == (temporality == 1)


@pytest.mark.parametrize("signal", ["logs", "spans", "metrics"])
@pytest.mark.parametrize("level", ["resource", "scope"])
def test_decode_limits_empty_groups(signal: str, level: str) -> None:
    """Groups without records are counted before they are examined."""
    decode = "points" if signal == "metrics" else signal
    name = signal[0].upper() + signal[1:]
    empty = b"\x0a\x00" if level == "resource" else b"\x12\x00"
    for n_groups, is_allowed in (
        (MAX_RESOURCE_GROUPS // 2, True),
        (MAX_RESOURCE_GROUPS + 1, False),
    ):
        if level == "resource":
            protobuf, groups = empty * n_groups, [{}] * n_groups
        else:
            body = empty * n_groups
            protobuf = b"\x0a" + varint(len(body)) + body
            groups = [{f"scope{name}": [{}] * n_groups}]
        request = {f"resource{name}": groups}
        for codec, body in ((ProtobufCodec(), protobuf), (JsonCodec(), request)):
            records = getattr(codec, f"decode_{decode}")(body)
            if is_allowed:
                assert list(records) == []
            else:
                with pytest.raises(InvalidEvent, match=f"at most {MAX_RESOURCE_GROUPS} groups"):
                    list(records)


def test_decode_ignores_attributes_beyond_the_limit() -> None:
    """One record with a million attributes does not hold the event loop."""
    attributes = [{"key": f"k{n}", "value": {"intValue": n}} for n in range(MAX_ATTRIBUTES + 5)]
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}]}]}]}
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    for item in attributes:
        pair = record.attributes.add()
        pair.key, pair.value.int_value = item["key"], item["value"]["intValue"]
    (from_json,) = JsonCodec().decode_logs(body)
    (from_protobuf,) = ProtobufCodec().decode_logs(request.SerializeToString())
    assert len(from_json.attributes) == MAX_ATTRIBUTES
    assert from_json.attributes == from_protobuf.attributes


def varint(number: int) -> bytes:
    """Return a number as protobuf writes lengths."""
    parts = []
    while number > 127:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def test_decode_protobuf_keeps_texts_of_long_records() -> None:
    """Of a long record, texts and small attributes are kept, and large structures dropped."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5)
    add_attributes(record, {"prompt": "x" * 500_000, "session.id": "s"})
    nested = record.attributes.add(key="nested").value.array_value.values
    for n in range(50_000):
        nested.add().int_value = n
    add_attributes(record, {"last": "value"})
    (decoded,) = ProtobufCodec().decode_logs(request.SerializeToString())
    texts = {"prompt": "x" * 500_000, "session.id": "s", "last": "value"}
    assert (decoded.attributes, decoded.at_ns) == (texts, 5)


def test_decode_points_of_a_long_metric() -> None:
    """A metric that is too long to be decoded at once has the same points."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for data_type, field in (("sum", "as_int"), ("histogram", "sum")):
        data = getattr(metrics.add(name=f"long {data_type}"), data_type)
        data.aggregation_temporality = 1
        for n in range(2_000):
            point = data.data_points.add(time_unix_nano=n + 1, **{field: n})
            add_attributes(point, {"session.id": f"session-{n}"})
    from_protobuf = list(ProtobufCodec().decode_points(request.SerializeToString()))
    assert from_protobuf == list(JsonCodec().decode_points(json.loads(MessageToJson(request))))
    assert len(from_protobuf) == 4_000
    assert all(point.delta for point in from_protobuf)


@pytest.mark.parametrize("signal", ["logs", "spans", "metrics"])
def test_decode_limits_records(signal: str) -> None:
    """Empty records are counted, too: each costs time."""
    decode = "points" if signal == "metrics" else signal
    name = {"logs": "logRecords"}.get(signal, signal)
    title = signal[0].upper() + signal[1:]
    scoped = b"\x12\x00" * (MAX_RECORDS + 1)
    group = b"\x12" + varint(len(scoped)) + scoped
    protobuf = b"\x0a" + varint(len(group)) + group
    request = {f"resource{title}": [{f"scope{title}": [{name: [{}] * (MAX_RECORDS + 1)}]}]}
    for codec, body in ((ProtobufCodec(), protobuf), (JsonCodec(), request)):
        with pytest.raises(InvalidEvent, match=f"at most {MAX_RECORDS} records"):
            list(getattr(codec, f"decode_{decode}")(body))


@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x0a\x05\x12", b"\x0b", b"\xff" * 11, b"\x0a\x02\x12\x7f", b"text"]
)
def test_decode_protobuf_refuses_other_bytes(body: bytes) -> None:
    """What is no protobuf message is an error, at each level."""
    with pytest.raises(InvalidEvent, match="body: "):
        list(ProtobufCodec().decode_logs(body))


def test_decode_json_limits_nested_values_are_limited_together() -> None:
    """A tree of lists has at most MAX_ATTRIBUTES values, whatever its shape."""
    value: Any = {"intValue": 1}
    for _ in range(6):
        value = {"arrayValue": {"values": [value] * 10}}
    body = {
        "resourceLogs": [
            {"scopeLogs": [{"logRecords": [{"attributes": [{"key": "tree", "value": value}]}]}]}
        ]
    }
    (record,) = JsonCodec().decode_logs(body)

    def size(item: Any) -> int:
        return 1 + sum(map(size, item)) if isinstance(item, list) else 1

    assert size(record.attributes["tree"]) <= MAX_ATTRIBUTES + 1
