"""The interface of the two OTLP encodings."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Protocol

from htmlgraph_nb.coding_agents.otel.signals import LogRecord, Point, Span
from htmlgraph_nb.errors import InvalidEvent

MAX_ATTRIBUTE_DEPTH = 16
"""Values nested deeper than this are read as None."""
NO_RECORDED_VALUE = 1
"""Flag of a point that marks a gap; its value must be ignored."""


MAX_RESOURCE_GROUPS = 10_000
"""Maximum number of groups by resource and scope; exporters send few, and empty ones cost time."""
MAX_RECORDS = 20_000
"""Maximum number of records, spans or points of an export; exporters send at most some thousand."""
MAX_ATTRIBUTES = 1_000
"""Attributes and list items beyond this number are ignored; SDKs send at most 128 by default."""
MAX_SPAN_EVENTS = 128
"""Events of a failed span that are searched for an exception; SDKs keep at most 128 by default."""


def check_groups(n_groups: int) -> None:
    """Check the number of groups of an export.

    Raises:
        InvalidEvent: there are too many.
    """
    if n_groups > MAX_RESOURCE_GROUPS:
        raise InvalidEvent(
            f"body: at most {MAX_RESOURCE_GROUPS} groups by resource and scope allowed, "
            f"got {n_groups}"
        )


def check_records(n_records: int) -> None:
    """Check the number of records, spans or points of an export.

    Raises:
        InvalidEvent: there are too many.
    """
    if n_records > MAX_RECORDS:
        raise InvalidEvent(f"body: at most {MAX_RECORDS} records allowed; send smaller exports")


class OtlpCodec(Protocol):
    """Decodes export requests and encodes their responses, in JSON or protobuf.

    Decoding is lazy: it runs while the caller iterates. It raises InvalidEvent if the body is not
    an export request; what is before the error is yielded first. ``request`` is what
    ``request_steps`` returns.
    """

    def request_steps(self, body: bytes) -> Generator[None, None, Any]:
        """Prepare a body in steps; return the request for the other methods.

        Raises:
            WireError: in JSON, the body is not JSON.
        """

    def decode_logs(self, request: Any) -> Iterator[LogRecord]:
        """Yield the log records of a request."""

    def decode_spans(self, request: Any) -> Iterator[Span]:
        """Yield the spans of a request."""

    def decode_points(self, request: Any) -> Iterator[Point]:
        """Yield the data points of sums and histograms of a request."""

    def encode_response(self, signal: str, n_rejected: int, message: str) -> bytes:
        """Return the response to an export.

        Args:
            signal: "logs", "traces" or "metrics".
            n_rejected: number of rejected records; 0: the response is empty.
            message: why the first of them was rejected.
        """
