"""OpenTelemetry signals as plain values, which the decoders of both encodings return.

Source: the OpenTelemetry protocol (https://opentelemetry.io/docs/specs/otlp/), version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Attributes = Mapping[str, Any]
"""Key → string, bool, int, float, list or mapping."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record.

    Attributes:
        name: its event name, or its body if that is a string; otherwise "".
        at_ns: nanoseconds since 1970 at which it happened, or else was observed; 0 if unknown.
    """

    resource: Attributes
    scope: str
    name: str
    attributes: Attributes
    at_ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """One span that has ended.

    Attributes:
        start_ns, end_ns: nanoseconds since 1970; 0 if unknown.
        trace_id, span_id: lower-case hexadecimal digits.
        failed: whether its status is an error.
        parent_id: span id of the span that contains it; "" if none does.
        exception: type of the first exception of a failed span; None if there is none.
    """

    resource: Attributes
    scope: str
    name: str
    attributes: Attributes
    start_ns: int
    end_ns: int
    trace_id: str
    span_id: str
    failed: bool
    parent_id: str = ""
    exception: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sum or a histogram.

    Attributes:
        value: the value of a sum, or the sum of the values of a histogram.
        delta: whether it counts since the last point, not since ``start_ns``.
    """

    resource: Attributes
    scope: str
    metric: str
    attributes: Attributes
    value: float
    start_ns: int
    at_ns: int
    delta: bool
