"""What every JSON route shares: a bounded body, and careful reading of what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from tornado import web
from tornado.http1connection import HTTP1Connection

from htmlgraph_nb.core.protocol import decode_json
from htmlgraph_nb.core.validation import MAX_ID_CHARS, parse_time, shorten, validate_string

from .base import ApiError, Guarded

DRAINED_BODIES = 16
"""A body of up to this many times the limit is read to its end and thrown away before it is
refused: a sender that is cut off while it sends may never see the answer."""


BODIES_AT_ONCE = 32
"""The bodies of all requests that are on their way hold at most this many times the limit."""


@web.stream_request_body
class Api(Guarded):
    """A JSON route; its body is refused by its length before it is read."""

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._n_bytes = 0
        self._crowded_out = False
        self._reads_on = False

    async def prepare(self) -> None:
        await super().prepare()
        if self._finished:
            return
        headers = self.request.headers
        try:
            n_bytes = int(headers.get("Content-Length", "0"))
        except ValueError:
            raise ApiError(400, "invalid", "Content-Length is no number") from None
        limit = self.service.config.max_body_bytes
        if n_bytes > (limit if "Expect" in headers else limit * DRAINED_BODIES):
            raise self._too_large()
        # Tornado's own bound would cut the connection without an answer.
        cast(HTTP1Connection, self.request.connection).set_max_body_size(2**62)
        self._reads_on = True

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if not self._reads_on:
            # Tornado closes a connection on which a body was not read: the client shall know.
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def _too_large(self) -> ApiError:
        limit = self.service.config.max_body_bytes
        return ApiError(
            413, "body_too_large", f"the body is too long, expected at most {limit} bytes"
        )

    def data_received(self, chunk: bytes) -> None:
        limit = self.service.config.max_body_bytes
        self._n_bytes += len(chunk)
        if self._n_bytes <= limit:
            self._keep(chunk)
            return
        self._let_go()
        if self._n_bytes > limit * DRAINED_BODIES:
            # Answered while it still sends.
            self._reads_on = False
            self._handle_request_exception(self._too_large())

    def _keep(self, chunk: bytes) -> None:
        service = self.service
        bound = service.config.max_body_bytes * BODIES_AT_ONCE
        if self._crowded_out or service.body_bytes + len(chunk) > bound:
            self._crowded_out = True
            self._let_go()
            return
        service.body_bytes += len(chunk)
        self._chunks.append(chunk)

    def _let_go(self) -> None:
        if self._chunks:
            self.service.body_bytes -= sum(map(len, self._chunks))
            self._chunks.clear()

    def on_finish(self) -> None:
        self._let_go()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if not self._finished:
            self._let_go()

    @property
    def body(self) -> bytes:
        """The request's body.

        Raises:
            Problem: it is too long, or too many others are on their way.
        """
        if self._n_bytes > self.service.config.max_body_bytes:
            raise self._too_large()
        if self._crowded_out:
            raise ApiError(503, "busy", "too many bodies are on their way; send again later")
        return b"".join(self._chunks)

    def json_body(self) -> Any:
        """Return the value of the request's JSON body.

        Raises:
            WireError: it is not JSON.
        """
        return decode_json(self.body, "the body")

    def json_object(self) -> dict[str, Any]:
        """Return the request's JSON body, an object.

        Raises:
            WireError: it is not JSON; Problem: it is no object.
        """
        body = self.json_body()
        if not isinstance(body, dict):
            raise ApiError(400, "invalid", "the body is no JSON object")
        return body

    def known_parameters(self, *names: str) -> None:
        """Refuse query parameters other than ``names``, so that a slip of the pen is noticed."""
        for name in self.request.query_arguments:
            if name not in names:
                raise ApiError(
                    400,
                    "unknown_parameter",
                    f"unknown parameter {shorten(name)}, expected {', '.join(names) or 'none'}",
                    name[:60],
                )

    def time_parameter(self, name: str) -> datetime | None:
        """Return a parameter as UTC time, None where it is absent."""
        text = self.text_parameter(name)
        if text is None:
            return None
        # A plus sign of an offset that was not escaped arrives as a space.
        return parse_time(text[:11] + text[11:].replace(" ", "+"), name)

    def int_parameter(self, name: str, default: int, least: int, most: int) -> int:
        """Return a parameter as an integer from ``least`` to ``most``."""
        text = self.text_parameter(name)
        if text is None:
            return default
        digits = text.isascii() and text.isdecimal() and len(text) <= 16
        if not (digits and least <= int(text) <= most):
            raise ApiError(
                400, "invalid", f"{name} is {shorten(text)}, expected {least} to {most}", name
            )
        return int(text)

    def choice_parameter(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return a parameter that is one of ``choices``."""
        text = self.text_parameter(name)
        if text is not None and text not in choices:
            raise ApiError(
                400, "invalid", f"{name} is {shorten(text)}, expected {', '.join(choices)}", name
            )
        return default if text is None else text

    def list_parameter(self, name: str) -> list[str] | None:
        """Return a parameter that may be given several times, None where it is absent."""
        values = self.request.query_arguments.get(name)
        if not values:
            return None
        if len(values) > 256:
            raise ApiError(
                400, "invalid", f"{name} is given {len(values)} times, at most 256", name
            )
        try:
            return [validate_string(value.decode(), name) for value in values]
        except UnicodeDecodeError:
            raise ApiError(400, "invalid", f"{name} is not UTF-8", name) from None

    def header(self, name: str) -> str:
        """Return a header that names an agent or a session, in UTF-8 beyond ASCII.

        Raises:
            Problem: it is missing or not UTF-8; InvalidEvent: it cannot be an id.
        """
        value = self.request.headers.get(name)
        if not value:
            raise ApiError(400, "missing_header", f"the header {name} is missing", name)
        try:
            # Tornado reads headers as Latin-1, in which every byte has a meaning.
            text = value.encode("latin-1").decode()
        except UnicodeDecodeError:
            raise ApiError(400, "invalid", f"the header {name} is not UTF-8", name) from None
        return validate_string(text, name, MAX_ID_CHARS)


class NotFound(Api):
    """Any other path."""

    async def get(self) -> None:
        raise ApiError(404, "not_found", f"there is nothing at {shorten(self.request.path)}")

    head = post = put = patch = delete = options = get
