"""Base of all handlers: authentication and the JSON error format."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import Future
from http.client import responses
from types import TracebackType
from typing import Any, TypeVar, cast

from tornado import web
from tornado.iostream import IOStream, StreamClosedError

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.protocol import decode_json, encode_json, error_object
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import (
    ApiError,
    CapacityError,
    InvalidEvent,
    StoreDamaged,
    StoreError,
    WireError,
)
from htmlgraph_nb.paths import SERVER_HEADER

from ..access.auth import Credentials, Refusal
from ..access.gate import Gate
from ..access.identity import Identity, Need
from ..access.spaces import Space, Spaces
from ..connections.unread_response import UnreadResponse
from ..decoding.json_steps import STEP_CHARS, json_steps
from ..service import Service
from .parsing import event_steps, parse_events

logger = logging.getLogger(__name__)
T = TypeVar("T")

_LOGGED_REFUSALS = (401, 403, 413, 429, 503)
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    SERVER_HEADER: "1",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'self'",
}


def to_api_error(error: BaseException) -> ApiError | None:
    """Return the HTTP error for an error of this project; None for any other exception."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, MemoryError):
        return ApiError(503, "out_of_memory", "the server is out of memory; retry later")
    if isinstance(error, InvalidEvent):
        return ApiError(400, "invalid", error.message, error.field)
    if isinstance(error, WireError):
        return ApiError(400, "invalid_json", str(error))
    if isinstance(error, CapacityError):
        return ApiError(429, error.code, str(error))
    if isinstance(error, StoreDamaged):
        return ApiError(503, "store_damaged", str(error))
    if isinstance(error, StoreError):
        return ApiError(503, "store_unavailable", str(error))
    return None


