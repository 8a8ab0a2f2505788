"""Base of the JSON routes: a size limit for bodies, and validated parameters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from tornado import web
from tornado.http1connection import HTTP1Connection

from htmlgraph_nb.core.validation import MAX_ID_CHARS, parse_time, shorten, validate_string
from htmlgraph_nb.errors import ApiError

from ..access.identity import Need
from ..connections.byte_budget import ByteAccount
from .base import BaseHandler

DRAIN_FACTOR = 16
"""A body of up to this many times the limit is read and discarded before it is refused: a sender
whose connection closes while it sends may never see the response."""
_MAX_LIST_VALUES = 256


@web.stream_request_body
class JsonHandler(BaseHandler):
    """A JSON route; refuses a body by its length before reading it."""

    def initialize(self, needs: Need) -> None:
        super().initialize(needs)
        self._chunks: list[bytes] = []
        self._n_bytes = 0
        self._account: ByteAccount | None = None
        self._over_budget = False
        self._reads_body = False

    async def prepare(self) -> None:
        await super().prepare()
        if self._finished:
            return
        headers = self.request.headers
        try:
            n_bytes = int(headers.get("Content-Length", "0"))
        except ValueError:
            raise ApiError(400, "invalid", "Content-Length: expected a number") from None
        limit = self.service.config.max_body_bytes
        if n_bytes > (limit if "Expect" in headers else limit * DRAIN_FACTOR):
            raise self._body_too_large()
        # Tornado's own limit would close the connection without a response.
        cast(HTTP1Connection, self.request.connection).set_max_body_size(2**62)
        self._reads_body = True

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if not self._reads_body:
            # Tornado closes a connection whose body was not read: announce it to the client.
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def _body_too_large(self) -> ApiError:
        limit = self.service.config.max_body_bytes
        return ApiError(413, "body_too_large", f"body too large; at most {limit} bytes allowed")

    def data_received(self, chunk: bytes) -> None:
        if not self._reads_body:
            return
        limit = self.service.config.max_body_bytes
        self._n_bytes += len(chunk)
        if self._n_bytes <= limit:
            self._buffer(chunk)
            return
        self._release_body()
        if self._n_bytes > limit * DRAIN_FACTOR and not self._finished:
            # Respond although the client is still sending.
            self._reads_body = False
            error = self._body_too_large()
            self.send_error(error.status, exc_info=(ApiError, error, None))

    def _buffer(self, chunk: bytes) -> None:
        if self._over_budget:
            return
        if self._account is None:
            self._account = self.service.budget.open(self._give_up_body)
        self._chunks.append(chunk)
        self._account.add(len(chunk))

    def _give_up_body(self) -> None:
        # Called by the budget. The rest of the body is read and discarded, then refused.
        self._over_budget = True
        self._chunks.clear()

    def _release_body(self) -> None:
        self._chunks.clear()
        if self._account is not None:
            self._account.close()
            self._account = None

    def on_finish(self) -> None:
        super().on_finish()
        self._release_body()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if not self._finished:
            self._release_body()

    @property
    def body(self) -> bytes:
        """The request's body.

        Raises:
            ApiError: it is too large, or the bodies of all requests together are.
        """
        if self._n_bytes > self.service.config.max_body_bytes:
            raise self._body_too_large()
        if self._over_budget:
            raise ApiError(503, "busy", "too many request bodies in progress; retry later")
        if self._account is not None:
            self._account.is_pinned = True
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def json_body(self) -> Any:
        """Return the value of the request's JSON body.

        Raises:
            WireError: the body is not JSON.
        """
        return await self.decode_json(self.body, "body")

    async def json_object(self) -> dict[str, Any]:
        """Return the request's JSON body, an object.

        Raises:
            WireError: the body is not JSON.
            ApiError: the body is not an object.
        """
        body = await self.json_body()
        if not isinstance(body, dict):
            raise ApiError(400, "invalid", "body: expected a JSON object")
        return body

    def allow_parameters(self, *names: str) -> None:
        """Refuse query parameters other than ``names``, so that typos are reported."""
        for name in self.request.query_arguments:
            if name not in names:
                expected = f"expected one of {', '.join(names)}" if names else "expected none"
                raise ApiError(
                    400,
                    "unknown_parameter",
                    f"unknown parameter {shorten(name)}; {expected}",
                    name[:60],
                )

    def time_parameter(self, name: str) -> datetime | None:
        """Return a parameter as UTC time; None if it is absent."""
        text = self.string_parameter(name)
        if text is None:
            return None
        # An unescaped plus sign of an offset arrives as a space.
        return parse_time(text[:11] + text[11:].replace(" ", "+"), name)

    def int_parameter(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """Return a parameter as an integer from ``minimum`` to ``maximum``."""
        text = self.string_parameter(name)
        if text is None:
            return default
        is_number = text.isascii() and text.isdecimal() and len(text) <= 16
        if not (is_number and minimum <= int(text) <= maximum):
            raise ApiError(
                400,
                "invalid",
                f"{name}: expected an integer from {minimum} to {maximum}, got {shorten(text)}",
                name,
            )
        return int(text)

    def choice_parameter(self, name: str, choices: Sequence[str], default: str) -> str:
        """Return a parameter that is one of ``choices``."""
        text = self.string_parameter(name)
        if text is not None and text not in choices:
            raise ApiError(
                400,
                "invalid",
                f"{name}: expected one of {', '.join(choices)}, got {shorten(text)}",
                name,
            )
        return default if text is None else text

    def list_parameter(self, name: str) -> list[str] | None:
        """Return the values of a repeatable parameter; None if it is absent."""
        values = self.request.query_arguments.get(name)
        if not values:
            return None
        if len(values) > _MAX_LIST_VALUES:
            raise ApiError(
                400,
                "invalid",
                f"{name}: at most {_MAX_LIST_VALUES} values allowed, got {len(values)}",
                name,
            )
        try:
            return [validate_string(value.decode(), name) for value in values]
        except UnicodeDecodeError:
            raise ApiError(400, "invalid", f"{name}: expected UTF-8", name) from None

    def id_header(self, name: str) -> str:
        """Return a header with the id of an agent or a session, decoded as UTF-8.

        Raises:
            ApiError: the header is missing or not UTF-8.
            InvalidEvent: its value is not a valid id.
        """
        value = self.request.headers.get(name)
        if not value:
            raise ApiError(400, "missing_header", f"missing header {name}", name)
        try:
            # Tornado decodes headers as Latin-1, which maps every byte.
            text = value.encode("latin-1").decode()
        except UnicodeDecodeError:
            raise ApiError(400, "invalid", f"header {name}: expected UTF-8", name) from None
        return validate_string(text, name, MAX_ID_CHARS)


class NotFoundHandler(JsonHandler):
    """Any other path."""

    async def get(self) -> None:
        path = self.request.path
        raise ApiError(404, "not_found", f"not found: {path[:100]}")

    head = post = put = patch = delete = options = get