class BaseHandler(web.RequestHandler):
    """Authenticates a request before its body is read, and reports errors as JSON."""

    checks_origin = False
    """Whether the Origin of every request counts, not only that of writes."""
    identity = Identity()
    """Who sends the request; ``authenticate`` sets it."""
    space: Space | None = None
    """What the request reads and writes; ``authenticate`` sets it."""
    _is_over = _has_left_space = False

    def initialize(self, needs: Need) -> None:
        """Take what the route table says that this route needs."""
        self.needs = needs

    @property
    def service(self) -> Service:
        """The components of the space of this request.

        Raises:
            RuntimeError: it is not authenticated yet.
        """
        if self.space is None:
            raise RuntimeError("the request is not authenticated yet")
        return self.space.service

    @property
    def whole_server(self) -> Service:
        """The components that all spaces share, and their limits."""
        return self.spaces.default.service

    @property
    def spaces(self) -> Spaces:
        """The spaces of the standalone server."""
        return cast(Spaces, self.settings["spaces"])

    @property
    def gate(self) -> Gate:
        """What checks the requests of the standalone server."""
        return cast(Gate, self.settings["gate"])

    def credentials(self) -> Credentials:
        """Return the request's Host, Origin, token and cookie."""
        headers = self.request.headers
        authenticator = self.gate.authenticator
        query_token = self.get_query_argument("token", "") if self.accepts_query_token() else ""
        return Credentials(
            host=self.request.host,
            origin=headers.get("Origin", headers.get("Sec-WebSocket-Origin")),
            authorization=headers.get("Authorization", ""),
            query_token=query_token,
            cookie=self.get_cookie(authenticator.cookie_name) or "",
            space_cookie=self.get_cookie(authenticator.space_cookie_name) or "",
            person=self.gate.proxies.identity(headers, self.request.remote_ip or ""),
        )

    def cookies_for(self, token: str | None) -> dict[str, str]:
        """Return name → value of the cookies that replace a token; "" deletes one.

        Args:
            token: None: the request has none; its cookie may be renewed.
        """
        return self.gate.authenticator.cookies_for(token, self.credentials().cookie)

    def accepts_query_token(self) -> bool:
        """Return whether this route accepts ``?token=``.

        Few routes do: URLs end up in logs and browser histories.
        """
        return False

    async def authenticate(self) -> None:
        """Allow or refuse the request; an override may also finish it, with a redirect say.

        Raises:
            ApiError: the request is refused; after a wrong token, with a delay.
        """
        credentials, guesses = self.credentials(), self.gate.guesses
        address = self.request.remote_ip or ""
        if credentials.has_token:
            guesses.check(address)
        checked = await self.identify(credentials)
        if isinstance(checked, Refusal):
            if checked.status == 401 and credentials.has_token:
                await guesses.delay(address)
            raise ApiError(checked.status, checked.code, checked.message)
        if not checked.allows(self.needs):
            raise self._not_permitted(checked)
        self.identity = checked
        self.space = await self.spaces.enter(checked.space)
        if self._is_over:
            # The client disconnected while the space was opened.
            self.leave_space()

    async def identify(self, credentials: Credentials) -> Identity | Refusal:
        """Return who sends the request, or why it is refused.

        Raises:
            ApiError: that cannot be found out now.
        """
        return self.gate.authenticator.check(
            credentials, checks_origin=self.checks_origin or self.needs.writes
        )

    def _not_permitted(self, identity: Identity) -> ApiError:
        label = f" {shorten(identity.label)}" if identity.label else ""
        return ApiError(
            403,
            "not_permitted",
            f"token{label} may only {identity.right.value}; {self.request.path[:100]} needs a "
            f"token with --may {self.needs.value}",
        )

    async def prepare(self) -> None:
        await self.authenticate()

    def leave_space(self) -> None:
        """Note that this request does not use its space any more. Idempotent."""
        self._is_over = True
        if self.space is not None and not self._has_left_space:
            self._has_left_space = True
            self.spaces.leave(self.space)

    def on_finish(self) -> None:
        self.leave_space()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.leave_space()

    def set_default_headers(self) -> None:
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        api_error = to_api_error(error) if error is not None else None
        if api_error is None:
            reason = responses.get(status_code, "error")
            detail = error.log_message if isinstance(error, web.HTTPError) else None
            api_error = ApiError(status_code, reason.lower().replace(" ", "_"), detail or reason)
        status, message = api_error.status, api_error.message
        if status == 405:
            methods = ", ".join(self.allowed_methods())
            message = f"method {shorten(self.request.method or '', 20)} not allowed; use {methods}"
            self.set_header("Allow", methods)
        self.set_status(status)
        if status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="htmlgraph-nb"')
        if status == 426:
            self.set_header("Upgrade", "websocket")
            self.set_header("Sec-WebSocket-Version", "13")
        if status in (429, 503):
            self.set_header("Retry-After", "1")
        self.send_json(error_object(api_error.code, message, api_error.field))

    def _handle_request_exception(self, e: BaseException) -> None:
        # Tornado responds 500 to anything but an HTTPError; write_error reads the error itself.
        api_error = to_api_error(e)
        super()._handle_request_exception(
            e if api_error is None else web.HTTPError(api_error.status)
        )

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # Tornado would log the whole request, whose query or headers can contain a token.
        request = self.request
        if value is None or typ is None:
            return
        api_error = to_api_error(value)
        if api_error is not None:
            logger.debug("%d %s %s", api_error.status, request.method, request.path)
            if api_error.status in _LOGGED_REFUSALS:
                # In Jupyter Server the service may not be open.
                with contextlib.suppress(RuntimeError):
                    self.whole_server.refusals.add(api_error.status, api_error.code)
        elif isinstance(value, web.HTTPError):
            logger.debug("%d %s %s", value.status_code, request.method, request.path)
        elif isinstance(value, StreamClosedError):
            logger.debug("the client of %s %s disconnected", request.method, request.path)
        else:
            logger.error("%s %s failed", request.method, request.path, exc_info=(typ, value, tb))

    def allowed_methods(self) -> list[str]:
        """Return the methods of this route."""
        base = web.RequestHandler
        return [
            name
            for name in self.SUPPORTED_METHODS
            if getattr(type(self), name.lower(), None) is not getattr(base, name.lower(), None)
        ]

    def string_parameter(self, name: str) -> str | None:
        """Return a query parameter; None if it is absent.

        Raises:
            ApiError: it is repeated, empty or not UTF-8.
        """
        values = self.request.query_arguments.get(name)
        if not values:
            return None
        if len(values) > 1:
            raise ApiError(400, "invalid", f"{name}: expected one value, got {len(values)}", name)
        try:
            text = values[0].decode()
        except UnicodeDecodeError:
            raise ApiError(400, "invalid", f"{name}: expected UTF-8", name) from None
        if not text:
            raise ApiError(400, "invalid", f"{name}: expected a value, got an empty string", name)
        return text

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """Finish the response; a client that does not read it is disconnected."""
        stream: IOStream | None = getattr(self.request.connection, "stream", None)
        sent = super().finish(chunk)
        if stream is not None and not sent.done() and not stream.closed():
            # In Jupyter Server, static files are sent before the service is open.
            with contextlib.suppress(RuntimeError):
                service = self.whole_server
                UnreadResponse(stream, sent, service.budget, service.config.hub.stall_timeout_s)
        return sent

    async def flush_read(self) -> None:
        """Send what was written, and wait until the client has read most of it.

        Raises:
            StreamClosedError: the client disconnected, or stopped reading.
        """
        stream: IOStream | None = getattr(self.request.connection, "stream", None)
        sent = self.flush()
        if not sent.done():
            done, _ = await asyncio.wait({sent}, timeout=self.service.config.hub.stall_timeout_s)
            if not done and stream is not None:
                stream.close()
        if stream is not None and stream.closed():
            raise StreamClosedError
        # Other connections get their turn also if the client reads at once.
        await asyncio.sleep(0)

    async def decode_json(self, data: str | bytes, what: str) -> Any:
        """Return the value of a JSON text; a long one is decoded in steps, one text at a time.

        Raises:
            WireError: the text is not JSON; the message begins with ``what``.
        """
        if len(data) <= STEP_CHARS:
            return decode_json(data, what)
        async with self.service.turns.decoding:
            return await self.service.turns.run(json_steps(data, what))

    async def decode_events(self, data: str | bytes, what: str) -> list[Event]:
        """Return the events of a JSON text: one object or an array of them.

        Raises:
            WireError: as ``decode_json``.
            InvalidEvent: an event is invalid; ``field`` contains its index.
        """
        if len(data) <= STEP_CHARS:
            return parse_events(decode_json(data, what))
        turns = self.service.turns
        async with self.service.turns.decoding:
            value = await turns.run(json_steps(data, what))
            # Within the lock, so that only one decoded text is in memory.
            if not isinstance(value, list):
                return parse_events(value)
            return await turns.run(event_steps(value))

    async def committed(self, future: Future[T]) -> T:
        """Return the result of a write once it is committed and published."""
        result = await asyncio.wrap_future(future)
        await self.service.publisher.caught_up()
        return result

    def send_json(self, value: Any) -> None:
        """Finish the response with a JSON body."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(encode_json(value) + "\n")
